//! Where records and snapshots are kept.

use std::error::Error;
use std::fmt;
// Shares an error, and orders nothing; loom's has no room for a `dyn`.
use std::sync::Arc;

use quorate::{GroupId, SnapshotId};

#[cfg(unix)]
mod disk;
mod memory;
pub(crate) mod queue;
pub mod thread;

#[cfg(unix)]
pub use disk::DiskStorage;
pub use memory::MemoryDisk;

/// An append-only log of records with snapshots beside it, for one node and all groups on it.
///
/// The driver calls it from a thread of its own, so every method may block. Nothing is durable before [`sync`], and
/// a failure is final: the driver stops the node and never calls again, so nothing is retried on storage whose
/// state is unknown.
///
/// [`sync`]: Storage::sync
pub trait Storage: Send + 'static {
    /// Reads what was durable when the storage was opened. Called once, before anything is written.
    ///
    /// # Errors
    /// What was durable cannot be read.
    fn load(&mut self) -> Result<Contents, StorageError>;

    /// Appends a record of a group.
    ///
    /// # Errors
    /// There is no room, or the device failed.
    fn append(&mut self, group: GroupId, record: &[u8]) -> Result<(), StorageError>;

    /// Appends a record that restates all before it of its group: with the next sync the earlier records of the group, and
    /// all its snapshots but `keep`, may go.
    ///
    /// # Errors
    /// There is no room, there is no such snapshot, or the device failed.
    fn restart(
        &mut self,
        group: GroupId,
        record: &[u8],
        keep: Option<SnapshotId>,
    ) -> Result<(), StorageError>;

    /// Groups that hold much of the log back, and should restate what they have: asked after a sync. Some at a time, and
    /// no others before these have done so or the log has grown.
    fn laggards(&mut self) -> Vec<GroupId> {
        Vec::new()
    }

    /// Puts a piece of a snapshot that comes in from a peer. Pieces come in order; one that is there already may
    /// come again.
    ///
    /// # Errors
    /// There is no room, or the device failed.
    fn put_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes durable all that was appended and put.
    ///
    /// # Errors
    /// The device failed.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Reads up to `len` bytes of a snapshot; `None` if it is not there, or not that far.
    ///
    /// # Errors
    /// The device failed, or the bytes are damaged.
    fn read_snapshot(
        &mut self,
        of: SnapshotId,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StorageError>;

    /// Begins a snapshot that is made here.
    ///
    /// # Errors
    /// There is no room, or the device failed.
    fn begin_snapshot(&mut self, of: SnapshotId) -> Result<SnapshotWriter, StorageError>;
}

/// Writes the whole of a snapshot and makes it durable, on another thread than the log, which goes on meanwhile.
pub type SnapshotWriter = Box<dyn FnOnce(&[u8]) -> Result<(), StorageError> + Send>;

/// What storage holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The records of each group since its last durable restart, that one included, in the order they were written.
    pub records: Vec<Vec<u8>>,
    /// The snapshots, each with how many of its bytes are there.
    pub snapshots: Vec<(SnapshotId, u64)>,
}

/// Why storage failed: the error of the storage itself, shared by all who have to be told.
#[derive(Clone, Debug)]
pub struct StorageError(Arc<dyn Error + Send + Sync>);

impl StorageError {
    /// Wraps the error of a storage.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The error of the storage, for those who know its type.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
