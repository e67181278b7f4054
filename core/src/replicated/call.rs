//! The commands that were asked here and have no outcome yet.
//!
//! They are kept in order, and go to the leader in order, wherever it is: to the own log on a leader, in messages
//! elsewhere. When the leader changes, or nothing comes of them, they go again; the session sees to it that each takes
//! effect once.

use super::{Ending, Operation, Sequence, SessionId, Ticket};
use crate::application::Application;
use crate::batch::{Batch, Held};
use crate::durable::Mark;
use crate::space::Window;
use crate::{Command, Instant, Space};

/// One command that was asked here.
#[derive(Debug)]
pub(super) struct Call<A: Application> {
    pub(super) ticket: Ticket,
    pub(super) asked: Instant,
    /// Whether it is under the node's own session.
    pub(super) own: bool,
    pub(super) stand: Stand<A>,
}

/// How a call stands.
#[derive(Debug)]
pub(super) enum Stand<A: Application> {
    /// Under way.
    Open,
    /// It has an outcome, which has to be told.
    Ended(Ending<A::Reply>),
    /// Its outcome was told; it still has to fill its place in the session.
    Skipped,
    /// All is done.
    Gone,
}

impl<A: Application> Call<A> {
    /// Whether something is still to come of it.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stand, Stand::Open | Stand::Skipped)
    }
}

/// The calls, and how many of them, from the front, have gone to the leader.
#[derive(Debug)]
pub(super) struct Calls<A: Application, S: Space> {
    list: S::Calls<Call<A>>,
    operations: S::Calls<Held<Operation<A::Command>>>,
    pub(super) sent: usize,
    weight: u64,
    ended: usize,
    /// How many are not under the node's own session.
    foreign: usize,
}

impl<A: Application, S: Space> Default for Calls<A, S> {
    fn default() -> Self {
        Self {
            list: Default::default(),
            operations: Default::default(),
            sent: 0,
            weight: 0,
            ended: 0,
            foreign: 0,
        }
    }
}

impl<A: Application, S: Space> Calls<A, S> {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Gives back memory that is not used.
    #[cfg(feature = "alloc")]
    pub(super) fn shrink(&mut self) {
        self.list.shrink();
        self.operations.shrink();
    }

    /// Whether any is not under the node's own session.
    pub(super) const fn has_foreign(&self) -> bool {
        self.foreign > 0
    }

    /// What the calls weigh, about.
    pub(super) fn weight(&self) -> u64 {
        let first = self.operations.get(0).map_or(self.weight, |held| held.end);
        self.weight - first
    }

    pub(super) fn push(&mut self, call: Call<A>, operation: Operation<A::Command>) {
        self.weight += operation.weight() as u64;
        self.foreign += usize::from(!call.own);
        let held = Held { item: operation, mark: Mark::default(), end: self.weight };
        let fits = self.list.push_back(call).is_ok() && self.operations.push_back(held).is_ok();
        assert!(fits, "room was looked for");
    }

    pub(super) fn get(&self, at: usize) -> Option<(&Call<A>, &Operation<A::Command>)> {
        Some((self.list.get(at)?, &self.operations.get(at)?.item))
    }

    pub(super) fn operation_mut(&mut self, at: usize) -> Option<&mut Operation<A::Command>> {
        self.operations.get_mut(at).map(|held| &mut held.item)
    }

    /// Some of the operations, from the first that was not sent, that weigh at most `bytes`; at least one.
    pub(super) fn reach(&self, until: usize, bytes: u64) -> usize {
        let start = match self.sent.checked_sub(1) {
            Some(before) => self.operations.get(before).map_or(0, |held| held.end),
            None => self.operations.get(0).map_or(0, |held| held.end - held.item.weight() as u64),
        };
        let count = self.operations.count_while(self.sent, until, &|held| held.end - start <= bytes);
        (self.sent + count.max(1)).min(until)
    }

