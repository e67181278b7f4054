//! Nodes and their groups, as lines of a table and as JSON.

use quorate::raft::Status;
use quorate::{GroupId, NodeId};
use serde::Serialize;

/// A node, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Node {
    pub(crate) id: u64,
    /// Where it listens for clients, if that is known.
    pub(crate) address: Option<String>,
    pub(crate) reachable: bool,
    /// What it is in each group; nothing, if it cannot be reached.
    pub(crate) groups: Vec<Group>,
}

/// A group, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Group {
    pub(crate) group: u64,
    pub(crate) role: String,
    pub(crate) term: u64,
    /// Whom this node follows.
    pub(crate) leader: Option<u64>,
    pub(crate) commit: u64,
    pub(crate) applied: u64,
}

impl Group {
    fn of((group, status): &(GroupId, Status)) -> Self {
        Self {
            group: group.get(),
            role: status.role.to_string(),
            term: status.term.get(),
            leader: status.leader.map(NodeId::get),
            commit: status.commit.get(),
            applied: status.applied.get(),
        }
    }
}

impl Node {
    /// A node that says nothing.
    pub(crate) const fn unreachable(id: u64, address: Option<String>) -> Self {
        Self { id, address, reachable: false, groups: Vec::new() }
    }

    /// A node of this process.
    pub(crate) fn of(id: NodeId, groups: &[(GroupId, Status)], address: &str) -> Self {
        let (id, address) = (id.get(), Some(address.to_owned()));
        Self { id, address, reachable: true, groups: groups.iter().map(Group::of).collect() }
    }
}

/// The names over the columns.
pub(crate) fn heading() -> String {
    line(["group", "node", "role", "term", "leader", "commit", "applied", "address"])
}

/// A line for each group of each node, by group; then one for each node that cannot be reached.
pub(crate) fn lines(nodes: &[Node]) -> Vec<String> {
    let mut rows: Vec<_> =
        nodes.iter().flat_map(|node| node.groups.iter().map(move |group| (group, node))).collect();
    rows.sort_by_key(|(group, node)| (group.group, node.id));
    let address = |node: &Node| node.address.clone().unwrap_or("-".to_owned());
    let reached = rows.into_iter().map(|(group, node)| {
        let leader = group.leader.map_or("-".to_owned(), |leader| leader.to_string());
        let numbers = [group.group, node.id, group.term, group.commit, group.applied];
        let [number, id, term, commit, applied] = numbers.map(|number| number.to_string());
        line([&number, &id, &group.role, &term, &leader, &commit, &applied, &address(node)])
    });
    let unreachable = nodes
        .iter()
        .filter(|node| !node.reachable)
        .map(|node| line(["-", &node.id.to_string(), "unreachable", "-", "-", "-", "-", &address(node)]));
    reached.chain(unreachable).collect()
}

fn line([group, node, role, term, leader, commit, applied, address]: [&str; 8]) -> String {
    format!(
        "{group:>5}  {node:>4}  {role:<13}  {term:>6}  {leader:>6}  {commit:>12}  {applied:>12}  {address}"
    )
}
