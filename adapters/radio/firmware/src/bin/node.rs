//! A voter of three, the smallest image.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use quorate_firmware::board::Board;
use quorate_firmware::exit::{Reason, stop};
use quorate_firmware::roles::node::{self, NodeLink, SCRATCH, Voter};
use quorate_radio::Store;

/// Most voters that this image has room for.
const VOTERS: usize = 3;
/// Sessions of the log: one more.
const SESSIONS: usize = 4;

#[entry]
fn main() -> ! {
    let (board, flash) = Board::switch_on();
    let flash = node::open(&board, flash);
    let life = flash.epoch();
    // All that is large is made where it stays: a value that is moved over the stack needs its room twice.
    let mut machine = node::blank::<VOTERS, SESSIONS>(&board);
    let mut link = NodeLink::new(board.link(life), board.seed(life));
    let Ok(link) = &mut link else { stop(Reason::Arguments, "link") };
    let mut scratch = [0; SCRATCH];
    let mut voter = Voter::new(board, flash, link, &mut scratch);
    voter.start(&mut machine);
    voter.run()
}
