//! Where a node keeps its records and snapshots.

use crate::replica::WINDOW_BYTES;
use quorate::{ClusterId, NodeId};
use quorate_disk::Options;
use quorate_tokio::{DiskStorage, StorageError};
use std::path::Path;

/// What the log's own framing of a compacted window takes besides its entries, at most.
const SLACK_BYTES: u64 = 16 << 20;

/// Opens the storage of a node in a directory, or makes it, with room for the largest record there can be: the whole
/// window, when it is compacted.
///
/// # Errors
/// It is in use, belongs to another node, or is damaged.
pub fn open_disk(directory: &Path, cluster: ClusterId, node: NodeId) -> Result<DiskStorage, StorageError> {
    let record_bytes = WINDOW_BYTES + SLACK_BYTES;
    let options = Options {
        max_record_bytes: u32::try_from(record_bytes).unwrap_or(u32::MAX),
        segment_bytes: record_bytes + SLACK_BYTES,
        ..Options::default()
    };
    DiskStorage::open(directory, cluster, node, options)
}
