//! Claims about one node: its mailbox, its storage, its end.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::adder::{Adder, Busy, Event, Outcome, Request, Settings};
use common::{CLUSTER, LONG, ONE, TWO, add_one, alone, ends, node, patient, settings, soon, total, until};
use quorate::{NodeId, codec};
use quorate_threads::{
    Answer, Handle, Hub, Limits, MemoryDisk, Node, RequestError, StartError, StopReason, Storage,
};

/// A node without peers, with these limits, whose disk holds what it is to sync until it is let go.
fn held(limits: Limits) -> (Node<Adder>, MemoryDisk) {
    let disk = MemoryDisk::default();
    disk.set_held(true);
    (node(ONE, &[]).limits(limits).start(disk.open()).expect("it starts"), disk)
}

fn submit(node: &Node<Adder>) -> Answer<Adder> {
    node.handle().submit(Request::Add(1)).expect("the node runs")
}

/// A request whose record is being synced by now: what comes after it waits for that.
fn submit_held(node: &Node<Adder>, disk: &MemoryDisk) -> Answer<Adder> {
    let answer = submit(node);
    until("its sync is held", || disk.held() == 1);
    answer
}

fn until_taken(node: &Node<Adder>, requests: u64) {
    until("the requests are taken", || node.handle().counters().requests == requests);
    // Between two turns: what was taken is on its way to the disk.
    assert_eq!(total(node.handle(), ONE), requests);
}

/// Has the machine do nothing until the first is dropped; then the other ends.
fn keep_busy(handle: &Handle<Adder>) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let (began, begins) = std::sync::mpsc::channel();
    let handle = handle.clone();
    let look = move |_: &Adder| {
        began.send(()).expect("somebody waits");
        assert!(goes_on.recv().is_err());
    };
    let looking = std::thread::spawn(move || handle.inspect(look).expect("the node runs"));
    begins.recv().expect("the node runs");
    (go_on, looking)
}

#[test]
fn a_request_ends_in_its_outcome() {
    let node = alone(&MemoryDisk::default());
    assert_eq!((add_one(node.handle()), add_one(node.handle())), (1, 2));
    assert_eq!(total(node.handle(), ONE), 2);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let disk = MemoryDisk::default();
    for life in 1..=5 {
        let node = alone(&disk);
        assert_eq!(add_one(node.handle()), life);
        assert!(matches!(ends("kill", || node.kill()), StopReason::Killed));
    }
}

#[test]
fn a_dropped_node_stops_by_itself() {
    let node = alone(&MemoryDisk::default());
    let handle = node.handle().clone();
    // It sleeps by then.
    std::thread::sleep(Duration::from_millis(50));
    drop(node);
    let stopped = handle.clone();
    assert!(matches!(ends("stop", move || stopped.stopped()), StopReason::Killed));
    assert!(matches!(handle.request(Request::Add(1)), Err(RequestError::NotTaken { .. })));
}

#[test]
fn requests_in_flight_share_syncs() {
    let (node, disk) = held(Limits::default());
    let mut answers = vec![submit_held(&node, &disk)];
    answers.extend((1..500).map(|_| submit(&node)));
    until_taken(&node, 500);
    disk.set_held(false);
    for answer in answers {
        soon("outcome", answer).expect("the node runs");
    }
    let counters = node.handle().counters();
    assert_eq!((counters.records, counters.syncs), (500, 2));
}

#[test]
fn a_full_mailbox_gives_the_request_back_or_makes_it_wait() {
    let (node, disk) = held(Limits { mailbox: 4, in_flight: 2, ..Limits::default() });
    let handle = node.handle();
    let _answers: Vec<_> = (0..6).map(|_| submit(&node)).collect();
    until_taken(&node, 2);
    match handle.try_request(Request::Add(5)) {
        Err(RequestError::Full(Request::Add(5))) => {}
        other => panic!("not given back: {other:?}"),
    }
    let waiting = handle.clone();
    let waiting = std::thread::spawn(move || add_one(&waiting));
    // Most likely it waits by then; nothing is wrong if not.
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished(), "there was no room");
    disk.set_held(false);
    let sum = ends("the request that waits", || waiting.join()).expect("no panic");
    assert_eq!(sum, 7, "a request that waits is taken after those before it");
}

