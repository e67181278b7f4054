//! A node and its disk, and all that can happen to it.

mod application;
mod oracle;

use super::Work;
use super::says::{self, Known};
use crate::Tape;
use application::Standing;
use oracle::{Fact, Told, assert_canonical};
use quorate::two_phase::{Config, Message, Node, Promise, Side, Vote};
use quorate::{Hosted, Input, Instant, Machine, NodeId, Output, Pending, Place, Space, Stored, TxId};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

/// More outputs than any drain has.
const MOST_OUTPUTS: usize = 10_000;
/// More wakings than it takes until all is told.
const MOST_WAKINGS: usize = 100;

const ME: NodeId = NodeId::new(1);

/// What is on a disk: records, each with the number of its log.
pub type Disk = Vec<(u64, Vec<u8>)>;

struct Entry {
    log: usize,
    bytes: Vec<u8>,
    is_restart: bool,
    facts: Vec<Fact>,
}

/// A node and all that happened to it.
pub struct Life<S: Space> {
    machine: Node<Work, S>,
    now: u64,
    lives: u64,
    /// Whether its disk is what it wrote: else it need only not come to grief.
    is_sound: bool,
    /// All that it wrote and did not lose, of all lives.
    entries: Vec<Entry>,
    /// How many of these are durable.
    durable: usize,
    /// Claims on those of which it was not told that they are, each with how many there are with it.
    claims: Vec<(usize, Pending)>,
    /// Up to where it was told that each of its logs is durable.
    sure: [usize; 2],

    // The application, and those who ask.
    standing: BTreeMap<TxId, Standing>,
    is_ready: bool,
    /// When each was done, by what was written then.
    finished: BTreeMap<TxId, usize>,
    /// Those that somebody says are to be done by a promise that does not stand: it was kept long ago, for all a node knows.
    earlier: BTreeSet<TxId>,
    forced: BTreeSet<TxId>,
    begun: Vec<TxId>,
    /// Those that others know of, each with the life in which it began.
    named: BTreeMap<TxId, u64>,
    /// Who takes part in each.
    parts: BTreeMap<TxId, Vec<NodeId>>,
    ended: BTreeSet<TxId>,

    // What it was told.
    /// Others' transactions, with what was promised in them last.
    heard: Vec<(TxId, u64)>,
    only: BTreeSet<TxId>,
    told: BTreeSet<(TxId, bool)>,
    /// Who takes part in others' transactions, by what it was told.
    parties: BTreeSet<(TxId, NodeId)>,
    /// What those whose word counts decided since each was asked for last, and of which promise.
    decided: Vec<(TxId, bool, Promise)>,
    /// Who only reads in what.
    readers: BTreeSet<(NodeId, TxId)>,
    /// What it said since that was last looked at.
    pub said: Vec<u8>,
}

fn config<S: Space>() -> Config<S> {
    let mut config = Config::new(ME, &[1, 2, 3].map(NodeId::new));
    config.work_bytes = 8;
    config
}

fn restore<S: Space>(disk: &Disk, life: u64, now: Instant) -> Option<Node<Work, S>> {
    let records = disk.iter().map(|(_, record)| record.as_slice());
    <Node<Work, S> as Hosted>::restore(&config(), life, now, Stored { records, snapshots: &[] }).ok()
}

impl<S: Space> Life<S> {
    /// A new node.
    pub fn new() -> Self {
        Self::of(restore(&Disk::new(), 1, Instant::default()).expect("sound settings"), true)
    }

    /// One from a disk of any kind, if it is one.
    pub fn restored(disk: &Disk) -> Option<Self> {
        let mut life = Self::of(restore(disk, 1, Instant::default())?, false);
        let entry = |(log, bytes): &(u64, Vec<u8>)| Entry {
            log: usize::from(*log == 1),
            bytes: bytes.clone(),
            is_restart: false,
            facts: Vec::new(),
        };
        life.entries = disk.iter().map(entry).collect();
        life.durable = life.entries.len();
        Some(life)
    }

