//! What is fixed for the life of a node.

use crate::host::Fault;
use crate::quorum::Slots;
use crate::space::List;
use crate::{NodeId, Space, time};
use core::time::Duration;

/// Of a full window, an eighth is kept for what must go on: the first entries of new leaders.
pub(super) const RESERVE: usize = 8;

/// When followers hear of what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitNotice {
    /// At once, in a message of its own: they apply soonest.
    AtOnce,
    /// With the next entries or heartbeat: two messages fewer an entry with three nodes.
    WithNext,
}

/// Who a node is, who its peers are, timing and limits.
///
/// ```
/// use quorate::{NodeId, raft::Config, space::Fixed};
/// use core::time::Duration;
///
/// let nodes = [1, 2, 3].map(NodeId::new);
/// let config = Config::<Fixed<3, 64>>::new(nodes[0], &nodes);
/// assert_eq!(config.election_timeout, Duration::from_millis(300));
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Config<S: Space> {
    /// This node.
    pub id: NodeId,
    /// All nodes that vote, this one among them. The same on each.
    pub voters: S::Nodes,
    /// How long a follower that hears nothing waits at least; the longest is twice this. Many times a round trip.
    pub election_timeout: Duration,
    /// How often an idle leader is heard. A fifth of the election timeout or less.
    pub heartbeat: Duration,
    /// The weight of the entries in one message, and the most that a proposal may weigh.
    pub append_bytes: usize,
    /// The weight of what is on its way to one peer.
    pub inflight_bytes: u64,
    /// The weight of the entries in one record.
    pub record_bytes: usize,
    /// The weight of the log in memory. It fits a record of its own when the log is compacted.
    pub window_bytes: u64,
    /// When followers hear of what is committed.
    pub commit_notice: CommitNotice,
    /// Ask whether an election could be won before disturbing anybody with one (thesis 9.6).
    pub pre_vote: bool,
    /// A leader that hears no quorum for an election timeout steps down, and nobody who hears a leader votes
    /// (thesis 6.2, 4.2.3).
    pub check_quorum: bool,
}

impl<S: Space> Config<S> {
    /// The defaults, which suit a local network and disks.
    #[must_use]
    pub fn new(id: NodeId, voters: &[NodeId]) -> Self {
        Self {
            id,
            // Not a part of them: nodes that know different parts of the cluster would not agree on who decides.
            voters: S::Nodes::of(voters.iter().copied().filter(|_| voters.len() <= S::PEERS)),
            election_timeout: Duration::from_millis(300),
            heartbeat: Duration::from_millis(60),
            append_bytes: 64 << 10,
            inflight_bytes: 1 << 20,
            record_bytes: 1 << 20,
            window_bytes: 32 << 20,
            commit_notice: CommitNotice::AtOnce,
            pre_vote: true,
            check_quorum: true,
        }
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// Which of them does not.
    pub fn check(&self) -> Result<(), Fault> {
        let voters: &[NodeId] = &self.voters;
        let twice = |at: usize, id: &NodeId| voters.iter().skip(at + 1).any(|other| other == id);
        let rules = [
            (!voters.contains(&self.id), "this node is not among the voters (or there are more than fit)"),
            (voters.iter().enumerate().any(|(at, id)| twice(at, id)), "a voter is named twice"),
            (S::PEERS > Slots::MOST, "a space for more peers than a word of this machine has bits"),
            (S::WINDOW < 4, "a window of less than four entries"),
            (S::CHUNK == 0, "snapshots in chunks of no bytes"),
            (self.heartbeat.is_zero(), "no time between heartbeats"),
            (self.election_timeout / 2 < self.heartbeat, "an election timeout of less than two heartbeats"),
            (self.append_bytes as u64 > self.window_bytes, "messages larger than the window"),
            (self.append_bytes > self.record_bytes, "messages larger than records"),
        ];
        rules.into_iter().find(|rule| rule.0).map_or(Ok(()), |rule| Err(Fault::Settings(rule.1)))
    }

    /// How many entries may be in the log when one is proposed, and what they may weigh together.
    pub(crate) const fn proposals(&self) -> (usize, u64) {
        (
            S::WINDOW - S::WINDOW.div_ceil(RESERVE),
            self.window_bytes - self.window_bytes.div_ceil(RESERVE as u64),
        )
    }

    pub(super) const fn heartbeat_micros(&self) -> u64 {
        time::micros(self.heartbeat)
    }

    pub(super) const fn election_micros(&self) -> u64 {
        time::micros(self.election_timeout)
    }
}