#[test]
fn slow_storage_leaves_requests_in_the_mailbox() {
    let (node, disk) = held(Limits { mailbox: 4, storage_bytes: 1, ..Limits::default() });
    let handle = node.handle();
    // The first goes to the disk at once, the second waits for it.
    let mut answers = vec![submit_held(&node, &disk), submit(&node)];
    until_taken(&node, 2);
    answers.extend((0..4).map(|_| handle.try_request(Request::Add(1)).expect("there is room")));
    // Many turns.
    (0..100).for_each(|_| assert_eq!(total(handle, ONE), 2, "more was taken"));
    assert!(matches!(handle.try_request(Request::Add(1)), Err(RequestError::Full(_))), "more was taken");
    disk.set_held(false);
    for answer in answers {
        soon("outcome", answer).expect("the node runs");
    }
}

#[test]
fn a_busy_machine_gives_the_request_back_and_the_driver_does_not_try_again() {
    let disk = MemoryDisk::default();
    disk.set_held(true);
    let settings = Settings { window: 1, ..settings(ONE, &[]) };
    let node = Node::<Adder>::builder(CLUSTER, ONE, settings).start(disk.open()).expect("it starts");
    let first = submit(&node);
    match node.handle().request(Request::Add(7)) {
        Err(RequestError::Refused(Busy(Request::Add(7)))) => {}
        other => panic!("not given back: {other:?}"),
    }
    disk.set_held(false);
    assert_eq!(soon("outcome", first).expect("the node runs"), Outcome::Added(1));
    assert_eq!(node.handle().counters().refused, 1);
}

#[test]
fn an_answer_that_is_late_can_be_waited_for_again() {
    let (node, disk) = held(Limits::default());
    let late = submit(&node).wait_timeout(Duration::from_millis(1)).expect_err("the disk is held");
    disk.set_held(false);
    assert_eq!(soon("outcome", late).expect("the node runs"), Outcome::Added(1));
}

#[test]
fn requests_that_are_dropped_leave_nothing_behind() {
    let (node, disk) = held(Limits { mailbox: 8, in_flight: 4, ..Limits::default() });
    let handle = node.handle();
    // Four that the machine works on, eight in the mailbox.
    let answers: Vec<_> = (0..12).map(|_| submit(&node)).collect();
    until_taken(&node, 4);
    for answer in answers {
        drop(answer.wait_timeout(Duration::from_millis(1)).expect_err("the disk is held"));
    }
    disk.set_held(false);
    assert_eq!(add_one(handle), 5, "a request had no effect, or was asked though it was dropped in time");
    let counters = handle.counters();
    assert_eq!((counters.abandoned, counters.unclaimed), (8, 4), "{counters:?}");
    assert_eq!((counters.requests, counters.outcomes), (5, 5), "{counters:?}");
}

#[test]
fn a_failed_sync_stops_the_node_and_tells_everybody_why() {
    let disk = MemoryDisk::default();
    let node = alone(&disk);
    assert_eq!(add_one(node.handle()), 1);
    disk.set_broken(true);
    match soon("request", submit(&node)) {
        Err(RequestError::Stopped(StopReason::Storage(error))) => {
            assert_eq!(error.to_string(), "the disk in memory was told to fail");
        }
        other => panic!("not told: {other:?}"),
    }
    disk.set_broken(false);
    assert!(matches!(node.handle().stopped(), StopReason::Storage(_)), "it was tried again");
    assert!(matches!(
        node.handle().request(Request::Add(1)),
        Err(RequestError::NotTaken { request: Request::Add(1), reason: StopReason::Storage(_) })
    ));
    assert_eq!(disk.contents().records.len(), 1, "what was not acknowledged is not there");
}

