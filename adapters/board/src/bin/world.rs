//! Three nodes of the lock service on the board: they have to say what they say everywhere else. Tells what a machine
//! takes, and how deep the stack was in its calls.
#![no_std]
#![no_main]

#[path = "../../../../core/tests/support/lock_world.rs"]
mod lock_world;
#[path = "../../../../core/tests/support/world.rs"]
mod world;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use lock_world::{DIGESTS, STEPS, ask, settings};
use quorate_board::machines::{Alone, Locks, RAM, Small};
use quorate_board::stack::Stack;
use static_cell::ConstStaticCell;
use world::{Watch, World};

/// Watches the stack.
struct Deep(Stack);

impl Watch for Deep {
    fn around<R>(&mut self, call: impl FnOnce() -> R) -> R {
        self.0.measure(call)
    }
}

static WORLD: ConstStaticCell<World<lock_world::Locks<Small>, 3, Deep>> =
    ConstStaticCell::new(World::new(settings, Deep(Stack::NEW)));

#[entry]
fn main() -> ! {
    hprintln!("size raft {}", size_of::<Alone>());
    hprintln!("size locks {}", size_of::<Locks>());
    for (machine, [voters, entries, rows], bytes) in RAM {
        hprintln!("ram {} {} {} {} {}", machine, voters, entries, rows, bytes);
    }
    let mut same = true;
    let world = WORLD.take();
    for (seed, expected) in DIGESTS {
        let digest = world.run(seed, STEPS, ask).get();
        same &= digest == expected;
        hprintln!("digest {} {:016x} {}", seed, digest, digest == expected);
    }
    hprintln!("stack {}", world.watch.0.deepest());
    debug::exit(if same { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
