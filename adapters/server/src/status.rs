//! `quorate status`: asks each node of a cluster what it is.

use crate::arguments::{Output, Status};
use crate::client::{ask, number, text};
use crate::show::{Shown, heading};
use futures_util::future::join_all;
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;
use std::error::Error;

/// A cluster, as it is shown.
#[derive(Debug, Serialize)]
struct Cluster {
    /// The node that the latest term has for its leader.
    leader: Option<u64>,
    nodes: Vec<Shown>,
}

/// Shows the nodes that one of them knows.
pub(crate) async fn run(arguments: &Status) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Status { connect, output } = arguments;
    let members = ask(connect, "QUORATE.MEMBERS").await.map_err(|error| format!("{connect}: {error}"))?;
    let members = members_of(&members).ok_or_else(|| format!("{connect}: not a node of quorate"))?;
    let nodes = join_all(members.into_iter().map(|(id, address)| node(id, address))).await;
    let leader = nodes.iter().filter(|node| node.role == "leader").max_by_key(|node| node.term);
    let cluster = Cluster { leader: leader.map(|node| node.id), nodes };
    match output {
        Some(Output::Json) => println!("{}", serde_json::to_string(&cluster)?),
        None => {
            println!("{}", heading());
            cluster.nodes.iter().for_each(|node| println!("{node}"));
        }
    }
    Ok(())
}

async fn node(id: u64, address: Option<String>) -> Shown {
    let Some(address) = address else {
        return Shown::unreachable(id, None);
    };
    match ask(&address, "QUORATE.STATUS").await.ok().and_then(|answer| shown(&answer, &address)) {
        // Somebody else may listen there by now.
        Some(node) if node.id == id => node,
        Some(_) | None => Shown::unreachable(id, Some(address)),
    }
}

fn members_of(answer: &OwnedFrame) -> Option<Vec<(u64, Option<String>)>> {
    let OwnedFrame::Array(members) = answer else { return None };
    let member = |member: &OwnedFrame| match member {
        OwnedFrame::Array(pair) => Some((number(pair.first()?)?, text(pair.get(1)?))),
        _ => None,
    };
    members.iter().map(member).collect()
}

fn shown(answer: &OwnedFrame, address: &str) -> Option<Shown> {
    let OwnedFrame::Array(fields) = answer else { return None };
    let (pairs, _) = fields.as_chunks::<2>();
    let field = |name: &str| {
        let named = |[field, value]: &'_ [OwnedFrame; 2]| {
            (text(field).as_deref() == Some(name)).then(|| value.clone())
        };
        pairs.iter().find_map(named)
    };
    let numbered = |name| field(name).and_then(|field| number(&field));
    Some(Shown {
        id: numbered("id")?,
        role: text(&field("role")?)?,
        term: numbered("term"),
        commit: numbered("commit"),
        applied: numbered("applied"),
        address: Some(address.to_owned()),
    })
}
