//! What the caller decides when a log is opened.

use crate::error::Error;
use crate::format::{HEADER_BYTES, LEAD_BYTES, LENGTH_BYTES, OWNER_BYTES, padded};

/// Batches up to this size take one write and one sync, however small the records are.
const USUAL_BATCH_BYTES: u64 = 1 << 20;

/// Sizes and limits of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of one segment file, in bytes. Segments are filled with zeros before they are used, and used again when no
    /// group needs them any more. Two spare ones are made, and up to four kept: an idle log takes three to five times this
    /// size.
    pub segment_bytes: u64,
    /// Longest record that [`Log::append`](crate::Log::append) takes, in bytes; a segment must have room for it.
    pub max_record_bytes: u32,
    /// Bytes kept in a file of zeros, and given to a snapshot that finds the disk full.
    pub reserve_bytes: u64,
    /// Bytes that all files of the directory may take together; beyond, the disk counts as full.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            max_record_bytes: 16 << 20,
            reserve_bytes: 16 << 20,
            max_bytes: u64::MAX,
        }
    }
}

impl Options {
    /// Most bytes that one batch takes in a segment, its header and padding included.
    pub(crate) fn max_batch_bytes(&self) -> u64 {
        self.longest().max(USUAL_BATCH_BYTES).min(u64::from(u32::MAX)).min(self.segment_bytes - HEADER_BYTES)
    }

    /// Bytes that a batch with the longest record takes.
    fn longest(&self) -> u64 {
        padded(LEAD_BYTES + LENGTH_BYTES + OWNER_BYTES + u64::from(self.max_record_bytes))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let longest = self.longest();
        if longest > u64::from(u32::MAX) {
            return Err(Error::Options("max_record_bytes must be some bytes below 4 GiB"));
        }
        if self.segment_bytes < HEADER_BYTES + longest {
            return Err(Error::Options("segment_bytes must exceed max_record_bytes by 4,160 or more"));
        }
        Ok(())
    }
}

/// Whose log it is. Written into every file; a directory with another identity is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which cluster.
    pub cluster: u64,
    /// Which of its nodes.
    pub node: u64,
}

/// Which snapshot: whose, what it covers, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The group whose state it is.
    pub group: u64,
    /// Term of the last entry that the snapshot covers.
    pub term: u64,
    /// Index of the last entry that the snapshot covers.
    pub index: u64,
    /// Length of the snapshot, in bytes.
    pub size: u64,
}
