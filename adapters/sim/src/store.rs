//! A node's disk, with exactly the durability it promises: what was synced survives, of the rest a prefix.

use quorate::{Errand, GroupId, Pending, Place, Position, Receipt, SnapshotId};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

/// A write that is not known to be durable.
#[derive(Clone, Copy, Debug)]
enum Unsynced {
    Record,
    Restart { group: GroupId, keep: Option<SnapshotId> },
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

/// A record of the log: of which group it is, and where it lies.
#[derive(Debug)]
struct Record {
    group: GroupId,
    place: Range<usize>,
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
    /// The records, one after the other, and which of them are of use: those of each group since its last durable restart.
    log: Vec<u8>,
    records: VecDeque<Record>,
    /// Bytes of records that a restart made needless and that are still in `log`.
    dead: usize,
    /// How many of `records` are durable.
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

    /// Writes what `place` says; a record of the log of `group` is what `encode` writes.
    ///
    /// # Errors
    /// A piece of a snapshot that belongs beyond those that were placed before.
    pub(crate) fn write(
        &mut self,
        group: GroupId,
        place: Place<'_>,
        claim: Pending,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Gap> {
        let unsynced = match place {
            Place::Log => Unsynced::Record,
            Place::Restart { keep } => Unsynced::Restart { group, keep },
            Place::Snapshot { of, offset, bytes } => self.place_piece(of, offset, bytes)?,
        };
        if matches!(place, Place::Log | Place::Restart { .. }) {
            let start = self.log.len();
            encode(&mut self.log);
            self.records.push_back(Record { group, place: start..self.log.len() });
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
        self.records.back().map_or(&[], |record| &self.log[record.place.clone()])
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
            Unsynced::Restart { group, keep } => {
                let mut place = 0;
                for _ in 0..self.durable_records {
                    if self.records[place].group == group {
                        self.dead += self.records.remove(place).map_or(0, |record| record.place.len());
                    } else {
                        place += 1;
                    }
                }
                self.durable_records = place + 1;
                let number = self.durable;
                self.snapshots.retain(|snapshot| {
                    snapshot.id.group != group || Some(snapshot.id) == keep || snapshot.began > number
                });
                self.reclaim();
            }
            Unsynced::Piece { of, end } => {
                if let Some(snapshot) = self.snapshots.iter_mut().find(|snapshot| snapshot.id == of) {
                    snapshot.durable = snapshot.durable.max(end);
                }
            }
        }
    }

    /// Moves what is alive to the front of the buffer when more of that is dead.
    fn reclaim(&mut self) {
        if self.dead * 2 <= self.log.len() {
            return;
        }
        let mut end = 0;
        for Record { place, .. } in &mut self.records {
            self.log.copy_within(place.clone(), end);
            *place = end..end + place.len();
            end = place.end;
        }
        self.log.truncate(end);
        self.dead = 0;
    }

    /// The receipts for all writes up to number `upto` whose receipt was not taken yet: one for each machine that claims
    /// some of them, in the order of their last claims.
    pub(crate) fn receipts(&mut self, upto: u64) -> impl Iterator<Item = Receipt> + use<> {
        let count = self.claims.partition_point(|&(number, _)| number <= upto);
        let mut latest = Vec::<Pending>::new();
        for (_, claim) in self.claims.drain(..count) {
            let earlier = latest.iter().position(|other| other.is_of_one(&claim)).map(|at| latest.remove(at));
            latest.push(match earlier {
                Some(earlier) => earlier.merge(claim),
                None => claim,
            });
        }
        latest.into_iter().map(Pending::assert_durable)
    }

    /// A crash: of the writes not synced, the first `kept` survive. Tells how many were lost.
    pub(crate) fn crash(&mut self, kept: usize) -> usize {
        self.sync(self.durable + kept as u64);
        let lost = self.unsynced.len();
        self.unsynced.clear();
        self.claims.clear();
        self.issued = self.durable;
        self.records.truncate(self.durable_records);
        // What became durable last is of use: nothing can have restarted its group since.
        self.log.truncate(self.records.back().map_or(0, |record| record.place.end));
        self.dead = self.log.len() - self.records.iter().map(|record| record.place.len()).sum::<usize>();
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
        self.records.iter().map(|record| &self.log[record.place.clone()])
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
    pub(crate) fn add_snapshot(&mut self, group: GroupId, at: Position, bytes: Vec<u8>) -> SnapshotId {
        let id = SnapshotId::new(at, bytes.len() as u64).in_group(group);
        self.snapshots.retain(|snapshot| snapshot.id != id);
        self.snapshots.push(Snapshot { id, durable: bytes.len(), bytes, began: self.issued + 1 });
        id
    }
}

/// An errand that the disk is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Write {
        group: GroupId,
        at: Position,
        bytes: Vec<u8>,
    },
    /// The image is durable; its machine has not heard of it.
    Written(SnapshotId),
    /// There was no time for the image of this group.
    TurnedAway(GroupId),
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
            Errand::Write { group, at, image } => {
                let mut bytes = Vec::new();
                image.write(&mut bytes).expect("a vector is never full");
                Self::Write { group, at, bytes }
            }
            Errand::Read { to, of, offset, len } => Self::Read { to, of, offset, len },
            Errand::Load { of } => Self::Load { of },
        }
    }

    /// Whether this does what `errand` wants.
    pub(crate) fn is(&self, errand: &Errand<'_>) -> bool {
        match (self, errand) {
            (
                Self::Write { group, at, .. } | Self::Written(SnapshotId { group, at, .. }),
                Errand::Write { group: of, at: wanted, .. },
            ) => (group, at) == (of, wanted),
            (
                Self::Read { to, of, offset, len },
                Errand::Read { to: peer, of: id, offset: from, len: count },
            ) => (to, of, offset, len) == (peer, id, from, count),
            (Self::Load { of }, Errand::Load { of: wanted }) => of == wanted,
            (Self::TurnedAway(group), Errand::Write { group: of, .. }) => group == of,
            (
                Self::Write { .. }
                | Self::Written(_)
                | Self::TurnedAway(_)
                | Self::Read { .. }
                | Self::Load { .. },
                _,
            ) => false,
        }
    }

    pub(crate) fn is_image_of_another(&self, group: GroupId) -> bool {
        match self {
            Self::Write { group: of, .. } | Self::Written(SnapshotId { group: of, .. }) => *of != group,
            Self::TurnedAway(_) | Self::Read { .. } | Self::Load { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::durable::Ledger;

    const FIRST: GroupId = GroupId::new(0);

    fn write(store: &mut Store, place: Place<'_>, record: &[u8]) {
        write_in(store, FIRST, place, record);
    }

    fn write_in(store: &mut Store, group: GroupId, place: Place<'_>, record: &[u8]) {
        let claim = Ledger::new(group.get()).write((), true).split().1;
        store.write(group, place, claim, |log| log.extend_from_slice(record)).expect("no gap");
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
    fn a_restart_drops_what_is_of_its_own_group() {
        let (mut store, other) = (Store::default(), GroupId::new(7));
        let of = SnapshotId::new(Position::ORIGIN, 1);
        for group in [FIRST, other] {
            store.add_snapshot(group, of.at, vec![0]);
            write_in(&mut store, group, Place::Log, b"first");
        }
        write_in(&mut store, other, Place::Restart { keep: None }, b"restart");
        write_in(&mut store, FIRST, Place::Log, b"last");
        store.sync(3);
        assert_eq!(records(&store), [&b"first"[..], b"restart", b"last"]);
        assert_eq!(store.snapshots(), [(of, 1)]);
        store.crash(0);
        assert_eq!(records(&store), [&b"first"[..], b"restart"]);
        write_in(&mut store, FIRST, Place::Restart { keep: None }, b"anew");
        store.sync(4);
        assert_eq!(records(&store), [&b"restart"[..], b"anew"]);
        assert_eq!(store.snapshots(), []);
    }

    #[test]
    fn each_machine_gets_a_receipt_of_its_own() {
        let (mut store, other) = (Store::default(), GroupId::new(7));
        for group in [FIRST, other, FIRST] {
            write_in(&mut store, group, Place::Log, b"a");
        }
        store.sync(2);
        assert_eq!(store.receipts(2).count(), 2);
        store.sync(3);
        assert_eq!(store.receipts(3).count(), 1);
        assert_eq!(store.receipts(3).count(), 0);
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
