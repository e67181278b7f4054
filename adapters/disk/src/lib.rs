//! A crash-safe record log on files, for every driver that has a file system.
//!
//! Machines hand out records that must survive a crash. A driver appends them to a [`Log`], syncs once for all of
//! them, and reports them saved; after a crash it restores the machine from [`Log::records`]. Snapshots are kept
//! beside the log, whether they come in piece by piece or are made here.
//!
//! What is promised:
//!
//! - what was synced is found again after a crash, or the log does not open: a torn tail is cut, damage before the
//!   durable end is [`Error::Corrupt`];
//! - a record that was never appended is never read, whatever the bytes are, however often the file was used before;
//! - after a failed write or sync nothing is written any more ([`Error::Poisoned`]);
//! - a full disk is told before a record is taken up ([`Error::Full`]), and restarts still have room;
//! - many groups share one log and one sync, and the restart of one touches no other.
//!
//! What is assumed: a disk writes a sector of 512 bytes at once or not at all, does not change the others, and says
//! the truth about sync. The format, and what it can and cannot detect, is in `docs/storage.md`.
#![cfg(unix)]

mod batch;
mod error;
mod files;
mod format;
mod incoming;
mod log;
mod mark;
#[cfg(any(test, feature = "memory"))]
#[doc(hidden)]
pub mod memory;
mod names;
mod needs;
mod options;
mod records;
mod recovery;
mod sectors;
mod segment;
mod shelf;
mod snapshot;
mod spares;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use log::Log;
pub use names::holds_log;
pub use options::{Identity, Options, SnapshotId};
pub use records::Records;
pub use recovery::Recovered;
pub use snapshot::SnapshotWriter;
