//! Linearizable reads by read index (Raft 8, thesis 6.4), asked on any node.
//!
//! Reads are numbered, and settled in order. While a batch of them is under way the later ones gather into the next,
//! so any number of reads costs a few words. A follower asks its leader on behalf of its batch. A leader notes how far
//! it has committed, begins a heartbeat round, and knows once a quorum has answered that round that it was still the
//! leader after the reads were asked.

use super::Raft;
use super::message::Round;
use super::output::Sending;
use super::peer::RemoteRead;
use super::role::{Follower, State};
use crate::{Command, Index, Instant, Space};

/// A read that was asked. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadTicket(pub(super) u64);

/// The reads that were asked here.
#[derive(Debug)]
pub(super) struct Reads {
    asked: u64,
    settled: u64,
    batch: Option<ReadBatch>,
    /// What may be served: all up to here, from this index on.
    ready: Option<(u64, Index)>,
}

/// The reads that are under way: all up to `through`.
#[derive(Debug)]
struct ReadBatch {
    through: u64,
    /// On a leader: from where on they may be served, and the round that confirms it.
    local: Option<(Index, Round)>,
    /// On a follower: whether the leader is to be asked.
    ask: bool,
}

impl Reads {
    /// None so far. They are numbered from a place that differs from life to life: an answer to an earlier life's
    /// question is of an earlier time, and must not be taken for the answer to one of this life's.
    pub(super) const fn of_life(brand: u64) -> Self {
        // The upper half of the numbers is left to count in.
        let asked = brand >> 1;
        Self { asked, settled: asked, batch: None, ready: None }
    }

    /// Whether reads were asked that are not settled.
    pub(super) const fn is_waiting(&self) -> bool {
        self.asked > self.settled
    }

    /// Whether there is nothing to ask, to answer or to tell.
    #[cfg(all(feature = "alloc", feature = "serde"))]
    pub(super) const fn is_idle(&self) -> bool {
        !self.is_waiting() && self.batch.is_none() && self.ready.is_none()
    }

    /// The role changed: what was under way starts anew in the next one.
    pub(super) fn leave(&mut self) {
        self.batch = None;
    }

    pub(super) fn ask_again(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.ask = true;
        }
    }

    /// The question for the leader, when there is one to ask.
    pub(super) fn plan_ask(&mut self) -> Option<Sending> {
        if self.batch.is_none() && self.is_waiting() {
            self.batch = Some(ReadBatch { through: self.asked, local: None, ask: true });
        }
        let batch = self.batch.as_mut().filter(|batch| batch.ask)?;
        batch.ask = false;
        Some(Sending::ReadIndex { id: batch.through })
    }

    fn settle(&mut self, through: u64, index: Index) {
        self.batch = None;
        self.settled = through;
        self.ready = Some((through, self.ready.map_or(index, |(_, earlier)| earlier.max(index))));
    }

    pub(super) fn take_ready(&mut self) -> Option<(ReadTicket, Index)> {
        self.ready.take().map(|(through, index)| (ReadTicket(through), index))
    }
}

impl<C: Command, S: Space> Raft<C, S> {
    /// Asks from where on a read may be served; [`Event::Readable`](super::Event::Readable) answers it and all before
    /// it. As long as no leader is heard there is no answer.
    pub fn read(&mut self, now: Instant) -> ReadTicket {
        self.tell_time(now);
        let first = !self.reads.is_waiting();
        self.reads.asked += 1;
        match &mut self.state {
            State::Leader(leader) => leader.wants_round |= self.reads.batch.is_none(),
            State::Follower(Follower { leader: Some(leader), .. }) => self.due.insert(*leader),
            State::Follower(_) | State::Candidate(_) => {}
        }
        if first && !matches!(self.state, State::Leader(_)) {
            self.beat = self.now.after_micros(self.config.heartbeat_micros());
        }
        ReadTicket(self.reads.asked)
    }

    /// A follower asks on behalf of its reads.
    pub(super) fn on_read_index(&mut self, from: usize, id: u64) {
        let State::Leader(leader) = &mut self.state else { return };
        let index = leader.read_index(self.commit);
        let Some(progress) = leader.progress.get_mut(from) else { return };
        // Asked again: the answer is on its way, or was lost with the asker's patience.
        if progress.read.is_some_and(|read| read.id == id && !read.confirmed) {
            return;
        }
        progress.read = Some(RemoteRead { id, index, round: None, confirmed: false });
        leader.wants_round = true;
    }

    /// The leader answers.
    pub(super) fn on_read_at(&mut self, from: usize, id: u64, index: Index) {
        let follows = matches!(&self.state, State::Follower(follower) if follower.leader == Some(from));
        if follows && self.reads.batch.as_ref().is_some_and(|batch| batch.through == id) {
            self.reads.settle(id, index);
            if self.reads.is_waiting() {
                self.due.insert(from);
            }
        }
    }

    /// Begins a round for the reads that wait for one: all that were taken in since the last poll share it.
    pub(super) fn begin_round(&mut self) {
        let State::Leader(leader) = &mut self.state else { return };
        if !leader.wants_round {
            return;
        }
        leader.wants_round = false;
        leader.round = Round(leader.round.0 + 1);
        let round = leader.round;
        if self.reads.batch.is_none() && self.reads.is_waiting() {
            let index = leader.read_index(self.commit);
            self.reads.batch =
                Some(ReadBatch { through: self.reads.asked, local: Some((index, round)), ask: false });
        }
        for progress in leader.progress.iter_mut() {
            progress.beat = true;
            if let Some(read) = &mut progress.read {
                read.round = read.round.or(Some(round));
            }
        }
        self.due = self.others();
        self.confirm_reads();
    }

    /// A follower answered a round.
    pub(super) fn on_round(&mut self, from: usize, round: Round) {
        let State::Leader(leader) = &mut self.state else { return };
        let Some(progress) = leader.progress.get_mut(from) else { return };
        if round > progress.round && round <= leader.round {
            progress.round = round;
            self.confirm_reads();
        }
    }

    fn confirm_reads(&mut self) {
        let State::Leader(leader) = &mut self.state else { return };
        let remote = leader.progress.iter().any(|progress| progress.read.is_some_and(|read| !read.confirmed));
        if !remote && self.reads.batch.is_none() {
            return;
        }
        let confirmed = self.quorum.agreed(|slot| {
            if slot == self.me {
                Some(leader.round)
            } else {
                leader.progress.get(slot).map(|progress| progress.round)
            }
        });
        let Some(confirmed) = confirmed else { return };
        for (slot, progress) in leader.progress.iter_mut().enumerate() {
            if let Some(read) = &mut progress.read
                && read.round.is_some_and(|round| round <= confirmed)
            {
                read.confirmed = true;
                self.due.insert(slot);
            }
        }
        if let Some(ReadBatch { through, local: Some((index, round)), .. }) = self.reads.batch
            && round <= confirmed
        {
            self.reads.settle(through, index);
            leader.wants_round |= self.reads.is_waiting();
        }
    }

    /// The answer to a follower's question, once it is confirmed.
    pub(super) fn plan_read_at(&mut self, to: usize) -> Option<Sending> {
        let State::Leader(leader) = &mut self.state else { return None };
        let progress = leader.progress.get_mut(to)?;
        let RemoteRead { id, index, .. } = progress.read.take_if(|read| read.confirmed)?;
        Some(Sending::ReadAt { id, index })
    }
}
