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
        span(self.0.saturating_sub(earlier.0))
    }

    /// The moment `micros` microseconds earlier.
    #[cfg(all(feature = "alloc", feature = "serde"))]
    pub(crate) const fn before_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(micros))
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) const fn after_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// A span as whole microseconds; what does not fit is the longest that does.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(crate) const fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros() as u64)
}

/// So many microseconds as a span.
pub(crate) const fn span(micros: u64) -> Duration {
    // A division by a million, exact for every number: a small chip has to emulate the real one. That less than a million
    // is left is for the compiler to see.
    let seconds = ((micros as u128 * 0x431B_DE82_D7B6_34DB) >> 82) as u64;
    let rest = (micros - seconds * 1_000_000) as u32;
    Duration::new(seconds, if rest < 1_000_000 { rest * 1_000 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn there_and_back(micros: u64) -> bool {
        span(micros) == Duration::from_micros(micros) && self::micros(span(micros)) == micros
    }

    quickcheck! {
        fn microseconds_and_spans_are_the_same_time(micros: u64) -> bool {
            there_and_back(micros) && there_and_back(micros / 1_000_000 * 1_000_000) && there_and_back(!micros)
        }
    }

    #[test]
    fn the_ends_of_time_are_exact() {
        let million = 1_000_000;
        for number in [0, 1, million - 1, million, million + 1, u64::MAX / million * million - 1, u64::MAX] {
            assert!(there_and_back(number), "{number}");
        }
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
