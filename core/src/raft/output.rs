//! Outputs, derived from state. `plan` decides and moves cursors; `show` lends what was decided.

use super::message::{Content, Entry, Message, Round};
use super::record::Record;
use super::role::{State, Status};
use super::{Raft, ReadTicket};
use crate::quorum::Slots;
use crate::{Batch, Command, Index, NodeId, Output, Position, SnapshotId, Space, Staged, Term, Write};

/// What the application is told.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a, C> {
    /// These entries are committed, and durable here. In order, without gaps.
    Committed {
        /// The place of the first one.
        first: Index,
        /// The entries.
        entries: Batch<'a, Entry<C>>,
    },
    /// Reads up to this one may be served from a state that includes the entry at `from`.
    Readable {
        /// The last of the reads.
        through: ReadTicket,
        /// How far the state must have come.
        from: Index,
    },
    /// The role, the term or the leader changed.
    Status(Status),
    /// Start the application from this snapshot, which is here, whole, and say
    /// [`loaded`](Raft::loaded). Nothing later is told before.
    Load {
        /// The snapshot.
        of: SnapshotId,
    },
    /// Read a piece of a snapshot, and hand it in with [`chunk`](Raft::chunk).
    Read {
        /// The peer that it is for.
        to: NodeId,
        /// The snapshot.
        of: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
}

impl<C: Command> Event<'_, C> {
    /// Shows the commands that this event tells are committed, if any.
    pub fn for_each_command(&self, mut show: impl FnMut(&C)) {
        if let Self::Committed { entries, .. } = self {
            entries.for_each(|entry| match &entry.content {
                Content::Command(command) => show(command),
                Content::Empty => {}
            });
        }
    }
}

/// What is to be done, in numbers.
pub enum Plan {
    Save(Write<Saving>),
    Send { to: usize, sending: Sending },
    Tell(Telling),
}

#[derive(Clone, Copy)]
pub enum Saving {
    State,
    Append { after: Index, to: Index },
    Restart { to: Index },
    Chunk,
}

/// A message in numbers, without the term. Small, since it is moved a few times on its way out.
pub enum Sending {
    Vote { term: Term, last: Position, pre: bool },
    VoteReply { term: Term, granted: bool, pre: bool },
    Append { prev: Position, to: Index, round: Round, answer: bool },
    Accepted { matched: Index, round: Round },
    Rejected { prev: Index, hint: Position, round: Round },
    Stale,
    Chunk { round: Round },
    Have { of: SnapshotId, offset: u64, round: Round },
    ReadIndex { id: u64 },
    ReadAt { id: u64, index: Index },
}

pub enum Telling {
    Committed { after: Index, to: Index },
    Readable { through: ReadTicket, from: Index },
    Status,
    Load { of: SnapshotId },
    Read { to: NodeId, of: SnapshotId, offset: u64, len: usize },
}

impl<C: Command, S: Space> Staged for Raft<C, S> {
    type Plan = Plan;

    fn plan(&mut self) -> Option<Plan> {
        if self.ledger.has_unsaved() {
            return Some(Plan::Save(self.plan_save()));
        }
        self.begin_round();
        if !self.due.is_empty()
            && let Some(plan) = self.plan_send()
        {
            return Some(plan);
        }
        self.plan_telling()
    }

    fn show(&self, plan: Plan) -> Output<Message<'_, C>, Record<'_, C>, Event<'_, C>> {
        match plan {
            Plan::Save(write) => Output::Save(write.map(|saving| self.show_record(saving))),
            Plan::Send { to, sending } => {
                let to = self.node(to).unwrap_or(self.config.id);
                Output::Send { to, message: self.show_message(sending) }
            }
            Plan::Tell(telling) => Output::Event(self.show_event(telling)),
        }
    }
}

