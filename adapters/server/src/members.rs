//! Where clients find each node.
//!
//! A node is started with the addresses at which peers talk to each other. Where it listens for clients it tells the
//! others by a key of its own in the keyspace.

use crate::placement::Placement;
use crate::store::{Store, Unavailable};
use quorate::NodeId;
use quorate::keyspace::{Answer, Blob, Change, Command, Condition, Expiry, Query, Reply};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long to wait before an announcement that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The nodes of a cluster, and where they listen for clients.
#[derive(Debug)]
pub struct Members {
    own: NodeId,
    addresses: Mutex<BTreeMap<NodeId, Option<String>>>,
}

impl Members {
    /// The nodes of the cluster that `own` is of, with the addresses that are known.
    #[must_use]
    pub fn new(own: NodeId, addresses: impl IntoIterator<Item = (NodeId, Option<String>)>) -> Self {
        Self { own, addresses: Mutex::new(addresses.into_iter().collect()) }
    }

    /// Tells the others the own address, as long as it takes.
    pub(crate) async fn announce<S: Store>(&self, store: &S, placement: &Placement) {
        let Some((_, Some(address))) = self.known().into_iter().find(|(id, _)| *id == self.own) else {
            return;
        };
        // Ends with the server, if no quorum ever comes.
        while self.try_announce(store, placement, &address).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All nodes; those whose address is not known are looked up in what this node has applied so far.
    pub(crate) async fn list<S: Store>(
        &self,
        store: &S,
        placement: &Placement,
    ) -> Vec<(NodeId, Option<String>)> {
        let known = self.known();
        for (id, _) in known.iter().filter(|(_, address)| address.is_none()) {
            let key = key(*id);
            let told = store.peek(placement.group(&key), Query::Get { key }).await;
            if let Ok(Answer::Value(Some(told))) = told {
                let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
                addresses.insert(*id, Some(String::from_utf8_lossy(&told).into_owned()));
            }
        }
        self.known()
    }

    fn known(&self) -> Vec<(NodeId, Option<String>)> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.iter().map(|(id, address)| (*id, address.clone())).collect()
    }

    async fn try_announce<S: Store>(
        &self,
        store: &S,
        placement: &Placement,
        address: &str,
    ) -> Result<(), Unavailable> {
        let (key, value) = (key(self.own), Blob::from(address));
        let group = placement.group(&key);
        let told = store.query(group, Query::Get { key: key.clone() }).await?;
        if told == Answer::Value(Some(value.clone())) {
            return Ok(());
        }
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let set = Change::Set { key, value, condition, expiry, previous: false };
        match store.command(group, Command::Change(set)).await?.await? {
            Reply::Answer(Answer::Done) => Ok(()),
            Reply::Answer(_) | Reply::Answers(_) | Reply::Conflict => Err(Unavailable::Busy),
        }
    }
}

/// The key under which a node says where it listens.
fn key(id: NodeId) -> Blob {
    Blob::from(format!("quorate:address:{}", id.get()).as_str())
}
