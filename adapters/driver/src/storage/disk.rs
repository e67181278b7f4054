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
        let records =
            self.log.records().map(|found| found.map(|(_, record)| record)).collect::<Result<_, _>>()?;
        Ok(Contents { records, snapshots: std::mem::take(&mut self.found) })
    }

    fn append(&mut self, group: GroupId, record: &[u8]) -> Result<(), StorageError> {
        Ok(self.log.append(group.get(), record)?)
    }

    fn restart(
        &mut self,
        group: GroupId,
        record: &[u8],
        keep: Option<SnapshotId>,
    ) -> Result<(), StorageError> {
        Ok(self.log.restart(group.get(), record, keep.map(to_disk))?)
    }

    fn laggards(&mut self) -> Vec<GroupId> {
        self.log.laggards().into_iter().map(GroupId::new).collect()
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
        let mut writer = self.log.snapshot_writer(of.group.get(), of.at.term.get(), of.at.index.get())?;
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

const fn to_disk(of: SnapshotId) -> quorate_disk::SnapshotId {
    let SnapshotId { group, at: Position { term, index }, size } = of;
    quorate_disk::SnapshotId { group: group.get(), term: term.get(), index: index.get(), size }
}

const fn from_disk(of: quorate_disk::SnapshotId) -> SnapshotId {
    let quorate_disk::SnapshotId { group, term, index, size } = of;
    let at = Position { term: Term::new(term), index: Index::new(index) };
    SnapshotId { group: GroupId::new(group), at, size }
}

impl std::fmt::Debug for DiskStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskStorage")
    }
}
