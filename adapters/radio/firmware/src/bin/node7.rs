//! A voter of up to seven.
#![no_std]
#![no_main]

use cortex_m::singleton;
use cortex_m_rt::entry;
use quorate::host::Blank;
use quorate_firmware::board::Board;
use quorate_firmware::exit::{Reason, stop};
use quorate_firmware::roles::node::{self, Machine, NodeLink, SCRATCH, Voter};

/// Most voters that this image has room for.
const VOTERS: usize = 7;

#[entry]
fn main() -> ! {
    let (board, modem) = Board::switch_on();
    let (flash, life) = node::open(&board);
    let Ok(link) = NodeLink::new(board.link(life), board.seed(life)) else { stop(Reason::Arguments, "link") };
    let places = (
        singleton!(MACHINE: Blank<Machine<VOTERS>> = node::blank(&board)),
        singleton!(LINK: NodeLink = link),
        singleton!(SCRATCH_BYTES: [u8; SCRATCH] = [0; SCRATCH]),
    );
    let (Some(machine), Some(link), Some(scratch)) = places else { stop(Reason::Panicked, "places") };
    match Voter::start(board, modem, (flash, life), machine, link, scratch) {
        Some(mut voter) => voter.run(),
        None => stop(Reason::Panicked, "no-machine"),
    }
}
