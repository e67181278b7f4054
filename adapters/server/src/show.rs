//! Nodes as lines of a table.

use quorate::raft::Status;
use serde::Serialize;
use std::fmt;

/// A node, as it is shown. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    pub(crate) id: u64,
    pub(crate) role: String,
    pub(crate) term: Option<u64>,
    pub(crate) commit: Option<u64>,
    pub(crate) applied: Option<u64>,
    pub(crate) address: Option<String>,
}

impl Shown {
    /// A node that says nothing.
    pub(crate) fn unreachable(id: u64, address: Option<String>) -> Self {
        Self { id, role: "unreachable".to_owned(), term: None, commit: None, applied: None, address }
    }

    /// A node of this process.
    pub(crate) fn of(status: &Status, address: &str) -> Self {
        Self {
            id: status.id.get(),
            role: status.role.to_string(),
            term: Some(status.term.get()),
            commit: Some(status.commit.get()),
            applied: Some(status.applied.get()),
            address: Some(address.to_owned()),
        }
    }
}

/// The names over the columns.
pub(crate) fn heading() -> String {
    line("node", "role", "term", "commit", "applied", "address")
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let address = self.address.as_deref().unwrap_or("-");
        let id = self.id.to_string();
        f.write_str(&line(
            &id,
            &self.role,
            &number(self.term),
            &number(self.commit),
            &number(self.applied),
            address,
        ))
    }
}

fn line(id: &str, role: &str, term: &str, commit: &str, applied: &str, address: &str) -> String {
    format!("{id:>4}  {role:<13}  {term:>6}  {commit:>12}  {applied:>12}  {address}")
}
