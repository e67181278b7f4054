//! Time since boot in microseconds, and sleep.

use crate::hardware::{Interrupt, RUN_CLOCK_1, TIMER0, unmask};
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::interrupt;
use cortex_m::peripheral::{SCB, SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use quorate::Instant;

/// 12.5 MHz: two ticks are 25 to a microsecond.
const TICKS_PER_SECOND: u32 = 12_500_000;
const MICROS_PER_SECOND: u64 = 1_000_000;
/// The longest sleep; waking early is harmless.
const LONGEST_SLEEP_MICROS: u64 = 500_000;

static SECONDS: AtomicU32 = AtomicU32::new(0);

/// The board's clock: SysTick, which comes round once a second. Right as long as its interrupt is served within one.
#[derive(Debug)]
pub struct Clock(());

impl Clock {
    /// Starts the clock.
    #[must_use]
    pub fn start(mut ticker: SYST) -> Self {
        ticker.set_clock_source(SystClkSource::Core);
        ticker.set_reload(TICKS_PER_SECOND - 1);
        ticker.clear_current();
        ticker.enable_counter();
        ticker.enable_interrupt();
        // It reads zero until its first tick, which would be the end of a second.
        while SYST::get_current() == 0 {}
        RUN_CLOCK_1.write(RUN_CLOCK_1.read() | 1 << 16);
        TIMER0.control.write(0);
        TIMER0.config.write(0);
        TIMER0.mode.write(1);
        TIMER0.mask.write(1);
        unmask(Interrupt::Timer0);
        Self(())
    }

    /// The time since boot.
    #[must_use]
    pub fn now(&self) -> Instant {
        let (seconds, left) = interrupt::free(|_| {
            let left = SYST::get_current();
            if !SCB::is_pendst_pending() {
                return (SECONDS.load(Ordering::Relaxed), left);
            }
            // It came round, and the interrupt waits: what is left was read before or after, so read it again.
            (SECONDS.load(Ordering::Relaxed) + 1, SYST::get_current())
        });
        let ticks = TICKS_PER_SECOND - 1 - left.min(TICKS_PER_SECOND - 1);
        Instant::from_micros(u64::from(seconds) * MICROS_PER_SECOND + u64::from(ticks * 2 / 25))
    }

    /// Sleeps until then or until bytes come in, whichever is first; maybe less.
    pub fn sleep(&self, until: Option<Instant>) {
        let micros = until.map_or(LONGEST_SLEEP_MICROS, |until| until.since(self.now()).as_micros() as u64);
        let micros = micros.min(LONGEST_SLEEP_MICROS) as u32;
        if micros == 0 {
            return;
        }
        TIMER0.control.write(0);
        TIMER0.load.write(micros * 25 / 2);
        TIMER0.control.write(1);
        // Masked, so that nothing comes in between looking and sleeping; what comes ends the sleep all the same.
        interrupt::free(|_| {
            if !crate::uart::has_received() {
                cortex_m::asm::wfi();
            }
        });
    }
}

pub(crate) fn on_alarm() {
    TIMER0.clear.write(1);
}

#[exception]
fn SysTick() {
    SECONDS.fetch_add(1, Ordering::Relaxed);
}
