//! A toy machine: each node adds numbers to its own sum, and an addition ends when this node and all its peers have
//! it on disk. Naive, and enough to see every duty of a driver.

use std::collections::VecDeque;
use std::time::Duration;

use quorate::codec::{self, Full, Malformed, Sink};
use quorate::durable::{Gated, Ledger};
use quorate::{
    Answering, Done, Errand, Fault, GroupId, Hosted, Image, Index, Input, Instant, Machine, NodeId, Output,
    Place, Position, Records, SnapshotId, Stored, Term,
};

const RESEND: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub struct Settings {
    pub id: NodeId,
    pub peers: Vec<NodeId>,
    /// Additions in flight.
    pub window: usize,
    /// Records between two snapshots; 0 for none.
    pub snapshot_after: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Add(u64),
    /// Reads the newest snapshot.
    ReadSnapshot,
    /// Trips an assertion.
    Break,
}

#[derive(Debug)]
pub struct Busy(pub Request);

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sum of this node.
    Added(u64),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy)]
pub enum Message {
    Add { sequence: u64, amount: u64 },
    Have { sequence: u64 },
}

/// How far one node's sum has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub of: NodeId,
    pub sequence: u64,
    pub total: u64,
}

pub enum Record {
    Add { of: NodeId, sequence: u64, amount: u64 },
    Restart { keep: SnapshotId, sums: Vec<Sum> },
}

#[derive(Debug)]
pub enum Event<'a> {
    Ended(u64, Outcome),
    Snapshot(Position, &'a Sums),
    Read(SnapshotId),
    Load(SnapshotId),
    /// An addition of a peer was heard.
    Heard(NodeId),
}

#[derive(Debug)]
pub struct Sums(pub Vec<Sum>);

struct Addition {
    sequence: u64,
    ticket: u64,
    total: u64,
    amount: u64,
    saved: Gated<()>,
    missing: Vec<NodeId>,
}

enum Due {
    Ended(u64, Outcome),
    Snapshot(Position),
    Read(SnapshotId),
    Load(SnapshotId),
    Heard(NodeId),
}

pub struct Adder {
    settings: Settings,
    ledger: Ledger,
    sums: Sums,
    additions: VecDeque<Addition>,
    records: VecDeque<Record>,
    messages: VecDeque<Gated<(NodeId, Message)>>,
    due: VecDeque<Due>,
    tickets: u64,
    reader: Option<u64>,
    recorded: u64,
    pub snapshot: Option<SnapshotId>,
    pub loaded: Option<Vec<u8>>,
    resend_at: Option<Instant>,
}

impl Adder {
    pub fn total(&self, of: NodeId) -> u64 {
        self.sums.0.iter().find(|sum| sum.of == of).map_or(0, |sum| sum.total)
    }

    fn sum(&mut self, of: NodeId) -> &mut Sum {
        let at = self.sums.0.iter().position(|sum| sum.of == of).unwrap_or_else(|| {
            self.sums.0.push(Sum { of, sequence: 0, total: 0 });
            self.sums.0.len() - 1
        });
        &mut self.sums.0[at]
    }

    fn add(&mut self, of: NodeId, amount: u64) -> Sum {
        let sum = self.sum(of);
        sum.sequence += 1;
        sum.total += amount;
        let sum = *sum;
        self.records.push_back(Record::Add { of, sequence: sum.sequence, amount });
        self.ledger.stage();
        self.recorded += 1;
        if self.settings.snapshot_after > 0 && self.recorded.is_multiple_of(self.settings.snapshot_after) {
            let at = Position { term: Term::new(1), index: Index::new(self.recorded) };
            self.due.push_back(Due::Snapshot(at));
        }
        sum
    }

    fn say(&mut self, to: NodeId, message: Message) {
        self.messages.push_back(self.ledger.gate((to, message)));
    }

