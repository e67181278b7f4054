//! A seeded world for any machine: network, disks, clocks, crashes, invariants.
//!
//! The world sees a machine only through [`Machine`](quorate::Machine) and [`Hosted`](quorate::Hosted), as a real
//! driver does, and every message and every record passes through its codec as bytes. What is particular to a
//! protocol, what its nodes are asked and what must hold, is a [`Subject`], written once for each kind of machine.
//!
//! - [`World`] runs a machine under the [`Faults`] that a seed draws: the same seed gives the same run, byte for
//!   byte, in every process and in every build.
//! - [`Script`] runs a schedule that is told step by step, for bugs that no random seed would find.
//!
//! A world that is always green is broken. A [`Tally`] tells which [`Fault`]s and which rare paths were reached,
//! and a disk that lies about what it synced ([`Disk::lies`]) must be found out.
#![forbid(unsafe_code)]

pub mod bank;
mod chance;
mod clock;
pub mod commit;
mod disk;
mod drive;
mod faults;
pub mod groups;
pub mod lock;
mod nemesis;
mod network;
mod node;
mod process;
mod queue;
pub mod raft;
mod replicated;
mod script;
mod store;
mod subject;
mod tally;
mod trace;
mod world;

pub use chance::Chance;
pub use faults::{Disk, Faults, Millionths, Span, Trouble, Weather};
pub use script::Script;
pub use subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
pub use tally::{Fault, Tally};
pub use world::{Report, Violation, World};
