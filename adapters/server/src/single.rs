//! A keyspace and a lock table of this process alone.

use crate::service::Service;
use crate::store::{Store, Unavailable};
use crate::waits::{self, Waits};
use quorate::keyspace::{Answer, Command, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::{Role, Status};
use quorate::{Application, Either, Index, Moment, NodeId, Term, Timestamp};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A keyspace and a lock table in memory that nobody else has: no log, no peers, nothing durable. For tests of the
/// front end and of clients.
///
/// Time passes only when something is asked of it: a wait or a lease that is over is found to be so by the next
/// command.
#[derive(Debug)]
pub struct Single {
    state: Mutex<State>,
    started: Instant,
    waits: Arc<Waits>,
}

#[derive(Debug, Default)]
struct State {
    service: Service,
    index: Index,
    /// How far the clock was put forward.
    ahead: Duration,
}

impl Default for Single {
    fn default() -> Self {
        Self { state: Mutex::default(), started: Instant::now(), waits: Arc::default() }
    }
}

impl Single {
    /// Puts the clock forward: what is due by then is over.
    pub fn pass(&self, time: Duration) {
        self.state().ahead += time;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the time pass that has passed.
    fn tick(&self, state: &mut State) -> Moment {
        // As in a log, what happens has a place of its own.
        state.index = state.index.next();
        let time = Timestamp::default().after(self.started.elapsed() + state.ahead);
        let now = Moment { index: state.index, time };
        state.service.tick(now);
        self.tell(state);
        now
    }

    fn tell(&self, state: &mut State) {
        while let Some(notice) = state.service.notice() {
            match notice {
                Either::First(never) => match never {},
                Either::Second(notice) => self.waits.tell(&notice),
            }
        }
    }

    fn change(&self, command: lock::Command) -> (lock::Reply, Index) {
        let mut state = self.state();
        let now = self.tick(&mut state);
        let reply = state.service.apply(now, &Either::Second(command));
        self.tell(&mut state);
        match reply {
            Either::Second(reply) => (reply, now.index),
            Either::First(_) => unreachable!("the lock table was asked"),
        }
    }
}

impl Store for Single {
    async fn command(
        &self,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        let mut state = self.state();
        let now = self.tick(&mut state);
        let reply = state.service.apply(now, &Either::First(command));
        Ok(std::future::ready(match reply {
            Either::First(reply) => Ok(reply),
            Either::Second(_) => unreachable!("the keyspace was asked"),
        }))
    }

    async fn lock(
        &self,
        command: lock::Command,
    ) -> Result<impl Future<Output = Result<lock::Reply, Unavailable>> + use<>, Unavailable> {
        Ok(std::future::ready(Ok(self.change(command).0)))
    }

    async fn acquire(&self, session: SessionId, name: Name, wait: Wait) -> Result<lock::Reply, Unavailable> {
        let Ok(reply) = self.waits.acquire(self, session, name, wait).await;
        Ok(reply)
    }

    async fn query(&self, query: Query) -> Result<Answer, Unavailable> {
        let mut state = self.state();
        let now = self.tick(&mut state);
        Ok(state.service.first().query(now.time, &query))
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

impl waits::Table for Single {
    type Error = Infallible;

    async fn carry_out(&self, command: lock::Command) -> Result<(lock::Reply, Index), Infallible> {
        Ok(self.change(command))
    }

    async fn look(&self, query: lock::Query) -> Result<lock::Answer, Infallible> {
        let mut state = self.state();
        let now = self.tick(&mut state);
        Ok(state.service.second().query(now.time, &query))
    }
}
