//! The lock service, with every place in it that can panic: `adapters/board/sizes` lists them.
#![no_std]
#![no_main]

use core::hint::black_box;
use cortex_m_rt::entry;
use quorate::Blank;
use quorate::codec;
use quorate::lock::Command;
use quorate::replicated::Request;
use quorate::{Instant, Machine, NodeId};
use quorate_board::drive;
use quorate_board::machines::{Locks, settings};

#[entry]
fn main() -> ! {
    let mut place = Blank::<Locks>::new(&settings(NodeId::new(1)), Instant::default());
    drive::forever(&mut place, |node, now| {
        if let Ok(command) = codec::take_all::<Command<32>>(black_box(&[])) {
            black_box(node.request(now, Request::Command(command)).is_ok());
        }
    })
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // Keeps where it was in the image.
    if let Some(location) = info.location() {
        black_box((location.file().len(), location.line()));
    }
    cortex_m::asm::udf()
}
