//! A node's disk, with exactly the durability it promises: what was synced survives, of the rest a prefix.

use quorate::{Errand, Pending, Place, Position, Receipt, SnapshotId};
use std::collections::VecDeque;
use std::fmt;

/// A write that is not known to be durable.
#[derive(Clone, Copy, Debug)]
enum Unsynced {
    Record,
    Restart { keep: Option<SnapshotId> },
    Piece { of: SnapshotId, end: usize },
}

/// A snapshot beside the log.
#[derive(Debug)]
struct Snapshot {
    id: SnapshotId,
    bytes: Vec<u8>,
    /// How many of the bytes survive a crash.
    durable: usize,
    /// The number of the write with which it began. A restart before that does not concern it.
    began: u64,
}

/// A piece of a snapshot that does not follow those before it.
#[derive(Debug)]
pub(crate) struct Gap {
    of: SnapshotId,
    offset: usize,
    held: usize,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a piece of {:?} at {}, {} bytes are there", self.of, self.offset, self.held)
    }
}

/// Records, snapshots, and how far each is durable.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// The records since the last durable restart, one after the other, and where each ends.
    log: Vec<u8>,
    ends: VecDeque<usize>,
    /// Bytes of records that a restart made needless and that are still at the front of `log`.
    dead: usize,
    /// How many records of `ends` are durable.
    durable_records: usize,
    snapshots: Vec<Snapshot>,
    unsynced: VecDeque<Unsynced>,
    /// Numbers of the last write and of the last durable one.
    issued: u64,
    durable: u64,
    claims: VecDeque<(u64, Pending)>,
}

impl Store {
    pub(crate) const fn issued(&self) -> u64 {
        self.issued
    }

    /// Writes what `place` says; a record of the log is what `encode` writes.
    ///
    /// # Errors
    /// A piece of a snapshot that belongs beyond those that were placed before.
    pub(crate) fn write(
        &mut self,
        place: Place<'_>,
        claim: Pending,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Gap> {
        let unsynced = match place {
            Place::Log => Unsynced::Record,
            Place::Restart { keep } => Unsynced::Restart { keep },
            Place::Snapshot { of, offset, bytes } => self.place_piece(of, offset, bytes)?,
        };
        if matches!(place, Place::Log | Place::Restart { .. }) {
            encode(&mut self.log);
            self.ends.push_back(self.log.len());
        }
        self.unsynced.push_back(unsynced);
        self.issued += 1;
        self.claims.push_back((self.issued, claim));
        Ok(())
    }

    fn place_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<Unsynced, Gap> {
        let at = match self.snapshots.iter().position(|snapshot| snapshot.id == of) {
            Some(at) => at,
            None => {
                self.snapshots.push(Snapshot { id: of, bytes: Vec::new(), durable: 0, began: 0 });
                self.snapshots.len() - 1
            }
        };
        let offset = offset as usize;
        if offset == 0 {
            self.snapshots[at].began = self.issued + 1;
        }
        let held = &mut self.snapshots[at].bytes;
        if offset > held.len() {
            return Err(Gap { of, offset, held: held.len() });
        }
        let end = offset + bytes.len();
        held.resize(held.len().max(end), 0);
        held[offset..end].copy_from_slice(bytes);
        Ok(Unsynced::Piece { of, end })
    }

    /// The last record of the log, as bytes.
    pub(crate) fn last_record(&self) -> &[u8] {
        let start = self.ends.len().checked_sub(2).map_or(self.dead, |before| self.ends[before]);
        &self.log[start..]
    }

    /// Notes that everything up to write number `upto` is durable. Tells how many writes that is.
    pub(crate) fn sync(&mut self, upto: u64) -> usize {
        let count = upto.min(self.issued).saturating_sub(self.durable) as usize;
        for _ in 0..count {
            if let Some(write) = self.unsynced.pop_front() {
                self.durable += 1;
                self.settle(write);
            }
        }
        count
    }

    /// The write of number `self.durable` becomes durable.
    fn settle(&mut self, write: Unsynced) {
        match write {
            Unsynced::Record => self.durable_records += 1,
            Unsynced::Restart { keep } => {
                if let Some(last_needless) = self.durable_records.checked_sub(1) {
                    self.dead = self.ends[last_needless];
                    self.ends.drain(..=last_needless);
                }
                self.durable_records = 1;
                let number = self.durable;
                self.snapshots.retain(|snapshot| Some(snapshot.id) == keep || snapshot.began > number);
                self.reclaim();
            }
            Unsynced::Piece { of, end } => {
                if let Some(snapshot) = self.snapshots.iter_mut().find(|snapshot| snapshot.id == of) {
                    snapshot.durable = snapshot.durable.max(end);
                }
            }
        }
    }

    /// Moves the log to the front of its buffer when more of that is dead than alive.
    fn reclaim(&mut self) {
        if self.dead * 2 > self.log.len() {
            self.log.drain(..self.dead);
            let dead = std::mem::take(&mut self.dead);
            self.ends.iter_mut().for_each(|end| *end -= dead);
        }
    }

    /// The receipt for all writes up to number `upto` whose receipt was not taken yet.
    pub(crate) fn receipt(&mut self, upto: u64) -> Option<Receipt> {
        let count = self.claims.partition_point(|&(number, _)| number <= upto);
        let latest = self.claims.drain(..count).map(|(_, claim)| claim).reduce(Pending::merge)?;
        Some(latest.assert_durable())
    }

    /// A crash: of the writes not synced, the first `kept` survive. Tells how many were lost.
    pub(crate) fn crash(&mut self, kept: usize) -> usize {
        self.sync(self.durable + kept as u64);
        let lost = self.unsynced.len();
        self.unsynced.clear();
        self.claims.clear();
        self.issued = self.durable;
        self.ends.truncate(self.durable_records);
        self.log.truncate(self.ends.back().copied().unwrap_or(self.dead));
        self.snapshots.iter_mut().for_each(|snapshot| snapshot.bytes.truncate(snapshot.durable));
        self.snapshots.retain(|snapshot| snapshot.durable > 0);
        lost
    }

    /// How many writes are not known to be durable.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The records of the log, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(self.dead).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.log[start..end])
    }

