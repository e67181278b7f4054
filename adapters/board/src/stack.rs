//! How deep the stack was.

use core::ptr;
use cortex_m::register::msp;

const PAINT: u32 = 0xC0DE_57AC;

/// How far below the stack pointer is painted: more than any call is meant to take.
const REACH: usize = 6 * 1024;

/// The deepest stack of the calls that were measured, in bytes.
#[derive(Debug)]
pub struct Stack {
    deepest: usize,
}

impl Stack {
    /// Nothing measured yet.
    pub const NEW: Self = Self { deepest: 0 };

    /// The deepest so far.
    pub fn deepest(&self) -> usize {
        self.deepest
    }

    /// Makes a call, and notes how much stack it took.
    #[inline(never)]
    #[expect(unsafe_code, reason = "there is no other way to look at the stack below")]
    pub fn measure<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let top = msp::read() as usize;
        let words = || (top - REACH..top).step_by(4).map(|at| at as *mut u32);
        for word in words() {
            // SAFETY: below the stack pointer nothing is in use, no interrupt is enabled, and the images that measure
            // leave more room than `REACH` above what is static.
            unsafe { ptr::write_volatile(word, PAINT) };
        }
        let result = call();
        // SAFETY: as above; a word that was not painted over is as it was.
        let untouched = words().take_while(|&word| unsafe { ptr::read_volatile(word) } == PAINT).count();
        assert!(untouched > 0, "a call took more stack than is looked at");
        self.deepest = self.deepest.max(REACH - untouched * 4);
        result
    }
}
