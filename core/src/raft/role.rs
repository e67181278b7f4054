//! What a node is, with the state that only this role has.

use super::message::Round;
use super::peer::Progress;
use crate::durable::Gated;
use crate::quorum::Slots;
use crate::{Index, Instant, NodeId, Position, Space, Term};
use core::fmt;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Role {
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether it could be elected (thesis 9.6).
    PreCandidate,
    /// It asks for votes.
    Candidate,
    /// It was elected.
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        })
    }
}

/// A node's view of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node.
    pub id: NodeId,
    /// What it is.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// How far it knows entries to be committed.
    pub commit: Index,
    /// How far it has told committed entries.
    pub applied: Index,
    /// The end of its log.
    pub last: Index,
}

#[derive(Debug)]
pub(super) enum State<S: Space> {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader<S>),
}

/// Follows, and owes its leader answers. They are derived: the newest wins.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) leader: Option<usize>,
    /// The log is known to agree with the leader's up to here.
    pub(super) accepted: Index,
    /// What the leader was told is durable here.
    pub(super) acknowledged: Index,
    pub(super) round: Round,
    /// Whether to answer now, whatever is durable.
    pub(super) answer: bool,
    /// Whether to tell how much of a snapshot is here.
    pub(super) have: bool,
    /// An append that does not fit: the place before it, and what could agree.
    pub(super) rejected: Option<(Index, Position)>,
}

impl Follower {
    pub(super) fn of(leader: Option<usize>) -> Self {
        Self {
            leader,
            accepted: Index::default(),
            acknowledged: Index::default(),
            round: Round::default(),
            answer: false,
            have: false,
            rejected: None,
        }
    }
}

/// Stands for election, or asks whether it should.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) pre: bool,
    pub(super) votes: Slots,
    /// Who has to be asked.
    pub(super) ask: Slots,
    /// What is claimed, the term and the end of the log, must be durable before it is claimed, and so must the own
    /// vote before it counts.
    pub(super) gate: Gated<()>,
}

/// Leads.
#[derive(Debug)]
pub(super) struct Leader<S: Space> {
    pub(super) progress: S::Table<Progress>,
    /// The place of its first entry. Once that is committed, so is all that any leader before it committed.
    pub(super) first: Index,
    /// The newest round. Answers that bear it were sent after it began.
    pub(super) round: Round,
    /// Whether a read waits for a round to begin.
    pub(super) wants_round: bool,
    /// Who wants a chunk of a snapshot that the driver has to be asked for.
    pub(super) wanted: Slots,
    /// Who was heard since the last check of the quorum.
    pub(super) heard: Slots,
    pub(super) check: Instant,
}

impl<S: Space> Leader<S> {
    /// From where on reads that were asked now may be served. Raft 8: not before an entry of the own term is committed
    /// is it known what all is.
    pub(super) fn read_index(&self, commit: Index) -> Index {
        commit.max(self.first)
    }
}
