//! How to test a machine of your own: a register that holds the greatest number anyone put into it.
//!
//! [`Register`] is the machine: a number is stored once a majority of nodes holds it on disk. [`Watch`] is what the
//! world needs to know of it: what to ask, and what must hold.

use quorate::codec::{self, Full, Malformed, Sink};
use quorate::durable::{Gated, Ledger};
use quorate::{Done, Errand, Fault, Hosted, Input, Instant, Machine, NodeId, Output, Place, Records, Stored};
use quorate_sim::{Answer, At, Broken, Check, Desk, Script, Subject, Tally, Told, World, holds, paths};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Numbers asked for and not yet stored, at most.
const MOST_ASKED: usize = 8;
/// How long to wait for an acknowledgement before asking again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Who a node is. `hasty` leaves the gate out, to show that the world finds out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub id: NodeId,
    /// All nodes.
    pub nodes: Vec<NodeId>,
    /// Acknowledge before the disk is done.
    pub hasty: bool,
}

/// What nodes tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Hold at least this number.
    Store(u64),
    /// I hold at least this number, on disk.
    Have(u64),
}

/// Another node, as this one knows it.
#[derive(Debug)]
struct Peer {
    id: NodeId,
    /// The number it is known to hold.
    has: u64,
    /// The number it was last told to hold, since the last patience ran out.
    told: u64,
    /// The acknowledgement it is owed.
    owed: Option<Gated<u64>>,
}

/// A register that only grows, on several nodes.
#[derive(Debug)]
pub struct Register {
    hasty: bool,
    ledger: Ledger,
    value: u64,
    /// What this node's own disk holds, once the gate opens.
    own: Gated<u64>,
    asked: VecDeque<u64>,
    peers: Vec<Peer>,
    now: Instant,
    deadline: Option<Instant>,
}

impl Register {
    /// The number held.
    pub fn value(&self) -> u64 {
        self.value
    }

    fn raise(&mut self, value: u64) {
        if value > self.value {
            self.value = value;
            self.ledger.stage();
            self.own = self.ledger.gate(value);
        }
    }

    fn open(&self, gated: &Gated<u64>) -> Option<u64> {
        if self.hasty { Some(self.value) } else { self.ledger.open(gated).copied() }
    }

    fn is_stored(&self, value: u64) -> bool {
        let own = usize::from(self.open(&self.own).is_some_and(|own| own >= value));
        let others = self.peers.iter().filter(|peer| peer.has >= value).count();
        (own + others) * 2 > self.peers.len() + 1
    }
}

impl Machine for Register {
    type Request = u64;
    type Ticket = u64;
    type Refusal = u64;
    type Message<'a> = Message;
    type Record<'a> = u64;
    type Event<'a> = u64;

    fn request(&mut self, now: Instant, value: u64) -> Result<u64, u64> {
        if self.asked.len() == MOST_ASKED {
            return Err(value);
        }
        self.now = self.now.max(now);
        self.raise(value);
        self.asked.push_back(value);
        self.deadline.get_or_insert(self.now.after(PATIENCE));
        Ok(value)
    }

    fn handle(&mut self, now: Instant, input: Input<Message>) {
        self.now = self.now.max(now);
        match input {
            Input::Message { from, message: Message::Store(value) } => {
                self.raise(value);
                let owed = Some(self.ledger.gate(self.value));
                self.peers.iter_mut().filter(|peer| peer.id == from).for_each(|peer| peer.owed = owed);
            }
            Input::Message { from, message: Message::Have(value) } => {
                let peer = self.peers.iter_mut().find(|peer| peer.id == from);
                peer.into_iter().for_each(|peer| peer.has = peer.has.max(value));
            }
            Input::Saved(receipt) => _ = self.ledger.accept(receipt),
            Input::Wake => {
                if self.deadline.is_some_and(|deadline| deadline <= self.now) {
                    self.peers.iter_mut().for_each(|peer| peer.told = 0);
                    self.deadline = (!self.asked.is_empty()).then(|| self.now.after(PATIENCE));
                }
            }
        }
    }

