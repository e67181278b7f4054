//! Claims about storage on files.
#![cfg(unix)]

mod common;

use common::adder::{Adder, Outcome, Request, Settings};
use common::{CLUSTER, ONE, TWO, add_one, node, settings, soon, until};
use quorate::{GroupId, Index, Position, SnapshotId, Term};
use quorate_disk::{Error, Options};
use quorate_tokio::{DiskStorage, Node, StartError, StopReason, Storage, StorageError};

fn small() -> Options {
    Options { segment_bytes: 1 << 16, max_record_bytes: 1 << 12, reserve_bytes: 0, ..Options::default() }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for life in 0..3 {
        let node = node(ONE, &[]).start_in(directory.path(), small()).await.expect("it starts");
        for sum in 1..=10 {
            assert_eq!(add_one(node.handle()).await, life * 10 + sum);
        }
        assert!(matches!(soon("kill", node.kill()).await, StopReason::Killed));
    }
}

#[tokio::test]
async fn snapshots_are_written_read_and_loaded_beside_the_log() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = Settings { snapshot_after: 10, ..settings(ONE, &[]) };
    let start = || Node::<Adder>::builder(CLUSTER, ONE, settings.clone()).start_in(directory.path(), small());
    let node = start().await.expect("it starts");
    for snapshots in 1..=2 {
        for _ in 0..10 {
            add_one(node.handle()).await;
        }
        until("a snapshot is written", || node.handle().counters().errands == snapshots).await;
    }
    let outcome = soon("read", node.handle().request(Request::ReadSnapshot)).await.expect("the node runs");
    let Outcome::Bytes(bytes) = outcome else { panic!("no bytes") };
    soon("shutdown", node.shutdown()).await;

    let node = start().await.expect("it starts");
    until("the snapshot is loaded", || node.handle().counters().errands == 1).await;
    assert_eq!(add_one(node.handle()).await, 21);
    let loaded = node.handle().inspect(|adder| adder.loaded.clone()).await.expect("the node runs");
    assert_eq!(loaded, Some(bytes));
}

#[tokio::test]
async fn a_directory_in_use_or_of_another_node_is_refused_until_it_is_free() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = node(ONE, &[]).start_in(directory.path(), small()).await.expect("it starts");
    let second = refusal(node(ONE, &[]).start_in(directory.path(), small()).await);
    assert!(matches!(second.cause().downcast_ref(), Some(Error::Locked { .. })), "{second}");
    soon("shutdown", first.shutdown()).await;
    let other = refusal(node(TWO, &[]).start_in(directory.path(), small()).await);
    assert!(matches!(other.cause().downcast_ref(), Some(Error::Foreign { .. })), "{other}");
    let again = node(ONE, &[]).start_in(directory.path(), small()).await.expect("it starts");
    assert_eq!(add_one(again.handle()).await, 1);
}

#[tokio::test]
async fn a_full_disk_stops_the_node_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = Options { max_bytes: 4 << 16, ..small() };
    let limited = node(ONE, &[]).start_in(directory.path(), options).await.expect("it starts");
    let mut sum = 0;
    let reason = loop {
        match soon("addition", limited.handle().request(Request::Add(1))).await {
            Ok(Outcome::Added(now)) => sum = now,
            Ok(other) => panic!("{other:?}"),
            Err(_) => break limited.handle().stopped().await,
        }
        assert!(sum < 100_000, "the disk is never full");
    };
    let StopReason::Storage(error) = reason else { panic!("{reason}") };
    assert!(matches!(error.cause().downcast_ref(), Some(Error::Full { .. })), "{error}");
    let node = node(ONE, &[]).start_in(directory.path(), small()).await.expect("it starts");
    assert!(add_one(node.handle()).await > sum);
}

#[test]
fn a_piece_that_comes_again_is_skipped_as_far_as_it_is_known() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = || DiskStorage::open(directory.path(), CLUSTER, ONE, small());
    let of = SnapshotId::new(Position { term: Term::new(1), index: Index::new(5) }, 6);
    let mut storage = open().expect("it opens");
    storage.put_piece(of, 0, b"ab").expect("it is new");
    storage.put_piece(of, 0, b"ab").expect("it is known");
    storage.put_piece(of, 0, b"abcd").expect("a part of it is known");
    assert!(storage.put_piece(of, 5, b"f").is_err(), "a gap");
    storage.put_piece(of, 4, b"ef").expect("it is new");
    // Nothing was synced so far: a restart that goes on from the snapshot sees to it.
    storage.restart(GroupId::default(), b"goes on", Some(of)).expect("the snapshot is whole");
    storage.sync().expect("it works");
    assert_eq!(storage.read_snapshot(of, 1, 3).expect("it works"), Some(b"bcd".to_vec()));
    drop(storage);
    let contents = open().and_then(|mut storage| storage.load()).expect("it opens");
    assert_eq!((contents.records, contents.snapshots), (vec![b"goes on".to_vec()], vec![(of, 6)]));
}

fn refusal(started: Result<Node<Adder>, StartError>) -> StorageError {
    match started {
        Err(StartError::Storage(error)) => error,
        other => panic!("not refused by storage: {other:?}"),
    }
}
