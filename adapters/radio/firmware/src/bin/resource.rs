//! A board that is what the lock protects.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use quorate_firmware::board::Board;
use quorate_firmware::exit::{Reason, stop};
use quorate_firmware::roles::resource::Resource;

#[entry]
fn main() -> ! {
    let (board, flash) = Board::switch_on();
    match Resource::new(board, flash) {
        Some(mut resource) => resource.run(),
        None => stop(Reason::Failed, "flash"),
    }
}
