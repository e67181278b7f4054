//! What the tests share.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of it")]

#[path = "../../../driver/tests/common/adder.rs"]
pub mod adder;

use std::time::Duration;

use adder::{Adder, Request, Settings};
use quorate::{ClusterId, NodeId};
use quorate_tokio::{Builder, Handle, Limits, Node};

pub const CLUSTER: ClusterId = ClusterId::new(7);
pub const ONE: NodeId = NodeId::new(1);
pub const TWO: NodeId = NodeId::new(2);

/// How long anything may take, on a machine that is busy with something else.
pub const LONG: Duration = Duration::from_secs(60);

/// The usual limits, but that nobody is sent away for being slow to shake hands, as on a machine that is busy with
/// something else.
pub fn patient() -> Limits {
    Limits { handshake_time: LONG, ..Limits::default() }
}

/// A node with these peers; the toy machine waits for all of them.
pub fn node(id: NodeId, peers: &[NodeId]) -> Builder<Adder> {
    Node::builder(CLUSTER, id, settings(id, peers)).limits(patient())
}

pub fn settings(id: NodeId, peers: &[NodeId]) -> Settings {
    let peers = peers.iter().copied().filter(|peer| *peer != id).collect();
    Settings { id, peers, window: 1024, snapshot_after: 0 }
}

/// Adds one and returns the sum.
pub async fn add_one(handle: &Handle<Adder>) -> u64 {
    match soon("addition", handle.request(Request::Add(1))).await.expect("the node runs") {
        adder::Outcome::Added(sum) => sum,
        adder::Outcome::Bytes(bytes) => panic!("bytes for an addition: {bytes:?}"),
    }
}

/// Waits until something is so, and fails if it is not in time.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, waiting).await.is_ok(), "never happened: {what}");
}

/// What must end soon.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("never ended: {what}"),
    }
}
