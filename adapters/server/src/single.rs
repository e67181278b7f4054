//! A keyspace of this process alone.

use crate::store::{Store, Unavailable};
use quorate::keyspace::{Answer, Command, Keyspace, Query, Reply};
use quorate::raft::{Role, Status};
use quorate::{Application, Index, Moment, NodeId, Term, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A keyspace in memory that nobody else has: no log, no peers, nothing durable. For tests of the front end and of
/// clients.
#[derive(Debug)]
pub struct Single {
    state: Mutex<State>,
    started: Instant,
}

#[derive(Debug, Default)]
struct State {
    keyspace: Keyspace,
    index: Index,
    /// How far the clock was put forward.
    ahead: Duration,
}

impl Default for Single {
    fn default() -> Self {
        Self { state: Mutex::default(), started: Instant::now() }
    }
}

impl Single {
    /// Puts the clock forward: what is due by then expires.
    pub fn pass(&self, time: Duration) {
        self.state().ahead += time;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the time pass that has passed.
    fn tick(&self, state: &mut State) -> Moment {
        let time = Timestamp::default().after(self.started.elapsed() + state.ahead);
        let now = Moment { index: state.index, time };
        state.keyspace.tick(now);
        now
    }
}

impl Store for Single {
    async fn command(
        &self,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        let mut state = self.state();
        state.index = state.index.next();
        let now = self.tick(&mut state);
        Ok(std::future::ready(Ok(state.keyspace.apply(now, &command))))
    }

    async fn query(&self, query: Query) -> Result<Answer, Unavailable> {
        let mut state = self.state();
        let now = self.tick(&mut state);
        Ok(state.keyspace.query(now.time, &query))
    }

    async fn peek(&self, query: Query) -> Result<Answer, Unavailable> {
        self.query(query).await
    }

    async fn status(&self) -> Result<Status, Unavailable> {
        let (id, last) = (NodeId::new(1), self.state().index);
        let (term, leader) = (Term::new(1), Some(id));
        Ok(Status { id, role: Role::Leader, term, leader, commit: last, applied: last, last })
    }
}
