//! Claims about a replicated keyspace on three nodes with real connections.

mod common;

use std::time::Duration;

use common::soon;
use quorate::keyspace::{Answer, Change, Command, Keyspace, Query, Reply};
use quorate::raft::Role;
use quorate::replicated::{Outcome, Request, Settings};
use quorate::space::Heap;
use quorate::{Index, NodeId, Replicated};
use quorate_tokio::{Handle, TestCluster};

type Store = Replicated<Keyspace, Heap<3, 1024>>;
/// Compacted often, and sent in small chunks.
type SmallStore = Replicated<Keyspace, Heap<3, 64, 256>>;

/// Adds one to the counter, until it is known to be done. A failure is not an effect that is known: so the sum may
/// be larger than the number of calls.
async fn count<const WINDOW: usize, const CHUNK: usize>(
    handle: &Handle<Replicated<Keyspace, Heap<3, WINDOW, CHUNK>>>,
) -> i64 {
    let adding = async {
        loop {
            let command = Command::Change(Change::Add { key: "counter".into(), by: 1 });
            match handle.request(Request::Command(command)).await.expect("the node runs") {
                Outcome::Replied { reply: Reply::Answer(Answer::Integer(sum)), .. } => break sum,
                Outcome::Failed(_) => {}
                other => panic!("not a sum: {other:?}"),
            }
        }
    };
    soon("addition", adding).await
}

/// What was counted, which is no less than what anybody was told before.
async fn read(handle: &Handle<Store>) -> i64 {
    let asking = async {
        loop {
            let query = Query::Get { key: "counter".into() };
            match handle.request(Request::Query(query)).await.expect("the node runs") {
                Outcome::Answered(Answer::Value(Some(value))) => break value,
                Outcome::Failed(_) => {}
                other => panic!("no answer: {other:?}"),
            }
        }
    };
    let value = soon("query", asking).await;
    std::str::from_utf8(&value).expect("a number").parse().expect("a number")
}

async fn leader(cluster: &TestCluster<Store>) -> NodeId {
    let seeking = async {
        loop {
            for handle in cluster.handles() {
                let status = handle.inspect(Replicated::status).await.expect("the node runs");
                if status.role == Role::Leader {
                    return status.id;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("leader", seeking).await
}

#[tokio::test]
async fn every_node_takes_commands_and_answers_queries() {
    let cluster = TestCluster::<Store>::start(3, Settings::new).await.expect("it starts");
    let mut least = 0;
    for handle in cluster.handles() {
        let sum = count(handle).await;
        assert!(sum > least, "{sum} after {least}");
        for handle in cluster.handles() {
            let seen = read(handle).await;
            assert!(seen >= sum, "{seen} after {sum}");
            least = seen.max(least);
        }
    }
}

#[tokio::test]
async fn a_killed_leader_loses_nothing_and_is_soon_followed() {
    let mut cluster = TestCluster::<Store>::start(3, Settings::new).await.expect("it starts");
    let mut least = 0;
    for _ in 0..3 {
        let old = leader(&cluster).await;
        least = count(cluster.handle(old)).await;
        cluster.kill(old).await;
        let survivor = cluster.handles().next().expect("two run").clone();
        let sum = count(&survivor).await;
        assert!(sum > least, "{sum} after {least}");
        least = sum;
        cluster.start_again(old).await.expect("it starts");
    }
    for handle in cluster.handles() {
        let seen = read(handle).await;
        assert!(seen >= least, "{seen} after {least}");
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_is_replaced_and_catches_up() {
    let mut cluster = TestCluster::<Store>::start(3, Settings::new).await.expect("it starts");
    let old = leader(&cluster).await;
    let before = count(cluster.handle(old)).await;
    cluster.isolate(old);
    let other = cluster.ids().find(|id| *id != old).expect("there are three");
    let after = count(cluster.handle(other)).await;
    assert!(after > before);
    cluster.heal_all();
    assert!(read(cluster.handle(old)).await >= after);
}

#[tokio::test]
async fn a_node_that_was_away_too_long_is_sent_a_snapshot() {
    let mut cluster = TestCluster::<SmallStore>::start(3, Settings::new).await.expect("it starts");
    count(cluster.handle(NodeId::new(1))).await;
    let away = NodeId::new(3);
    cluster.kill(away).await;
    let value = vec![b'x'; 3000];
    let large = Change::Set {
        key: "large".into(),
        value: value.as_slice().into(),
        condition: Default::default(),
        expiry: Default::default(),
        previous: false,
    };
    let set = Request::Command(Command::Change(large));
    soon("set", cluster.handle(NodeId::new(1)).request(set)).await.expect("the node runs");
    let mut sum = 0;
    for _ in 0..200 {
        sum = count(cluster.handle(NodeId::new(1))).await;
    }
    cluster.start_again(away).await.expect("it starts");
    assert!(count(cluster.handle(away)).await > sum);
    let counters = cluster.handle(away).counters();
    assert!(counters.errands > 0, "no snapshot was loaded: {counters:?}");
    let applied = cluster.handle(away).inspect(|store| store.status().applied).await.expect("it runs");
    assert!(applied > Index::new(200));
}