#[test]
fn a_shutdown_answers_everybody_and_keeps_what_was_handed_over() {
    let (node, disk) = held(Limits { in_flight: 2, ..Limits::default() });
    // One is being synced, one waits for that, three are in the mailbox.
    let mut taken = vec![submit_held(&node, &disk)];
    let mut not_taken: Vec<_> = (0..4).map(|_| submit(&node)).collect();
    taken.extend(not_taken.drain(..1));
    until_taken(&node, 2);
    let handle = node.handle().clone();
    let shutdown = std::thread::spawn(move || node.shutdown());
    for answer in not_taken {
        match soon("answer", answer) {
            Err(RequestError::NotTaken { reason: StopReason::Shutdown, .. }) => {}
            other => panic!("taken: {other:?}"),
        }
    }
    assert!(!shutdown.is_finished(), "it waits for what was handed over");
    disk.set_held(false);
    for answer in taken {
        match soon("answer", answer) {
            Err(RequestError::Stopped(StopReason::Shutdown)) => {}
            other => panic!("not taken: {other:?}"),
        }
    }
    assert!(matches!(ends("shutdown", || shutdown.join()), Ok(StopReason::Shutdown)));
    assert_eq!(disk.contents().records.len(), 2);
    assert!(matches!(handle.try_request(Request::Add(1)), Err(RequestError::NotTaken { .. })));
}

#[test]
fn a_shutdown_under_load_from_many_threads_ends_each_of_their_requests() {
    for _ in 0..20 {
        let disk = MemoryDisk::default();
        let node = node(ONE, &[])
            .limits(Limits { mailbox: 4, ..Limits::default() })
            .start(disk.open())
            .expect("it starts");
        let askers: Vec<_> = (0..16)
            .map(|_| {
                let handle = node.handle().clone();
                // Until the node says that it stopped; more than one waits for the mailbox at any time.
                std::thread::spawn(move || {
                    let (mut known, mut unknown) = (0, 0);
                    loop {
                        match handle.request(Request::Add(1)) {
                            Ok(_) => known += 1,
                            Err(RequestError::Stopped(StopReason::Shutdown)) => unknown += 1,
                            Err(RequestError::NotTaken { reason: StopReason::Shutdown, .. }) => break,
                            Err(other) => panic!("neither: {other:?}"),
                        }
                    }
                    (known, unknown)
                })
            })
            .collect();
        let handle = node.handle().clone();
        until("there is load", || handle.counters().outcomes > 100);
        let shutdowns: Vec<_> = (0..3)
            .map(|_| {
                let handle = node.handle().clone();
                std::thread::spawn(move || handle.shutdown())
            })
            .collect();
        assert!(matches!(ends("shutdown", || node.shutdown()), StopReason::Shutdown));
        for shutdown in shutdowns {
            assert!(matches!(ends("another", || shutdown.join()), Ok(StopReason::Shutdown)));
        }
        let (mut known, mut unknown) = (0, 0);
        for asker in askers {
            let counts = ends("asker", || asker.join()).expect("no panic");
            (known, unknown) = (known + counts.0, unknown + counts.1);
        }
        let records = disk.contents().records.len();
        assert!((known..=known + unknown).contains(&records), "{known} + {unknown} of {records}");
    }
}

#[test]
fn an_assertion_of_the_machine_stops_the_node_with_its_message_and_tells_all_who_wait() {
    let (node, disk) = held(Limits { in_flight: 2, ..Limits::default() });
    // One is being synced; one breaks the machine, which is kept from it until three more are in the mailbox.
    let mut answers = vec![submit_held(&node, &disk)];
    let (go_on, look) = keep_busy(node.handle());
    answers.push(node.handle().submit(Request::Break).expect("the node runs"));
    answers.extend((0..3).map(|_| submit(&node)));
    drop(go_on);
    look.join().expect("no panic");
    let is_broken =
        || matches!(node.handle().try_request(Request::Add(1)), Err(RequestError::NotTaken { .. }));
    until("it breaks", is_broken);
    disk.set_held(false);
    for answer in answers {
        match soon("request", answer) {
            Err(RequestError::Stopped(StopReason::Panicked(message))) => {
                assert_eq!(message, "asked to break")
            }
            other => panic!("not told: {other:?}"),
        }
    }
    assert!(matches!(node.handle().inspect(|_| ()), Err(StopReason::Panicked(_))));
    assert!(matches!(node.handle().request(Request::Add(1)), Err(RequestError::NotTaken { .. })));
    assert!(matches!(ends("shutdown", || node.shutdown()), StopReason::Panicked(_)));
}

