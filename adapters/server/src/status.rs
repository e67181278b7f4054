//! `quorate status`: asks each node of a cluster what it is.

use crate::arguments::{Output, Status};
use crate::client::{ask, field, items, members, number, text};
use crate::show::{Group, Node, heading, lines};
use futures_util::future::join_all;
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;

/// A cluster, as it is shown.
#[derive(Debug, Serialize)]
struct Cluster {
    groups: Vec<Led>,
    nodes: Vec<Node>,
}

/// A group, as it is shown.
#[derive(Debug, Serialize)]
struct Led {
    group: u64,
    /// The node that the latest term has for its leader.
    leader: Option<u64>,
}

/// Shows the nodes that one of them knows.
pub(crate) async fn run(arguments: &Status) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Status { connect, output } = arguments;
    let members = members(connect).await?;
    let nodes = join_all(members.into_iter().map(|(id, address)| node(id, address))).await;
    match output {
        Some(Output::Json) => {
            println!("{}", serde_json::to_string(&Cluster { groups: led(&nodes), nodes })?);
        }
        None => {
            println!("{}", heading());
            lines(&nodes).iter().for_each(|line| println!("{line}"));
        }
    }
    Ok(())
}

fn led(nodes: &[Node]) -> Vec<Led> {
    let mut leaders = BTreeMap::<u64, Option<(u64, u64)>>::new();
    for (node, group) in nodes.iter().flat_map(|node| node.groups.iter().map(move |group| (node, group))) {
        let leader = leaders.entry(group.group).or_default();
        let leads = (group.role == "leader").then_some((group.term, node.id));
        *leader = (*leader).max(leads);
    }
    let led = leaders.into_iter();
    led.map(|(group, leader)| Led { group, leader: leader.map(|(_, node)| node) }).collect()
}

async fn node(id: u64, address: Option<String>) -> Node {
    let Some(address) = address else {
        return Node::unreachable(id, None);
    };
    match ask(&address, &["QUORATE.STATUS"]).await.ok().and_then(|answer| shown(&answer, &address)) {
        // Somebody else may listen there by now.
        Some(node) if node.id == id => node,
        Some(_) | None => Node::unreachable(id, Some(address)),
    }
}

fn shown(answer: &OwnedFrame, address: &str) -> Option<Node> {
    let groups = items(field(answer, "groups")?)?.iter().map(group).collect::<Option<_>>()?;
    let (id, address) = (number(field(answer, "id")?)?, Some(address.to_owned()));
    Some(Node { id, address, reachable: true, groups })
}

fn group(answer: &OwnedFrame) -> Option<Group> {
    let numbered = |name| number(field(answer, name)?);
    Some(Group {
        group: numbered("group")?,
        role: text(field(answer, "role")?)?,
        term: numbered("term")?,
        leader: numbered("leader"),
        commit: numbered("commit")?,
        applied: numbered("applied")?,
    })
}
