//! Claims about one node: its mailbox, its storage, its end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::adder::{Adder, Busy, Event, Outcome, Request, Settings};
use common::{CLUSTER, ONE, TWO, add_one, node, settings, soon, until};
use quorate_tokio::{Limits, MemoryDisk, Node, RequestError, StartError, StopReason};

#[tokio::test]
async fn a_request_ends_in_its_outcome() {
    let node = node(ONE, &[]).start(MemoryDisk::default().open()).await.expect("it starts");
    assert_eq!(add_one(node.handle()).await, 1);
    assert_eq!(add_one(node.handle()).await, 2);
    let sum = node.handle().inspect(|adder| adder.total(ONE)).await.expect("the node runs");
    assert_eq!(sum, 2);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let disk = MemoryDisk::default();
    for life in 1..=5 {
        let node = node(ONE, &[]).start(disk.open()).await.expect("it starts");
        assert_eq!(add_one(node.handle()).await, life);
        assert!(matches!(soon("kill", node.kill()).await, StopReason::Killed));
    }
}

#[tokio::test]
async fn a_dropped_node_stops_by_itself() {
    let node = node(ONE, &[]).start(MemoryDisk::default().open()).await.expect("it starts");
    let handle = node.handle().clone();
    drop(node);
    assert!(matches!(soon("stop", handle.stopped()).await, StopReason::Killed));
    assert!(matches!(handle.request(Request::Add(1)).await, Err(RequestError::NotTaken { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_share_syncs() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(2));
    let node = node(ONE, &[]).start(disk.open()).await.expect("it starts");
    let mut answers = Vec::new();
    for _ in 0..500 {
        answers.push(node.handle().submit(Request::Add(1)).await.expect("the node runs"));
    }
    for answer in answers {
        soon("outcome", answer.outcome()).await.expect("the node runs");
    }
    let counters = node.handle().counters();
    assert_eq!(counters.records, 500);
    assert!(counters.syncs < 100, "{} syncs for 500 requests", counters.syncs);
}

#[tokio::test]
async fn a_full_mailbox_gives_the_request_back_or_makes_it_wait() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(50));
    let limits = Limits { mailbox: 4, in_flight: 2, ..Limits::default() };
    let node = node(ONE, &[]).limits(limits).start(disk.open()).await.expect("it starts");
    let handle = node.handle();
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(handle.submit(Request::Add(1)).await.expect("the node runs"));
    }
    until("two requests in flight", || handle.counters().requests == 2).await;
    while let Ok(answer) = handle.try_request(Request::Add(1)) {
        answers.push(answer);
        assert!(answers.len() <= 6, "more is taken than the mailbox holds");
    }
    match handle.try_request(Request::Add(5)) {
        Err(RequestError::Full(Request::Add(5))) => {}
        other => panic!("not given back: {other:?}"),
    }
    let total = answers.len() as u64;
    assert_eq!(add_one(handle).await, total + 1, "a request that waits is taken after those before it");
}

#[tokio::test]
async fn slow_storage_leaves_requests_in_the_mailbox() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(200));
    let limits = Limits { mailbox: 4, storage_bytes: 1, ..Limits::default() };
    let node = node(ONE, &[]).limits(limits).start(disk.open()).await.expect("it starts");
    let handle = node.handle();
    // The first goes to the disk at once, the second waits for it.
    let mut answers = Vec::new();
    for taken in 1..=2 {
        answers.push(handle.submit(Request::Add(1)).await.expect("the node runs"));
        until("it is taken", || handle.counters().requests == taken).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while let Ok(answer) = handle.try_request(Request::Add(1)) {
        answers.push(answer);
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.counters().requests, 2);
    assert_eq!(answers.len(), 2 + 4);
    for answer in answers {
        soon("outcome", answer.outcome()).await.expect("the node runs");
    }
}

#[tokio::test]
async fn a_busy_machine_gives_the_request_back_and_the_driver_does_not_try_again() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(50));
    let settings = Settings { window: 1, ..settings(ONE, &[]) };
    let node = Node::<Adder>::builder(CLUSTER, ONE, settings).start(disk.open()).await.expect("it starts");
    let first = node.handle().submit(Request::Add(1)).await.expect("the node runs");
    match node.handle().request(Request::Add(7)).await {
        Err(RequestError::Refused(Busy(Request::Add(7)))) => {}
        other => panic!("not given back: {other:?}"),
    }
    assert_eq!(first.outcome().await.expect("the node runs"), Outcome::Added(1));
    assert_eq!(node.handle().counters().refused, 1);
}

#[tokio::test]
async fn requests_that_are_dropped_leave_nothing_behind() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(20));
    let limits = Limits { mailbox: 8, in_flight: 4, ..Limits::default() };
    let node = node(ONE, &[]).limits(limits).start(disk.open()).await.expect("it starts");
    let handle = node.handle();
    for _ in 0..50 {
        // Dropped while it waits for the mailbox, in the mailbox, or for its outcome.
        let _ = tokio::time::timeout(Duration::from_millis(1), handle.request(Request::Add(1))).await;
    }
    let before = handle.inspect(|adder| adder.total(ONE)).await.expect("the node runs");
    assert!(before < 50, "no request was dropped in time");
    let sum = add_one(handle).await;
    let counters = handle.counters();
    assert!(counters.abandoned > 0 && counters.unclaimed > 0, "{counters:?}");
    assert_eq!(counters.requests, counters.outcomes, "an outcome is missing: {counters:?}");
    assert_eq!(sum, counters.requests, "a request had no effect, or two: {counters:?}");
}