#[test]
fn a_storage_that_panics_stops_the_node() {
    use quorate::GroupId;
    struct Breaks(Box<dyn Storage>, bool);
    impl Storage for Breaks {
        fn load(&mut self) -> Result<quorate_threads::Contents, quorate_threads::StorageError> {
            self.0.load()
        }
        fn append(&mut self, group: GroupId, record: &[u8]) -> Result<(), quorate_threads::StorageError> {
            self.0.append(group, record)
        }
        fn restart(
            &mut self,
            group: GroupId,
            record: &[u8],
            keep: Option<quorate::SnapshotId>,
        ) -> Result<(), quorate_threads::StorageError> {
            self.0.restart(group, record, keep)
        }
        fn put_piece(
            &mut self,
            of: quorate::SnapshotId,
            offset: u64,
            bytes: &[u8],
        ) -> Result<(), quorate_threads::StorageError> {
            self.0.put_piece(of, offset, bytes)
        }
        fn sync(&mut self) -> Result<(), quorate_threads::StorageError> {
            if self.1 { self.0.sync() } else { panic!("asked to break") }
        }
        fn read_snapshot(
            &mut self,
            of: quorate::SnapshotId,
            offset: u64,
            len: usize,
        ) -> Result<Option<Vec<u8>>, quorate_threads::StorageError> {
            self.0.read_snapshot(of, offset, len)
        }
        fn begin_snapshot(
            &mut self,
            of: quorate::SnapshotId,
        ) -> Result<quorate_threads::SnapshotWriter, quorate_threads::StorageError> {
            drop(self.0.begin_snapshot(of));
            Ok(Box::new(|_| panic!("asked to break")))
        }
    }
    let storage = Breaks(Box::new(MemoryDisk::default().open()), false);
    let node = node(ONE, &[]).start(storage).expect("it starts");
    match soon("request", submit(&node)) {
        Err(RequestError::Stopped(StopReason::Panicked(message))) => {
            assert_eq!(message, "the storage thread panicked");
        }
        other => panic!("not told: {other:?}"),
    }

    let storage = Breaks(Box::new(MemoryDisk::default().open()), true);
    let settings = Settings { snapshot_after: 1, ..settings(ONE, &[]) };
    let node = Node::<Adder>::builder(CLUSTER, ONE, settings).start(storage).expect("it starts");
    let _added = submit(&node);
    let handle = node.handle().clone();
    match ends("stop", move || handle.stopped()) {
        StopReason::Storage(error) => assert!(error.to_string().contains("asked to break"), "{error}"),
        other => panic!("not told: {other:?}"),
    }
}

