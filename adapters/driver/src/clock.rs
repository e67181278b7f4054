//! The machine's time and chance.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::sync::Instant;

/// Microseconds since the node started, by a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The moment, as the machine knows it.
    #[must_use]
    pub fn now(self) -> quorate::Instant {
        quorate::Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The machine's moment `at` as timers know it; `None` when it is too far away to be reached.
    #[must_use]
    pub fn timer(self, at: quorate::Instant) -> Option<Instant> {
        self.0.checked_add(Duration::from_micros(at.as_micros()))
    }
}

/// A number that differs from life to life, and from node to node: the standard library keys its hashers from the
/// operating system's randomness.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