    pub(super) fn operations(&self, from: usize, to: usize) -> Batch<'_, Operation<A::Command>> {
        Batch::lent(self.operations.range(from, to))
    }

    /// Whether something is still to come of a call: others are not sent.
    pub(super) fn is_live(&self, at: usize) -> bool {
        self.list.get(at).is_some_and(Call::is_live)
    }

    /// Ends the live calls that `is` recognises, at most so many. Tells whether the first live one was among them.
    pub(super) fn end(
        &mut self,
        most: usize,
        ending: &dyn Fn() -> Ending<A::Reply>,
        is: &dyn Fn(&Operation<A::Command>) -> bool,
    ) -> bool {
        let (mut left, mut is_first, mut moved) = (most, true, false);
        for at in 0..self.list.len() {
            let Some(call) = self.list.get_mut(at).filter(|call| call.is_live()) else { continue };
            if !self.operations.get(at).is_some_and(|held| is(&held.item)) {
                is_first = false;
                continue;
            }
            if matches!(call.stand, Stand::Open) {
                call.stand = Stand::Ended(ending());
                self.ended += 1;
            } else {
                call.stand = Stand::Gone;
            }
            moved |= is_first;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        self.sweep();
        moved
    }

    /// A call is given up: its outcome, once told, leaves its place in the session to be filled.
    pub(super) fn skip(&mut self, at: usize) -> Option<Ticket> {
        let call = self.list.get_mut(at)?;
        if !matches!(call.stand, Stand::Open) {
            return None;
        }
        let (ticket, own) = (call.ticket, call.own);
        call.stand = if own { Stand::Skipped } else { Stand::Gone };
        // A client may ask again for its own, so its place is left to it.
        if let Some(Operation::Call { command, .. }) = self.operation_mut(at).filter(|_| own) {
            *command = None;
        }
        self.sweep();
        Some(ticket)
    }

    /// An outcome that has to be told.
    pub(super) fn take_ended(&mut self) -> Option<(Ticket, Ending<A::Reply>)> {
        if self.ended == 0 {
            return None;
        }
        let at = (0..self.list.len())
            .find(|&at| self.list.get(at).is_some_and(|call| matches!(call.stand, Stand::Ended(_))))?;
        let call = self.list.get_mut(at)?;
        let Stand::Ended(ending) = core::mem::replace(&mut call.stand, Stand::Gone) else { return None };
        let ticket = call.ticket;
        self.ended -= 1;
        self.sweep();
        Some((ticket, ending))
    }

    /// Lets go of what is done at the front.
    fn sweep(&mut self) {
        while self.list.get(0).is_some_and(|call| matches!(call.stand, Stand::Gone)) {
            let gone = self.list.pop_front();
            self.foreign -= usize::from(gone.is_some_and(|call| !call.own));
            self.operations.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// The first call that is still open and was asked before `then`.
    pub(super) fn older_than(&self, then: Instant) -> Option<usize> {
        (0..self.list.len())
            .map_while(|at| self.list.get(at).filter(|call| call.asked <= then).map(|call| (at, call)))
            .find(|(_, call)| matches!(call.stand, Stand::Open))
            .map(|(at, _)| at)
    }

    /// When the first call that is still open was asked.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let mut calls = (0..self.list.len()).filter_map(|at| self.list.get(at));
        calls.find(|call| matches!(call.stand, Stand::Open)).map(|call| call.asked)
    }

    /// The own session is open: its calls bear its name from now on.
    pub(super) fn name_own(&mut self, id: SessionId) {
        for at in 0..self.list.len() {
            let own = self.list.get(at).is_some_and(|call| call.own && call.is_live());
            if let Some(Operation::Call { session, .. }) = self.operation_mut(at).filter(|_| own) {
                *session = id;
            }
        }
    }

    /// Tells what the client of a call has: nothing up to `floor` is asked again.
    pub(super) fn set_floor(&mut self, at: usize, own_floor: Sequence) {
        let own = self.list.get(at).is_some_and(|call| call.own);
        if let Some(Operation::Call { floor, .. }) = self.operation_mut(at).filter(|_| own) {
            *floor = own_floor;
        }
    }
}
