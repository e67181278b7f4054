//! Raft alone.
#![no_std]
#![no_main]

use core::hint::black_box;
use cortex_m_rt::entry;
use quorate::Blank;
use quorate::raft::Request;
use quorate::{Instant, Machine, NodeId};
use quorate_board::drive;
use quorate_board::machines::{Alone, config};

#[entry]
fn main() -> ! {
    let mut place = Blank::<Alone>::new(&config(NodeId::new(1)), Instant::default());
    drive::forever(&mut place, |node, now| {
        let command = heapless::Vec::from_slice(black_box(&[])).unwrap_or_default();
        black_box(node.request(now, black_box(Request::Propose(command))).is_ok());
    })
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    cortex_m::asm::udf()
}
