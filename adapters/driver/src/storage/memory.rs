//! Storage in memory, for tests: it survives the node, and forgets what was not synced.

use std::time::Duration;

use quorate::{GroupId, SnapshotId};

use super::{Contents, SnapshotWriter, Storage, StorageError};
use crate::sync::{Arc, Mutex, MutexGuard, lock, thread};

/// A disk in memory that outlives the node that writes to it.
///
/// Each [`open`](Self::open) is a new life: what the last one did not sync is gone, and what is left of it fails
/// from then on.
///
/// ```
/// use quorate::GroupId;
/// use quorate_driver::{MemoryDisk, Storage};
///
/// let group = GroupId::default();
/// let disk = MemoryDisk::default();
/// let mut storage = disk.open();
/// storage.append(group, b"promised")?;
/// storage.sync()?;
/// storage.append(group, b"forgotten")?;
/// assert_eq!(disk.open().load()?.records, [b"promised"]);
/// # Ok::<(), quorate_driver::StorageError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    life: u64,
    records: Vec<(GroupId, Vec<u8>)>,
    snapshots: Vec<(SnapshotId, Vec<u8>)>,
    unsynced: Vec<Change>,
    broken: bool,
    sync_time: Duration,
}

#[derive(Debug)]
enum Change {
    Append(GroupId, Vec<u8>),
    Restart(GroupId, Vec<u8>, Option<SnapshotId>),
    Piece { of: SnapshotId, offset: u64, bytes: Vec<u8> },
}

impl MemoryDisk {
    /// Opens the disk for a new life of the node.
    #[must_use]
    pub fn open(&self) -> impl Storage + use<> {
        let mut state = lock(&self.0);
        state.life += 1;
        state.unsynced.clear();
        MemoryStorage { state: Arc::clone(&self.0), life: state.life }
    }

    /// Makes every write and sync fail from now on, or work again.
    pub fn set_broken(&self, broken: bool) {
        lock(&self.0).broken = broken;
    }

    /// Makes every sync take this long, and every snapshot that is made here.
    pub fn set_sync_time(&self, time: Duration) {
        lock(&self.0).sync_time = time;
    }

    /// What is durable.
    #[must_use]
    pub fn contents(&self) -> Contents {
        lock(&self.0).contents()
    }
}

/// One life of a disk in memory.
#[derive(Debug)]
struct MemoryStorage {
    state: Arc<Mutex<State>>,
    life: u64,
}

impl MemoryStorage {
    fn state(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = lock(&self.state);
        if state.broken {
            return Err(StorageError::new("the disk in memory was told to fail"));
        }
        if state.life != self.life {
            return Err(StorageError::new("the disk in memory was opened anew"));
        }
        Ok(state)
    }

    /// Takes as long as a sync.
    fn wait(&self) -> Result<(), StorageError> {
        let time = self.state()?.sync_time;
        if !time.is_zero() {
            pause(time);
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn load(&mut self) -> Result<Contents, StorageError> {
        Ok(self.state()?.contents())
    }

    fn append(&mut self, group: GroupId, record: &[u8]) -> Result<(), StorageError> {
        self.state()?.unsynced.push(Change::Append(group, record.to_vec()));
        Ok(())
    }

    fn restart(
        &mut self,
        group: GroupId,
        record: &[u8],
        keep: Option<SnapshotId>,
    ) -> Result<(), StorageError> {
        self.state()?.unsynced.push(Change::Restart(group, record.to_vec(), keep));
        Ok(())
    }

    fn put_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.state()?.unsynced.push(Change::Piece { of, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.wait()?;
        let mut state = self.state()?;
        let changes = std::mem::take(&mut state.unsynced);
        changes.into_iter().try_for_each(|change| state.apply(change))
    }

    fn read_snapshot(
        &mut self,
        of: SnapshotId,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let state = self.state()?;
        let bytes = state.snapshots.iter().find(|(id, _)| *id == of).map(|(_, bytes)| bytes.as_slice());
        let rest = bytes.and_then(|bytes| bytes.get(usize::try_from(offset).ok()?..));
        Ok(rest.map(|rest| rest[..len.min(rest.len())].to_vec()))
    }

    fn begin_snapshot(&mut self, of: SnapshotId) -> Result<SnapshotWriter, StorageError> {
        drop(self.state()?);
        let Self { state, life } = self;
        let writer = Self { state: Arc::clone(state), life: *life };
        Ok(Box::new(move |bytes| {
            writer.wait()?;
            writer.state()?.apply(Change::Piece { of, offset: 0, bytes: bytes.to_vec() })
        }))
    }
}

impl State {
    fn contents(&self) -> Contents {
        let snapshots = self.snapshots.iter().map(|(of, bytes)| (*of, bytes.len() as u64)).collect();
        let records = self.records.iter().map(|(_, record)| record.clone()).collect();
        Contents { records, snapshots }
    }

    fn apply(&mut self, change: Change) -> Result<(), StorageError> {
        match change {
            Change::Append(group, record) => self.records.push((group, record)),
            Change::Restart(group, record, keep) => {
                self.records.retain(|(of, _)| *of != group);
                self.records.push((group, record));
                self.snapshots.retain(|(id, _)| id.group != group || Some(*id) == keep);
            }
            Change::Piece { of, offset, bytes } => self.put_piece(of, offset, &bytes)?,
        }
        Ok(())
    }

    fn put_piece(&mut self, of: SnapshotId, offset: u64, piece: &[u8]) -> Result<(), StorageError> {
        if self.snapshots.iter().all(|(id, _)| *id != of) {
            self.snapshots.push((of, Vec::new()));
        }
        let snapshot = self.snapshots.iter_mut().find(|(id, _)| *id == of).map(|(_, bytes)| bytes);
        let gap = || StorageError::new("a piece of a snapshot begins beyond its end");
        let (Some(snapshot), Ok(offset)) = (snapshot, usize::try_from(offset)) else { return Err(gap()) };
        // A piece that comes again replaces itself, and never shortens what is there.
        let behind = snapshot.get(offset + piece.len()..).unwrap_or_default().to_vec();
        if offset > snapshot.len() {
            return Err(gap());
        }
        snapshot.truncate(offset);
        snapshot.extend_from_slice(piece);
        snapshot.extend_from_slice(&behind);
        Ok(())
    }
}

/// loom knows no time.
fn pause(time: Duration) {
    #[cfg(not(loom))]
    thread::sleep(time);
    #[cfg(loom)]
    let _ = (time, thread::yield_now());
}
