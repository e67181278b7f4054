//! A node of `quorate-threads`, with its machine, its storage thread and its handle: whoever asks is told, once, and
//! what is told is true.

use loom::thread;
use quorate::{ClusterId, NodeId};
use quorate_loom_tests::explore_within;
use quorate_threads::{MemoryDisk, Node, RequestError, StopReason};

#[allow(dead_code, reason = "what the claims do not need of it, the tests of the drivers do")]
#[path = "../../adapters/driver/tests/common/adder.rs"]
mod adder;

use adder::{Adder, Outcome, Request, Settings};

/// Interruptions: there are three or four threads that share much.
const BOUND: usize = 2;

fn start(disk: &MemoryDisk) -> Node<Adder> {
    let id = NodeId::new(1);
    let settings = Settings { id, peers: Vec::new(), window: 9, snapshot_after: 0 };
    Node::builder(ClusterId::new(1), id, settings).start(disk.open()).expect("nothing is in its way")
}

fn records(disk: &MemoryDisk) -> usize {
    disk.contents().records.len()
}

#[test]
fn an_outcome_is_told_when_it_is_durable() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        let outcome = node.handle().request(Request::Add(7));
        assert!(matches!(outcome, Ok(Outcome::Added(7))));
        assert_eq!(records(&disk), 1);
        assert!(matches!(node.kill(), StopReason::Killed));
    });
}

#[test]
fn who_asks_while_a_node_shuts_down_is_told_what_became_of_it() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        let handle = node.handle().clone();
        let asking = thread::spawn(move || handle.request(Request::Add(7)));
        assert!(matches!(node.shutdown(), StopReason::Shutdown));
        match asking.join().expect("no panic") {
            Ok(Outcome::Added(7)) => assert_eq!(records(&disk), 1, "what was acknowledged is durable"),
            Err(RequestError::NotTaken { request: Request::Add(7), reason: StopReason::Shutdown }) => {
                assert_eq!(records(&disk), 0, "what was given back has no effect");
            }
            Err(RequestError::Stopped(StopReason::Shutdown)) => {
                assert_eq!(records(&disk), 1, "what was handed to storage became durable");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn who_asks_while_a_node_is_killed_is_told_as_well() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        let (handle, watching) = (node.handle().clone(), node.handle().clone());
        let asking = thread::spawn(move || handle.request(Request::Add(7)));
        drop(node);
        assert!(matches!(watching.stopped(), StopReason::Killed));
        match asking.join().expect("no panic") {
            Ok(Outcome::Added(7)) => assert_eq!(records(&disk), 1, "what was acknowledged is durable"),
            Err(RequestError::NotTaken { request: Request::Add(7), reason: StopReason::Killed }) => {
                assert_eq!(records(&disk), 0, "what was given back has no effect");
            }
            Err(RequestError::Stopped(StopReason::Killed)) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn who_asks_a_node_whose_storage_fails_is_told_why_it_stopped() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        disk.set_broken(true);
        let outcome = node.handle().request(Request::Add(7));
        assert!(matches!(outcome, Err(RequestError::Stopped(StopReason::Storage(_)))), "{outcome:?}");
        assert!(matches!(node.shutdown(), StopReason::Storage(_)), "it had stopped before");
    });
}

#[test]
fn a_node_shuts_down_although_an_answer_is_not_awaited() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        let answer = node.handle().submit(Request::Add(7)).expect("the node runs");
        drop(answer);
        assert!(matches!(node.shutdown(), StopReason::Shutdown));
        assert!(records(&disk) <= 1);
    });
}

#[test]
fn who_looks_at_a_machine_that_stops_sees_it_or_is_told_why_not() {
    explore_within(BOUND, || {
        let disk = MemoryDisk::default();
        let node = start(&disk);
        let handle = node.handle().clone();
        let looking = thread::spawn(move || handle.inspect(|machine| machine.total(NodeId::new(1))));
        assert!(matches!(node.shutdown(), StopReason::Shutdown));
        assert!(matches!(looking.join().expect("no panic"), Ok(0) | Err(StopReason::Shutdown)));
    });
}
