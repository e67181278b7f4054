//! The storage thread and group commit: no receipt before its sync, one sync for all that waited for it, nothing after
//! a failure, and a close that leaves nothing behind.

use std::sync::Arc as Plain;

use loom::thread::JoinHandle;
use quorate::{Hosted, Index, Input, Instant, Machine, Output, Position, Term};
use quorate_driver::storage_thread::{self, Completion, Deliver, Queue};
use quorate_driver::sync::Arc;
use quorate_driver::{
    Bell, Finished, Outcome, Receiver, Sender, StartError, StopSignal, StorageError, Subject, Tally, Task,
    Writes, mailbox, slot,
};
use quorate_loom_tests::disk::{Disk, OnSync, State};
use quorate_loom_tests::{explore, explore_within};

#[allow(dead_code, reason = "what the claims do not need of it, the tests of the drivers do")]
#[path = "../../adapters/driver/tests/common/adder.rs"]
mod adder;

use adder::{Adder, Event, Request, Settings};

/// Interruptions.
const BOUND: usize = 4;

/// A machine with its storage thread.
struct Node {
    machine: Adder,
    queue: Queue,
    thread: JoinHandle<()>,
    completions: Receiver<Completion>,
    bell: Arc<Bell>,
    /// Given when the thread says that storage is closed.
    closed: Arc<StopSignal<()>>,
}

#[derive(Clone)]
struct Completions(Sender<Completion>);

impl Deliver for Completions {
    fn deliver(&self, completion: Completion) {
        let _ = self.0.send(completion);
    }
}

struct Closed(Arc<StopSignal<()>>);

impl Drop for Closed {
    fn drop(&mut self) {
        assert!(self.0.give(()));
    }
}

impl Node {
    fn start(disk: &Disk, room: usize, on_sync: impl FnMut(usize) -> bool + Send + 'static) -> Self {
        let (bell, closed) = (Arc::new(Bell::default()), Arc::new(StopSignal::default()));
        let (sender, completions) = mailbox(room, Arc::clone(&bell));
        let storage = disk.open(Box::new(on_sync) as OnSync);
        let (queue, thread) = storage_thread::start(
            "storage".into(),
            Arc::new(Tally::default()),
            Completions(sender),
            || Ok(storage),
            |_| Ok(()),
            |restored: Result<(), StartError>| assert!(restored.is_ok()),
            Closed(Arc::clone(&closed)),
        )
        .expect("there is a thread");
        let settings =
            Settings { id: quorate::NodeId::new(1), peers: Vec::new(), window: 9, snapshot_after: 0 };
        let machine = Adder::blank(&settings, Instant::default());
        Self { machine, queue, thread, completions, bell, closed }
    }

    /// Makes a record, and hands it over by itself.
    fn save(&mut self) {
        let asked = self.machine.request(Instant::default(), Request::Add(1));
        assert!(asked.is_ok(), "there is room");
        let mut writes = Writes::default();
        while let Some(output) = self.machine.poll() {
            let Output::Save(write) = output else { panic!("nothing is durable yet") };
            writes.add::<Adder>(write).expect("there is room");
        }
        self.queue.hand_over(&mut writes, &mut Vec::new());
    }

    /// Waits for a completion; `None` if nothing comes any more.
    fn next(&self) -> Option<Completion> {
        next(&self.completions, &self.bell)
    }
}

fn next(completions: &Receiver<Completion>, bell: &Bell) -> Option<Completion> {
    let mut taken = Vec::new();
    // Bounded by storage, which answers or goes.
    while completions.take(&mut taken, 1) == 0 {
        if completions.is_finished() {
            return None;
        }
        bell.wait(None);
    }
    taken.pop()
}

/// Hands a completion to the machine, and says how many additions ended with it.
fn ended(machine: &mut Adder, completion: Completion) -> usize {
    let Completion::Saved(receipts) = completion else { panic!("{completion:?}") };
    assert_eq!(receipts.len(), 1, "one machine, one receipt");
    for receipt in receipts {
        machine.handle(Instant::default(), Input::Saved(receipt));
    }
    let mut ended = 0;
    while let Some(output) = machine.poll() {
        assert!(matches!(output, Output::Event(Event::Ended(..))), "all records were handed over");
        ended += 1;
    }
    ended
}

/// Stops a sync until it is told to go on.
#[derive(Clone, Default)]
struct Gate(Plain<(StopSignal<()>, StopSignal<()>)>);

impl Gate {
    fn hold(&self) {
        self.0.0.give(());
        self.0.1.wait();
    }

    fn wait_until_held(&self) {
        self.0.0.wait();
    }

    fn open(&self) {
        self.0.1.give(());
    }
}

#[test]
fn a_receipt_comes_only_after_the_sync_of_its_record() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        let mut node = Node::start(&disk, 4, |_| true);
        node.save();
        node.save();
        let mut acknowledged = 0;
        while acknowledged < 2 {
            let completion = node.next().expect("storage goes on");
            acknowledged += ended(&mut node.machine, completion);
            assert!(acknowledged <= disk.state().durable, "acknowledged, and not durable");
        }
    });
}

