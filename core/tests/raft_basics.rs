//! What Raft does when nothing goes wrong, and when something simple does.

mod support;

use quorate::raft::{Event, Message, Reason, Request, Role};
use quorate::{Input, Machine};
use std::time::Duration;
use support::{Cluster, node};

#[test]
fn three_nodes_elect_one_leader_and_agree() {
    let mut cluster = Cluster::new(3);
    cluster.pass(Duration::from_secs(1));
    let leaders: Vec<_> = (1..=3).filter(|&id| cluster.raft(id).status().role == Role::Leader).collect();
    assert_eq!(leaders.len(), 1);
    for value in 1..=20 {
        cluster.propose(leaders[0], value);
    }
    cluster.run();
    for id in 1..=3 {
        assert_eq!(cluster.values(id), (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn an_entry_costs_six_messages_with_three_nodes() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let before = cluster.sent;
    cluster.propose(1, 7);
    cluster.run();
    assert_eq!(cluster.sent - before, 6);
}

#[test]
fn an_idle_cluster_sends_heartbeats_and_nothing_else() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.pass(Duration::from_millis(100));
    let before = cluster.sent;
    cluster.pass(Duration::from_millis(600));
    assert_eq!(cluster.sent - before, 10 * 4, "ten rounds to two followers, and their answers");
}

#[test]
fn a_killed_leader_is_replaced_within_two_election_timeouts() {
    for first in 1..=3 {
        let mut cluster = Cluster::new(3);
        cluster.elect(first);
        cluster.propose(first, 1);
        cluster.run();
        cluster.host(first).up = false;
        cluster.pass(Duration::from_millis(600));
        let next = (1..=3).find(|&id| id != first && cluster.raft(id).status().role == Role::Leader);
        let next = next.expect("somebody else leads");
        cluster.propose(next, 2);
        cluster.run();
        assert_eq!(cluster.values(next), [1, 2]);
    }
}

#[test]
fn a_follower_refuses_proposals_and_names_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    let now = cluster.now;
    let refusal = cluster.host(1).raft.request(now, Request::Propose(5)).expect_err("it is not the leader");
    assert_eq!(refusal.request, Request::Propose(5));
    assert_eq!(refusal.reason, Reason::NotLeader(Some(node(2))));
}

#[test]
fn a_full_window_refuses_and_takes_up_again_after_compaction() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    let mut taken = 0;
    while cluster.host(1).raft.request(now, Request::Propose(taken + 1)).is_ok() {
        taken += 1;
        assert!(taken < 64, "the window is bounded");
    }
    cluster.wake(1);
    cluster.run();
    assert_eq!(cluster.values(1).len() as u64, taken, "what was taken up is committed");
    cluster.compact(1, 8);
    cluster.propose(1, 1000);
    cluster.run();
    assert_eq!(cluster.values(3).last(), Some(&1000));
}

#[test]
fn a_read_on_any_node_sees_what_was_written_before() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let at = cluster.propose(1, 7);
    cluster.run();
    for id in 1..=3 {
        let now = cluster.now;
        cluster.host(id).raft.request(now, Request::Read).expect("reads are always taken up");
        cluster.drain(id);
        cluster.run();
        let Some(Event::Readable { from, .. }) = cluster.host(id).readable.pop() else {
            panic!("node {id} answers its read")
        };
        assert!(from >= at.index, "node {id} reads from {from}");
    }
}

#[test]
fn a_read_waits_for_a_quorum() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    cluster.run_but(|flying| flying.to == node(1));
    assert!(cluster.host(1).readable.is_empty());
    cluster.pass(Duration::from_millis(200));
    assert_eq!(cluster.host(1).readable.len(), 1);
}

#[test]
fn a_follower_behind_the_window_gets_a_snapshot_in_chunks() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=30 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    cluster.compact(1, 100);
    cluster.propose(1, 31);
    cluster.pass(Duration::from_millis(500));
    assert_eq!(cluster.values(3), [31]);
    assert_eq!(cluster.host(3).disk.snapshots.len(), 1);
    cluster.restart(3);
    cluster.pass(Duration::from_millis(200));
    assert_eq!(cluster.values(3), [31], "the snapshot and the log after it survive");
}

#[test]
fn a_restarted_cluster_has_all_that_was_told() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=10 {
        cluster.propose(1, value);
    }
    cluster.run();
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.pass(Duration::from_secs(1));
    for id in 1..=3 {
        assert_eq!(cluster.values(id), (1..=10).collect::<Vec<_>>());
    }
}

#[test]
fn strangers_are_dropped_and_counted() {
    let mut cluster = Cluster::new(3);
    let message = Message::Stale { term: quorate::Term::new(9) };
    let now = cluster.now;
    cluster.host(1).raft.handle(now, Input::Message { from: node(9), message });
    assert_eq!(cluster.raft(1).counters().strangers, 1);
    assert_eq!(cluster.raft(1).status().term.get(), 0);
}