    fn poll(&mut self) -> Option<Output<Message, u64, u64>> {
        if self.ledger.has_unsaved() {
            return Some(Output::Save(self.ledger.write(self.value, true)));
        }
        if let Some(at) = self.asked.iter().position(|&value| self.is_stored(value)) {
            return self.asked.remove(at).map(Output::Event);
        }
        let open = |peer: &Peer| peer.owed.as_ref().and_then(|owed| self.open(owed));
        if let Some((at, value)) =
            self.peers.iter().enumerate().find_map(|(at, peer)| Some((at, open(peer)?)))
        {
            self.peers[at].owed = None;
            return Some(Output::Send { to: self.peers[at].id, message: Message::Have(value) });
        }
        let wanted = self.asked.iter().copied().max()?;
        let peer = self.peers.iter_mut().find(|peer| peer.has.max(peer.told) < wanted)?;
        peer.told = wanted;
        Some(Output::Send { to: peer.id, message: Message::Store(wanted) })
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Hosted for Register {
    type Settings = Settings;

    fn blank(settings: &Settings, now: Instant) -> Self {
        let ledger = Ledger::new(0);
        let others = settings.nodes.iter().filter(|&&id| id != settings.id);
        Self {
            hasty: settings.hasty,
            own: ledger.gate(0),
            ledger,
            value: 0,
            asked: VecDeque::new(),
            peers: others.map(|&id| Peer { id, has: 0, told: 0, owed: None }).collect(),
            now,
            deadline: None,
        }
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        stored.records.try_for_each_record(|record| {
            self.value = codec::take_all(record)?;
            Ok(())
        })?;
        self.ledger = Ledger::new(seed);
        self.own = self.ledger.gate(self.value);
        Ok(())
    }

    fn put_message(message: &Message, sink: &mut impl Sink) -> Result<(), Full> {
        codec::put(message, sink)
    }

    fn take_message(bytes: &[u8]) -> Result<Message, Malformed> {
        codec::take_all(bytes)
    }

    fn put_record(record: &u64, sink: &mut impl Sink) -> Result<(), Full> {
        codec::put(record, sink)
    }

    fn place<'r>(_: &'r u64) -> Place<'r> {
        Place::Restart { keep: None }
    }

    fn errand<'e>(_: &'e u64) -> Option<Errand<'e>> {
        None
    }

    fn finish(&mut self, _: Instant, _: Done<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// A node refused.
        Refused = "register: refused",
        /// A node came up with a number on its disk.
        Kept = "register: a number survived a crash",
    }
}

/// What the world needs to know of registers.
#[derive(Debug)]
pub struct Watch {
    hasty: bool,
    nodes: Vec<NodeId>,
    /// Numbers handed out as records and not yet durable; and the greatest that is durable.
    written: BTreeMap<NodeId, VecDeque<u64>>,
    durable: BTreeMap<NodeId, u64>,
    /// Which node owes an answer for which number.
    owed: BTreeMap<u64, NodeId>,
    next: u64,
    is_calm: bool,
    tally: Tally,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            hasty: false,
            nodes: Vec::new(),
            written: BTreeMap::new(),
            durable: BTreeMap::new(),
            owed: BTreeMap::new(),
            next: 0,
            is_calm: false,
            tally: Tally::of(Path::NAMES),
        }
    }
}

impl Watch {
    /// Watches registers that are hasty or not.
    pub fn of(hasty: bool) -> Self {
        Self { hasty, ..Self::default() }
    }

    fn durable(&self, node: NodeId) -> u64 {
        self.durable.get(&node).copied().unwrap_or(0)
    }
}

impl Subject<Register> for Watch {
    fn settings(&self, id: NodeId, nodes: &[NodeId]) -> Settings {
        Settings { id, nodes: nodes.to_vec(), hasty: self.hasty }
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
    }

    fn on_work(&mut self, desk: &mut Desk<Register>) {
        desk.after(Duration::ZERO, 0);
    }

