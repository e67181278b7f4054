//! Snapshots (Raft 7). Storage holds the bytes; the machine holds numbers, one chunk that comes in, and one that
//! goes out.
//!
//! A leader asks its driver for a chunk, sends it, and asks for the next one when the follower has it durably. The
//! follower says how much it has, so a transfer goes on after loss, a crash, or a change of leader. What is lost is
//! asked for again with the heartbeats.

use super::message::{Message, Round};
use super::output::{Sending, Telling};
use super::peer::Stage;
use super::role::State;
use super::{Raft, Reason};
use crate::durable::{Ledger, Mark};
use crate::space::List;
use crate::{Command, Instant, NodeId, Position, SnapshotId, Space};

/// A snapshot that comes in.
#[derive(Debug)]
pub(super) struct Incoming<S: Space> {
    pub(super) of: SnapshotId,
    /// The newest chunk, and where it belongs. Empty once it is saved, or when none has come in this life.
    pub(super) chunk: S::Chunk,
    pub(super) offset: u64,
    pub(super) saved: bool,
    mark: Mark,
}

impl<S: Space> Incoming<S> {
    /// A snapshot of which `have` bytes are durable.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn of(of: SnapshotId, have: u64, ledger: &Ledger) -> Self {
        Self { of, chunk: S::Chunk::default(), offset: have, saved: true, mark: ledger.mark() }
    }

    /// How many bytes have come in.
    fn end(&self) -> u64 {
        self.offset + self.chunk.len() as u64
    }

    /// How many bytes are here for good.
    pub(super) fn durable(&self, ledger: &Ledger) -> (SnapshotId, u64) {
        (self.of, if self.is_durable(ledger) { self.end() } else { self.offset })
    }

    fn is_durable(&self, ledger: &Ledger) -> bool {
        self.saved && ledger.is_durable(self.mark)
    }
}

/// A chunk that goes out.
#[derive(Debug)]
pub(super) struct Outgoing<S: Space> {
    pub(super) to: usize,
    pub(super) of: SnapshotId,
    pub(super) offset: u64,
    pub(super) bytes: S::Chunk,
    sent: bool,
}

/// A snapshot that the application has to start from before it is told anything later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) of: SnapshotId,
    due: bool,
}

impl<C: Command, S: Space> Raft<C, S> {
    /// Forgets the log up to a snapshot that is durable.
    pub(super) fn compact(&mut self, to: SnapshotId) -> Result<(), Reason> {
        let known = to.at.index > self.log.base().index && to.at.index <= self.told && self.log.has(to.at);
        if !known || self.load.is_some() {
            return Err(Reason::NotHere);
        }
        self.log.compact(to.at);
        self.snapshot = Some(to);
        // The store keeps one snapshot, so what was coming in or going out starts anew.
        self.incoming = None;
        if let State::Leader(leader) = &mut self.state {
            for progress in leader.progress.iter_mut() {
                if matches!(progress.stage, Stage::Snapshot { .. }) {
                    progress.stage = Stage::Snapshot { of: to, have: 0 };
                }
            }
        }
        self.remind_chunks();
        self.stage_restart();
        Ok(())
    }

    pub(super) fn stage_restart(&mut self) {
        self.unsaved.restart = true;
        self.restart_mark = self.ledger.stage();
    }

    /// Hands all there is out in one record, so that the store can let go of those before it.
    pub fn restate(&mut self, now: Instant) {
        self.tell_time(now);
        if self.is_restarting() {
            return;
        }
        // The store keeps one snapshot, so what was coming in starts anew.
        self.incoming = None;
        self.stage_restart();
        self.assert_invariants();
    }

    /// Whether the store is still to let go of what is not needed after a restart.
    pub(crate) const fn is_restarting(&self) -> bool {
        !self.ledger.is_durable(self.restart_mark)
    }