#[test]
fn what_is_queued_while_a_sync_runs_shares_the_next() {
    explore_within(BOUND, || {
        let (disk, gate) = (Disk::default(), Gate::default());
        let held = gate.clone();
        let mut node = Node::start(&disk, 4, move |sync| {
            if sync == 1 {
                held.hold();
            }
            true
        });
        node.save();
        gate.wait_until_held();
        node.save();
        node.save();
        gate.open();
        let counts = [(); 2].map(|()| {
            let completion = node.next().expect("storage goes on");
            ended(&mut node.machine, completion)
        });
        assert_eq!((counts, disk.state().syncs), ([1, 2], 2));
    });
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_or_written() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        let mut node = Node::start(&disk, 4, |sync| sync < 2);
        node.save();
        node.save();
        node.save();
        let Node { mut machine, queue, completions, bell, thread, .. } = node;
        queue.close();
        let (mut acknowledged, mut failed) = (0, false);
        while let Some(completion) = next(&completions, &bell) {
            assert!(!failed, "the failure is the last that is heard: {completion:?}");
            match completion {
                Completion::Failed(_) => failed = true,
                completion => acknowledged += ended(&mut machine, completion),
            }
        }
        thread.join().expect("no panic");
        let State { durable, syncs, .. } = disk.state();
        assert_eq!(acknowledged, durable, "all that is durable is known to be, and nothing else");
        assert_eq!((failed, failed || durable == 3), (syncs == 2, true), "a failure is told");
    });
}

#[test]
fn a_close_waits_for_what_is_queued_and_says_when_all_is_closed() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        let mut node = Node::start(&disk, 4, |_| true);
        node.save();
        node.save();
        node.queue.close();
        node.closed.wait();
        let State { durable, closed, .. } = disk.state();
        assert_eq!((durable, closed), (2, true));
        node.thread.join().expect("no panic");
    });
}

#[test]
fn a_close_at_once_leaves_what_waits_for_the_next_sync() {
    explore_within(BOUND, || {
        let (disk, gate) = (Disk::default(), Gate::default());
        let held = gate.clone();
        let mut node = Node::start(&disk, 4, move |_| {
            held.hold();
            true
        });
        node.save();
        gate.wait_until_held();
        node.save();
        drop(node.queue);
        gate.open();
        node.closed.wait();
        let State { appended, durable, closed, .. } = disk.state();
        assert_eq!((appended, durable, closed), (1, 1, true));
    });
}

#[test]
fn a_close_at_once_reaches_a_thread_that_goes_to_sleep() {
    explore(|| {
        let disk = Disk::default();
        let node = Node::start(&disk, 4, |_| true);
        drop(node.queue);
        node.closed.wait();
        assert!(disk.state().closed);
    });
}

#[test]
fn storage_does_not_wait_for_a_machine_that_has_gone() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        // Room for one completion, which nobody takes.
        let mut node = Node::start(&disk, 1, |_| true);
        node.save();
        node.save();
        drop(node.completions);
        drop(node.queue);
        node.closed.wait();
        assert!(disk.state().closed);
    });
}

#[test]
fn a_snapshot_that_is_being_written_is_waited_for() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        let node = Node::start(&disk, 4, |_| true);
        let at = Position { term: Term::new(1), index: Index::new(1) };
        let subject = Subject::Write { group: quorate::GroupId::new(0), at };
        node.queue.hand_over(&mut Writes::default(), &mut vec![Task { subject, image: vec![7] }]);
        node.queue.close();
        node.closed.wait();
        assert_eq!((disk.state().snapshots, disk.state().closed), (1, true));
        let told = next(&node.completions, &node.bell);
        assert!(matches!(
            told,
            Some(Completion::Finished(Finished { result: Outcome::Written { size: 1 }, .. }))
        ));
    });
}

#[test]
fn a_record_is_durable_before_what_was_asked_for_after_it() {
    explore_within(BOUND, || {
        let disk = Disk::default();
        let mut node = Node::start(&disk, 4, |_| true);
        let at = Position { term: Term::new(1), index: Index::new(1) };
        let subject = Subject::Load { of: quorate::SnapshotId::new(at, 1) };
        node.save();
        node.queue.hand_over(&mut Writes::default(), &mut vec![Task { subject, image: Vec::new() }]);
        let first = node.next().expect("storage goes on");
        assert_eq!(ended(&mut node.machine, first), 1, "the receipt comes first");
        assert!(matches!(node.next(), Some(Completion::Finished(_))));
    });
}

#[test]
fn who_starts_a_node_is_told_that_storage_cannot_be_opened() {
    explore(|| {
        let (restored, machine) = slot();
        let closed = Arc::new(StopSignal::default());
        let (sender, _receiver) = mailbox(1, Default::default());
        let (queue, thread) = storage_thread::start(
            "storage".into(),
            Arc::new(Tally::default()),
            Completions(sender),
            || Err(StorageError::new("there is no disk")),
            |_| Ok(()),
            |machine: Result<(), StartError>| drop(restored.fill(machine)),
            Closed(Arc::clone(&closed)),
        )
        .expect("there is a thread");
        assert!(matches!(machine.wait(), Some(Err(StartError::Storage(_)))));
        closed.wait();
        drop(queue);
        thread.join().expect("no panic");
    });
}
