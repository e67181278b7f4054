//! Restart is replay: a total function of what the disk holds.

use super::election::Timer;
use super::log::Log;
use super::read::Reads;
use super::record::Record;
use super::role::{Follower, State};
use super::snapshot::Incoming;
use super::{Config, Counters, Entry, Raft, Unsaved};
use crate::durable::Ledger;
use crate::host::Fault;
use crate::quorum::{Quorum, Slots};
use crate::rng::mix;
use crate::space::List;
use crate::{Batch, Command, Index, Instant, NodeId, Position, Rng, SnapshotId, Space, Term};

impl<C: Command, S: Space> Raft<C, S> {
    /// A new node, with nothing on its disk.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn new(config: Config<S>, seed: u64, now: Instant) -> Result<Self, Fault> {
        Self::restore(config, seed, now, core::iter::empty(), &[])
    }

    /// A node from its records, in order, and the snapshots that are there, each with how many bytes of it.
    ///
    /// `seed` must differ from life to life, or receipts of the last one might be taken for this one's.
    ///
    /// # Errors
    /// The settings make no sense, or the records contradict each other.
    pub fn restore<'r>(
        config: Config<S>,
        seed: u64,
        now: Instant,
        records: impl IntoIterator<Item = Record<'r, C>>,
        snapshots: &[(SnapshotId, u64)],
    ) -> Result<Self, Fault> {
        config.check()?;
        let mut raft = Self::blank(config, now);
        let mut count = 0;
        for record in records {
            raft.replay(record)?;
            count += 1;
        }
        raft.begin_life(seed, count, snapshots)?;
        Ok(raft)
    }

    /// A node that has not been told yet what its store holds.
    pub(crate) fn blank(config: Config<S>, now: Instant) -> Self {
        let me = config.voters.iter().position(|&id| id == config.id).unwrap_or_default();
        let voters = config.voters.len();
        let (log, ledger) = (Log::new(Position::ORIGIN), Ledger::new(0));
        Self {
            me,
            quorum: Quorum::of(Slots::first(voters)),
            rng: Rng::new(0),
            now,
            term: Term::default(),
            vote: None,
            state_mark: ledger.mark(),
            restart_mark: ledger.mark(),
            unsaved: Unsaved::default(),
            log,
            snapshot: None,
            incoming: None,
            commit: Index::default(),
            told: Index::default(),
            state: State::Follower(Follower::of(None)),
            timer: Timer { since: now, timeout_micros: 0 },
            beat: now,
            reads: Reads::of_life(0),
            load: None,
            outgoing: None,
            replies: S::Table::of((0..voters).map(|_| None)),
            due: Slots::NONE,
            gated: Slots::NONE,
            turn: 0,
            status_due: true,
            counters: Counters::default(),
            ledger,
            config,
        }
    }

    /// Takes in what the next record says.
    pub(crate) fn replay(&mut self, record: Record<'_, C>) -> Result<(), Fault> {
        match record {
            Record::State { term, vote } => self.replay_state(term, vote),
            Record::Append { after, entries } => self.replay_entries(after, entries),
            Record::Restart { term, vote, snapshot, entries } => {
                self.replay_state(term, vote)?;
                self.log.restart(snapshot.map_or(Position::ORIGIN, |of| of.at));
                self.snapshot = snapshot;
                self.replay_entries(self.log.base().index, entries)
            }
            // Its bytes lie beside the log.
            Record::Chunk { .. } => Ok(()),
        }
    }

    fn replay_state(&mut self, term: Term, vote: Option<NodeId>) -> Result<(), Fault> {
        if term < self.term {
            return Err(Fault::TermWentBack { from: self.term, to: term });
        }
        (self.term, self.vote) = (term, vote);
        Ok(())
    }

    fn replay_entries(&mut self, after: Index, entries: Batch<'_, Entry<C>>) -> Result<(), Fault> {
        let (base, last) = (self.log.base().index, self.log.last().index);
        if after > last || after < base {
            return Err(Fault::Gap { after: last, found: after.next() });
        }
        self.log.truncate(after);
        let taken = entries.try_take(|entry| {
            let before = self.log.last().term;
            if entry.term < before {
                return Err(Fault::TermWentBack { from: before, to: entry.term });
            }
            self.log.push(entry, self.ledger.mark()).map_err(|_| Fault::TooLong { window: S::WINDOW })?;
            Ok(())
        });
        // What was replayed is durable.
        self.log.set_saved(self.log.last().index);
        self.log.advance_durable(&self.ledger);
        taken
    }

    /// All records were taken in: the node goes on from them, in a life of its own.
    pub(crate) fn begin_life(
        &mut self,
        seed: u64,
        records: u64,
        snapshots: &[(SnapshotId, u64)],
    ) -> Result<(), Fault> {
        // The brand tells lives apart even where a seed is used twice: a life that wrote anything left more records.
        let life = [self.config.id.get(), records, self.log.last().index.get(), self.now.as_micros()];
        // Turned between the numbers, so that a seed that is the node's number does not cancel it out.
        let brand = life
            .into_iter()
            .fold(mix(!seed), |brand, number| mix(brand.rotate_left(21).wrapping_add(number)));
        self.ledger = Ledger::new(brand);
        self.reads = Reads::of_life(brand);
        self.rng = Rng::new(mix(seed) ^ self.config.id.get());
        // A log may know a later term than a state record that did not make it.
        let known = self.log.last().term;
        if self.term < known {
            (self.term, self.vote) = (known, None);
        }
        (self.commit, self.told) = (self.log.base().index, self.log.base().index);
        self.restart_timer();
        self.find_snapshots(snapshots)?;
        self.assert_invariants();
        Ok(())
    }

    /// The snapshot that the log goes on from must be whole. A later one that is whole is installed: it was about to
    /// be; one that is not is gone on with.
    fn find_snapshots(&mut self, snapshots: &[(SnapshotId, u64)]) -> Result<(), Fault> {
        if let Some(base) = self.snapshot {
            if !snapshots.contains(&(base, base.size)) {
                return Err(Fault::SnapshotMissing(base));
            }
            self.ask_load(base);
        }
        // It lies beside the log, so it may have outlived a crash that the record of its term did not.
        let known = snapshots.iter().filter(|(of, _)| of.at.term <= self.term && of.at.index > self.commit);
        if let Some(&(of, have)) = known.max_by_key(|(of, have)| (of.at.index, *have)) {
            if have == of.size {
                self.install(of);
            } else {
                self.incoming = Some(Incoming::of(of, have.min(of.size), &self.ledger));
            }
        }
        Ok(())
    }
}
