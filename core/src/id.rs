//! Names: newtypes without arithmetic, so that a term is never added to an index.

use core::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $show:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        pub struct $name(u64);

        impl $name {
            /// Wraps a number that came from outside: a configuration, a frame, a record.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number, for encoding and for people.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after this. Numbers are never reused, so the end of `u64` is never reached.
            #[must_use]
            #[cfg_attr(target_pointer_width = "32", inline(never))]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($show, "{}"), self.0)
            }
        }
    };
}

name! {
    /// One node of a cluster. Never reused for a node that lost its disk.
    NodeId, "n"
}
name! {
    /// A Raft term (Raft 5.1). Term 0 is before the first election.
    Term, "t"
}
name! {
    /// A place in the log, from 1. Index 0 is before the first entry.
    Index, "i"
}
name! {
    /// One cluster. A frame of another cluster is dropped.
    ClusterId, "c"
}
name! {
    /// One of many groups that the same nodes form, each with a log of its own.
    GroupId, "g"
}
name! {
    /// How old a transaction is: a Lamport time, smaller is older. Ties are broken by [`TxId`]. A transaction that is
    /// tried again keeps it.
    Age, "a"
}

/// A transaction: who coordinates it, and which of that node's it is. Never used again.
///
/// ```
/// use quorate::{NodeId, TxId};
///
/// let tx = TxId { coordinator: NodeId::new(1), number: 17 };
/// assert_eq!(tx.to_string(), "n1.17");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxId {
    /// The node that decides.
    pub coordinator: NodeId,
    /// That node's own count.
    pub number: u64,
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.coordinator, self.number)
    }
}

impl Index {
    /// The one before, or `None` before the first entry.
    pub(crate) const fn before(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// How many places lie between `earlier` and this; 0 if it is not later.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The place `count` after this.
    pub(crate) const fn forward(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// What an entry is known by: two logs that hold the same position agree on everything up to it (Raft 5.3).
///
/// Orders by term first, then by index, which is the up-to-date order of Raft 5.4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// The term in which a leader first appended the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: Index,
}

impl Position {
    /// Before the first entry.
    pub const ORIGIN: Self = Self { term: Term::new(0), index: Index::new(0) };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}
