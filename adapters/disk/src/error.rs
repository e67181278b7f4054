//! Everything that can go wrong, and what to do about it.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::options::{Identity, SnapshotId};

/// Why the log refused, or failed. Each message says what to do next.
#[derive(Debug)]
pub enum Error {
    /// The operating system failed a call. If it was a write or a sync, the log is poisoned.
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another log has the directory open, in this process or in another.
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The file belongs to another cluster or node.
    Foreign {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asked.
        expected: Identity,
    },
    /// The file has a format that this release does not know.
    Version {
        /// The file.
        file: PathBuf,
        /// The version it states.
        found: u32,
    },
    /// What was durable is damaged, or gone. Nothing was cut or changed.
    Corrupt {
        /// The file.
        file: PathBuf,
        /// First byte of what cannot be read.
        offset: u64,
        /// What was found out.
        evidence: &'static str,
    },
    /// There is no room. Nothing was lost: all that was taken up before can still be synced, and
    /// [`Log::restart`](crate::Log::restart) still has room for itself.
    Full {
        /// The file or directory that had to grow.
        file: PathBuf,
    },
    /// The record is longer than `max_record_bytes`. Nothing changed.
    TooLong {
        /// Length of the record.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// The options cannot work together.
    Options(&'static str),
    /// There is no such snapshot, or it is not whole yet.
    NoSnapshot(SnapshotId),
    /// The piece begins behind the end of what is there, or goes beyond the snapshot's size. Nothing changed.
    OutOfOrder {
        /// The snapshot.
        of: SnapshotId,
        /// Where the next piece begins.
        next: u64,
        /// Where this one begins.
        offset: u64,
    },
    /// An earlier write or sync failed, and what is on disk is unknown until the log is opened anew.
    Poisoned,
}

impl Error {
    /// Tells a full disk from other failures, so that the caller can make room.
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { file: file.into() },
            _ => Self::Io { file: file.into(), source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, source } => {
                write!(f, "{}: {source}; check the disk, then open the log anew", file.display())
            }
            Self::Locked { directory } => write!(
                f,
                "{} is in use by another log; stop the other process, or give this one its own directory",
                directory.display()
            ),
            Self::Foreign { file, found, expected } => write!(
                f,
                "{} belongs to node {} of cluster {}, not to node {} of cluster {}; point this node at its own directory",
                file.display(),
                found.node,
                found.cluster,
                expected.node,
                expected.cluster
            ),
            Self::Version { file, found } => write!(
                f,
                "{} has format version {found}, which this release cannot read; use the release that wrote it",
                file.display()
            ),
            Self::Corrupt { file, offset, evidence } => write!(
                f,
                "{} is damaged at byte {offset}: {evidence}; what was acknowledged may be lost here, so do not cut it: \
                 keep the directory for inspection, and let the node be refilled by the others as a new member",
                file.display()
            ),
            Self::Full { file } => write!(
                f,
                "no room for {}; nothing was lost: take a snapshot and restart the log, or free space and try again",
                file.display()
            ),
            Self::TooLong { bytes, limit } => write!(
                f,
                "a record of {bytes} bytes is over the limit of {limit}; split it, or raise `max_record_bytes`"
            ),
            Self::Options(why) => write!(f, "the options cannot work: {why}"),
            Self::NoSnapshot(of) => write!(
                f,
                "there is no snapshot of term {} index {} with {} bytes; write it first, or ask for one that is listed",
                of.term, of.index, of.size
            ),
            Self::OutOfOrder { of, next, offset } => write!(
                f,
                "a piece at {offset} does not fit the snapshot of index {} with {} bytes; send it from {next} on",
                of.index, of.size
            ),
            Self::Poisoned => {
                write!(
                    f,
                    "an earlier write or sync failed; drop the log, open it anew and restore from its records"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Locked { .. }
            | Self::Foreign { .. }
            | Self::Version { .. }
            | Self::Corrupt { .. }
            | Self::Full { .. }
            | Self::TooLong { .. }
            | Self::Options(_)
            | Self::NoSnapshot(_)
            | Self::OutOfOrder { .. }
            | Self::Poisoned => None,
        }
    }
}
