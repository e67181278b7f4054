//! A keyspace and a lock table of this process alone.

use crate::service::Service;
use crate::store::{Forced, InDoubt, Settled, Store, Unavailable};
use crate::waits::{self, Waits};
use quorate::keyspace::{Answer, Command, Part, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::{Role, Status};
use quorate::sharded::Transactional;
use quorate::{Application, Either, GroupId, Index, Moment, NodeId, Term, Timestamp, TxId};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Groups in memory that nobody else has: no log, no peers, nothing durable. For tests of the front end and of clients.
///
/// Time passes only when something is asked of a group: a wait or a lease that is over is found to be so by the next
/// command.
#[derive(Debug)]
pub struct Single {
    state: Mutex<State>,
    /// None while time stands still.
    started: Option<Instant>,
    waits: Vec<Arc<Waits>>,
}

#[derive(Debug)]
struct State {
    groups: Vec<Group>,
    transactions: u64,
    /// How far the clock was put forward.
    ahead: Duration,
}

#[derive(Debug, Default)]
struct Group {
    service: Service,
    index: Index,
}

impl Default for Single {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Single {
    /// So many groups.
    #[must_use]
    pub fn of(groups: u64) -> Self {
        let all = (0..groups).map(|_| Group::default()).collect();
        let state = State { groups: all, transactions: 0, ahead: Duration::ZERO };
        let waits = (0..groups).map(|_| Arc::default()).collect();
        Self { state: Mutex::new(state), started: Some(Instant::now()), waits }
    }

    /// Has time stand still but for what is [passed](Self::pass): so nothing is due before it should be, however long
    /// a test takes.
    #[must_use]
    pub fn still(self) -> Self {
        Self { started: None, ..self }
    }

    /// Puts the clock forward: what is due by then is over.
    pub fn pass(&self, time: Duration) {
        self.state().ahead += time;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a group, after the time that has passed.
    fn at<T>(&self, group: GroupId, act: impl FnOnce(&mut Service, Moment) -> T) -> T {
        self.within(&mut self.state(), group, act)
    }

    fn within<T>(&self, state: &mut State, group: GroupId, act: impl FnOnce(&mut Service, Moment) -> T) -> T {
        let (passed, waits) =
            (self.started.map_or(Duration::ZERO, |started| started.elapsed()), self.waits(group));
        let time = Timestamp::default().after(passed + state.ahead);
        let Group { service, index } = &mut state.groups[number(group)];
        // As in a log, what happens has a place of its own.
        *index = index.next();
        let now = Moment { index: *index, time };
        service.tick(now);
        tell(service, waits);
        let acted = act(service, now);
        tell(service, waits);
        acted
    }

    fn change(&self, group: GroupId, command: lock::Command) -> (lock::Reply, Index) {
        self.at(group, |service, now| match service.apply(now, &Either::Second(command)) {
            Either::Second(reply) => (reply, now.index),
            Either::First(_) => unreachable!("the lock table was asked"),
        })
    }

    fn waits(&self, group: GroupId) -> &Arc<Waits> {
        &self.waits[number(group)]
    }
}

fn number(group: GroupId) -> usize {
    usize::try_from(group.get()).unwrap_or(usize::MAX)
}

fn tell(service: &mut Service, waits: &Waits) {
    while let Some(notice) = service.notice() {
        match notice {
            Either::First(never) => match never {},
            Either::Second(notice) => waits.tell(&notice),
        }
    }
}

impl Store for Single {
    fn groups(&self) -> u64 {
        self.waits.len() as u64
    }

    async fn command(
        &self,
        group: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        Ok(std::future::ready(Ok(self.at(group, |service, now| carry_out(service, now, command)))))
    }

    async fn transact(&self, parts: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        let mut state = self.state();
        state.transactions += 1;
        let tx = TxId { coordinator: NodeId::new(1), number: state.transactions };
        let prepared: Result<Vec<_>, _> = parts
            .iter()
            .map(|(group, part)| {
                self.within(&mut state, *group, |service, now| service.prepare(now, tx, part))
            })
            .collect();
        for (group, part) in &parts {
            self.within(&mut state, *group, |service, now| service.finish(now, tx, part, prepared.is_ok()));
        }
        Ok(prepared.map_or_else(Settled::Aborted, Settled::Committed))
    }

    async fn query(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        Ok(self.at(group, |service, now| service.first().query(now.time, &query)))
    }

    async fn peek(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        self.query(group, query).await
    }

    async fn lock(&self, group: GroupId, command: lock::Command) -> Result<lock::Reply, Unavailable> {
        Ok(self.change(group, command).0)
    }

    async fn acquire(
        &self,
        group: GroupId,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> Result<lock::Reply, Unavailable> {
        let Ok(reply) = self.waits(group).acquire(&Table(self, group), session, name, wait).await;
        Ok(reply)
    }

    async fn look(&self, group: GroupId, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        Ok(self.at(group, |service, now| service.second().query(now.time, &query)))
    }

    async fn status(&self) -> Result<Vec<(GroupId, Status)>, Unavailable> {
        let (id, state) = (NodeId::new(1), self.state());
        let (term, leader) = (Term::new(1), Some(id));
        let status = state.groups.iter().zip(0..).map(|(Group { index, .. }, group)| {
            let (commit, applied, last) = (*index, *index, *index);
            (GroupId::new(group), Status { id, role: Role::Leader, term, leader, commit, applied, last })
        });
        Ok(status.collect())
    }

    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        Ok(Vec::new())
    }

    async fn force(&self, _: GroupId, _: TxId, _: bool) -> Result<Forced, Unavailable> {
        Ok(Forced::Unknown)
    }
}

fn carry_out(service: &mut Service, now: Moment, command: Command) -> Reply {
    match service.apply(now, &Either::First(command)) {
        Either::First(reply) => reply,
        Either::Second(_) => unreachable!("the keyspace was asked"),
    }
}

/// The lock table of a group.
struct Table<'s>(&'s Single, GroupId);

impl waits::Table for Table<'_> {
    type Error = Infallible;

    async fn carry_out(&self, command: lock::Command) -> Result<(lock::Reply, Index), Infallible> {
        Ok(self.0.change(self.1, command))
    }

    async fn look(&self, query: lock::Query) -> Result<lock::Answer, Infallible> {
        Ok(self.0.at(self.1, |service, now| service.second().query(now.time, &query)))
    }
}
