//! What is replicated: a plain, deterministic state.

mod both;

pub use both::{Both, Either};

use crate::codec::{Full, Malformed, Sink};
use crate::{Command, Index};
use core::fmt::Debug;
use core::time::Duration;
use serde::{Serialize, de::DeserializeOwned};

/// Cluster time: microseconds, as the log tells it. It never goes back and never runs ahead of a real clock that
/// was started with it: it stands still while there is no leader or nothing to time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `micros` microseconds after the cluster began.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the cluster began.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(crate::time::micros(span)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        crate::time::span(self.0.saturating_sub(earlier.0))
    }
}

/// Where and when an entry is applied: the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The entry's place in the log: strictly increasing, never reused.
    pub index: Index,
    /// Cluster time.
    pub time: Timestamp,
}

/// A deterministic state machine: the same commands at the same moments give the same state, the same replies and
/// the same notices, on every replica, machine and build. No clock, no chance, no iteration order of a hash map.
///
/// Limits of the state (how many keys, how many sessions) must be the same on every replica too, so they are part
/// of the type or fixed in the code, never read from a node's own configuration.
pub trait Application: Debug + Default + 'static {
    /// What changes the state. Replicated, so it goes through the log.
    type Command: Command + Serialize + DeserializeOwned;
    /// What a command gets back. Kept for retries, so it should be small or cheap to clone.
    type Reply: Clone + Debug + Serialize + DeserializeOwned + 'static;
    /// What asks without changing anything.
    type Query: Debug + 'static;
    /// What a query gets back.
    type Answer: Debug + 'static;
    /// What the application tells of its own accord, on every replica: such as that a waiter's turn has come.
    type Notice: Debug + 'static;

    /// Lets cluster time pass: what is due by `now.time` happens. Called before each command, and by itself when
    /// [`deadline`](Self::deadline) has passed.
    fn tick(&mut self, now: Moment);

    /// Carries out a command.
    fn apply(&mut self, now: Moment, command: &Self::Command) -> Self::Reply;

    /// The next notice of what was done so far, if any. Asked until there is none after each entry, so it need
    /// hold no more of them than one entry can cause.
    fn notice(&mut self) -> Option<Self::Notice>;

    /// When [`tick`](Self::tick) next has something to do.
    fn deadline(&self) -> Option<Timestamp>;

    /// Answers a query from the state as it is. `now` estimates cluster time and must decide nothing that
    /// commands rely on; it serves to show how long something has left.
    fn query(&self, now: Timestamp, query: &Self::Query) -> Self::Answer;

    /// Writes the whole state, without pending notices.
    ///
    /// # Errors
    /// The sink is full.
    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full>;

    /// Takes on the state that [`snapshot`](Self::snapshot) wrote as `bytes`, in place of its own.
    ///
    /// # Errors
    /// The bytes are no such state, and the application must not go on. Nothing in them may panic, hang or exhaust
    /// memory.
    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed>;

    /// An application with the state that [`snapshot`](Self::snapshot) wrote as `bytes`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn restore(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut application = Self::default();
        application.load(bytes)?;
        Ok(application)
    }
}
