//! What can go wrong, and what to do about it.

use core::fmt;
use quorate::{ClusterId, NodeId, SnapshotId};

/// Why a flash refused, or failed. `E` is the error of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The device failed a call. What it was to write may be there or not.
    Device(E),
    /// A page does not hold what was written to it: it is worn out, or its supply is unsteady.
    Worn {
        /// The page, counted from the first of the region.
        page: u32,
    },
    /// There is no room. Nothing changed: a restart, or smaller records, would make some.
    Full,
    /// A record or a snapshot is longer than the options say. Nothing changed.
    TooLong {
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u32,
    },
    /// The region has fewer pages than the options need.
    TooSmall {
        /// How many it needs.
        pages: u32,
    },
    /// The options make no sense.
    Options(&'static str),
    /// The flash belongs to another node.
    Foreign {
        /// Whose cluster.
        cluster: ClusterId,
        /// Whose it is.
        node: NodeId,
    },
    /// The flash has a format that this build does not know.
    Version(u32),
    /// The flash holds something that was never a store: erase it if it may go.
    NotEmpty {
        /// The first page that holds something.
        page: u32,
    },
    /// What was durable is damaged, or gone. Nothing was changed.
    Corrupt {
        /// The page where it was found out.
        page: u32,
        /// What was found out.
        evidence: &'static str,
    },
    /// A restart names a snapshot that is not here, or not whole. Nothing changed.
    NoSnapshot(SnapshotId),
    /// A piece begins behind the end of what is there, or goes beyond the snapshot. Nothing changed.
    OutOfOrder {
        /// The snapshot.
        of: SnapshotId,
        /// Where the next piece begins.
        next: u64,
    },
    /// A record did not encode twice to the same length.
    Unsteady,
    /// An earlier write failed: what is durable is known only when the flash is opened anew.
    Poisoned,
}

impl<E: fmt::Debug> fmt::Display for FlashError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "the flash failed ({error:?}): open it anew"),
            Self::Worn { page } => write!(f, "page {page} does not keep what is written: replace the flash"),
            Self::Full => f.write_str("no room; nothing was lost: give the store more pages"),
            Self::TooLong { bytes, limit } => {
                write!(f, "{bytes} bytes are over the limit of {limit}: raise it in the options")
            }
            Self::TooSmall { pages } => write!(f, "these options need {pages} pages"),
            Self::Options(why) => write!(f, "the options make no sense: {why}"),
            Self::Foreign { cluster, node } => {
                write!(
                    f,
                    "the flash is that of {node} of {cluster}: erase it, or give the board its own name"
                )
            }
            Self::Version(version) => {
                write!(f, "format version {version}: use the firmware that wrote it, or erase the flash")
            }
            Self::NotEmpty { page } => write!(f, "page {page} holds something else: erase the region first"),
            Self::Corrupt { page, evidence } => write!(
                f,
                "page {page} is damaged ({evidence}): erase the flash and start the node under a new id"
            ),
            Self::NoSnapshot(of) => write!(f, "there is no whole snapshot at {}", of.at),
            Self::OutOfOrder { of, next } => write!(f, "the snapshot at {} goes on at byte {next}", of.at),
            Self::Unsteady => f.write_str("a record had two lengths: its encoding is not deterministic"),
            Self::Poisoned => f.write_str("an earlier write failed: open the flash anew"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}
