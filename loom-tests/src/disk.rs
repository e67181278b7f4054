//! A disk that knows what it was asked for, and in which order.

use quorate::{GroupId, SnapshotId};
use quorate_driver::sync::{Arc, Mutex, lock};
use quorate_driver::{Contents, SnapshotWriter, Storage, StorageError};

/// What was done to a disk so far. Clones are of the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

/// What a disk went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Records that were appended.
    pub appended: usize,
    /// How many of them are durable.
    pub durable: usize,
    /// Syncs that were begun.
    pub syncs: usize,
    /// Whether something failed. Nothing may be asked of it afterwards.
    pub failed: bool,
    /// Snapshots that are durable.
    pub snapshots: usize,
    /// Whether its storage was closed.
    pub closed: bool,
}

/// What happens when a sync begins, given its number from 1 on; `false` makes it fail.
pub type OnSync = Box<dyn FnMut(usize) -> bool + Send>;

struct Probe {
    disk: Disk,
    on_sync: OnSync,
}

impl Disk {
    /// Opens the disk, once.
    pub fn open(&self, on_sync: impl FnMut(usize) -> bool + Send + 'static) -> Box<dyn Storage> {
        Box::new(Probe { disk: self.clone(), on_sync: Box::new(on_sync) })
    }

    /// What was done to it so far.
    #[must_use]
    pub fn state(&self) -> State {
        *lock(&self.0)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.0);
        assert!(!state.failed, "storage that failed is not called again");
        change(&mut state);
    }
}

impl Storage for Probe {
    fn load(&mut self) -> Result<Contents, StorageError> {
        Ok(Contents::default())
    }

    fn append(&mut self, _: GroupId, _: &[u8]) -> Result<(), StorageError> {
        self.disk.change(|state| state.appended += 1);
        Ok(())
    }

    fn restart(&mut self, _: GroupId, _: &[u8], _: Option<SnapshotId>) -> Result<(), StorageError> {
        unreachable!("no claim needs it")
    }

    fn put_piece(&mut self, _: SnapshotId, _: u64, _: &[u8]) -> Result<(), StorageError> {
        unreachable!("no claim needs it")
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.disk.change(|state| state.syncs += 1);
        let State { appended, syncs, .. } = self.disk.state();
        if (self.on_sync)(syncs) {
            self.disk.change(|state| state.durable = appended);
            return Ok(());
        }
        self.disk.change(|state| state.failed = true);
        Err(StorageError::new("the sync was told to fail"))
    }

    fn read_snapshot(&mut self, _: SnapshotId, _: u64, len: usize) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(Some(vec![0; len]))
    }

    fn begin_snapshot(&mut self, _: SnapshotId) -> Result<SnapshotWriter, StorageError> {
        let disk = self.disk.clone();
        Ok(Box::new(move |_| {
            disk.change(|state| state.snapshots += 1);
            Ok(())
        }))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        lock(&self.disk.0).closed = true;
    }
}
