//! Which connection from each peer counts.

use std::collections::BTreeMap;

use quorate::NodeId;

use crate::sync::{Arc, Mutex, lock};

/// The connection from each peer; at most one, the newest: an older one is that which its end has forgotten.
#[derive(Debug)]
pub struct Connections<C>(Mutex<BTreeMap<NodeId, Arc<C>>>);

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<C> Connections<C> {
    /// Makes a connection the one from its peer. The one before it comes back, and is to be closed.
    #[must_use = "it is to be closed"]
    pub fn replace(&self, from: NodeId, connection: Arc<C>) -> Option<Arc<C>> {
        lock(&self.0).insert(from, connection)
    }

    /// Forgets a connection that has ended, unless it was replaced.
    pub fn remove(&self, from: NodeId, connection: &Arc<C>) {
        let mut current = lock(&self.0);
        if current.get(&from).is_some_and(|newest| Arc::ptr_eq(newest, connection)) {
            current.remove(&from);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_replaced_connection_leaves_the_newer_one() {
        let (connections, peer) = (Connections::default(), NodeId::new(2));
        let (old, new) = (Arc::new(1), Arc::new(2));
        assert_eq!(connections.replace(peer, Arc::clone(&old)), None);
        assert_eq!(connections.replace(peer, Arc::clone(&new)), Some(Arc::clone(&old)));
        connections.remove(peer, &old);
        assert_eq!(connections.replace(peer, old), Some(new));
    }
}
