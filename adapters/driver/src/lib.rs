//! What all drivers of [`quorate`] machines share, whatever they wait with.
//!
//! A driver runs a machine in the world: it takes in what arrived, polls, and carries out. How it waits is its own;
//! the rest is here, once, without a runtime:
//!
//! - [`Engine`]: the turn of a machine. Nothing that is not ready makes it wait.
//! - [`Storage`], and the [`storage_thread`] that calls it: what is queued while one sync runs shares the next.
//! - what goes over a connection, without the connection: the handshake ([`hello`]), [`frames`], the outgoing buffer
//!   ([`Link`]), which connection counts ([`Connections`]), when to dial again ([`Tries`]).
//! - for drivers without a runtime: a bounded [`mailbox`], the [`Bell`] that its arrivals ring, a [`slot`] for one
//!   answer, a [`StopSignal`].
//!
//! Whoever runs a machine takes `quorate-tokio` or `quorate-threads`; this is for those who write another driver.
//! `docs/driver.md` says what a driver has to keep.
//!
//! All synchronisation goes through [`sync`], which is loom's under `cfg(loom)`: what is explored is what runs.
#![forbid(unsafe_code)]

mod bell;
mod clock;
mod connections;
mod counters;
mod drain;
mod engine;
mod errands;
pub mod frames;
pub mod hello;
mod identity;
mod limits;
mod link;
mod mailbox;
mod reason;
mod request;
mod slot;
mod stop;
mod storage;
pub mod sync;
mod tries;
mod writes;

pub use bell::Bell;
pub use clock::{Clock, random_seed};
pub use connections::Connections;
pub use counters::{Count, Counters, Tally};
pub use drain::{Drained, Observer, Outlets, Post};
pub use engine::{Appetite, Arrived, Engine, restore};
pub use errands::{Errands, Finished, Outcome, Subject, Task};
pub use identity::Identity;
pub use limits::Limits;
pub use link::{Departure, Link};
pub use mailbox::{Receiver, Sender, Unsent, mailbox};
pub use reason::{StartError, StopReason};
pub use request::{Answered, Asked, Control, Driven, Reply, RequestError};
pub use slot::{Filler, Waiter, slot};
pub use stop::StopSignal;
#[cfg(unix)]
pub use storage::DiskStorage;
pub use storage::queue::{Batch, StorageQueue, StorageWork, storage_queue};
pub use storage::thread as storage_thread;
pub use storage::{Contents, MemoryDisk, SnapshotWriter, Storage, StorageError};
pub use tries::Tries;
pub use writes::Writes;
