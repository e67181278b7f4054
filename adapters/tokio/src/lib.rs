//! Runs any [`quorate`] machine on tokio.
//!
//! A [`Node`] is a task that owns the machine, a thread that owns its [`Storage`], and a connection to and from
//! each peer. It holds no decision of any protocol: it takes in what arrived, polls, and carries out. A cloneable
//! [`Handle`] asks it for things; each request ends in its outcome or in a [`RequestError`] that says what may have
//! happened.
//!
//! What an embedder may rely on:
//!
//! 1. A receipt is handed to the machine only after the sync of the storage that holds its record. What is queued
//!    while one sync runs shares the next.
//! 2. A write or a sync that failed is never tried again: the node stops, and says so to all who wait.
//! 3. Everything that waits has a bound, in [`Limits`]: requests wait, messages are dropped and counted.
//! 4. Nothing that a peer sends stops a node: its connection is closed, and it is counted in [`Counters`].
//! 5. When [`Handle::stopped`] returns, all files and connections of the node are closed.
#![forbid(unsafe_code)]

mod cluster;
mod handle;
mod inbox;
mod node;
mod runner;
mod transport;

pub use cluster::TestCluster;
pub use handle::{Answer, Handle};
pub use node::{Builder, Node};
#[cfg(unix)]
pub use quorate_driver::DiskStorage;
pub use quorate_driver::{
    Contents, Counters, Driven, Limits, MemoryDisk, RequestError, SnapshotWriter, StartError, StopReason,
    Storage, StorageError,
};

/// The code of the README is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