    /// Whether a follower is being brought on by a snapshot.
    #[must_use]
    pub fn is_sending_snapshot(&self) -> bool {
        let State::Leader(leader) = &self.state else { return false };
        leader.progress.iter().any(|progress| matches!(progress.stage, Stage::Snapshot { .. }))
    }

    pub(super) fn on_chunk(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) {
        let State::Follower(follower) = &mut self.state else { return };
        if of.at.index <= self.commit || self.log.has(of.at) {
            // It is here already. A snapshot holds only what is committed.
            self.commit = self.commit.max(of.at.index);
            follower.accepted = follower.accepted.max(self.commit);
            follower.answer = true;
            return;
        }
        follower.have = true;
        let end = offset.checked_add(bytes.len() as u64);
        let fits = (!bytes.is_empty() || of.size == 0)
            && bytes.len() <= S::CHUNK
            && end.is_some_and(|end| end <= of.size);
        if !fits || of.at.term > self.term {
            self.counters.nonsense += 1;
            return;
        }
        if !self.ledger.is_durable(self.restart_mark) {
            // What is placed now would go with the snapshots that the restart does not keep. It comes again.
            follower.have = false;
            return;
        }
        // One leader's snapshots reach further each time, so what it sent of one before is late.
        let newer = |at: Position| at.term == self.term && at.index > of.at.index;
        if self.incoming.as_ref().is_none_or(|incoming| incoming.of != of && !newer(incoming.of.at)) {
            self.incoming = Some(Incoming::of(of, 0, &self.ledger));
        }
        let Some(incoming) = &mut self.incoming else { return };
        if incoming.of != of || incoming.end() != offset || !incoming.saved {
            // Late, a gap, a double, or the one before is not saved yet: what is here is told, and the rest comes again.
            // What is about to be here is told when it is: a double would come back for each time it is told before.
            follower.have = incoming.is_durable(&self.ledger);
            return;
        }
        incoming.offset = offset;
        incoming.chunk = S::Chunk::of(bytes.iter().copied());
        incoming.saved = false;
        incoming.mark = self.ledger.stage();
        follower.have = false;
    }

    /// After a receipt: tells how much there is, and installs the snapshot when it is whole.
    pub(super) fn on_chunk_saved(&mut self) {
        // What the log has caught up with is not gone on with.
        self.incoming.take_if(|incoming| incoming.of.at.index <= self.commit);
        let Some(incoming) = self.incoming.as_ref().filter(|incoming| incoming.is_durable(&self.ledger))
        else {
            return;
        };
        let of = incoming.of;
        if incoming.end() == of.size {
            self.install(of);
        } else if let State::Follower(follower) = &mut self.state {
            follower.have = true;
        }
    }

    /// Goes on from a snapshot that is whole and durable here (Raft, figure 13).
    pub(super) fn install(&mut self, of: SnapshotId) {
        self.incoming = None;
        if of.at.index <= self.commit {
            return;
        }
        if self.log.has(of.at) {
            self.log.compact(of.at);
        } else {
            self.log.restart(of.at);
        }
        self.snapshot = Some(of);
        self.commit = of.at.index;
        self.told = of.at.index;
        self.ask_load(of);
        self.stage_restart();
        if let State::Follower(follower) = &mut self.state {
            follower.accepted = follower.accepted.max(of.at.index);
            follower.answer = true;
        }
    }

    pub(super) fn ask_load(&mut self, of: SnapshotId) {
        self.load = Some(Load { of, due: true });
        self.beat = self.now.after_micros(self.config.heartbeat_micros());
    }

    /// Whether this is the snapshot that the application has to start from.
    #[cfg(feature = "serde")]
    pub(crate) fn awaits(&self, of: SnapshotId) -> bool {
        self.load.is_some_and(|load| load.of == of)
    }

    /// The application has started from the snapshot. Tells whether it was the one to start from.
    pub fn loaded(&mut self, now: Instant, of: SnapshotId) -> bool {
        self.tell_time(now);
        self.load.take_if(|load| load.of == of).is_some()
    }

