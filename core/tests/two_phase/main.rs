//! Two-phase commit, through `Machine` only.

mod alone;
mod bytes;
mod chance;
mod cluster;
mod crash_points;
mod disks;
mod late;
mod play;
mod scenarios;

use cluster::{Cluster, Manner};
use quorate::two_phase::coordinator::{Cause, Outcome};

#[test]
fn what_all_can_do_is_done_by_all_in_twelve_messages_and_seven_syncs() {
    let mut cluster = Cluster::new(4);
    cluster.begin(1, &[2, 3, 4]);
    cluster.settle();
    let before = (cluster.messages, cluster.nodes.iter().map(|node| node.syncs).sum::<u64>());
    let tx = cluster.begin(1, &[2, 3, 4]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
    for number in 2..=4 {
        assert_eq!(cluster.at(number).done[&tx], (1, true));
    }
    let syncs = cluster.nodes.iter().map(|node| node.syncs).sum::<u64>();
    assert_eq!((cluster.messages - before.0, syncs - before.1), (12, 7));
}

#[test]
fn what_is_over_is_forgotten_without_waiting_for_anything() {
    let mut cluster = Cluster::new(4);
    for number in 2..=4 {
        cluster.at(number).manner = Manner::Reads;
    }
    cluster.begin(1, &[2, 3, 4]);
    cluster.settle();
    assert_eq!(cluster.machine(1).coordinator().transactions().count(), 0);
}

#[test]
fn what_one_cannot_do_is_done_by_nobody() {
    let mut cluster = Cluster::new(4);
    cluster.at(3).manner = Manner::Refuses;
    let tx = cluster.begin(1, &[2, 3, 4]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Aborted(Cause::Refused(cluster::node(3))));
    assert_eq!((cluster.at(2).done[&tx], cluster.at(4).done[&tx]), ((1, false), (1, false)));
    assert!(!cluster.at(3).done.contains_key(&tx));
}

#[test]
fn the_only_one_does_it_at_once() {
    let mut cluster = Cluster::new(2);
    cluster.begin(1, &[2]);
    cluster.settle();
    let before = cluster.messages;
    let tx = cluster.begin(1, &[2]);
    cluster.settle();
    assert_eq!((cluster.at(1).outcomes[&tx], cluster.at(2).done[&tx]), (Outcome::Committed, (1, true)));
    assert_eq!(cluster.messages - before, 2);
}

#[test]
fn a_node_takes_part_in_its_own_transactions() {
    let mut cluster = Cluster::new(2);
    let tx = cluster.begin(1, &[1, 2]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
    assert_eq!((cluster.at(1).done[&tx], cluster.at(2).done[&tx]), ((1, true), (1, true)));
}

#[test]
fn a_promise_outlives_a_crash_and_is_told_before_anything_else() {
    let mut cluster = Cluster::new(3);
    let tx = cluster.begin(1, &[2, 3]);
    // Both have promised; their votes are lost with the coordinator's memory.
    while let Some(letter) = cluster.wire.pop_front() {
        if letter.to.get() != 1 {
            cluster.deliver(&letter);
        }
    }
    cluster.crash(1);
    cluster.crash(2);
    cluster.start(2);
    assert_eq!(cluster.at(2).retaken, [tx]);
    cluster.pass(1_000);
    assert!(cluster.at(2).done.is_empty() && cluster.at(3).done.is_empty(), "nobody decides alone");
    cluster.start(1);
    cluster.pass(1_000);
    assert_eq!(
        (cluster.at(2).done[&tx], cluster.at(3).done[&tx]),
        ((1, false), (1, false)),
        "presumed abort"
    );
}
