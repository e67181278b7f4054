//! The record log on files, as the driver wants its storage.

use crate::replica::WINDOW_BYTES;
use quorate::{ClusterId, Index, NodeId, Position, SnapshotId, Term};
use quorate_disk::{Error, Identity, Log, Options};
use quorate_tokio::{Contents, SnapshotWriter, Storage, StorageError};
use std::io::Write;
use std::path::Path;

/// What the log's own framing of a compacted window takes besides its entries, at most.
const SLACK_BYTES: u64 = 16 << 20;

/// The record log of one node, with its snapshots.
pub struct Disk {
    log: Log,
    snapshots: Vec<(SnapshotId, u64)>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({:?})", self.snapshots)
    }
}

impl Disk {
    /// Opens the log in a directory, or makes one.
    ///
    /// # Errors
    /// It is in use, belongs to another node, or is damaged.
    pub fn open(directory: &Path, cluster: ClusterId, node: NodeId) -> Result<Self, Error> {
        let record_bytes = WINDOW_BYTES + SLACK_BYTES;
        let options = Options {
            max_record_bytes: u32::try_from(record_bytes).unwrap_or(u32::MAX),
            segment_bytes: record_bytes + SLACK_BYTES,
            ..Options::default()
        };
        let identity = Identity { cluster: cluster.get(), node: node.get() };
        let (log, recovered) = Log::open(directory, identity, options)?;
        let snapshots = recovered.snapshots.into_iter().map(|(of, bytes)| (ours(of), bytes)).collect();
        Ok(Self { log, snapshots })
    }
}

impl Storage for Disk {
    fn load(&mut self) -> Result<Contents, StorageError> {
        let records = self.log.records().collect::<Result<_, _>>().map_err(StorageError::new)?;
        Ok(Contents { records, snapshots: std::mem::take(&mut self.snapshots) })
    }

    fn append(&mut self, record: &[u8]) -> Result<(), StorageError> {
        self.log.append(record).map_err(StorageError::new)
    }

    fn restart(&mut self, record: &[u8], keep: Option<SnapshotId>) -> Result<(), StorageError> {
        self.log.restart(record, keep.map(theirs)).map_err(StorageError::new)
    }

    fn put_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.log.snapshot_write(theirs(of), offset, bytes).map_err(StorageError::new)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync().map(drop).map_err(StorageError::new)
    }

    fn read_snapshot(
        &mut self,
        of: SnapshotId,
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        if self.log.snapshot_len(theirs(of)) <= offset {
            return Ok(None);
        }
        self.log.snapshot_read(theirs(of), offset, len).map(Some).map_err(StorageError::new)
    }

    fn begin_snapshot(&mut self, of: SnapshotId) -> Result<SnapshotWriter, StorageError> {
        let writer = self.log.snapshot_writer(of.at.term.get(), of.at.index.get());
        let mut writer = writer.map_err(StorageError::new)?;
        Ok(Box::new(move |bytes| {
            writer.write_all(bytes).map_err(StorageError::new)?;
            writer.finish().map(drop).map_err(StorageError::new)
        }))
    }
}

fn ours(of: quorate_disk::SnapshotId) -> SnapshotId {
    let at = Position { term: Term::new(of.term), index: Index::new(of.index) };
    SnapshotId { at, size: of.size }
}

fn theirs(of: SnapshotId) -> quorate_disk::SnapshotId {
    quorate_disk::SnapshotId { term: of.at.term.get(), index: of.at.index.get(), size: of.size }
}
