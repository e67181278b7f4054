//! Pauses between two tries.

use std::time::Duration;

use quorate::Rng;

use crate::limits::Limits;

/// How long to wait before the next try: doubled each time, within bounds, and jittered so that a restarted node is
/// not dialled by all the others at once.
#[derive(Debug)]
pub struct Pause {
    shortest: Duration,
    longest: Duration,
    current: Duration,
    rng: Rng,
}

impl Pause {
    /// Begins with the shortest pause.
    #[must_use]
    pub fn new(limits: &Limits, seed: u64) -> Self {
        let Limits { shortest_pause: shortest, longest_pause: longest, .. } = *limits;
        Self { shortest, longest, current: shortest, rng: Rng::new(seed) }
    }

    /// The next pause.
    pub fn lengthen(&mut self) -> Duration {
        let full = self.current.min(self.longest);
        self.current = full.saturating_mul(2);
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + self.rng.below(micros / 2 + 1))
    }

    /// Starts over: what was dialled is there again.
    pub fn reset(&mut self) {
        self.current = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds_and_start_over() {
        let limits = Limits::default();
        let mut pause = Pause::new(&limits, 1);
        for step in 0..20 {
            let full = limits.longest_pause.min(limits.shortest_pause * (1 << step.min(10)));
            let next = pause.lengthen();
            assert!(next >= full / 2 && next <= full, "step {step}: {next:?} of {full:?}");
        }
        pause.reset();
        assert!(pause.lengthen() <= limits.shortest_pause);
    }
}
