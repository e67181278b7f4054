//! Protocol engines without I/O: consensus and what stands on it, for servers and microcontrollers.
//!
//! A protocol here is a [`Machine`]: it is told what happened, and says what to do. It has no clock, no socket, no
//! file and no thread. So the same code runs under tokio, on a radio, and in a simulated world where every failure
//! can be repeated.
//!
//! # The contract
//!
//! The application makes requests, which may be refused. The world reports facts to [`handle`](Machine::handle), which
//! may not: a message, a receipt, that time passed. What is to be done comes out of [`poll`](Machine::poll), lent, and
//! from nowhere else:
//!
//! - [`Output::Save`]: make a record durable, and bring back the [`Receipt`] that its [`Write`] turns into. What depends
//!   on the record does not exist before, so nobody can send too early ([`durable`]);
//! - [`Output::Send`]: send a message. It may be lost;
//! - [`Output::Event`]: tell the application.
//!
//! Three nodes, with disks and a network that never fail:
//!
//! ```
//! use quorate::raft::{Config, Request};
//! use quorate::{Input, Instant, Machine, NodeId, Output, Raft, space::Fixed};
//!
//! /// Three nodes, up to 64 entries in memory, and no allocator.
//! type Node = Raft<u32, Fixed<3, 64>>;
//!
//! let ids = [1, 2, 3].map(NodeId::new);
//! let mut now = Instant::default();
//! let mut nodes = ids.map(|id| Node::new(Config::new(id, &ids), id.get(), now).expect("sound settings"));
//! let (mut told, mut proposed) = ([0; 3], false);
//!
//! while told != [42; 3] {
//!     now = nodes.iter().filter_map(Machine::deadline).min().expect("nodes without a leader elect one");
//!     for node in &mut nodes {
//!         node.handle(now, Input::Wake); // too early is harmless
//!         proposed = proposed || node.request(now, Request::Propose(42)).is_ok(); // only the leader takes it up
//!     }
//!     for at in [0, 1, 2, 0, 1, 2, 0, 1, 2] {
//!         let (before, rest) = nodes.split_at_mut(at);
//!         let Some((node, after)) = rest.split_first_mut() else { continue };
//!         while let Some(output) = node.poll() {
//!             match output {
//!                 Output::Save(write) => {
//!                     let receipt = write.commit(|_record| Ok::<_, ()>(())).expect("this disk never fails");
//!                     node.handle(now, Input::Saved(receipt));
//!                 }
//!                 Output::Send { to, message } => {
//!                     let peer = before.iter_mut().chain(&mut *after).find(|peer| peer.status().id == to);
//!                     peer.expect("it is one of the three").handle(now, Input::Message { from: ids[at], message });
//!                 }
//!                 Output::Event(event) => event.for_each_command(|&command| told[at] = command),
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # What is here
//!
//! - [`raft`]: a log that a majority agrees on.
//! - `replicated` (feature `serde`): any deterministic `Application` over it. Commands take effect exactly once, reads
//!   are linearizable.
//! - `lock` (feature `serde`): sessions with leases, locks, lines, and fencing tokens, as such an application.
//! - `keyspace` (features `alloc` and `serde`): keys with values and expiry, as another.
//! - `groups` (features `alloc` and `serde`): many of them on one node, where those that have nothing to do cost nothing.
//! - [`two_phase`]: several nodes do something, or none of them does.
//! - [`locks`]: who may touch which key, for transactions: older ones first, no deadlock.
//! - `sharded` (features `alloc` and `serde`): an application that is spread over groups, with transactions across them.
//! - [`placement`]: which node keeps a key, and which takes the next request.
//! - [`space`]: where a machine keeps what it holds; inline, or on the heap with the same limits.
//! - [`codec`]: frames, messages and records as bytes (feature `serde`).
//! - [`Hosted`]: what a driver needs that knows nothing of a protocol. `quorate-tokio` and `quorate-threads` run any such
//!   machine on a server, `quorate-radio` on a microcontroller, `quorate-sim` in a simulated world; `quorate-disk` keeps
//!   records on files.
//!
//! # Features
//!
//! None by default: only `heapless` is needed, and no allocator. `alloc` adds the heap, `serde` all that has to do with
//! bytes. No feature changes what is there without it.
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
#[cfg(all(feature = "alloc", feature = "serde"))]
pub mod groups;
mod host;
mod id;
#[cfg(all(feature = "alloc", feature = "serde"))]
pub mod keyspace;
#[cfg(feature = "serde")]
pub mod lock;
pub mod locks;
mod machine;
pub mod placement;
pub mod quorum;
pub mod raft;
#[cfg(feature = "serde")]
pub mod replicated;
mod rng;
#[cfg(all(feature = "alloc", feature = "serde"))]
pub mod sharded;
pub mod space;
mod time;
pub mod two_phase;

#[cfg(feature = "serde")]
pub use application::{Application, Both, Either, Moment, Timestamp};
pub use batch::{Batch, Command};
pub use durable::{Pending, Receipt, Write};
pub use host::{Answering, Blank, Done, Errand, Fault, Hosted, Image, Place, Records, SnapshotId, Stored};
pub use id::{Age, ClusterId, GroupId, Index, NodeId, Position, Term, TxId};
pub use machine::{Input, Machine, Output, Shown, Staged};
pub use raft::Raft;
#[cfg(feature = "serde")]
pub use replicated::Replicated;
pub use rng::Rng;
pub use space::Space;
pub use time::Instant;
