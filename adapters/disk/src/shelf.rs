//! Which snapshots are whole: the log and the writers beside it share it, so that a restart need not list a directory
//! with those of thousands of groups.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::options::SnapshotId;

/// The snapshots that are whole and durable.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeSet<SnapshotId>>);

impl Shelf {
    pub(crate) fn add(&self, of: SnapshotId) {
        self.lock().insert(of);
    }

    pub(crate) fn remove(&self, of: SnapshotId) {
        self.lock().remove(&of);
    }

    pub(crate) fn contains(&self, of: SnapshotId) -> bool {
        self.lock().contains(&of)
    }

    /// Those of one group.
    pub(crate) fn of_group(&self, group: u64) -> Vec<SnapshotId> {
        let first = SnapshotId { group, term: 0, index: 0, size: 0 };
        let shelf = self.lock();
        shelf.range(first..).take_while(|of| of.group == group).copied().collect()
    }

    /// The set is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<SnapshotId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
