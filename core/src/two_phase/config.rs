//! What is fixed for the life of a node.

use crate::rng::mix;
use crate::space::List;
use crate::{Fault, Instant, NodeId, Space};
use core::time::Duration;

/// Who the node is, who may take part with it, and its patience.
#[derive(Clone, Debug)]
pub struct Config<S: Space> {
    /// This node.
    pub id: NodeId,
    /// All nodes that may take part in a transaction with it, itself among them if it does.
    pub nodes: S::Nodes,
    /// A transaction that not all have voted on by then is given up. Only its coordinator's clock counts.
    pub vote_timeout: Duration,
    /// What may have been lost is said again after this: by a coordinator to those who have not answered, by a participant
    /// that has promised and not heard.
    pub resend: Duration,
    /// How much the work of one node may weigh.
    pub work_bytes: usize,
}

impl<S: Space> Config<S> {
    /// The defaults: half a second to vote in, a tenth of it to answer in.
    #[must_use]
    pub fn new(id: NodeId, nodes: &[NodeId]) -> Self {
        Self {
            id,
            // Not a part of them: who is left out would be a stranger here.
            nodes: S::Nodes::of(nodes.iter().copied().filter(|_| nodes.len() <= S::PEERS)),
            vote_timeout: Duration::from_millis(500),
            resend: Duration::from_millis(50),
            work_bytes: 64 << 10,
        }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let is_twice =
            |(at, node): (usize, &NodeId)| self.nodes.iter().skip(at + 1).any(|other| other == node);
        let why = if self.nodes.is_empty() {
            "no node takes part (or more than fit)"
        } else if S::CALLS == 0 {
            "room for no transaction"
        } else if self.nodes.len() > crate::quorum::Slots::MOST {
            "more nodes than a set can name"
        } else if self.nodes.iter().enumerate().any(is_twice) {
            "a node is named twice"
        } else if self.vote_timeout.is_zero() || self.resend.is_zero() {
            "no time to answer in"
        } else {
            return Ok(());
        };
        Err(Fault::Settings(why))
    }

    /// What tells a life of a machine from others, also where a seed is used twice: one that wrote anything left records.
    pub(super) fn brand(&self, seed: u64, left: [u64; 2], now: Instant) -> u64 {
        let [a, b] = left;
        let life = [self.id.get(), a, b, now.as_micros()];
        life.into_iter().fold(mix(!seed), |brand, number| mix(brand.rotate_left(21).wrapping_add(number)))
    }

    /// Where a node is in the list.
    pub(super) fn slot(&self, node: NodeId) -> Option<usize> {
        self.nodes.iter().position(|&known| known == node)
    }
}

/// What was dropped, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of nodes that take part in nothing here.
    pub strangers: u64,
    /// Messages that no correct peer sends: votes and decisions of nodes that do not take part, among others.
    pub nonsense: u64,
    /// Messages about what has long ended.
    pub stale: u64,
    /// Decisions that contradict what was decided here, or by an operator.
    pub contradictions: u64,
    /// Questions that there was no room to answer; they come again.
    pub unanswered: u64,
    /// Receipts of another machine, or of an earlier life of this one.
    pub foreign_receipts: u64,
}
