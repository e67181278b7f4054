//! What can go wrong, and what to do about it.

use core::fmt;

/// Why a flash refused, or failed. `E` is the error of the device.
///
/// It is small: on a chip every call that may fail pays for it in code.
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
    /// There is no room. A restart, or smaller records, would make some. Nothing changed, but that a snapshot that came
    /// in over too many lives begins anew.
    Full,
    /// A record or a snapshot is longer than the options say. Nothing changed.
    TooLong {
        /// How long it may be.
        limit: u32,
    },
    /// The region has fewer pages than the options need.
    TooSmall {
        /// How many it needs.
        pages: u32,
    },
    /// The options make no sense.
    Options(Unfit),
    /// The flash belongs to another node.
    Foreign,
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
        evidence: Evidence,
    },
    /// A restart names a snapshot that is not here, or not whole. Nothing changed.
    NoSnapshot,
    /// A piece begins behind the end of what is there, or goes beyond the snapshot. Nothing changed.
    OutOfOrder {
        /// Where the next piece begins.
        next: u32,
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
            Self::TooLong { limit } => write!(f, "more than {limit} bytes: raise the limit in the options"),
            Self::TooSmall { pages } => write!(f, "these options need {pages} pages"),
            Self::Options(why) => write!(f, "the options make no sense: {why}"),
            Self::Foreign => {
                f.write_str("the flash is that of another node: erase it, or give the board its own name")
            }
            Self::Version(version) => {
                write!(f, "format version {version}: use the firmware that wrote it, or erase the flash")
            }
            Self::NotEmpty { page } => write!(f, "page {page} holds something else: erase the region first"),
            Self::Corrupt { page, evidence } => write!(
                f,
                "page {page} is damaged ({evidence}): erase the flash and start the node under a new id"
            ),
            Self::NoSnapshot => f.write_str("the snapshot to go on from is not there, or not whole"),
            Self::OutOfOrder { next } => write!(f, "the snapshot goes on at byte {next}"),
            Self::Unsteady => f.write_str("a record had two lengths: its encoding is not deterministic"),
            Self::Poisoned => f.write_str("an earlier write failed: open the flash anew"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}

/// What options do not fit, or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Words are written or read whose size is no power of two, or more than 32 bytes.
    Words,
    /// Pages are erased whose size is no power of two, or less than 256 bytes.
    Pages,
    /// The region does not begin with a page, or goes beyond the device.
    Region,
    /// Records or snapshots of more than 4 MiB.
    Limits,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "the device has words of an odd size, or of more than 32 bytes",
            Self::Pages => "the device has pages of an odd size, or of less than 256 bytes",
            Self::Region => "the region begins within a page, or goes beyond the device",
            Self::Limits => "records or snapshots of more than 4 MiB",
        })
    }
}

/// How damage was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// The checksum of an entry is wrong, or it is of a kind that does not belong there.
    Entry,
    /// A page of the log is gone: the one before, or the one behind.
    Page,
    /// The log has no beginning.
    Log,
    /// The snapshot that counts is damaged or gone. The page is unknown.
    Snapshot,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entry => "an entry is wrong",
            Self::Page => "the page before it or behind it is gone",
            Self::Log => "the log has no beginning",
            Self::Snapshot => "the snapshot that counts is damaged or gone",
        })
    }
}