#[tokio::test]
async fn a_failed_sync_stops_the_node_and_tells_everybody_why() {
    let disk = MemoryDisk::default();
    let node = node(ONE, &[]).start(disk.open()).await.expect("it starts");
    assert_eq!(add_one(node.handle()).await, 1);
    disk.set_broken(true);
    match soon("request", node.handle().request(Request::Add(1))).await {
        Err(RequestError::Stopped(StopReason::Storage(error))) => {
            assert_eq!(error.to_string(), "the disk in memory was told to fail");
        }
        other => panic!("not told: {other:?}"),
    }
    disk.set_broken(false);
    assert!(matches!(node.handle().stopped().await, StopReason::Storage(_)), "it was tried again");
    assert!(matches!(
        node.handle().request(Request::Add(1)).await,
        Err(RequestError::NotTaken { request: Request::Add(1), reason: StopReason::Storage(_) })
    ));
    assert_eq!(disk.contents().records.len(), 1, "what was not acknowledged is not there");
}

#[tokio::test]
async fn a_shutdown_answers_everybody_and_keeps_what_was_handed_over() {
    let disk = MemoryDisk::default();
    disk.set_sync_time(Duration::from_millis(100));
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let node = node(ONE, &[]).limits(limits).start(disk.open()).await.expect("it starts");
    // One is being synced, one waits for that, three are in the mailbox.
    let mut answers = Vec::new();
    for taken in 1..=5 {
        answers.push(node.handle().submit(Request::Add(1)).await.expect("the node runs"));
        until("it is taken", || node.handle().counters().requests == taken.min(2)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let handle = node.handle().clone();
    assert!(matches!(soon("shutdown", node.shutdown()).await, StopReason::Shutdown));
    let (mut taken, mut not_taken) = (0, 0);
    for answer in answers {
        match soon("answer", answer.outcome()).await {
            Err(RequestError::Stopped(StopReason::Shutdown)) => taken += 1,
            Err(RequestError::NotTaken { reason: StopReason::Shutdown, .. }) => not_taken += 1,
            other => panic!("neither: {other:?}"),
        }
    }
    assert_eq!((taken, not_taken), (2, 3));
    assert_eq!(disk.contents().records.len(), 2);
    assert!(matches!(handle.try_request(Request::Add(1)), Err(RequestError::NotTaken { .. })));
}

#[tokio::test]
async fn an_assertion_of_the_machine_stops_the_node_with_its_message() {
    let node = node(ONE, &[]).start(MemoryDisk::default().open()).await.expect("it starts");
    match soon("request", node.handle().request(Request::Break)).await {
        Err(RequestError::Stopped(StopReason::Panicked(message))) => assert_eq!(message, "asked to break"),
        other => panic!("not told: {other:?}"),
    }
}

#[tokio::test]
async fn snapshots_are_written_read_and_loaded_beside_the_log() {
    let disk = MemoryDisk::default();
    let settings = Settings { snapshot_after: 10, ..settings(ONE, &[]) };
    let start = || Node::<Adder>::builder(CLUSTER, ONE, settings.clone()).start(disk.open());
    let node = start().await.expect("it starts");
    let mut sum = 0;
    while node.handle().counters().errands < 2 {
        sum = add_one(node.handle()).await;
    }
    until("the older snapshot is dropped", || disk.contents().snapshots.len() == 1).await;
    let outcome = node.handle().request(Request::ReadSnapshot).await.expect("the node runs");
    let Outcome::Bytes(bytes) = outcome else { panic!("no bytes") };
    soon("shutdown", node.shutdown()).await;

    let node = start().await.expect("it starts");
    until("the snapshot is loaded", || node.handle().counters().errands == 1).await;
    assert_eq!(add_one(node.handle()).await, sum + 1);
    let loaded = node.handle().inspect(|adder| adder.loaded.clone()).await.expect("the node runs");
    assert_eq!(loaded, Some(bytes));
}

#[tokio::test]
async fn records_that_cannot_be_restored_refuse_the_start() {
    let disk = MemoryDisk::default();
    let mut storage = disk.open();
    quorate_tokio::Storage::append(&mut storage, quorate::GroupId::default(), b"nonsense").expect("it works");
    quorate_tokio::Storage::sync(&mut storage).expect("it works");
    let refused = node(ONE, &[]).start(disk.open()).await;
    assert!(matches!(refused, Err(StartError::Fault(_))), "{refused:?}");
}

#[tokio::test]
async fn events_that_end_no_request_reach_the_observer() {
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let (first, second) = (listener().await, listener().await);
    let book = [(ONE, address(&first)), (TWO, address(&second))];
    let observer = move |event: Event<'_>| {
        if matches!(event, Event::Heard(ONE)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let one = node(ONE, &[ONE, TWO]).peers(book.clone()).listener(first);
    let one = one.start(MemoryDisk::default().open()).await.expect("it starts");
    let two = node(TWO, &[ONE, TWO]).peers(book).listener(second).observe(observer);
    let _two = two.start(MemoryDisk::default().open()).await.expect("it starts");
    assert_eq!(add_one(one.handle()).await, 1);
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

async fn listener() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn address(listener: &tokio::net::TcpListener) -> String {
    listener.local_addr().expect("it is bound").to_string()
}
