//! Time as the caller tells it.

use core::time::Duration;

/// A moment: microseconds since an epoch of the caller's own, taken from a monotonic clock.
///
/// Waking a machine early or late is harmless, and a clock that goes back is clamped.
///
/// ```
/// use core::time::Duration;
/// use quorate::Instant;
///
/// let now = Instant::from_micros(5);
/// assert_eq!(now.after(Duration::from_micros(3)).as_micros(), 8);
/// assert_eq!(now.since(Instant::from_micros(9)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment `micros` microseconds after the caller's epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the caller's epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        self.after_micros(micros(span))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn after_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// A span as whole microseconds; what does not fit is the longest that does.
pub(crate) const fn micros(span: Duration) -> u64 {
    let micros = span.as_micros();
    if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }
}
