//! The air between radio nodes, simulated: airtime, loss, delay, collisions, corruption, jamming and partitions.
//!
//! [`Medium`] is a shared channel in virtual time: frames go in, and come out at those who hear them when their
//! airtime is over. The same seed and the same calls give the same losses. [`Antenna`] is a
//! [`Radio`](quorate_radio::Radio) on it, for nodes in the same process; [`Modem`] queues the frames of one that has
//! no ear for the air itself, such as an emulated board behind a serial line.
#![forbid(unsafe_code)]

mod antenna;
mod flash;
mod medium;
mod modem;

pub use antenna::{Air, Antenna};
pub use flash::MemoryFlash;
pub use medium::{Arrival, Conditions, Counters, Medium, OnAir, Station};
pub use modem::Modem;
