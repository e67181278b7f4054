//! A node's own clock: skewed, drifting, jumping back.

use quorate::Instant;

const MILLION: i128 = 1_000_000;

/// Maps the world's time to what a node reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The world's time at which the clock was last set.
    since: u64,
    /// What it showed then.
    shown: u64,
    /// How much faster than the world's time it runs, in millionths.
    drift: i32,
}

impl Clock {
    pub(crate) const fn new(now: u64, shown: u64, drift: i32) -> Self {
        Self { since: now, shown, drift }
    }

    pub(crate) fn read(&self, now: u64) -> Instant {
        let passed =
            i128::from(now.saturating_sub(self.since)) * (MILLION + i128::from(self.drift)) / MILLION;
        Instant::from_micros(self.shown + passed as u64)
    }

    /// The world's time at which the clock shows `moment`.
    pub(crate) fn when(&self, moment: Instant) -> u64 {
        let passed = i128::from(moment.as_micros().saturating_sub(self.shown)) * MILLION;
        let rate = MILLION + i128::from(self.drift);
        self.since.saturating_add(u64::try_from((passed + rate - 1) / rate).unwrap_or(u64::MAX))
    }

    pub(crate) fn jump_back(&mut self, now: u64, micros: u64) {
        let shown = self.read(now).as_micros().saturating_sub(micros);
        *self = Self::new(now, shown, self.drift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn a_clock_shows_a_moment_when_it_says_it_will(since: u32, shown: u32, ahead: u32, drift: i16) -> bool {
            let clock = Clock::new(since.into(), shown.into(), drift.into());
            let moment = Instant::from_micros(u64::from(shown) + u64::from(ahead));
            let when = clock.when(moment);
            clock.read(when) >= moment && (when == u64::from(since) || clock.read(when - 1) < moment)
        }
    }

    #[test]
    fn a_clock_that_jumps_back_shows_less() {
        let mut clock = Clock::new(0, 1_000, 100);
        let before = clock.read(500);
        clock.jump_back(500, 200);
        assert_eq!(clock.read(500).as_micros() + 200, before.as_micros());
    }
}
