//! The machine's time and chance.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use quorate::Instant;

/// Microseconds since the node started, by a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment `at` as the runtime's timers know it; `None` when it is too far away to be reached.
    pub(crate) fn timer(self, at: Instant) -> Option<tokio::time::Instant> {
        self.0.checked_add(Duration::from_micros(at.as_micros()))
    }
}

/// A number that differs from life to life, and from node to node: the standard library keys its hashers from the
/// operating system's randomness.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