    fn on_message(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Add { sequence, amount } => {
                if sequence == self.sum(from).sequence + 1 {
                    self.add(from, amount);
                    self.due.push_back(Due::Heard(from));
                }
                let sequence = self.sum(from).sequence;
                self.say(from, Message::Have { sequence });
            }
            Message::Have { sequence } => {
                let had = self.additions.iter_mut().filter(|addition| addition.sequence <= sequence);
                had.for_each(|addition| addition.missing.retain(|peer| *peer != from));
            }
        }
    }

    fn resend(&mut self, now: Instant) {
        if self.resend_at.is_none_or(|at| at > now) {
            return;
        }
        let unsent: Vec<_> = self.additions.iter().take(64).flat_map(Addition::messages).collect();
        unsent.into_iter().for_each(|(to, message)| self.say(to, message));
        self.resend_at = (!self.additions.is_empty()).then(|| now.after(RESEND));
    }

    fn end_additions(&mut self) {
        while let Some(addition) = self.additions.front() {
            if self.ledger.open(&addition.saved).is_none() || !addition.missing.is_empty() {
                break;
            }
            self.due.push_back(Due::Ended(addition.ticket, Outcome::Added(addition.total)));
            self.additions.pop_front();
        }
    }
}

impl Addition {
    fn messages(&self) -> impl Iterator<Item = (NodeId, Message)> {
        let message = Message::Add { sequence: self.sequence, amount: self.amount };
        self.missing.iter().map(move |peer| (*peer, message))
    }
}

impl Machine for Adder {
    type Request = Request;
    type Ticket = u64;
    type Refusal = Busy;
    type Message<'a> = Message;
    type Record<'a> = Record;
    type Event<'a> = Event<'a>;

    fn request(&mut self, now: Instant, request: Request) -> Result<u64, Busy> {
        if self.additions.len() >= self.settings.window {
            return Err(Busy(request));
        }
        let ticket = self.tickets + 1;
        match request {
            Request::Add(amount) => {
                let Sum { sequence, total, .. } = self.add(self.settings.id, amount);
                let missing = self.settings.peers.clone();
                let saved = self.ledger.gate(());
                let addition = Addition { sequence, ticket, total, amount, saved, missing };
                let messages: Vec<_> = addition.messages().collect();
                messages.into_iter().for_each(|(to, message)| self.say(to, message));
                self.additions.push_back(addition);
                self.resend_at.get_or_insert(now.after(RESEND));
            }
            Request::ReadSnapshot => match self.snapshot {
                Some(of) if self.reader.is_none() => {
                    self.reader = Some(ticket);
                    self.due.push_back(Due::Read(of));
                }
                Some(_) | None => return Err(Busy(request)),
            },
            Request::Break => panic!("asked to break"),
        }
        self.tickets = ticket;
        Ok(ticket)
    }

    fn handle(&mut self, now: Instant, input: Input<Message>) {
        match input {
            Input::Message { from, message } => self.on_message(from, message),
            Input::Saved(receipt) => drop(self.ledger.accept(receipt)),
            Input::Wake => {}
        }
        self.resend(now);
        self.end_additions();
    }

    fn poll(&mut self) -> Option<Output<Message, Record, Event<'_>>> {
        if let Some(record) = self.records.pop_front() {
            let closes = self.records.is_empty();
            return Some(Output::Save(self.ledger.write(record, closes)));
        }
        if let Some(&(to, message)) = self.messages.front().and_then(|gated| self.ledger.open(gated)) {
            self.messages.pop_front();
            return Some(Output::Send { to, message });
        }
        Some(Output::Event(match self.due.pop_front()? {
            Due::Ended(ticket, outcome) => Event::Ended(ticket, outcome),
            Due::Snapshot(at) => Event::Snapshot(at, &self.sums),
            Due::Read(of) => Event::Read(of),
            Due::Load(of) => Event::Load(of),
            Due::Heard(from) => Event::Heard(from),
        }))
    }

    fn deadline(&self) -> Option<Instant> {
        self.resend_at
    }
}

impl Hosted for Adder {
    type Settings = Settings;

    fn blank(settings: &Settings, _: Instant) -> Self {
        Self {
            settings: settings.clone(),
            ledger: Ledger::new(0),
            sums: Sums(Vec::new()),
            additions: VecDeque::new(),
            records: VecDeque::new(),
            messages: VecDeque::new(),
            due: VecDeque::new(),
            tickets: 0,
            reader: None,
            recorded: 0,
            snapshot: None,
            loaded: None,
            resend_at: None,
        }
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        self.ledger = Ledger::new(seed);
        stored.records.try_for_each_record(|bytes| {
            match Record::decode(bytes)? {
                Record::Add { of, sequence, amount } => {
                    let sum = self.sum(of);
                    *sum = Sum { of, sequence, total: sum.total + amount };
                    self.recorded += 1;
                }
                Record::Restart { keep, sums } => {
                    if !stored.snapshots.contains(&(keep, keep.size)) {
                        return Err(Fault::SnapshotMissing(keep));
                    }
                    self.sums = Sums(sums);
                    self.recorded = keep.at.index.get();
                    self.snapshot = Some(keep);
                    self.due = VecDeque::from([Due::Load(keep)]);
                }
            }
            Ok(())
        })
    }

