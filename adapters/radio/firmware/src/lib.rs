//! The lock service on a Cortex-M3: what its boards have in common.
//!
//! A board is an emulated `lm3s6965evb`. Its radio is a serial line (UART0) to a process that plays the air, its flash
//! a file of the host that is written as NOR flash is: bits are cleared one by one and set again by the page. What it
//! does it reports in lines of text on UART1. There is no allocator, so nothing can allocate.
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
