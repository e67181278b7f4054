//! Who a node is.

use quorate::{ClusterId, NodeId};

/// Who a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it is of.
    pub cluster: ClusterId,
    /// Which of its nodes it is.
    pub id: NodeId,
}
