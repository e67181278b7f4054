//! What a driver did with a log, and what it was told is durable.

use quorate_disk::{Log, SnapshotId};
use std::collections::{BTreeMap, BTreeSet};

/// A record, with its group.
pub type Record = (u64, Vec<u8>);

/// The bytes of a snapshot: those of no other.
pub fn snapshot(of: SnapshotId) -> Vec<u8> {
    (0..of.size).map(|at| (at * 31 + of.index * 7 + of.group * 13) as u8).collect()
}

#[derive(Clone, Debug)]
struct Appended {
    record: Record,
    restart: bool,
    keep: Option<SnapshotId>,
}

/// The snapshot of a group that comes in.
#[derive(Clone, Copy, Debug)]
struct Partial {
    of: SnapshotId,
    written: u64,
    durable: u64,
}

#[derive(Default)]
pub struct History {
    appended: Vec<Appended>,
    durable: usize,
    /// Every record that was ever appended, also those that were dropped.
    ever: BTreeSet<Record>,
    numbers: u64,
    whole: Vec<SnapshotId>,
    partials: BTreeMap<u64, Partial>,
    /// Snapshots that go with the next sync.
    doomed: BTreeSet<SnapshotId>,
    /// A sync failed in this life: nobody knows what of it came to disk.
    failed: bool,
}

impl History {
    /// A record that differs from all others.
    pub fn record(&mut self, length: usize) -> Vec<u8> {
        self.numbers += 1;
        let mut record = self.numbers.to_le_bytes().to_vec();
        record.extend((0..length.min(1016)).map(|at| (at as u64 * 31 + self.numbers * 7) as u8));
        record
    }

    pub fn appended(&mut self, record: Record) {
        self.ever.insert(record.clone());
        self.appended.push(Appended { record, restart: false, keep: None });
    }

    /// What there is of its group is not needed from the next sync on.
    pub fn restarted(&mut self, record: Record, keep: Option<SnapshotId>) {
        self.ever.insert(record.clone());
        let partials = self.partials.values().map(|partial| partial.of);
        self.doomed.extend(self.whole.iter().copied().chain(partials).filter(|of| of.group == record.0));
        if let Some(of) = keep {
            self.doomed.remove(&of);
        }
        self.appended.push(Appended { record, restart: true, keep });
    }

    pub fn synced(&mut self, done: bool) {
        self.failed |= !done;
        if self.failed {
            return;
        }
        for partial in self.partials.values_mut() {
            partial.durable = partial.written;
            if partial.durable == partial.of.size {
                self.whole.push(partial.of);
            }
        }
        self.partials.retain(|_, partial| partial.durable < partial.of.size);
        let doomed = std::mem::take(&mut self.doomed);
        self.whole.retain(|of| !doomed.contains(of));
        self.partials.retain(|_, partial| !doomed.contains(&partial.of));
        self.durable = self.appended.len();
    }

    /// A snapshot that is whole, or none.
    pub fn whole(&self, which: u8) -> Option<SnapshotId> {
        self.whole.get(usize::from(which) % 4).copied()
    }

    pub fn written(&mut self, of: SnapshotId) {
        if !self.whole.contains(&of) {
            self.whole.push(of);
        }
    }

    /// Where the next piece of a snapshot begins.
    pub fn next_piece(&self, of: SnapshotId) -> u64 {
        self.partial(of).map_or(0, |partial| partial.written)
    }

    pub fn placed(&mut self, of: SnapshotId, offset: u64, bytes: u64) {
        if self.whole.contains(&of) {
            return;
        }
        let mut partial = self.partial(of).unwrap_or(Partial { of, written: 0, durable: 0 });
        partial.written = partial.written.max(offset + bytes);
        self.partials.insert(of.group, partial);
    }

    fn partial(&self, of: SnapshotId) -> Option<Partial> {
        self.partials.get(&of.group).copied().filter(|partial| partial.of == of)
    }

