//! Runs any [`quorate`] machine on a microcontroller: frames over a lossy radio, records in flash, no allocator.
//!
//! Bring a [`Radio`]: whatever sends and receives short frames.
//!
//! - [`Link`] carries messages over it: checked, in pieces where they do not fit a frame, each at most once, within the
//!   share of the air that the law leaves. [`Phy`] tells what a frame costs. `docs/wire.md` has its bytes.
//! - [`Serial`] is a `Radio` over a UART, to a modem or from board to board.
//!
//! # Features
//!
//! None by default. `auth` adds frames that are authenticated and encrypted (`Key`), `smoltcp` a `Radio` through UDP over
//! 6LoWPAN and IEEE 802.15.4 (`udp`).
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
pub use flash::{Evidence, Flash, FlashError, FlashOptions, Unfit};
pub use link::{Backoff, Counters, DroppedFrames, Duty, Kind, Link, LinkConfig, Received, Room, Unsound};
pub use node::{Dropped, Node, Stopped, Told};
pub use phy::Phy;
pub use radio::{Radio, SendError};
pub use serial::{Port, Serial};
pub use settings::settings;
pub use store::{RestoreError, SNAPSHOTS, Snapshots, Store};
