//! What the lock table can be asked without changing anything.

use super::{Name, SessionId, Token};
use core::time::Duration;

/// Locks in one page of [`Query::Locks`].
pub const PAGE: usize = 4;

/// Asks without changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query<const NAME: usize = 64> {
    /// Who holds a lock: [`Answer::Owner`].
    Owner {
        /// Which lock.
        name: Name<NAME>,
    },
    /// How long a session lives: [`Answer::Session`].
    Session {
        /// Which.
        session: SessionId,
    },
    /// Whether a session holds a lock or waits for it: [`Answer::Standing`].
    Standing {
        /// Which session.
        session: SessionId,
        /// Which lock.
        name: Name<NAME>,
    },
    /// The locks that are held, in the order of their names: [`Answer::Locks`].
    Locks {
        /// The last of the page before.
        after: Option<Name<NAME>>,
    },
    /// How full the table is: [`Answer::Totals`].
    Totals,
}

/// Answers a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<const NAME: usize = 64> {
    /// Who holds the lock, if it is held.
    Owner(Option<Owner>),
    /// The session's lease, if it is open.
    Session(Option<Lease>),
    /// Whether the session holds the lock or waits for it.
    Standing(Standing),
    /// A page; the last one is shorter than [`PAGE`].
    Locks(heapless::Vec<Held<NAME>, PAGE>),
    /// How full the table is.
    Totals(Totals),
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The session.
    pub session: SessionId,
    /// The token of its grant.
    pub token: Token,
}

/// How a session stands to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds it.
    Holds(Token),
    /// It waits for it.
    Waits {
        /// How many wait before it.
        ahead: u32,
    },
    /// Neither.
    Apart,
}

/// The lease of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// About how long until it expires unless it is renewed. A client must not count on it: what counts is the time
    /// since it sent its last renewal.
    pub left: Duration,
    /// How long a renewal lasts.
    pub ttl: Duration,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<const NAME: usize = 64> {
    /// Its name.
    pub name: Name<NAME>,
    /// Who holds it.
    pub owner: Owner,
    /// How many wait for it.
    pub waiting: u32,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Open sessions.
    pub sessions: u32,
    /// Locks held.
    pub locks: u32,
    /// Sessions in line, over all locks.
    pub waiters: u32,
}
