//! Where the nodes of one process meet.

use std::collections::BTreeMap;
use std::fmt;

use quorate::NodeId;
use quorate_driver::sync::{Arc, Mutex, lock};
use quorate_driver::{Sender, Unsent};

use crate::transport::stream::Piece;

/// A network without sockets, for nodes of one cluster in one process. Clones are of the same hub.
///
/// What one node says is handed to another as it is, in frames and in order. A node that does not run is not reached.
/// The hub has no bounds of its own: what waits for a node is bounded by [`Limits`](crate::Limits), as with sockets.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<BTreeMap<NodeId, Sender<Piece>>>>);

impl Hub {
    /// Lets a node be reached, for as long as it receives. An earlier life of it is replaced.
    pub(crate) fn enter(&self, id: NodeId, pieces: Sender<Piece>) {
        lock(&self.0).insert(id, pieces);
    }

    /// Hands frames to a node, if it is there and has room.
    pub(crate) fn pass(&self, to: NodeId, piece: Piece) -> Result<(), Unsent<Piece>> {
        match lock(&self.0).get(&to) {
            Some(pieces) => pieces.try_send(piece),
            None => Err(Unsent::Closed(piece)),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({:?})", lock(&self.0).keys())
    }
}
