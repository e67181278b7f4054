//! Claims about one node: its mailbox, its storage, its end.

mod common;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use common::adder::{Adder, Busy, Event, Outcome, Request, Settings};
use common::{CLUSTER, ONE, TWO, add_one, node, settings, soon, until};
use quorate_tokio::{Answer, Handle, Limits, MemoryDisk, Node, RequestError, StartError, StopReason};

/// A node without peers, with these limits, whose disk holds what it is to sync until it is let go.
async fn held(limits: Limits) -> (Node<Adder>, MemoryDisk) {
    let disk = MemoryDisk::default();
    disk.set_held(true);
    (node(ONE, &[]).limits(limits).start(disk.open()).await.expect("it starts"), disk)
}

async fn submit(node: &Node<Adder>) -> Answer<Adder> {
    node.handle().submit(Request::Add(1)).await.expect("the node runs")
}

/// A request whose record is being synced by now: what comes after it waits for that.
async fn submit_held(node: &Node<Adder>, disk: &MemoryDisk) -> Answer<Adder> {
    let answer = submit(node).await;
    until("its sync is held", || disk.held() == 1).await;
    answer
}

async fn until_taken(node: &Node<Adder>, requests: u64) {
    until("the requests are taken", || node.handle().counters().requests == requests).await;
    // Between two turns: what was taken is on its way to the disk.
    assert_eq!(total(node.handle()).await, requests);
}

async fn total(handle: &Handle<Adder>) -> u64 {
    handle.inspect(|adder| adder.total(ONE)).await.expect("the node runs")
}

/// Lets a future go on as far as it can without waiting.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn a_request_ends_in_its_outcome() {
    let node = node(ONE, &[]).start(MemoryDisk::default().open()).await.expect("it starts");
    assert_eq!(add_one(node.handle()).await, 1);
    assert_eq!(add_one(node.handle()).await, 2);
    assert_eq!(total(node.handle()).await, 2);
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
    let (node, disk) = held(Limits::default()).await;
    let mut answers = vec![submit_held(&node, &disk).await];
    for _ in 1..500 {
        answers.push(submit(&node).await);
    }
    until_taken(&node, 500).await;
    disk.set_held(false);
    for answer in answers {
        soon("outcome", answer.outcome()).await.expect("the node runs");
    }
    let counters = node.handle().counters();
    assert_eq!((counters.records, counters.syncs), (500, 2));
}

#[tokio::test]
async fn a_full_mailbox_gives_the_request_back_or_makes_it_wait() {
    let (node, disk) = held(Limits { mailbox: 4, in_flight: 2, ..Limits::default() }).await;
    let handle = node.handle();
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(submit(&node).await);
    }
    until_taken(&node, 2).await;
    match handle.try_request(Request::Add(5)) {
        Err(RequestError::Full(Request::Add(5))) => {}
        other => panic!("not given back: {other:?}"),
    }
    let mut waiting = pin!(add_one(handle));
    assert!(poll_once(waiting.as_mut()).await.is_pending(), "there was no room");
    disk.set_held(false);
    assert_eq!(waiting.await, 7, "a request that waits is taken after those before it");
}

#[tokio::test]
async fn slow_storage_leaves_requests_in_the_mailbox() {
    let (node, disk) = held(Limits { mailbox: 4, storage_bytes: 1, ..Limits::default() }).await;
    let handle = node.handle();
    // The first goes to the disk at once, the second waits for it.
    let mut answers = vec![submit_held(&node, &disk).await, submit(&node).await];
    until_taken(&node, 2).await;
    answers.extend((0..4).map(|_| handle.try_request(Request::Add(1)).expect("there is room")));
    // Many turns.
    for _ in 0..100 {
        assert_eq!(total(handle).await, 2, "more was taken");
    }
    assert!(matches!(handle.try_request(Request::Add(1)), Err(RequestError::Full(_))), "more was taken");
    disk.set_held(false);
    for answer in answers {
        soon("outcome", answer.outcome()).await.expect("the node runs");
    }
}

#[tokio::test]
async fn a_busy_machine_gives_the_request_back_and_the_driver_does_not_try_again() {
    let disk = MemoryDisk::default();
    disk.set_held(true);
    let settings = Settings { window: 1, ..settings(ONE, &[]) };
    let node = Node::<Adder>::builder(CLUSTER, ONE, settings).start(disk.open()).await.expect("it starts");
    let first = submit(&node).await;
    match node.handle().request(Request::Add(7)).await {
        Err(RequestError::Refused(Busy(Request::Add(7)))) => {}
        other => panic!("not given back: {other:?}"),
    }
    disk.set_held(false);
    assert_eq!(soon("outcome", first.outcome()).await.expect("the node runs"), Outcome::Added(1));
    assert_eq!(node.handle().counters().refused, 1);
}

#[tokio::test]
async fn requests_that_are_dropped_leave_nothing_behind() {
    let (node, disk) = held(Limits { mailbox: 8, in_flight: 4, ..Limits::default() }).await;
    let handle = node.handle();
    let mut requests: Vec<_> = (0..13).map(|_| Box::pin(handle.request(Request::Add(1)))).collect();
    // Four that the machine works on, eight in the mailbox, one that waits for it.
    for (count, request) in (1..).zip(&mut requests) {
        assert!(poll_once(request.as_mut()).await.is_pending(), "the disk is held");
        until_taken(&node, 4.min(count)).await;
    }
    drop(requests);
    disk.set_held(false);
    assert_eq!(
        add_one(handle).await,
        5,
        "a request had no effect, or was asked though it was dropped in time"
    );
    let counters = handle.counters();
    assert_eq!((counters.abandoned, counters.unclaimed), (8, 4), "{counters:?}");
    assert_eq!((counters.requests, counters.outcomes), (5, 5), "{counters:?}");
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
    let (node, disk) = held(Limits { in_flight: 2, ..Limits::default() }).await;
    // One is being synced, one waits for that, three are in the mailbox.
    let mut answers = vec![submit_held(&node, &disk).await];
    for _ in 0..4 {
        answers.push(submit(&node).await);
    }
    until_taken(&node, 2).await;
    let not_taken = answers.split_off(2);
    let handle = node.handle().clone();
    let mut shutdown = pin!(node.shutdown());
    assert!(poll_once(shutdown.as_mut()).await.is_pending());
    for answer in not_taken {
        match soon("answer", answer.outcome()).await {
            Err(RequestError::NotTaken { reason: StopReason::Shutdown, .. }) => {}
            other => panic!("taken: {other:?}"),
        }
    }
    assert!(poll_once(shutdown.as_mut()).await.is_pending(), "it waits for what was handed over");
    disk.set_held(false);
    for answer in answers {
        match soon("answer", answer.outcome()).await {
            Err(RequestError::Stopped(StopReason::Shutdown)) => {}
            other => panic!("not taken: {other:?}"),
        }
    }
    assert!(matches!(soon("shutdown", shutdown).await, StopReason::Shutdown));
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
    for snapshots in 1..=2 {
        for _ in 0..10 {
            add_one(node.handle()).await;
        }
        until("a snapshot is written", || node.handle().counters().errands == snapshots).await;
    }
    until("the older snapshot is dropped", || disk.contents().snapshots.len() == 1).await;
    let outcome = node.handle().request(Request::ReadSnapshot).await.expect("the node runs");
    let Outcome::Bytes(bytes) = outcome else { panic!("no bytes") };
    soon("shutdown", node.shutdown()).await;

    let node = start().await.expect("it starts");
    until("the snapshot is loaded", || node.handle().counters().errands == 1).await;
    assert_eq!(add_one(node.handle()).await, 21);
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
