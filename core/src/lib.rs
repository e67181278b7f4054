//! Protocol engines without I/O.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "serde")]
mod application;
mod batch;
pub mod codec;
pub mod durable;
mod host;
mod id;
#[cfg(all(feature = "alloc", feature = "serde"))]
pub mod keyspace;
#[cfg(feature = "serde")]
pub mod lock;
mod machine;
pub mod quorum;
pub mod raft;
#[cfg(feature = "serde")]
pub mod replicated;
mod rng;
pub mod space;
mod time;

#[cfg(feature = "serde")]
pub use application::{Application, Both, Either, Moment, Timestamp};
pub use batch::{Batch, Command};
pub use durable::{Pending, Receipt, Write};
pub use host::{Answering, Done, Errand, Fault, Hosted, Image, Place, SnapshotId, Stored};
pub use id::{ClusterId, Index, NodeId, Position, Term};
pub use machine::{Input, Machine, Output};
pub use raft::Raft;
#[cfg(feature = "serde")]
pub use replicated::Replicated;
pub use rng::Rng;
pub use space::Space;
pub use time::Instant;
