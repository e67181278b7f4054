//! Claims about storage on files.
#![cfg(unix)]

mod common;

use common::adder::{Adder, Outcome, Request, Settings};
use common::{CLUSTER, ONE, TWO, add_one, ends, node, settings, soon, until};
use quorate_disk::{Error, Options};
use quorate_threads::{Node, StartError, StopReason, StorageError};

fn small() -> Options {
    Options { segment_bytes: 1 << 16, max_record_bytes: 1 << 12, reserve_bytes: 0, ..Options::default() }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for life in 0..3 {
        let node = node(ONE, &[]).start_in(directory.path(), small()).expect("it starts");
        for sum in 1..=10 {
            assert_eq!(add_one(node.handle()), life * 10 + sum);
        }
        assert!(matches!(ends("kill", || node.kill()), StopReason::Killed));
    }
}

#[test]
fn snapshots_are_written_read_and_loaded_beside_the_log() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = Settings { snapshot_after: 10, ..settings(ONE, &[]) };
    let start = || Node::<Adder>::builder(CLUSTER, ONE, settings.clone()).start_in(directory.path(), small());
    let node = start().expect("it starts");
    for snapshots in 1..=2 {
        (0..10).for_each(|_| _ = add_one(node.handle()));
        until("a snapshot is written", || node.handle().counters().errands == snapshots);
    }
    let outcome = node.handle().request(Request::ReadSnapshot).expect("the node runs");
    let Outcome::Bytes(bytes) = outcome else { panic!("no bytes") };
    ends("shutdown", || node.shutdown());

    let node = start().expect("it starts");
    until("the snapshot is loaded", || node.handle().counters().errands == 1);
    assert_eq!(add_one(node.handle()), 21);
    let loaded = node.handle().inspect(|adder| adder.loaded.clone()).expect("the node runs");
    assert_eq!(loaded, Some(bytes));
}

#[test]
fn a_directory_in_use_or_of_another_node_is_refused_until_it_is_free() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = node(ONE, &[]).start_in(directory.path(), small()).expect("it starts");
    let second = refusal(node(ONE, &[]).start_in(directory.path(), small()));
    assert!(matches!(second.cause().downcast_ref(), Some(Error::Locked { .. })), "{second}");
    ends("shutdown", || first.shutdown());
    let other = refusal(node(TWO, &[]).start_in(directory.path(), small()));
    assert!(matches!(other.cause().downcast_ref(), Some(Error::Foreign { .. })), "{other}");
    let again = node(ONE, &[]).start_in(directory.path(), small()).expect("it starts");
    assert_eq!(add_one(again.handle()), 1);
}

#[test]
fn a_full_disk_stops_the_node_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = Options { max_bytes: 4 << 16, ..small() };
    let limited = node(ONE, &[]).start_in(directory.path(), options).expect("it starts");
    let mut sum = 0;
    let reason = loop {
        match limited.handle().submit(Request::Add(1)).and_then(|answer| soon("addition", answer)) {
            Ok(Outcome::Added(now)) => sum = now,
            Ok(other) => panic!("{other:?}"),
            Err(_) => break limited.handle().stopped(),
        }
        assert!(sum < 100_000, "the disk is never full");
    };
    let StopReason::Storage(error) = reason else { panic!("{reason}") };
    assert!(matches!(error.cause().downcast_ref(), Some(Error::Full { .. })), "{error}");
    let node = node(ONE, &[]).start_in(directory.path(), small()).expect("it starts");
    assert!(add_one(node.handle()) > sum);
}

fn refusal(started: Result<Node<Adder>, StartError>) -> StorageError {
    match started {
        Err(StartError::Storage(error)) => error,
        other => panic!("not refused by storage: {other:?}"),
    }
}
