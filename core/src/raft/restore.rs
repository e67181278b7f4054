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
        let mut replay = Replay::new();
        for record in records {
            replay.take(record)?;
        }
        Self::replayed(config, seed, now, replay, snapshots)
    }

    /// A node that goes on from what its records said.
    pub(super) fn replayed(
        config: Config<S>,
        seed: u64,
        now: Instant,
        replay: Replay<C, S>,
        snapshots: &[(SnapshotId, u64)],
    ) -> Result<Self, Fault> {
        config.check()?;
        let mut raft = Self::at_rest(config, seed, now, replay);
        raft.find_snapshots(snapshots)?;
        raft.assert_invariants();
        Ok(raft)
    }

    fn at_rest(config: Config<S>, seed: u64, now: Instant, replay: Replay<C, S>) -> Self {
        let me = config.voters.iter().position(|&id| id == config.id).unwrap_or_default();
        let voters = config.voters.len();
        // The brand tells lives apart even where a seed is used twice: a life that wrote anything left more records.
        let life = [config.id.get(), replay.records, replay.log.last().index.get(), now.as_micros()];
        // Turned between the numbers, so that a seed that is the node's number does not cancel it out.
        let brand = life
            .into_iter()
            .fold(mix(!seed), |brand, number| mix(brand.rotate_left(21).wrapping_add(number)));
        let ledger = Ledger::new(brand);
        let base = replay.log.base().index;
        let mut raft = Self {
            me,
            quorum: Quorum::of(Slots::first(voters)),
            rng: Rng::new(mix(seed) ^ config.id.get()),
            now,
            // A log may know a later term than a state record that did not make it.
            term: replay.term.max(replay.log.last().term),
            vote: if replay.term < replay.log.last().term { None } else { replay.vote },
            state_mark: ledger.mark(),
            restart_mark: ledger.mark(),
            unsaved: Unsaved::default(),
            log: replay.log,
            snapshot: replay.snapshot,
            incoming: None,
            commit: base,
            told: base,
            state: State::Follower(Follower::of(None)),
            timer: Timer { since: now, timeout_micros: 0 },
            beat: now,
            reads: Reads::of_life(brand),
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
        };
        raft.restart_timer();
        raft
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

/// What the records say so far.
pub(super) struct Replay<C: Command, S: Space> {
    term: Term,
    vote: Option<NodeId>,
    log: Log<C, S>,
    snapshot: Option<SnapshotId>,
    records: u64,
    ledger: Ledger,
}

impl<C: Command, S: Space> Replay<C, S> {
    pub(super) fn new() -> Self {
        let log = Log::new(Position::ORIGIN);
        Self { term: Term::default(), vote: None, log, snapshot: None, records: 0, ledger: Ledger::new(0) }
    }

    pub(super) fn take(&mut self, record: Record<'_, C>) -> Result<(), Fault> {
        self.records += 1;
        match record {
            Record::State { term, vote } => self.take_state(term, vote),
            Record::Append { after, entries } => self.take_entries(after, entries),
            Record::Restart { term, vote, snapshot, entries } => {
                self.take_state(term, vote)?;
                self.log = Log::new(snapshot.map_or(Position::ORIGIN, |of| of.at));
                self.snapshot = snapshot;
                self.take_entries(self.log.base().index, entries)
            }
            // Its bytes lie beside the log.
            Record::Chunk { .. } => Ok(()),
        }
    }

    fn take_state(&mut self, term: Term, vote: Option<NodeId>) -> Result<(), Fault> {
        if term < self.term {
            return Err(Fault::TermWentBack { from: self.term, to: term });
        }
        (self.term, self.vote) = (term, vote);
        Ok(())
    }

    fn take_entries(&mut self, after: Index, entries: Batch<'_, Entry<C>>) -> Result<(), Fault> {
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
}