    /// The snapshots, each with how many of its bytes are there.
    pub(crate) fn snapshots(&self) -> Vec<(SnapshotId, u64)> {
        self.snapshots.iter().map(|snapshot| (snapshot.id, snapshot.bytes.len() as u64)).collect()
    }

    /// The bytes of a snapshot, as many as there are.
    pub(crate) fn snapshot(&self, of: SnapshotId) -> Option<&[u8]> {
        self.snapshots.iter().find(|snapshot| snapshot.id == of).map(|snapshot| snapshot.bytes.as_slice())
    }

    /// Adds a whole snapshot that is durable.
    pub(crate) fn add_snapshot(&mut self, at: Position, bytes: Vec<u8>) -> SnapshotId {
        let id = SnapshotId::new(at, bytes.len() as u64);
        self.snapshots.retain(|snapshot| snapshot.id != id);
        self.snapshots.push(Snapshot { id, durable: bytes.len(), bytes, began: self.issued + 1 });
        id
    }
}

/// An errand that the disk is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Write {
        at: Position,
        bytes: Vec<u8>,
    },
    /// The image is durable; its machine has not heard of it.
    Written(SnapshotId),
    Read {
        to: quorate::NodeId,
        of: SnapshotId,
        offset: u64,
        len: usize,
    },
    Load {
        of: SnapshotId,
    },
}

impl Job {
    /// The errand, owned.
    pub(crate) fn of(errand: Errand<'_>) -> Self {
        match errand {
            Errand::Write { at, image, .. } => {
                let mut bytes = Vec::new();
                image.write(&mut bytes).expect("a vector is never full");
                Self::Write { at, bytes }
            }
            Errand::Read { to, of, offset, len } => Self::Read { to, of, offset, len },
            Errand::Load { of } => Self::Load { of },
        }
    }

    /// Whether this does what `errand` wants.
    pub(crate) fn is(&self, errand: &Errand<'_>) -> bool {
        match (self, errand) {
            (
                Self::Write { at, .. } | Self::Written(SnapshotId { at, .. }),
                Errand::Write { at: wanted, .. },
            ) => at == wanted,
            (
                Self::Read { to, of, offset, len },
                Errand::Read { to: peer, of: id, offset: from, len: count },
            ) => (to, of, offset, len) == (peer, id, from, count),
            (Self::Load { of }, Errand::Load { of: wanted }) => of == wanted,
            (Self::Write { .. } | Self::Written(_) | Self::Read { .. } | Self::Load { .. }, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::durable::Ledger;

    fn write(store: &mut Store, place: Place<'_>, record: &[u8]) {
        let claim = Ledger::new(1).write((), true).split().1;
        store.write(place, claim, |log| log.extend_from_slice(record)).expect("no gap");
    }

    fn records(store: &Store) -> Vec<&[u8]> {
        store.records().collect()
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let mut store = Store::default();
        for record in [b"a", b"b", b"c", b"d"] {
            write(&mut store, Place::Log, record);
        }
        store.sync(2);
        assert_eq!(store.crash(1), 1);
        assert_eq!(records(&store), [b"a", b"b", b"c"]);
    }

    #[test]
    fn a_restart_drops_what_is_before_it_only_once_it_is_durable() {
        let mut store = Store::default();
        write(&mut store, Place::Log, b"a");
        write(&mut store, Place::Restart { keep: None }, b"restart");
        write(&mut store, Place::Log, b"b");
        store.sync(1);
        assert_eq!(records(&store), [&b"a"[..], b"restart", b"b"]);
        store.sync(3);
        assert_eq!(records(&store), [&b"restart"[..], b"b"]);
        write(&mut store, Place::Log, b"c");
        assert_eq!(store.last_record(), b"c");
        store.crash(0);
        assert_eq!(records(&store), [&b"restart"[..], b"b"]);
    }

    #[test]
    fn pieces_of_a_snapshot_survive_as_far_as_they_were_synced() {
        let of = SnapshotId::new(Position::ORIGIN, 6);
        let mut store = Store::default();
        write(&mut store, Place::Snapshot { of, offset: 0, bytes: b"abc" }, b"");
        store.sync(1);
        write(&mut store, Place::Snapshot { of, offset: 3, bytes: b"def" }, b"");
        assert_eq!(store.snapshots(), [(of, 6)]);
        store.crash(0);
        assert_eq!(store.snapshot(of), Some(&b"abc"[..]));
    }
}
