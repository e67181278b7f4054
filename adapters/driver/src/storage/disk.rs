//! Storage on files: `quorate-disk`, as the driver wants it.

use std::io::Write;
use std::path::Path;

use quorate::{ClusterId, GroupId, Index, NodeId, Position, SnapshotId, Term};
use quorate_disk::{Error, Identity, Log, Options};

use super::{Contents, SnapshotWriter, Storage, StorageError};

/// Storage in a directory. `Builder::start_in` of each driver opens it for the node that it starts.
///
/// The error of the log, a [`quorate_disk::Error`], is the [`cause`](StorageError::cause) of each [`StorageError`].
pub struct DiskStorage {
    log: Log,
    found: Vec<(SnapshotId, u64)>,
    cut: Option<u64>,
}

impl DiskStorage {
    /// Opens the storage of a node, or makes it.
    ///
    /// # Errors
    /// The directory is in use, or another node's, or what was durable in it cannot be read.
    pub fn open(
        directory: &Path,
        cluster: ClusterId,
        node: NodeId,
        options: Options,
    ) -> Result<Self, StorageError> {
        let identity = Identity { cluster: cluster.get(), node: node.get() };
        let (log, recovered) = Log::open(directory, identity, options)?;
        let found = recovered.snapshots.into_iter().map(|(of, bytes)| (from_disk(of), bytes)).collect();
        Ok(Self { log, found, cut: recovered.cut })
    }

    /// How many bytes were cut from the torn end of the log when it was opened. They were never acknowledged.
    #[must_use]
    pub const fn cut(&self) -> Option<u64> {
        self.cut
    }
}

impl Storage for DiskStorage {
    fn load(&mut self) -> Result<Contents, StorageError> {
        let records = self.log.records().collect::<Result<_, _>>()?;
        Ok(Contents { records, snapshots: std::mem::take(&mut self.found) })
    }

    fn append(&mut self, group: GroupId, record: &[u8]) -> Result<(), StorageError> {
        one_group(group)?;
        Ok(self.log.append(record)?)
    }

    fn restart(
        &mut self,
        group: GroupId,
        record: &[u8],
        keep: Option<SnapshotId>,
    ) -> Result<(), StorageError> {
        one_group(group)?;
        Ok(self.log.restart(record, keep.map(to_disk))?)
    }

    fn put_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        Ok(self.log.snapshot_write(to_disk(of), offset, bytes)?)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()?;
        Ok(())
    }

    fn read_snapshot(
        &mut self,
        of: SnapshotId,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        match self.log.snapshot_read(to_disk(of), offset, len) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NoSnapshot(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn begin_snapshot(&mut self, of: SnapshotId) -> Result<SnapshotWriter, StorageError> {
        let mut writer = self.log.snapshot_writer(of.at.term.get(), of.at.index.get())?;
        Ok(Box::new(move |bytes| {
            writer.write_all(bytes).map_err(StorageError::new)?;
            let written = writer.finish()?;
            assert!(written == to_disk(of), "the log wrote another snapshot than it was given");
            Ok(())
        }))
    }
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

fn one_group(group: GroupId) -> Result<(), StorageError> {
    if group == GroupId::default() {
        Ok(())
    } else {
        Err(StorageError::new("the log keeps one group so far"))
    }
}

const fn to_disk(of: SnapshotId) -> quorate_disk::SnapshotId {
    let SnapshotId { group: _, at: Position { term, index }, size } = of;
    quorate_disk::SnapshotId { term: term.get(), index: index.get(), size }
}

const fn from_disk(of: quorate_disk::SnapshotId) -> SnapshotId {
    let quorate_disk::SnapshotId { term, index, size } = of;
    SnapshotId::new(Position { term: Term::new(term), index: Index::new(index) }, size)
}

impl std::fmt::Debug for DiskStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskStorage")
    }
}
