//! Settings, and what a node finds on its disk.

use super::support::*;
use quorate::groups::Settings;
use quorate::{Fault, Instant, NodeId};
use std::time::Duration;

fn fault(settings: &Settings<quorate::replicated::Settings<Space>>) -> Option<Fault> {
    restore(settings, 1, Instant::default(), &[], &[]).err()
}

#[test]
fn settings_that_make_no_sense_are_a_fault() {
    let id = NODES[0];
    let sound = || settings(id, 2);
    assert_eq!(fault(&sound()), None);
    assert_eq!(fault(&settings(id, 0)), Some(Fault::Settings("no groups")));
    let twice = Settings {
        groups: vec![(group(1), member(id)), (group(0), member(id)), (group(1), member(id))],
        ..sound()
    };
    assert_eq!(fault(&twice), Some(Fault::Settings("a group is named twice")));
    let mixed = Settings { groups: vec![(group(1), member(id)), (group(2), member(NODES[1]))], ..sound() };
    assert_eq!(fault(&mixed), Some(Fault::Settings("groups of different nodes")));
    let never = Settings { beat: Duration::ZERO, ..sound() };
    assert_eq!(fault(&never), Some(Fault::Settings("no time between beats")));
    let hasty = Settings { silence: Duration::from_millis(299), ..sound() };
    assert_eq!(fault(&hasty), Some(Fault::Settings("a silence of less than three beats")));
    let stranger = Settings { groups: vec![(group(1), member(NodeId::new(9)))], ..sound() };
    assert!(
        matches!(fault(&stranger), Some(Fault::Settings(_))),
        "what a group does not take, its node does not"
    );
}

#[test]
fn each_group_takes_in_its_own_records() {
    let mut cluster = Cluster::new(|id| settings(id, 3));
    cluster.pass(Duration::from_secs(2));
    for of in 0..3 {
        cluster.add(NODES[0], of, 5 + of);
    }
    let before: Vec<_> = (0..3).map(|of| cluster.status(NODES[2], of).term).collect();
    for id in NODES {
        cluster.crash(id);
    }
    for id in NODES {
        cluster.restart(id);
    }
    for (of, before) in (0..3).zip(before) {
        assert!(cluster.status(NODES[2], of).term >= before);
        assert_eq!(cluster.total(NODES[1], of), 5 + of);
    }
}

#[test]
fn records_of_a_group_that_is_not_named_are_a_fault() {
    let mut cluster = Cluster::new(|id| settings(id, 3));
    cluster.pass(Duration::from_secs(2));
    let host = cluster.host(NODES[0]);
    let found = restore(&settings(NODES[0], 2), 7, Instant::default(), &host.records, &[]).err();
    assert_eq!(found, Some(Fault::Settings("there are records of a group that is not named")));
    let of = quorate::SnapshotId::new(quorate::Position::ORIGIN, 0).in_group(group(2));
    let found = restore(&settings(NODES[0], 2), 7, Instant::default(), &[], &[(of, Vec::new())]).err();
    assert_eq!(found, Some(Fault::Settings("there are snapshots of a group that is not named")));
}

#[test]
fn a_record_that_is_none_is_a_fault() {
    for record in [&[][..], &[1], &[2, 0, 1], &[1, 0, 1, 9]] {
        let found = restore(&settings(NODES[0], 2), 7, Instant::default(), &[record.to_vec()], &[]).err();
        assert!(matches!(found, Some(Fault::Malformed(_))), "{record:?}: {found:?}");
    }
}
