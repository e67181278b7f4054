//! Money from one bank to another by two-phase commit, with a crash in the middle.
//!
//! Three nodes in one thread. The first coordinates; the second and third keep an account each, and a disk with what their
//! machines want to be durable.
//!
//! ```text
//! cargo run -p quorate --all-features --example bank_transfer
//! ```

use quorate::two_phase::{Config, Node, Side, Transaction, coordinator, participant};
use quorate::{Command, Hosted, Input, Instant, Machine, NodeId, Output, Stored, TxId, space::Heap};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// What a bank does: adds so much, or takes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Change(i64);
impl Command for Change {}

type Engine = Node<Change, Heap<3, 16>>;
type Told<'a> = <Engine as Machine>::Event<'a>;

const NODES: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

/// A node: a machine, which a crash takes; a disk and a bank, which it does not.
struct Process {
    machine: Option<Engine>,
    disk: Vec<Vec<u8>>,
    balance: i64,
    /// Which transfers are in the balance: told again after a crash, the bank does nothing twice.
    done: BTreeSet<TxId>,
}

struct Letter {
    from: NodeId,
    to: NodeId,
    bytes: Vec<u8>,
}

struct World {
    processes: [Process; 3],
    wire: VecDeque<Letter>,
    now: Instant,
    lives: u64,
}

impl World {
    fn new() -> Self {
        let process = |_| Process { machine: None, disk: Vec::new(), balance: 100, done: BTreeSet::new() };
        let mut world = Self {
            processes: [0, 1, 2].map(process),
            wire: VecDeque::new(),
            now: Instant::default(),
            lives: 0,
        };
        (0..3).for_each(|at| world.start(at));
        world
    }

    /// Brings a node up from what its disk holds.
    fn start(&mut self, at: usize) {
        self.lives += 1;
        let process = &mut self.processes[at];
        let stored = Stored { records: process.disk.iter().map(Vec::as_slice), snapshots: &[] };
        let config = Config::new(NODES[at], &NODES);
        let machine = <Engine as Hosted>::restore(&config, self.lives, self.now, stored);
        process.machine = Some(machine.expect("its own records"));
        self.drain(at);
    }

    /// Moves money from the second node's bank to the third's.
    fn transfer(&mut self, amount: i64) {
        let parts = [(NODES[1], Change(-amount)), (NODES[2], Change(amount))];
        let begin = coordinator::Request::Begin(Transaction::of(parts).expect("two nodes"));
        let machine = self.processes[0].machine.as_mut().expect("it is up");
        machine.request(self.now, Side::Coordinator(begin)).expect("there is room");
        self.drain(0);
    }

    /// Does what a machine wants done until there is no more: this is the whole of a driver.
    fn drain(&mut self, at: usize) {
        let Self { processes, wire, now, .. } = self;
        let Process { machine, disk, balance, done } = &mut processes[at];
        let Some(machine) = machine else { return };
        loop {
            let (mut claims, mut answers) = (Vec::new(), Vec::new());
            while let Some(output) = machine.poll() {
                match output {
                    Output::Save(write) => {
                        let (record, claim) = write.split();
                        let mut bytes = Vec::new();
                        Engine::put_record(&record, &mut bytes).expect("a vector is never full");
                        disk.push(bytes);
                        claims.push(claim);
                    }
                    Output::Send { to, message } => {
                        let mut bytes = Vec::new();
                        Engine::put_message(&message, &mut bytes).expect("a vector is never full");
                        wire.push_back(Letter { from: NODES[at], to, bytes });
                    }
                    Output::Event(event) => answers.extend(tell(NODES[at], &event, balance, done)),
                }
            }
            if claims.is_empty() && answers.is_empty() {
                return;
            }
            // A real disk syncs here.
            claims.into_iter().for_each(|claim| machine.handle(*now, Input::Saved(claim.assert_durable())));
            for answer in answers {
                machine.request(*now, Side::Participant(answer)).expect("it was asked");
            }
        }
    }

    /// Lets messages arrive, and time pass, until nothing happens any more.
    fn run(&mut self) {
        for _ in 0..100 {
            while let Some(Letter { from, to, bytes }) = self.wire.pop_front() {
                let at = NODES.iter().position(|&node| node == to).expect("one of three");
                if let Some(machine) = &mut self.processes[at].machine {
                    let message = Engine::take_message(&bytes).expect("its own messages");
                    machine.handle(self.now, Input::Message { from, message });
                }
                self.drain(at);
            }
            self.now = Instant::from_micros(self.now.as_micros() + 20_000);
            for at in 0..3 {
                if let Some(machine) = &mut self.processes[at].machine {
                    machine.handle(self.now, Input::Wake);
                }
                self.drain(at);
            }
        }
    }

    fn show(&self, what: &str) {
        let [_, from, to] = &self.processes;
        println!("{what}: {} and {}", from.balance, to.balance);
    }
}

/// The application: what it is told, and what it says to that.
fn tell(
    node: NodeId,
    event: &Told<'_>,
    balance: &mut i64,
    done: &mut BTreeSet<TxId>,
) -> Option<participant::Request> {
    use participant::{Event, Request};
    match event {
        Side::Coordinator(event) => {
            println!("  {node} hears {event:?}");
            None
        }
        Side::Participant(Event::Prepare { tx, .. }) if done.contains(tx) => Some(Request::Finish(*tx)),
        Side::Participant(Event::Prepare { tx, work, .. }) => {
            let is_covered = *balance + work.0 >= 0;
            println!("  {node} {} {tx}", if is_covered { "promises" } else { "refuses" });
            Some(if is_covered { Request::Promise(*tx) } else { Request::Refuse(*tx) })
        }
        Side::Participant(Event::Decided { tx, commit, work }) => {
            println!("  {node} {} {tx}", if *commit { "does" } else { "lets go of" });
            if *commit && done.insert(*tx) {
                *balance += work.0;
            }
            commit.then_some(Request::Finish(*tx))
        }
        Side::Participant(Event::Retake { tx, .. }) => {
            println!("  {node} still holds {tx}");
            None
        }
        Side::Participant(Event::Ready | Event::Contradicted { .. }) => None,
    }
}

fn main() {
    let mut world = World::new();
    world.show("in the beginning");

    world.transfer(30);
    world.run();
    world.show("30 moved");

    println!("the coordinator crashes when it has asked, and the third node when it has promised");
    world.transfer(30);
    world.processes[0].machine = None;
    world.run();
    world.processes[2].machine = None;
    world.show("in doubt, nothing done");
    world.start(2);
    world.start(0);
    world.run();
    world.show("no record of a decision means that nobody does it");

    world.transfer(90);
    world.run();
    world.show("90 is more than there is");

    let balances = world.processes.each_ref().map(|process| process.balance);
    assert_eq!(balances, [100, 70, 130]);
}
