//! What a machine says of itself to be one of many groups.

use crate::{Instant, NodeId, Position, Staged, Term};

/// A machine that can be one of many groups on a node.
pub trait Member: Staged {
    /// This node.
    fn node(&self) -> NodeId;

    /// All nodes of the group, this one among them. The first 64 count.
    fn voters(&self) -> &[NodeId];

    /// What its receipts bear, which tells its lives from those of others.
    fn life(&self) -> u64;

    /// Whom something is about to be sent to.
    fn addressee(&self, plan: &Self::Plan) -> Option<NodeId>;

    /// Whether there is nothing to do as long as nobody asks or tells anything, and a clock that stands still would not be
    /// missed; and which state it is that this is true of. Asked when there is nothing to poll. A leader need not wait for
    /// those that are `absent`: once they are heard again it is told what they say, and that time goes on.
    fn rest(&self, absent: &dyn Fn(NodeId) -> bool) -> Option<Rest> {
        let _ = absent;
        None
    }

    /// It rests, and may do so for long: it gives back the memory that it holds and does not use.
    fn shrink(&mut self) {}

    /// Until when, by its clock, it holds on to a leader of which it hears nothing.
    fn holds_on(&self) -> Option<Instant> {
        None
    }

    /// Whether its clock may stop at this very moment, if it rests at all.
    fn may_stop(&self) -> bool {
        true
    }
}

/// The state of a group in which it has nothing to do. Two nodes of which it is the same hold the same, and both know so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The leader.
    pub leader: NodeId,
    /// Its term.
    pub term: Term,
    /// The last entry: it is committed and applied.
    pub last: Position,
}
