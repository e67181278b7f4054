//! Claims about a replicated keyspace on three nodes, over sockets and in a hub.

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{Cluster, nets, soon};
use quorate::keyspace::{Answer, Change, Command, Keyspace, Query, Reply};
use quorate::raft::Role;
use quorate::replicated::{Outcome, Request, Settings};
use quorate::space::Heap;
use quorate::{NodeId, Replicated};
use quorate_threads::Handle;

type Store = Replicated<Keyspace, Heap<3, 1024>>;
/// Compacted often, and sent in small chunks.
type SmallStore = Replicated<Keyspace, Heap<3, 64, 256>>;
type Small<const WINDOW: usize, const CHUNK: usize> = Replicated<Keyspace, Heap<3, WINDOW, CHUNK>>;

/// Asks until there is an outcome that is no failure, which is one whose effect is not known.
fn ask<const W: usize, const C: usize>(
    handle: &Handle<Small<W, C>>,
    request: impl Fn() -> Request<Keyspace>,
) -> Outcome<Keyspace> {
    for _ in 0..1000 {
        let answer = handle.submit(request()).expect("the node runs");
        match soon("outcome", answer).expect("the node runs") {
            Outcome::Failed(_) => {}
            outcome => return outcome,
        }
    }
    panic!("it always fails")
}

/// Adds one to the counter, until it is known to be done: so the sum may be larger than the number of calls.
fn count<const W: usize, const C: usize>(handle: &Handle<Small<W, C>>) -> i64 {
    let add = || Request::Command(Command::Change(Change::Add { key: "counter".into(), by: 1 }));
    match ask(handle, add) {
        Outcome::Replied { reply: Reply::Answer(Answer::Integer(sum)), .. } => sum,
        other => panic!("not a sum: {other:?}"),
    }
}

/// What was counted, which is no less than what anybody was told before.
fn read(handle: &Handle<Store>) -> i64 {
    match ask(handle, || Request::Query(Query::Get { key: "counter".into() })) {
        Outcome::Answered(Answer::Value(Some(value))) => {
            std::str::from_utf8(&value).expect("a number").parse().expect("a number")
        }
        other => panic!("no answer: {other:?}"),
    }
}

fn leader(cluster: &Cluster<Store>) -> NodeId {
    for _ in 0..10_000 {
        for handle in cluster.handles() {
            let status = handle.inspect(Replicated::status).expect("the node runs");
            if status.role == Role::Leader {
                return status.id;
            }
        }
        sleep(Duration::from_millis(5));
    }
    panic!("no leader")
}

#[test]
fn every_node_takes_commands_and_answers_queries() {
    for net in nets() {
        let cluster = Cluster::<Store>::start(net, 3, Settings::new);
        let mut least = 0;
        for handle in cluster.handles() {
            let sum = count(handle);
            assert!(sum > least, "{sum} after {least}");
            for handle in cluster.handles() {
                let seen = read(handle);
                assert!(seen >= sum, "{seen} after {sum}");
                least = seen.max(least);
            }
        }
    }
}

#[test]
fn a_killed_leader_loses_nothing_and_is_soon_followed() {
    for net in nets() {
        let mut cluster = Cluster::<Store>::start(net, 3, Settings::new);
        let mut least = 0;
        for _ in 0..3 {
            let old = leader(&cluster);
            least = count(cluster.handle(old));
            cluster.kill(old);
            let survivor = cluster.handles().next().expect("two run").clone();
            let sum = count(&survivor);
            assert!(sum > least, "{sum} after {least}");
            least = sum;
            cluster.start_again(old);
        }
        for handle in cluster.handles() {
            let seen = read(handle);
            assert!(seen >= least, "{seen} after {least}");
        }
    }
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_catches_up() {
    for net in nets() {
        let cluster = Cluster::<Store>::start(net, 3, Settings::new);
        let old = leader(&cluster);
        let before = count(cluster.handle(old));
        let others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != old).collect();
        others.iter().for_each(|other| cluster.set_cut(old, *other, true));
        let after = count(cluster.handle(others[0]));
        assert!(after > before);
        others.iter().for_each(|other| cluster.set_cut(old, *other, false));
        assert!(read(cluster.handle(old)) >= after);
    }
}

#[test]
fn a_node_that_was_away_too_long_is_sent_a_snapshot() {
    for net in nets() {
        let mut cluster = Cluster::<SmallStore>::start(net, 3, Settings::new);
        let (one, away) = (NodeId::new(1), NodeId::new(3));
        count(cluster.handle(one));
        cluster.kill(away);
        let mut sum = 0;
        for _ in 0..200 {
            sum = count(cluster.handle(one));
        }
        cluster.start_again(away);
        assert!(count(cluster.handle(away)) > sum);
        let counters = cluster.handle(away).counters();
        assert!(counters.errands > 0, "no snapshot was loaded: {counters:?}");
    }
}
