//! Where clients find each node.
//!
//! A node is started with the addresses at which peers talk to each other. Where it listens for clients it tells the
//! others by a key of its own in the keyspace.

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
    pub(crate) async fn announce<S: Store>(&self, store: &S) {
        let Some((_, Some(address))) = self.known().into_iter().find(|(id, _)| *id == self.own) else {
            return;
        };
        // Ends with the server, if no quorum ever comes.
        while self.try_announce(store, &address).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All nodes; those whose address is not known are looked up in what this node has applied so far.
    pub(crate) async fn list<S: Store>(&self, store: &S) -> Vec<(NodeId, Option<String>)> {
        let known = self.known();
        let keys: Vec<_> = known.iter().map(|(id, _)| key(*id)).collect();
        if known.iter().all(|(_, address)| address.is_some()) {
            return known;
        }
        if let Ok(Answer::Values(told)) = store.peek(Query::GetAll { keys }).await {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            for ((_, address), told) in addresses.iter_mut().zip(told) {
                let told = told.map(|told| String::from_utf8_lossy(&told).into_owned());
                *address = address.take().or(told);
            }
        }
        self.known()
    }

    fn known(&self) -> Vec<(NodeId, Option<String>)> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.iter().map(|(id, address)| (*id, address.clone())).collect()
    }

    async fn try_announce<S: Store>(&self, store: &S, address: &str) -> Result<(), Unavailable> {
        let (key, value) = (key(self.own), Blob::from(address));
        let told = store.query(Query::Get { key: key.clone() }).await?;
        if told == Answer::Value(Some(value.clone())) {
            return Ok(());
        }
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let set = Change::Set { key, value, condition, expiry, previous: false };
        match store.command(Command::Change(set)).await?.await? {
            Reply::Answer(Answer::Done) => Ok(()),
            Reply::Answer(_) | Reply::Answers(_) | Reply::Conflict => Err(Unavailable::Busy),
        }
    }
}

/// The key under which a node says where it listens.
fn key(id: NodeId) -> Blob {
    Blob::from(format!("quorate:address:{}", id.get()).as_str())
}