    /// The first piece of another snapshot takes the place of one that is not whole, whatever comes of it.
    pub fn not_placed(&mut self, of: SnapshotId) {
        if self.partial(of).is_none() {
            self.partials.remove(&of.group);
        }
    }

    /// What is read back if the log ends after `end` records.
    fn visible(&self, end: usize) -> impl Iterator<Item = &Record> {
        let appended = self.appended[..end].iter().enumerate();
        let mut from = BTreeMap::<u64, usize>::new();
        from.extend(appended.clone().filter(|(_, of)| of.restart).map(|(at, of)| (of.record.0, at)));
        let is_needed = move |at: usize, group: u64| from.get(&group).is_none_or(|from| *from <= at);
        appended.filter(move |(at, of)| is_needed(*at, of.record.0)).map(|(_, of)| &of.record)
    }

    /// The longest history that ends at `least` or later and reads so.
    fn end(&self, found: &[Record], least: usize) -> Option<usize> {
        (least..=self.appended.len()).rfind(|end| self.visible(*end).eq(found))
    }

    /// All that is durable, perhaps more, and nothing else. From now on that is what is durable.
    pub fn recover(&mut self, found: &[Record]) {
        let end = self.end(found, self.durable);
        let end = end.unwrap_or_else(|| {
            panic!("{} records of {}, {} of them synced", found.len(), self.appended.len(), self.durable)
        });
        self.appended.truncate(end);
        self.durable = end;
    }

    /// Snapshots that are durable are there and hold what they should.
    pub fn recover_snapshots(&mut self, log: &Log, found: &[(SnapshotId, u64)]) {
        for (of, bytes) in found {
            let read = log.snapshot_read(*of, 0, of.size as usize).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read.len() as u64, *bytes);
            assert!(snapshot(*of).starts_with(&read), "a snapshot holds what was written");
        }
        let durable =
            |of: SnapshotId| found.iter().find(|(other, _)| *other == of).map_or(0, |(_, bytes)| *bytes);
        let mut kept = BTreeMap::new();
        kept.extend(self.appended.iter().filter(|of| of.restart).map(|of| (of.record.0, of.keep)));
        for of in kept.into_values().flatten() {
            assert_eq!(durable(of), of.size, "what the log goes on from is there");
        }
        if !self.failed {
            for of in &self.whole {
                assert_eq!(durable(*of), of.size, "a snapshot that is whole is there");
            }
            for partial in self.partials.values() {
                assert!(durable(partial.of) >= partial.durable, "a snapshot keeps what was synced");
            }
        }
        self.failed = false;
        self.whole = found.iter().filter(|(of, bytes)| of.size == *bytes).map(|(of, _)| *of).collect();
        self.doomed.clear();
        let partials = found.iter().filter(|(of, bytes)| bytes < &of.size);
        let partial = |&(of, bytes): &(SnapshotId, u64)| Partial { of, written: bytes, durable: bytes };
        self.partials = partials.map(|found| (found.0.group, partial(found))).collect();
    }

    /// What is read in peace is what was synced, unless a sync failed.
    pub fn assert_synced(&self, found: &[Record]) {
        let least = if self.failed { 0 } else { self.durable };
        assert!(self.end(found, least).is_some(), "what was synced is read");
    }

    /// After damage: all that was durable, and nothing that was not appended.
    pub fn assert_keeps(&self, found: &[Record]) {
        assert!(
            self.end(found, self.durable).is_some(),
            "cut by damage: {} of {} are left",
            found.len(),
            self.durable
        );
    }

    /// After damage: what was appended, in order, from a restart on, and up to wherever.
    pub fn assert_not_invented(&self, found: &[Record]) {
        assert!(self.end(found, 0).is_some(), "records that were not appended so");
    }

    /// What was appended at some time.
    pub fn assert_appended(&self, found: &[Record]) {
        assert!(found.iter().all(|record| self.ever.contains(record)), "a record that was not appended");
    }
}
