//! What peers tell each other, and what their logs hold.

use crate::{Batch, Index, Position, SnapshotId, Term};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry<C> {
    /// The term in which a leader first appended it.
    pub term: Term,
    /// What it holds.
    pub content: Content<C>,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Content<C> {
    /// Nothing: a new leader's first entry, which commits those before it (Raft 8).
    Empty,
    /// A command of the application.
    Command(C),
}

/// The number of a heartbeat round of one leader. An answer that bears it shows that the sender took this leader
/// for the leader after the round began (Raft thesis 6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Round(pub(crate) u64);

/// What peers tell each other. Each bears the sender's term but where it says otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a, C> {
    /// Asks for a vote (Raft 5.2), or whether one would be given (thesis 9.6).
    Vote {
        /// The term to be elected in; of a pre-vote the one that would come.
        term: Term,
        /// The end of the candidate's log.
        last: Position,
        /// Whether this only asks if.
        pre: bool,
    },
    /// Answers [`Vote`](Self::Vote).
    VoteReply {
        /// The term voted in; of a refusal, the voter's own.
        term: Term,
        /// Whether the vote is given.
        granted: bool,
        /// Whether this is only what would be.
        pre: bool,
    },
    /// Replicates entries; without any it tells the commit index, or that the leader lives (Raft 5.3).
    Append {
        /// The leader's term.
        term: Term,
        /// The entry before the first one.
        prev: Position,
        /// The entries.
        entries: Batch<'a, Entry<C>>,
        /// How far the leader has committed.
        commit: Index,
        /// The leader's current round.
        round: Round,
        /// Whether to answer at once. What becomes durable is told in any case.
        answer: bool,
    },
    /// The log agrees with the leader's up to here, durably.
    Accepted {
        /// The follower's term.
        term: Term,
        /// How far.
        matched: Index,
        /// The newest round heard of.
        round: Round,
    },
    /// The log has no such entry as an append says precedes it.
    Rejected {
        /// The follower's term.
        term: Term,
        /// The place of the entry that is missing: which append this rejects.
        prev: Index,
        /// The last entry of the follower that could agree: not beyond `prev`, nor of a later term.
        hint: Position,
        /// The newest round heard of.
        round: Round,
    },
    /// A message of an earlier term came: the sender's term is over.
    Stale {
        /// The term that is current here.
        term: Term,
    },
    /// A piece of a snapshot (Raft 7), for a follower behind the leader's window.
    Chunk {
        /// The leader's term.
        term: Term,
        /// The leader's current round.
        round: Round,
        /// The snapshot.
        of: SnapshotId,
        /// Where the bytes belong.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A snapshot is here, durably, up to an offset.
    Have {
        /// The follower's term.
        term: Term,
        /// The newest round heard of.
        round: Round,
        /// The snapshot.
        of: SnapshotId,
        /// How much of it.
        offset: u64,
    },
    /// Asks the leader how far reads have to see (Raft 8, thesis 6.4).
    ReadIndex {
        /// The follower's term.
        term: Term,
        /// The follower's own number for this.
        id: u64,
    },
    /// Answers [`ReadIndex`](Self::ReadIndex).
    ReadAt {
        /// The leader's term.
        term: Term,
        /// The follower's number.
        id: u64,
        /// Reads that were asked before then may be served from here on.
        index: Index,
    },
}

impl<C> Message<'_, C> {
    /// The term that the message bears.
    #[must_use]
    pub const fn term(&self) -> Term {
        match *self {
            Self::Vote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::Append { term, .. }
            | Self::Accepted { term, .. }
            | Self::Rejected { term, .. }
            | Self::Stale { term }
            | Self::Chunk { term, .. }
            | Self::Have { term, .. }
            | Self::ReadIndex { term, .. }
            | Self::ReadAt { term, .. } => term,
        }
    }
}