#[test]
fn snapshots_are_written_read_and_loaded_beside_the_log() {
    let disk = MemoryDisk::default();
    let settings = Settings { snapshot_after: 10, ..settings(ONE, &[]) };
    let start = || Node::<Adder>::builder(CLUSTER, ONE, settings.clone()).start(disk.open());
    let node = start().expect("it starts");
    for snapshots in 1..=2 {
        (0..10).for_each(|_| _ = add_one(node.handle()));
        until("a snapshot is written", || node.handle().counters().errands == snapshots);
    }
    until("the older snapshot is dropped", || disk.contents().snapshots.len() == 1);
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
fn records_that_cannot_be_restored_refuse_the_start() {
    let disk = MemoryDisk::default();
    let mut storage = disk.open();
    storage.append(quorate::GroupId::default(), b"nonsense").expect("it works");
    storage.sync().expect("it works");
    let refused = node(ONE, &[]).start(disk.open());
    assert!(matches!(refused, Err(StartError::Fault(_))), "{refused:?}");
}

#[test]
fn events_that_end_no_request_reach_the_observer() {
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let (hub, both) = (Hub::default(), [ONE, TWO]);
    let observer = move |event: Event<'_>| {
        if matches!(event, Event::Heard(ONE)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let one = node(ONE, &both).hub(&hub, both).start(MemoryDisk::default().open()).expect("it starts");
    let two = node(TWO, &both).hub(&hub, both).observe(observer);
    let _two = two.start(MemoryDisk::default().open()).expect("it starts");
    assert_eq!(add_one(one.handle()), 1);
    assert!(heard.load(Ordering::Relaxed) >= 1);
}

/// The threads of this process with such a name, and how often they were woken, as the system counts it.
#[cfg(target_os = "linux")]
fn threads_of(name: &str) -> (usize, u64) {
    let (mut count, mut woken) = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").expect("Linux has it") {
        // It may end meanwhile.
        let Ok(status) = std::fs::read_to_string(task.expect("it is listed").path().join("status")) else {
            continue;
        };
        let field =
            |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default().trim();
        if field("Name:").contains(name) {
            count += 1;
            for kind in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                woken += field(kind).parse::<u64>().expect("a number");
            }
        }
    }
    (count, woken)
}

#[test]
#[cfg(target_os = "linux")]
fn an_idle_node_sleeps_and_a_stopped_one_leaves_no_thread_behind() {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (listener, silent) = (bind(), bind());
    let address = listener.local_addr().expect("it is bound");
    let peers = [(TWO, silent.local_addr().expect("it is bound").to_string())];
    // Nobody is sent away before the end.
    let limits = Limits { handshake_time: 10 * LONG, ..Limits::default() };
    let builder = node(NodeId::new(9), &[]).peers(peers).listener(listener).limits(limits);
    let node = builder.start(MemoryDisk::default().open()).expect("it starts");
    assert_eq!(add_one(node.handle()), 1);
    // One that shakes hands and says nothing; and the peer never answers.
    let _stranger = std::net::TcpStream::connect(address).expect("it listens");
    // The machine, its storage, who listens, who reads from the stranger.
    until("all threads are there", || threads_of("-n9").0 == 4);
    // What they were started for may still be going on; then they sleep, unless one looks again and again.
    until("a while in which all sleep", || {
        let woken = threads_of("-n9");
        std::thread::sleep(Duration::from_millis(300));
        threads_of("-n9") == woken
    });
    ends("shutdown, though some say nothing", || node.shutdown());
    // The system lists a thread a little longer than it runs.
    until("no thread is left", || threads_of("-n9").0 == 0);
    assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_dials_again_and_again_while_the_machine_is_busy_leaves_no_thread_behind() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, id) = (listener.local_addr().expect("it is bound"), NodeId::new(8));
    let builder = node(id, &[]).peers([(TWO, "127.0.0.1:1".to_string())]).listener(listener);
    let builder = builder.limits(Limits { incoming_pieces: 1, ..patient() });
    let node = builder.start(MemoryDisk::default().open()).expect("it starts");
    let (go_on, look) = keep_busy(node.handle());
    let mut streams = Vec::new();
    for count in 1..=10 {
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        let numbers = [CLUSTER.get(), TWO.get(), id.get()];
        let hello = [b"quorate", &[codec::VERSION][..], &numbers.map(u64::to_le_bytes).concat()].concat();
        // Something that has the length of a frame is behind it at once.
        stream.write_all(&[&hello[..], &[1, 0, 0, 0, 7]].concat()).expect("it reads");
        stream.read_exact(&mut [0; 33]).expect("it answers");
        until("the frame is read", || node.handle().counters().bytes_in == 5 * count);
        streams.push(stream);
    }
    until("only the newest is served", || threads_of("quorate-from-n8").0 == 1);
    drop(go_on);
    look.join().expect("no panic");
    ends("shutdown", || node.shutdown());
}
