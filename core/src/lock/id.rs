//! What sessions and grants are known by, and how long a lease may be.

use crate::Index;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A lock session: the index of the log entry that opened it, so never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Index);

impl SessionId {
    /// Wraps a number that came from outside.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(Index::new(number))
    }

    /// The bare number, for encoding and for people.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    pub(super) const fn opened_by(entry: Index) -> Self {
        Self(entry)
    }

    /// The entry that opened it.
    pub(super) const fn entry(self) -> Index {
        self.0
    }
}

/// A fencing token: the index of the log entry that granted the lock.
///
/// A resource that a lock protects remembers the highest token it saw and refuses a lower one:
///
/// ```
/// use quorate::lock::Token;
///
/// let (paused, successor) = (Token::new(33), Token::new(34));
/// let mut highest = None;
/// let mut admit = |token| { let fresh = highest <= Some(token); highest = highest.max(Some(token)); fresh };
/// assert!(admit(successor));
/// assert!(!admit(paused));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(Index);

impl Token {
    /// Wraps a number that came from outside.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(Index::new(number))
    }

    /// The bare number, to be sent along with what the lock protects.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    pub(super) const fn granted_by(entry: Index) -> Self {
        Self(entry)
    }

    /// The entry that granted.
    pub(super) const fn entry(self) -> Index {
        self.0
    }
}

/// How long a session lives without a renewal: from a millisecond to a day, in whole microseconds.
///
/// ```
/// use core::time::Duration;
/// use quorate::lock::Ttl;
///
/// let ttl = Ttl::new(Duration::from_secs(15)).expect("within the limits");
/// assert_eq!(ttl.duration(), Duration::from_secs(15));
/// assert_eq!(Ttl::new(Duration::ZERO), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// The shortest.
    pub const MIN: Self = Self(1_000);
    /// The longest.
    pub const MAX: Self = Self(24 * 60 * 60 * 1_000_000);

    /// `span`, if it is within the limits.
    #[must_use]
    pub const fn new(span: Duration) -> Option<Self> {
        Self::of_micros(crate::time::micros(span))
    }

    /// As a span.
    #[must_use]
    pub const fn duration(self) -> Duration {
        crate::time::span(self.0)
    }

    const fn of_micros(micros: u64) -> Option<Self> {
        if Self::MIN.0 <= micros && micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

impl TryFrom<u64> for Ttl {
    type Error = OutOfRange;

    fn try_from(micros: u64) -> Result<Self, OutOfRange> {
        Self::of_micros(micros).ok_or(OutOfRange)
    }
}

/// Bytes from outside name a lease that is too short or too long.
#[derive(Clone, Copy, Debug)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lease lasts from a millisecond to a day")
    }
}
