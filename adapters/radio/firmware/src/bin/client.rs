//! A board that takes the lock and uses what it protects.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use quorate_firmware::board::Board;
use quorate_firmware::exit::{Reason, stop};
use quorate_firmware::kept::Kept;
use quorate_firmware::roles::client::Client;

#[entry]
fn main() -> ! {
    let (board, flash) = Board::switch_on();
    let Some((_, life, _)) = Kept::open(flash) else { stop(Reason::Failed, "flash") };
    match Client::new(board, life) {
        Some(mut client) => client.run(),
        None => stop(Reason::Arguments, "resource"),
    }
}
