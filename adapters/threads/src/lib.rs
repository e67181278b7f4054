//! Runs any [`quorate`] machine on the threads of the standard library, without a runtime.
//!
//! A [`Node`] is a thread that owns the machine, a thread that owns its [`Storage`], and threads for the connections
//! to and from each peer; or no connections at all, where all nodes are in one process and meet in a [`Hub`]. It
//! holds no decision of any protocol: it takes in what arrived, polls, and carries out. A cloneable [`Handle`] asks it
//! for things and blocks; each request ends in its outcome or in a [`RequestError`] that says what may have happened.
//!
//! What an embedder may rely on:
//!
//! 1. A receipt is handed to the machine only after the sync of the storage that holds its record. What is queued
//!    while one sync runs shares the next.
//! 2. A write or a sync that failed is never tried again: the node stops, and says so to all who wait.
//! 3. Everything that waits has a bound, in [`Limits`]: requests wait, messages are dropped and counted.
//! 4. Nothing that a peer sends stops a node: its connection is closed, and it is counted in [`Counters`].
//! 5. When [`Handle::stopped`] returns, all files and connections of the node are closed, and all threads that served
//!    them have ended.
//! 6. No thread spins or looks again and again: each sleeps until there is something for it.
//!
//! What goes over a connection is the same as of `quorate-tokio`, so nodes of both can be of one cluster.
#![forbid(unsafe_code)]

mod handle;
mod hub;
mod inbox;
mod node;
mod transport;

pub use handle::{Answer, Handle};
pub use hub::Hub;
pub use node::{Builder, Node};
#[cfg(unix)]
pub use quorate_driver::DiskStorage;
pub use quorate_driver::{
    Contents, Counters, Driven, Limits, MemoryDisk, RequestError, SnapshotWriter, StartError, StopReason,
    Storage, StorageError,
};
