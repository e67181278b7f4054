//! What must hold in any world.

use quorate::lock::{SessionId, Table, Token};
use quorate::raft::{Role, Status};
use quorate::{NodeId, Space, Term};
use quorate_air::Station;
use std::collections::BTreeMap;

/// What was seen so far, and what of it must not be.
#[derive(Debug, Default)]
pub struct Rules {
    leaders: BTreeMap<Term, NodeId>,
    /// Which session each grant went to, as seen on nodes.
    grants: BTreeMap<Token, SessionId>,
    acknowledged: Vec<(Token, SessionId)>,
    /// The newest grant of each client; their locks differ.
    newest: BTreeMap<Station, Token>,
    broken: Option<String>,
}

impl Rules {
    /// One leader a term.
    pub fn on_status(&mut self, status: Status) {
        if status.role == Role::Leader {
            let first = *self.leaders.entry(status.term).or_insert(status.id);
            self.must(first == status.id, || format!("{} and {} lead in {}", first, status.id, status.term));
        }
    }

    /// One session a grant, on all nodes alike.
    pub fn on_table<S: Space>(&mut self, table: &Table<S>) -> Result<(), String> {
        for held in table.locks(None) {
            let (token, session) = (held.owner.token, held.owner.session);
            let first = *self.grants.entry(token).or_insert(session);
            self.must(first == session, || format!("{token:?} went to {first:?} and to {session:?}"));
        }
        self.broken.take().map_or(Ok(()), Err)
    }

    /// A client was told that it holds its lock.
    pub fn on_acknowledged(&mut self, client: Station, token: Token, session: SessionId) {
        let before = self.newest.insert(client, token);
        self.must(before.is_none_or(|before| before <= token), || format!("{token:?} after {before:?}"));
        self.acknowledged.push((token, session));
    }

    /// No grant that a client was told of is missing from the nodes.
    pub fn conclude(&mut self) -> Result<(), String> {
        let missing = |(token, session): &&(Token, SessionId)| self.grants.get(token) != Some(session);
        match self.acknowledged.iter().find(missing) {
            Some(lost) => Err(format!("a client was told of a grant that no node knows: {lost:?}")),
            None => self.broken.take().map_or(Ok(()), Err),
        }
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.get_or_insert_with(what);
        }
    }
}
