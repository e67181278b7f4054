//! Runs any [`quorate`] machine on a microcontroller: frames over a lossy radio, records in flash, no allocator.
//!
//! Bring a [`Radio`]: whatever sends and receives short frames.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

#[cfg(test)]
extern crate std;

#[cfg(feature = "auth")]
mod auth;
mod flash;
mod frame;
mod link;
mod node;
mod phy;
mod radio;
pub mod remote;
mod serial;
mod settings;
mod store;
#[cfg(feature = "smoltcp")]
pub mod udp;

#[cfg(feature = "auth")]
pub use auth::Key;
pub use flash::{Flash, FlashError, FlashOptions};
pub use link::{Backoff, Counters, DroppedFrames, Duty, Kind, Link, LinkConfig, Received, Room, Unsound};
pub use node::{Dropped, Node, Stopped, Told};
pub use phy::Phy;
pub use radio::{Radio, SendError};
pub use serial::{Port, Serial};
pub use settings::settings;
pub use store::{RestoreError, SNAPSHOTS, Snapshots, Store};
