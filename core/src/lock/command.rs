//! What clients ask of the lock table, and what they are told.

use super::{Name, SessionId, Token, Ttl};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// What changes the lock table. Each may be sent again when its reply was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<const NAME: usize = 64> {
    /// Opens a session, or renews the one that `client` opened before: [`Reply::Opened`].
    Open {
        /// A number that the client made up, so that a retry finds the same session.
        client: u64,
        /// How long the session lives without a renewal. A retry may ask for another; no lease gets shorter by it.
        ttl: Ttl,
    },
    /// Gives a session its whole lease again: [`Reply::Renewed`].
    Renew {
        /// Whose lease.
        session: SessionId,
    },
    /// Ends a session: [`Reply::Closed`]. Its locks pass on, and it waits for nothing any more.
    Close {
        /// Which.
        session: SessionId,
    },
    /// Takes a lock: [`Reply::Granted`], [`Reply::Queued`] or [`Reply::Held`].
    Acquire {
        /// For whom.
        session: SessionId,
        /// Which lock.
        name: Name<NAME>,
        /// What to do when another session holds it.
        wait: Wait,
    },
    /// Gives a lock back: [`Reply::Released`], and the first in line has it.
    Release {
        /// Who holds it.
        session: SessionId,
        /// Which lock.
        name: Name<NAME>,
        /// Of the grant that is given back.
        token: Token,
    },
    /// Stops waiting for a lock: [`Reply::Cancelled`].
    Cancel {
        /// Who waits.
        session: SessionId,
        /// Which lock.
        name: Name<NAME>,
    },
}

impl<const NAME: usize> crate::Command for Command<NAME> {
    fn weight(&self) -> usize {
        /// At most: which command, a session (10 bytes), how to wait (1) and how long (10 + 5).
        const NUMBERS: usize = 27;
        match self {
            Self::Open { .. } | Self::Renew { .. } | Self::Close { .. } => NUMBERS,
            Self::Acquire { name, .. } | Self::Release { name, .. } | Self::Cancel { name, .. } => {
                NUMBERS + 1 + name.len()
            }
        }
    }
}

/// What to do when another session holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Say so.
    No,
    /// Wait in line, at most this long of cluster time.
    AtMost(Duration),
    /// Wait in line until it is granted or cancelled, or the session ends.
    Unlimited,
}

/// What a command gets back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is open and has its whole lease.
    Opened {
        /// What it is known by.
        session: SessionId,
    },
    /// The session has its whole lease again.
    Renewed,
    /// There is no such session any more.
    Closed,
    /// The session holds the lock: since now, or since an earlier try.
    Granted {
        /// To be shown to what the lock protects.
        token: Token,
    },
    /// Another holds the lock; the session is in line. A [`Notice`] tells how that ends.
    Queued {
        /// How many wait before it.
        ahead: u32,
    },
    /// Another holds the lock, and the session does not wait.
    Held,
    /// The lock was given back.
    Released,
    /// The session does not hold the lock with that token; nothing changed.
    NotHeld,
    /// The session does not wait for the lock.
    Cancelled,
    /// The session has ended or never was; nothing changed. What it held is lost.
    SessionExpired,
    /// There is no room; nothing changed.
    Full(Limit),
}

/// A limit of the table, which is the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Open sessions.
    Sessions,
    /// Locks held at a time. A free lock takes no room.
    Locks,
    /// Sessions in line, over all locks.
    Waiters,
}

/// What the table tells of its own accord. How each wait ends is told once: by a notice that names the session and
/// the lock, or by one that says the session has ended. Of what one entry caused, the ends of sessions are told
/// first; so a wait that took too long in the very entry that then closes its session is told by both.
///
/// A node that takes in a snapshot skips the notices of the entries in it. Who waits there asks
/// [`Query::Standing`](super::Query::Standing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice<const NAME: usize = 64> {
    /// A wait is over: the session holds the lock.
    Granted {
        /// Who waited.
        session: SessionId,
        /// For which lock.
        name: Name<NAME>,
        /// To be shown to what the lock protects.
        token: Token,
    },
    /// A wait is over: it took as long as it might.
    TimedOut {
        /// Who waited.
        session: SessionId,
        /// For which lock.
        name: Name<NAME>,
    },
    /// A wait is over: it was cancelled.
    Cancelled {
        /// Who waited.
        session: SessionId,
        /// For which lock.
        name: Name<NAME>,
    },
    /// A session was not renewed in time; it holds nothing and waits for nothing.
    Expired {
        /// Which.
        session: SessionId,
    },
    /// A session was closed; it holds nothing and waits for nothing.
    Closed {
        /// Which.
        session: SessionId,
    },
}
