//! How a board ends: with a line that says why, and a status for the process that emulates it.

use crate::report::line;
use core::panic::PanicInfo;

/// Why a board stopped: the status of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A bug: the board panicked.
    Panicked = 101,
    /// A bug: the processor stopped at an instruction it cannot carry out.
    Crashed = 102,
    /// The command line makes no sense.
    Arguments = 2,
    /// There is no flash.
    NoFlash = 3,
    /// What the flash holds is damaged.
    Damaged = 4,
    /// The flash is that of another node or of another cluster.
    Foreign = 5,
    /// The flash failed.
    Failed = 6,
    /// It ran for as long as it was to run.
    Over = 7,
}

/// Switches the board off.
pub fn stop(reason: Reason, why: &str) -> ! {
    drop(line("stopped").number("status", reason as u64).word("why", why));
    crate::hardware::switch_off(reason as u8)
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let (file, number) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    drop(line("panicked").word("file", file).number("line", u64::from(number)));
    crate::hardware::switch_off(Reason::Panicked as u8)
}

pub(crate) fn on_crash(instruction: u32, caller: u32) -> ! {
    drop(line("crashed").number("pc", u64::from(instruction)).number("lr", u64::from(caller)));
    crate::hardware::switch_off(Reason::Crashed as u8)
}
