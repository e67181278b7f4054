//! Applying entries: the one place where the replicated state changes.

use super::session::{Kept, Turn};
use super::{Ending, Failure, Moment, Operation, Own, Replicated, SessionId, Stamped};
use crate::application::Application;
use crate::{Index, Position, Space};

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize>
    Replicated<A, S, SESSIONS, REPLIES>
{
    /// Applies the next entry. Tells whether there was one.
    pub(super) fn apply_next(&mut self) -> bool {
        let Some((at, content)) = self.next_entry() else { return false };
        let stamp = content.as_ref().map(|stamped| stamped.time);
        let now = Moment { index: at.index, time: self.clock.on_applied(at.term, stamp, self.now) };
        self.applied = at;
        if let Some(Stamped { operation, .. }) = content {
            self.application.tick(now);
            self.apply(now, &operation);
        }
        self.clock.on_role(self.raft.status().term, self.raft.first_as_leader(), at.index);
        true
    }

    fn apply(&mut self, now: Moment, operation: &Operation<A::Command>) {
        match operation {
            Operation::Tick => {}
            Operation::Open { client } => {
                let session = self.sessions.open(*client, now.index);
                self.on_opened(*client, session);
            }
            Operation::Close { session } => {
                let closed = self.sessions.close(*session).is_some();
                let ending = || if closed { Ending::Closed } else { Ending::Failed(Failure::SessionExpired) };
                let is =
                    |call: &Operation<_>| matches!(call, Operation::Close { session: of } if of == session);
                self.end_calls(usize::MAX, &ending, &is);
            }
            Operation::Call { session, sequence: _, floor, command } => {
                let turn = self.sessions.look(operation);
                self.sessions.touch(*session, *floor, now.index);
                if let Turn::Fresh = turn {
                    let reply = command.as_ref().map(|command| self.application.apply(now, command));
                    self.sessions.keep(*session, reply.clone(), now);
                    self.end_call(operation, Turn::Done(Kept { reply, index: now.index, time: now.time }));
                } else {
                    self.end_call(operation, turn);
                }
            }
        }
    }

    /// Whether there is no need to put an operation into the log: it was carried out.
    pub(super) fn is_done(&self, operation: &Operation<A::Command>) -> bool {
        matches!(self.sessions.look(operation), Turn::Done(_))
    }

    fn on_opened(&mut self, client: u64, session: SessionId) {
        if matches!(self.own, Own::Opening(number) if number == client) {
            self.own = Own::Open(session);
            self.calls.name_own(session);
        }
        let is = |call: &Operation<_>| matches!(call, Operation::Open { client: of } if *of == client);
        self.end_calls(usize::MAX, &|| Ending::Opened(session), &is);
    }

    fn end_calls(
        &mut self,
        most: usize,
        ending: &dyn Fn() -> Ending<A::Reply>,
        is: &dyn Fn(&Operation<A::Command>) -> bool,
    ) {
        // What others come to does not help the one that has waited for longest: it may be lost.
        if self.calls.end(most, ending, is) {
            self.moved = self.now;
        }
    }

    /// A command was applied, or found not to be: if it was asked here, its call ends.
    fn end_call(&mut self, operation: &Operation<A::Command>, turn: Turn<A::Reply>) {
        let &Operation::Call { session, sequence, .. } = operation else { return };
        if matches!(turn, Turn::Early | Turn::Fresh) {
            // One before it is under way; it is sent again.
            self.early = true;
            return;
        }
        let own = matches!(self.own, Own::Open(own) if own == session);
        if own && matches!(turn, Turn::Failed(Failure::SessionExpired)) {
            return self.lose_own_session(session);
        }
        if own && sequence <= self.own_floor || !own && !self.calls.has_foreign() {
            return;
        }
        let ending = || match &turn {
            Turn::Done(Kept { reply: Some(reply), index, time }) => {
                Ending::Replied { reply: reply.clone(), at: Moment { index: *index, time: *time } }
            }
            Turn::Failed(failure) => Ending::Failed(*failure),
            // It was given up, and its place is filled.
            Turn::Done(Kept { reply: None, .. }) | Turn::Early | Turn::Fresh => {
                Ending::Failed(Failure::Unconfirmed)
            }
        };
        let is = |call: &Operation<A::Command>| matches!(call, Operation::Call { session: of, sequence: number, .. } if *of == session && *number == sequence);
        if own {
            self.own_floor = sequence.min(self.own_sequence);
        }
        // The own ones are asked once, a client's as often as it asked here.
        self.end_calls(if own { 1 } else { usize::MAX }, &ending, &is);
    }

    /// The node's own session made room for others: what is under way under it has no outcome.
    fn lose_own_session(&mut self, session: SessionId) {
        self.own = Own::Absent;
        (self.own_sequence, self.own_floor) = Default::default();
        let ending = || Ending::Failed(Failure::SessionExpired);
        let is = |call: &Operation<_>| matches!(call, Operation::Call { session: of, .. } if *of == session);
        self.end_calls(usize::MAX, &ending, &is);
    }

    /// The state was loaded from a snapshot: what was asked here may have been carried out in what it covers.
    pub(super) fn on_loaded(&mut self, at: Position) {
        self.applied = at;
        self.committed = self.committed.max(at.index);
        self.loaded = true;
        if let Own::Opening(client) = self.own
            && let Some(session) = self.sessions.of_client(client)
        {
            self.on_opened(client, session);
        }
        let mut place = 0;
        while place < self.calls.len() {
            let before = self.calls.len();
            self.end_if_done(place);
            // Those that are done with at the front are let go of at once.
            place = (place + 1).saturating_sub(before - self.calls.len());
        }
    }

    /// Ends a call whose command is known to have been carried out.
    pub(super) fn end_if_done(&mut self, place: usize) {
        let Some((_, operation)) = self.calls.get(place) else { return };
        let turn = self.sessions.look(operation);
        if let Turn::Done(_) = turn {
            let operation = operation.clone();
            self.end_call(&operation, turn);
        }
    }

    /// How far the state is.
    #[must_use]
    pub const fn applied(&self) -> Index {
        self.applied.index
    }
}
