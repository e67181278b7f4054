//! Dialling a peer again and again: how long to wait between two tries, and what of it is news.

use std::time::{Duration, Instant};

use quorate::Rng;

use crate::hello::Mismatch;
use crate::limits::Limits;

/// The tries to reach one peer.
#[derive(Debug)]
pub struct Tries {
    pause: Pause,
    connected: Option<Instant>,
    last_trouble: String,
}

impl Tries {
    /// Begins with the shortest pause.
    #[must_use]
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self { pause: Pause::new(limits, seed), connected: None, last_trouble: String::new() }
    }

    /// The peer was reached.
    pub fn succeed(&mut self) {
        self.connected = Some(Instant::now());
        self.last_trouble.clear();
    }

    /// The peer was not reached. Whether that is news, as each kind of trouble is once: a peer that is down for a day
    /// is not news twice a second.
    pub fn fail(&mut self, mismatch: &Mismatch) -> bool {
        let trouble = mismatch.to_string();
        let is_news = trouble != self.last_trouble;
        self.last_trouble = trouble;
        is_news
    }

    /// How long to wait before the next try. A connection that lasted starts over.
    pub fn pause(&mut self) -> Duration {
        if self.connected.take().is_some_and(|since| since.elapsed() > self.pause.longest) {
            self.pause.reset();
        }
        self.pause.lengthen()
    }
}

/// How long to wait before the next try: doubled each time, within bounds, and jittered so that a restarted node is
/// not dialled by all the others at once.
#[derive(Debug)]
struct Pause {
    shortest: Duration,
    longest: Duration,
    current: Duration,
    rng: Rng,
}

impl Pause {
    fn new(limits: &Limits, seed: u64) -> Self {
        let Limits { shortest_pause: shortest, longest_pause: longest, .. } = *limits;
        Self { shortest, longest, current: shortest, rng: Rng::new(seed) }
    }

    fn lengthen(&mut self) -> Duration {
        let full = self.current.min(self.longest);
        self.current = full.saturating_mul(2);
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + self.rng.below(micros / 2 + 1))
    }

    fn reset(&mut self) {
        self.current = self.shortest;
    }
}

#[cfg(all(test, not(loom)))]
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

    #[test]
    fn a_trouble_is_news_once_and_again_after_it_was_over() {
        let mut tries = Tries::new(&Limits::default(), 1);
        assert!(tries.fail(&Mismatch::Silent));
        assert!(!tries.fail(&Mismatch::Silent));
        assert!(tries.fail(&Mismatch::Unknown));
        tries.succeed();
        assert!(tries.fail(&Mismatch::Unknown));
    }

    #[test]
    fn only_a_connection_that_lasted_starts_the_pauses_over() {
        let shortest_pause = Duration::from_millis(1);
        let tries = |longest_pause| {
            let mut tries = Tries::new(&Limits { shortest_pause, longest_pause, ..Limits::default() }, 1);
            // Until they are the longest.
            (0..30).for_each(|_| _ = tries.pause());
            tries.succeed();
            tries
        };
        let day = Duration::from_secs(86_400);
        assert!(tries(day).pause() >= day / 2, "it did not last");
        let mut lasting = tries(2 * shortest_pause);
        std::thread::sleep(4 * shortest_pause);
        assert!(lasting.pause() <= shortest_pause, "it lasted");
    }
}
