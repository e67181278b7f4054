//! What machines take on a chip.
//!
//! The images in `src/bin` hold a machine, its codec, and a driver with nothing behind it, so what is more in them than
//! in the `bare` one is what the machine takes. `world` runs three nodes on the board and tells how deep the stack
//! was. `adapters/board/sizes` builds them all and prints the table of `docs/embedding.md`.
#![no_std]
#![deny(unsafe_code)]

pub mod drive;
pub mod machines;
pub mod stack;