    fn put_message(message: &Message, sink: &mut impl Sink) -> Result<(), Full> {
        match message {
            Message::Add { sequence, amount } => codec::put(&(0_u8, sequence, amount), sink),
            Message::Have { sequence } => codec::put(&(1_u8, sequence, 0_u64), sink),
        }
    }

    fn take_message(bytes: &[u8]) -> Result<Message, Malformed> {
        match codec::take_all(bytes)? {
            (0_u8, sequence, amount) => Ok(Message::Add { sequence, amount }),
            (1, sequence, 0) => Ok(Message::Have { sequence }),
            _ => Err(Malformed::Content),
        }
    }

    fn put_record(record: &Record, sink: &mut impl Sink) -> Result<(), Full> {
        match record {
            Record::Add { of, sequence, amount } => codec::put(&(0_u8, of.get(), sequence, amount), sink),
            Record::Restart { keep, sums } => {
                codec::put(&(1_u8, keep.at.index.get(), keep.size, sums.len() as u64), sink)?;
                Sums(sums.clone()).write(sink)
            }
        }
    }

    fn place<'r>(record: &'r Record) -> Place<'r> {
        match record {
            Record::Add { .. } => Place::Log,
            Record::Restart { keep, .. } => Place::Restart { keep: Some(*keep) },
        }
    }

    fn errand<'e>(event: &'e Event<'_>) -> Option<Errand<'e>> {
        match event {
            Event::Snapshot(at, sums) => {
                Some(Errand::Write { group: GroupId::default(), at: *at, image: *sums })
            }
            Event::Read(of) => {
                Some(Errand::Read { to: NodeId::new(0), of: *of, offset: 0, len: of.size as usize })
            }
            Event::Load(of) => Some(Errand::Load { of: *of }),
            Event::Ended(..) | Event::Heard(_) => None,
        }
    }

    fn finish(&mut self, _: Instant, done: Done<'_>) -> Result<(), Fault> {
        match done {
            Done::Written(keep) => {
                self.records.clear();
                self.records.push_back(Record::Restart { keep, sums: self.sums.0.clone() });
                self.ledger.stage();
                self.snapshot = Some(keep);
            }
            Done::TurnedAway(_) => {}
            Done::Read { bytes, .. } => {
                let ended =
                    self.reader.take().map(|ticket| Due::Ended(ticket, Outcome::Bytes(bytes.to_vec())));
                self.due.extend(ended);
            }
            Done::Loaded { bytes, .. } => self.loaded = Some(bytes.to_vec()),
        }
        Ok(())
    }
}

impl Answering for Adder {
    type Outcome = Outcome;

    fn outcome(event: Self::Event<'_>) -> Result<(u64, Outcome), Self::Event<'_>> {
        match event {
            Event::Ended(ticket, outcome) => Ok((ticket, outcome)),
            Event::Snapshot(..) | Event::Read(_) | Event::Load(_) | Event::Heard(_) => Err(event),
        }
    }
}

impl Record {
    fn decode(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, a, b, c): (u8, u64, u64, u64) = codec::take(&mut bytes)?;
        if kind == 0 {
            return Ok(Self::Add { of: NodeId::new(a), sequence: b, amount: c });
        }
        let at = Position { term: Term::new(1), index: Index::new(a) };
        let mut sums = Vec::new();
        for _ in 0..c {
            let (of, sequence, total): (u64, u64, u64) = codec::take(&mut bytes)?;
            sums.push(Sum { of: NodeId::new(of), sequence, total });
        }
        Ok(Self::Restart { keep: SnapshotId::new(at, b), sums })
    }
}

impl Image for Sums {
    fn write(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        self.0.iter().try_for_each(|sum| codec::put(&(sum.of.get(), sum.sequence, sum.total), sink))
    }
}