    /// A follower says how much it has.
    pub(super) fn on_have(&mut self, from: usize, of: SnapshotId, offset: u64, round: Round) {
        let State::Leader(leader) = &mut self.state else { return };
        leader.heard.insert(from);
        let Some(progress) = leader.progress.get_mut(from) else { return };
        if let Stage::Snapshot { of: current, have } = &mut progress.stage
            && *current == of
            && offset < of.size
        {
            *have = offset;
            leader.wanted.insert(from);
        }
        self.on_round(from, round);
    }

    /// Takes in a chunk that [`Event::Read`](super::Event::Read) asked for. One that is no longer wanted is dropped.
    pub fn chunk(&mut self, now: Instant, to: NodeId, of: SnapshotId, offset: u64, bytes: &[u8]) {
        self.tell_time(now);
        let Some(to) = self.slot(to) else { return };
        let State::Leader(leader) = &mut self.state else { return };
        let Some(progress) = leader.progress.get(to) else { return };
        let wanted = matches!(progress.stage, Stage::Snapshot { of: current, have } if current == of && have == offset);
        let free = self.outgoing.as_ref().is_none_or(|outgoing| outgoing.sent || outgoing.to == to);
        if !wanted || (bytes.is_empty() && of.size > 0) || bytes.len() > S::CHUNK {
            return;
        }
        if !free {
            leader.wanted.insert(to);
            return;
        }
        let bytes = S::Chunk::of(bytes.iter().copied());
        self.outgoing = Some(Outgoing { to, of, offset, bytes, sent: false });
        self.due.insert(to);
    }

    pub(super) fn plan_chunk(&mut self, to: usize) -> Option<Sending> {
        let outgoing = self.outgoing.as_mut().filter(|outgoing| outgoing.to == to && !outgoing.sent)?;
        let State::Leader(leader) = &self.state else { return None };
        let progress = leader.progress.get(to)?;
        outgoing.sent = true;
        let current = matches!(progress.stage, Stage::Snapshot { of, .. } if of == outgoing.of);
        current.then_some(Sending::Chunk { round: leader.round })
    }

    /// The chunk of `outgoing`, as a message.
    pub(super) fn show_chunk(&self, round: Round) -> Message<'_, C> {
        match &self.outgoing {
            Some(Outgoing { of, offset, bytes, .. }) => {
                Message::Chunk { term: self.term, round, of: *of, offset: *offset, bytes }
            }
            None => Message::Stale { term: self.term },
        }
    }

    /// The next chunk to ask the driver for.
    pub(super) fn plan_read_chunk(&mut self) -> Option<Telling> {
        let State::Leader(leader) = &mut self.state else { return None };
        while let Some(to) = leader.wanted.round_from(self.turn) {
            leader.wanted.remove(to);
            if let Some(Stage::Snapshot { of, have }) = leader.progress.get(to).map(|progress| progress.stage)
                && let Some(&node) = self.config.voters.get(to)
            {
                let len = (of.size - have).min(S::CHUNK as u64) as usize;
                return Some(Telling::Read { to: node, of, offset: have, len });
            }
        }
        None
    }

    /// What was asked for and has not moved since the last heartbeat is asked for again.
    pub(super) fn remind_chunks(&mut self) {
        let State::Leader(leader) = &mut self.state else { return };
        for (slot, progress) in leader.progress.iter().enumerate() {
            if matches!(progress.stage, Stage::Snapshot { .. }) {
                leader.wanted.insert(slot);
            }
        }
    }

    pub(super) fn remind_load(&mut self) {
        if let Some(load) = &mut self.load {
            load.due = true;
        }
    }

    pub(super) fn plan_load(&mut self) -> Option<Telling> {
        let load = self.load.as_mut().filter(|load| load.due)?;
        load.due = false;
        Some(Telling::Load { of: load.of })
    }
}
