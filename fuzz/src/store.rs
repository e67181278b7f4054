//! What a node keeps, in memory.

use crate::live::Subject;
use quorate::{Fault, GroupId, Hosted, Instant, Place, Position, SnapshotId, Stored};

/// What a node keeps: all that was written is there after a crash.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub records: Vec<Vec<u8>>,
    /// Whose these are, where there are several groups.
    pub groups: Vec<GroupId>,
    pub snapshots: Vec<(SnapshotId, Vec<u8>)>,
}

impl Store {
    /// A machine from what is there.
    pub fn restore<M: Subject>(&self, life: u64, now: Instant) -> Result<M, Fault> {
        let snapshots: Vec<_> = self.snapshots.iter().map(|(of, bytes)| (*of, bytes.len() as u64)).collect();
        let records = self.records.iter().map(Vec::as_slice);
        M::restore(&M::settings(), life, now, Stored { records, snapshots: &snapshots })
    }

    pub fn bytes(&self, of: SnapshotId) -> Option<&[u8]> {
        self.snapshots.iter().find(|(other, _)| *other == of).map(|(_, bytes)| bytes.as_slice())
    }

    pub fn write(&mut self, group: GroupId, at: Position, bytes: Vec<u8>) -> SnapshotId {
        let of = SnapshotId::new(at, bytes.len() as u64).in_group(group);
        self.snapshots.retain(|(other, _)| *other != of);
        self.snapshots.push((of, bytes));
        of
    }

    pub fn place<M: Hosted>(&mut self, record: &M::Record<'_>) {
        match M::place(record) {
            Place::Log => {}
            Place::Restart { keep } => {
                let group = M::group(record);
                self.groups.resize(self.records.len(), GroupId::default());
                let mut of = self.groups.iter();
                self.records.retain(|_| of.next() != Some(&group));
                self.groups.retain(|of| *of != group);
                self.snapshots.retain(|(of, _)| of.group != group || Some(*of) == keep);
            }
            Place::Snapshot { of, offset, bytes } => {
                if !self.snapshots.iter().any(|(other, _)| *other == of) {
                    self.snapshots.push((of, Vec::new()));
                }
                let found = self.snapshots.iter_mut().find(|(other, _)| *other == of);
                let held = &mut found.expect("it is there now").1;
                let offset = usize::try_from(offset).expect("beyond what was placed");
                assert!(offset <= held.len(), "pieces of a snapshot are placed in order");
                let end = offset + bytes.len();
                held.resize(held.len().max(end), 0);
                held[offset..end].copy_from_slice(bytes);
                assert!(held.len() as u64 <= of.size, "a snapshot is no longer than it says");
                return;
            }
        }
        let mut bytes = Vec::new();
        M::put_record(record, &mut bytes).expect("a vector is never full");
        self.groups.resize(self.records.len(), GroupId::default());
        self.records.push(bytes);
        self.groups.push(M::group(record));
    }
}
