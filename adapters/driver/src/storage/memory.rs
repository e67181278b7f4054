//! Storage in memory, for tests: it survives the node, and forgets what was not synced.

use quorate::{GroupId, SnapshotId};

use super::{Contents, SnapshotWriter, Storage, StorageError};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, wait};

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
pub struct MemoryDisk(Arc<Disk>);

#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    /// Tells those who are held to look again.
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct State {
    life: u64,
    records: Vec<(GroupId, Vec<u8>)>,
    snapshots: Vec<(SnapshotId, Vec<u8>)>,
    unsynced: Vec<Change>,
    broken: bool,
    is_held: bool,
    /// Syncs and snapshots that are held now.
    waiting: usize,
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
        let mut state = lock(&self.0.state);
        state.life += 1;
        state.unsynced.clear();
        self.0.look_again(&state);
        MemoryStorage { disk: Arc::clone(&self.0), life: state.life }
    }

    /// Makes every write and sync fail from now on, or work again.
    pub fn set_broken(&self, broken: bool) {
        let mut state = lock(&self.0.state);
        state.broken = broken;
        self.0.look_again(&state);
    }

    /// Holds every sync from now on, and every snapshot that is made here, until they are let go: so a test sees what
    /// a node does meanwhile, however fast the machine is that it runs on. What is held fails when the disk is
    /// broken or opened anew; a node that stops waits for it.
    ///
    /// ```
    /// use quorate::GroupId;
    /// use quorate_driver::{MemoryDisk, Storage};
    ///
    /// let disk = MemoryDisk::default();
    /// let mut storage = disk.open();
    /// disk.set_held(true);
    /// let node = std::thread::spawn(move || {
    ///     storage.append(GroupId::default(), b"record")?;
    ///     storage.sync()
    /// });
    /// while disk.held() == 0 {
    ///     std::thread::yield_now();
    /// }
    /// assert!(disk.contents().records.is_empty());
    /// disk.set_held(false);
    /// node.join().expect("no panic")?;
    /// assert_eq!(disk.contents().records, [b"record"]);
    /// # Ok::<(), quorate_driver::StorageError>(())
    /// ```
    pub fn set_held(&self, held: bool) {
        let mut state = lock(&self.0.state);
        state.is_held = held;
        self.0.look_again(&state);
    }

    /// How many syncs and snapshots are being held.
    #[must_use]
    pub fn held(&self) -> usize {
        lock(&self.0.state).waiting
    }

    /// What is durable.
    #[must_use]
    pub fn contents(&self) -> Contents {
        lock(&self.0.state).contents()
    }
}

impl Disk {
    /// Lets those who are held look again whether they are.
    fn look_again(&self, state: &State) {
        if state.waiting > 0 {
            self.let_go.notify_all();
        }
    }
}

/// One life of a disk in memory.
#[derive(Debug)]
struct MemoryStorage {
    disk: Arc<Disk>,
    life: u64,
}

impl MemoryStorage {
    fn state(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = lock(&self.disk.state);
        self.check(&state)?;
        Ok(state)
    }

    fn check(&self, state: &State) -> Result<(), StorageError> {
        if state.broken {
            return Err(StorageError::new("the disk in memory was told to fail"));
        }
        if state.life != self.life {
            return Err(StorageError::new("the disk in memory was opened anew"));
        }
        Ok(())
    }

    /// The state, once nothing is held.
    fn state_let_go(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let mut state = self.state()?;
        // Bounded by who holds it.
        while state.is_held {
            state.waiting += 1;
            state = wait(&self.disk.let_go, state);
            state.waiting -= 1;
            self.check(&state)?;
        }
        Ok(state)
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
        let mut state = self.state_let_go()?;
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
        let Self { disk, life } = self;
        let writer = Self { disk: Arc::clone(disk), life: *life };
        Ok(Box::new(move |bytes| {
            writer.state_let_go()?.apply(Change::Piece { of, offset: 0, bytes: bytes.to_vec() })
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_waits_until_it_is_let_go_or_fails_with_the_disk_or_in_another_life() {
        type End = (fn(&MemoryDisk), &'static str);
        let ends: [End; 3] = [
            (|disk| disk.set_held(false), "done"),
            (|disk| disk.set_broken(true), "the disk in memory was told to fail"),
            (|disk| drop(disk.open()), "the disk in memory was opened anew"),
        ];
        for (end, expected) in ends {
            let disk = MemoryDisk::default();
            let mut storage = disk.open();
            storage.append(GroupId::default(), b"record").expect("it is whole");
            let of = SnapshotId::new(quorate::Position::default(), 5);
            let write = storage.begin_snapshot(of).expect("it is whole");
            disk.set_held(true);
            let held =
                [std::thread::spawn(move || storage.sync()), std::thread::spawn(move || write(b"image"))];
            while disk.held() < 2 {
                std::thread::yield_now();
            }
            let Contents { records, snapshots } = disk.contents();
            assert_eq!((records.len(), snapshots.len()), (0, 0));
            end(&disk);
            for held in held {
                let ended = held.join().expect("no panic");
                assert_eq!(ended.map_or_else(|error| error.to_string(), |()| "done".into()), expected);
            }
            let Contents { records, snapshots } = disk.contents();
            let is_done = usize::from(expected == "done");
            assert_eq!((disk.held(), records.len(), snapshots.len()), (0, is_done, is_done));
        }
    }
}