    fn on_timer(&mut self, _: Instant, _: u64, desk: &mut Desk<Register>) -> Check {
        if !self.is_calm {
            self.next += 1;
            let node = self.nodes[desk.rng.below(self.nodes.len() as u64) as usize];
            desk.ask(node, self.next, self.next);
            let next = Duration::from_micros(desk.rng.below(5_000));
            desk.after(next, 0);
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, _: u64, answer: Answer<Register>, _: &mut Desk<Register>) -> Check {
        match answer {
            Answer::Taken(value) => _ = self.owed.insert(value, at.node),
            Answer::Refused(_) => self.tally.hit(Path::Refused as usize),
            Answer::Unreachable => {}
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &u64) -> Check {
        self.written.entry(at.node).or_default().push_back(*record);
        Ok(())
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        let written = self.written.entry(at.node).or_default();
        if let Some(value) = written.drain(..count).next_back() {
            self.durable.insert(at.node, value);
        }
        Ok(())
    }

    fn on_sent(&mut self, at: At, _: NodeId, message: &Message) -> Check {
        match message {
            Message::Store(_) => Ok(()),
            Message::Have(value) => {
                holds(self.durable(at.node) >= *value, "an acknowledged number is on disk", || {
                    format!("{} acknowledged {value}, its disk holds {}", at.node, self.durable(at.node))
                })
            }
        }
    }

    fn on_event(&mut self, at: At, stored: u64, _: &mut Desk<Register>) -> Check {
        self.owed.remove(&stored);
        let holders = self.nodes.iter().filter(|&&node| self.durable(node) >= stored).count();
        holds(holders * 2 > self.nodes.len(), "a stored number is on the disks of a majority", || {
            format!("{} told that {stored} is stored, which is on {holders} disks", at.node)
        })
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Register>) -> Check {
        self.written.remove(&at.node);
        self.owed.retain(|_, node| *node != at.node);
        Ok(())
    }

    fn on_restored(&mut self, at: At, machine: &Register) -> Check {
        if machine.value() > 0 {
            self.tally.hit(Path::Kept as usize);
        }
        holds(machine.value() == self.durable(at.node), "a node comes back with what was durable", || {
            format!("{} came back with {}, not {}", at.node, machine.value(), self.durable(at.node))
        })
    }

    fn on_calm(&mut self, _: Instant, _: &[NodeId], _: &mut Desk<Register>) {
        self.is_calm = true;
        self.next += 1;
    }

    fn waits_for(
        &mut self,
        _: Instant,
        machines: &[(NodeId, &Register)],
        desk: &mut Desk<Register>,
    ) -> Result<Option<String>, Broken> {
        let behind = machines.iter().filter(|(_, machine)| machine.value() != self.next).count();
        let owed = self.owed.len();
        if let (true, Some(&(node, _))) = (behind > 0 && owed == 0, machines.first()) {
            desk.ask(node, self.next, self.next);
        }
        Ok((behind + owed > 0).then(|| format!("{behind} nodes are behind, {owed} numbers are not stored")))
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Register>) -> String {
        match told {
            Told::Request(value) => format!("store {value}"),
            Told::Message(message) => format!("{message:?}"),
            Told::Record(value) => format!("{value}"),
            Told::Event(value) => format!("{value} is stored"),
        }
    }
}

/// A hundred worlds, and a script.
#[allow(dead_code, reason = "the tests include this file for the machine")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (begin, mut events) = (std::time::Instant::now(), 0);
    for seed in 0..100 {
        events += World::<Register, _>::drawn(seed, 3, Watch::default()).run()?.events;
    }
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    let mut script = Script::<Register, _>::new(3, Watch::default());
    script.ask(NodeId::new(1), 1, 42);
    script.run_for(Duration::from_millis(10));
    assert_eq!(script.machine(NodeId::new(3)).value(), 42);
    println!("100 worlds and a script, {events} events, {rate:.0} a second, and nothing is broken");
    Ok(())
}