    fn of(machine: Node<Work, S>, is_sound: bool) -> Self {
        Self {
            machine,
            now: 0,
            lives: 1,
            is_sound,
            entries: Vec::new(),
            durable: 0,
            claims: Vec::new(),
            sure: [0; 2],
            standing: BTreeMap::new(),
            is_ready: false,
            finished: BTreeMap::new(),
            earlier: BTreeSet::new(),
            forced: BTreeSet::new(),
            begun: Vec::new(),
            named: BTreeMap::new(),
            parts: BTreeMap::new(),
            ended: BTreeSet::new(),
            heard: Vec::new(),
            only: BTreeSet::new(),
            told: BTreeSet::new(),
            parties: BTreeSet::new(),
            decided: Vec::new(),
            readers: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    /// What is on its disk: a restart lets go of what is before it in its log.
    pub fn disk(&self) -> Disk {
        let first = |log| self.entries.iter().rposition(|entry| entry.log == log && entry.is_restart);
        let first = [0, 1].map(|log| first(log).unwrap_or_default());
        let kept = self.entries.iter().enumerate().filter(|(at, entry)| *at >= first[entry.log]);
        kept.map(|(_, entry)| (entry.log as u64, entry.bytes.clone())).collect()
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// The next thing that happens.
    pub fn step(&mut self, tape: &mut Tape<'_>) {
        let what = tape.byte();
        match what % 16 {
            0 => {
                let (from, bytes) = (tape.byte().into(), tape.slice());
                self.deliver(from, bytes);
            }
            1..=6 => {
                let from = 2 + tape.below(2) as u64;
                let mut bytes = Vec::new();
                let known = Known { begun: &self.begun, heard: &self.heard };
                says::put_message(tape, from, &known, &mut bytes);
                self.deliver(from, &bytes);
            }
            7 | 8 => self.begin(tape),
            9 | 10 => self.answer(tape),
            11 if what & 16 == 0 => self.claim(tape),
            11 => self.cancel(tape),
            12 => self.save(tape.below(8), tape.byte() >= 32),
            13 => self.save(usize::MAX, true),
            14 => {
                self.now = match tape.byte() {
                    0..200 => self.machine.deadline().map_or(self.now, Instant::as_micros).max(self.now),
                    later => self.now + u64::from(later - 200) * 10_000,
                };
                self.wake();
            }
            _ => self.restart(tape.below(8)),
        }
        // Polling may be put off.
        if what < 0xE0 {
            self.drain();
        }
    }

    /// All goes well from now on, but for the peers, who say nothing: whoever asked for anything is told what came of it.
    pub fn end(&mut self) {
        self.drain();
        for _ in 0..MOST_WAKINGS {
            self.save(usize::MAX, true);
            self.drain();
            let Some(deadline) = self.machine.deadline() else { break };
            self.now = self.now.max(deadline.as_micros());
            self.wake();
            self.drain();
        }
        let untold: Vec<_> = self.begun.iter().filter(|tx| !self.ended.contains(tx)).collect();
        assert!(untold.is_empty(), "nothing is told of {untold:?}");
    }

    fn wake(&mut self) {
        self.machine.handle(self.now(), Input::Wake);
        let deadline = self.machine.deadline();
        assert!(deadline.is_none_or(|at| at > self.now()), "there is a point in waking up");
    }

    // The world.

    fn deliver(&mut self, from: u64, bytes: &[u8]) {
        let Ok(message) = <Node<Work, S> as Hosted>::take_message(bytes) else { return };
        assert_canonical::<S>(&message, bytes);
        let (tx, from) = (message.tx(), NodeId::new(from));
        match message {
            Message::Prepare { only, parties, .. } => {
                parties.for_each(|node| _ = self.parties.insert((tx, node)));
                if only {
                    self.only.insert(tx);
                }
                if !self.heard.iter().any(|(known, _)| *known == tx) {
                    self.heard.push((tx, 0));
                }
            }
            Message::Decision { commit, of, .. } => {
                self.told.insert((tx, commit));
                let is_own = self.parts.get(&tx).is_some_and(|parts| parts.contains(&from));
                if is_own || from == tx.coordinator || self.parties.contains(&(tx, from)) {
                    self.decided.push((tx, commit, of));
                }
                let stands = self.facts().any(|fact| *fact == Fact::Promised(tx, of))
                    && self.standing.get(&tx) != Some(&Standing::Asked);
                if commit && !stands && !self.finished.contains_key(&tx) {
                    self.earlier.insert(tx);
                }
            }
            Message::Vote { vote: Vote::ReadOnly, .. } => _ = self.readers.insert((from, tx)),
            Message::Vote { .. } | Message::Done { .. } | Message::Ask { .. } | Message::Wound { .. } => {}
        }
        self.machine.handle(Instant::from_micros(self.now), Input::Message { from, message });
    }

    /// So many more writes are durable; the node is told so, or later.
    fn save(&mut self, count: usize, tells: bool) {
        self.durable = self.durable.saturating_add(count).min(self.entries.len());
        if !tells {
            return;
        }
        let told = self.claims.iter().take_while(|(through, _)| *through <= self.durable).count();
        for (through, claim) in self.claims.drain(..told) {
            let now = Instant::from_micros(self.now);
            self.machine.handle(now, Input::Saved(claim.assert_durable()));
            self.sure[self.entries[through - 1].log] = through;
        }
    }

    /// Dies, and comes back with what is durable, and some of what was not.
    fn restart(&mut self, luck: usize) {
        self.claims.clear();
        self.entries.truncate(self.durable.saturating_add(luck));
        self.durable = self.entries.len();
        self.lives += 1;
        self.now += 1_000;
        let Some(machine) = restore(&self.disk(), self.lives, self.now()) else {
            assert!(!self.is_sound, "a node restores from what it wrote");
            return;
        };
        self.machine = machine;
        self.sure = [self.entries.len(); 2];
        self.finished.retain(|_, at| *at < self.entries.len());
        self.standing.clear();
        self.earlier.clear();
        self.decided.clear();
        self.begun.clear();
        self.ended.clear();
        self.is_ready = false;
    }

    /// Carries out all that the node wants done.
    fn drain(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            let Some(output) = self.machine.poll() else {
                let (coordinator, participant) = (self.machine.coordinator(), self.machine.participant());
                assert!(coordinator.transactions().count() <= S::CALLS, "a coordinator keeps its limits");
                assert!(participant.transactions().count() <= S::CALLS, "a participant keeps its limits");
                return;
            };
            match output {
                Output::Save(write) => {
                    let (record, claim) = write.split();
                    let log = Node::<Work, S>::group(&record).get() as usize;
                    let is_restart = matches!(Node::<Work, S>::place(&record), Place::Restart { .. });
                    let (mut bytes, mut facts) = (Vec::new(), Vec::new());
                    Node::<Work, S>::put_record(&record, &mut bytes).expect("a vector is never full");
                    let (Side::Coordinator(record) | Side::Participant(record)) = &record;
                    oracle::facts(record, &mut facts);
                    self.said.extend(&bytes);
                    self.entries.push(Entry { log, bytes, is_restart, facts });
                    self.claims.push((self.entries.len(), claim));
                }
                Output::Send { to, message } => {
                    let mut bytes = Vec::new();
                    Node::<Work, S>::put_message(&message, &mut bytes).expect("a vector is never full");
                    self.said.push(to.get() as u8);
                    self.said.extend(&bytes);
                    self.on_sent(to, &bytes);
                }
                Output::Event(event) => {
                    write!(self.said, "{event:?}").expect("a vector is never full");
                    match event {
                        Side::Coordinator(event) => self.on_coordinator(event),
                        Side::Participant(event) => {
                            let told = Told::of(&event);
                            self.on_participant(told);
                        }
                    }
                }
            }
        }
        panic!("a drain comes to an end");
    }
}