impl<C: Command, S: Space> Raft<C, S> {
    /// The next record. The one that leaves nothing unsaved closes the epoch.
    fn plan_save(&mut self) -> Write<Saving> {
        let chunk_waits = self.incoming.as_ref().is_some_and(|incoming| !incoming.saved);
        let (saved, last) = (self.log.saved(), self.log.last().index);
        let saving = if self.unsaved.restart {
            self.unsaved.restart = false;
            self.unsaved.state = false;
            self.log.set_saved(last);
            Saving::Restart { to: last }
        } else if self.unsaved.state {
            self.unsaved.state = false;
            Saving::State
        } else if saved < last {
            let to = self.log.reach(saved, self.config.record_bytes as u64);
            self.log.set_saved(to);
            Saving::Append { after: saved, to }
        } else {
            if let Some(incoming) = &mut self.incoming {
                incoming.saved = true;
            }
            Saving::Chunk
        };
        let closes = self.log.saved() == last && (matches!(saving, Saving::Chunk) || !chunk_waits);
        self.ledger.write(saving, closes)
    }

    fn plan_send(&mut self) -> Option<Plan> {
        while let Some(to) = self.due.round_from(self.turn) {
            let sending = match (self.plan_reply(to), &self.state) {
                (Some(reply), _) => Some(reply),
                (None, State::Follower(follower)) if follower.leader == Some(to) => self.plan_answer(to),
                (None, State::Follower(_)) => None,
                (None, State::Candidate(_)) => self.plan_ask_vote(to),
                (None, State::Leader(_)) => self.plan_append(to),
            };
            if let Some(sending) = sending {
                self.turn = (to + 1) % Slots::MOST;
                return Some(Plan::Send { to, sending });
            }
            self.due.remove(to);
        }
        None
    }

    fn plan_telling(&mut self) -> Option<Plan> {
        if core::mem::take(&mut self.status_due) {
            return Some(Plan::Tell(Telling::Status));
        }
        if self.load.is_some() {
            return self.plan_load().map(Plan::Tell);
        }
        // What is told is durable here, so a crash cannot make it untold.
        let (after, to) = (self.told, self.commit.min(self.log.durable()));
        if after < to {
            self.told = to;
            return Some(Plan::Tell(Telling::Committed { after, to }));
        }
        if let Some((through, from)) = self.reads.take_ready() {
            return Some(Plan::Tell(Telling::Readable { through, from }));
        }
        self.plan_read_chunk().map(Plan::Tell)
    }

    fn show_record(&self, saving: Saving) -> Record<'_, C> {
        let (term, vote, snapshot) = (self.term, self.vote, self.snapshot);
        match saving {
            Saving::State => Record::State { term, vote },
            Saving::Append { after, to } => Record::Append { after, entries: self.log.entries(after, to) },
            Saving::Restart { to } => {
                Record::Restart { term, vote, snapshot, entries: self.log.entries(self.log.base().index, to) }
            }
            Saving::Chunk => match &self.incoming {
                Some(incoming) => {
                    Record::Chunk { of: incoming.of, offset: incoming.offset, bytes: &incoming.chunk }
                }
                // The chunk went with its snapshot; what it closes is the state as it is.
                None => Record::State { term, vote },
            },
        }
    }

    fn show_message(&self, sending: Sending) -> Message<'_, C> {
        let term = self.term;
        match sending {
            Sending::Vote { term, last, pre } => Message::Vote { term, last, pre },
            Sending::VoteReply { term, granted, pre } => Message::VoteReply { term, granted, pre },
            Sending::Append { prev, to, round, answer } => {
                let entries = self.log.entries(prev.index, to);
                Message::Append { term, prev, entries, commit: self.commit, round, answer }
            }
            Sending::Accepted { matched, round } => Message::Accepted { term, matched, round },
            Sending::Rejected { prev, hint, round } => Message::Rejected { term, prev, hint, round },
            Sending::Stale => Message::Stale { term },
            Sending::Chunk { round } => self.show_chunk(round),
            Sending::Have { of, offset, round } => Message::Have { term, round, of, offset },
            Sending::ReadIndex { id } => Message::ReadIndex { term, id },
            Sending::ReadAt { id, index } => Message::ReadAt { term, id, index },
        }
    }

    fn show_event(&self, telling: Telling) -> Event<'_, C> {
        match telling {
            Telling::Committed { after, to } => {
                Event::Committed { first: after.next(), entries: self.log.entries(after, to) }
            }
            Telling::Readable { through, from } => Event::Readable { through, from },
            Telling::Status => Event::Status(self.status()),
            Telling::Load { of } => Event::Load { of },
            Telling::Read { to, of, offset, len } => Event::Read { to, of, offset, len },
        }
    }
}
