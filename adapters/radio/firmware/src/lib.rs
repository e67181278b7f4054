//! The lock service on a Cortex-M3: what its boards have in common.
//!
//! A board is an emulated `lm3s6965evb`. Its radio is a serial line (UART0) to a process that plays the air, its flash
//! a file of the host that is written as NOR flash is: bits are cleared one by one and set again by the page. What it
//! does it reports in lines of text on UART1. There is no allocator, so nothing can allocate.
//!
//! | image | what it is |
//! |--|--|
//! | `node`, `node7` | a voter of up to three, or of up to seven. All voters of a cluster run the same image |
//! | `client` | takes the lock, uses the resource with its token, gives the lock back, again and again |
//! | `resource` | what the lock protects: refuses a token lower than the highest it saw |
//!
//! The command line, by semihosting, is `key=value` for each of: `id` (of this board), `voters` (how many; they are boards 1
//! and up), `resource` (its id), `cluster`, `seed`, `life` (seconds after which the board switches itself off), `flash` (a
//! file of whole pages, blank at first), and `careless=1` for a client that acts on a lock that it only believes to hold.
//! `quorate-air run` starts boards that way. The status with which one ends is an [`exit::Reason`].
//!
//! `unsafe` is in `hardware.rs` alone.
#![no_std]

pub mod arguments;
pub mod board;
pub mod clock;
pub mod exit;
pub mod flash;
mod hardware;
pub mod kept;
pub mod report;
mod ring;
pub mod roles;
pub mod stack;
pub mod uart;
