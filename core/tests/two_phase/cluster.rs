//! Nodes in one thread: every message and every record passes through its codec, applications are counters of what they did.

use quorate::two_phase::{Config, Message, Node, Side, Transaction, coordinator, participant};
use quorate::{
    GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Pending, Place, Stored, TxId, space::Heap,
};
use std::collections::{BTreeMap, VecDeque};

pub type Space = Heap<8, 16>;
pub type Machine_ = Node<u32, Space>;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    pub from: NodeId,
    pub to: NodeId,
    pub bytes: Vec<u8>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prepare,
    Vote,
    Decision,
    Done,
    Ask,
    Wound,
}

impl Letter {
    pub fn kind(&self) -> Kind {
        match Machine_::take_message(&self.bytes).expect("its own messages") {
            Message::Prepare { .. } => Kind::Prepare,
            Message::Vote { .. } => Kind::Vote,
            Message::Decision { .. } => Kind::Decision,
            Message::Done { .. } => Kind::Done,
            Message::Ask { .. } => Kind::Ask,
            Message::Wound { .. } => Kind::Wound,
        }
    }

    /// Whether it is of this kind and goes to this node.
    pub fn is(&self, kind: Kind, to: u64) -> bool {
        self.kind() == kind && self.to == node(to)
    }
}

/// What the application at a node says to what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Promises,
    Reads,
    Refuses,
    /// It says nothing until the test does.
    Waits,
}

/// A node with its disk, which is durable as soon as it is synced, and its application.
pub struct Member {
    pub id: NodeId,
    pub machine: Option<Machine_>,
    pub disk: Vec<(GroupId, Vec<u8>)>,
    pub manner: Manner,
    /// What was done, by transaction: how often, and whether.
    pub done: BTreeMap<TxId, (u32, bool)>,
    pub asked: Vec<TxId>,
    pub retaken: Vec<TxId>,
    pub outcomes: BTreeMap<TxId, coordinator::Outcome>,
    pub syncs: u64,
    /// What the applications were told that contradicts an operator.
    pub contradicted: u32,
    /// No sync ends any more: the claims that wait for one.
    pub stalled: Option<Vec<Pending>>,
}

pub struct Cluster {
    pub nodes: Vec<Member>,
    pub wire: VecDeque<Letter>,
    pub now: Instant,
    pub seed: u64,
    pub messages: u64,
}

pub const fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

impl Cluster {
    pub fn new(count: u64) -> Self {
        let nodes = (1..=count).map(|number| Member {
            id: node(number),
            machine: None,
            disk: Vec::new(),
            manner: Manner::Promises,
            done: BTreeMap::new(),
            asked: Vec::new(),
            retaken: Vec::new(),
            outcomes: BTreeMap::new(),
            syncs: 0,
            contradicted: 0,
            stalled: None,
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            wire: VecDeque::new(),
            now: Instant::default(),
            seed: 1,
            messages: 0,
        };
        (1..=count).for_each(|number| cluster.start(number));
        cluster
    }

    pub fn at(&mut self, number: u64) -> &mut Member {
        &mut self.nodes[number as usize - 1]
    }

    pub fn start(&mut self, number: u64) {
        let ids: Vec<_> = self.nodes.iter().map(|member| member.id).collect();
        self.seed += 1;
        let (seed, now) = (self.seed, self.now);
        let member = self.at(number);
        let records = member.disk.iter().map(|(_, bytes)| bytes.as_slice());
        let stored = Stored { records, snapshots: &[] };
        let machine = <Machine_ as Hosted>::restore(&Config::new(member.id, &ids), seed, now, stored)
            .expect("its own records");
        member.machine = Some(machine);
        self.drain(number);
    }

    pub fn crash(&mut self, number: u64) {
        self.at(number).machine = None;
    }

    /// Carries out all that a node wants done; its disk is at once.
    pub fn drain(&mut self, number: u64) {
        let (now, wire) = (self.now, &mut self.wire);
        let member = &mut self.nodes[number as usize - 1];
        let Some(machine) = &mut member.machine else { return };
        loop {
            let mut says = Vec::new();
            let mut claims = Vec::new();
            while let Some(output) = machine.poll() {
                match output {
                    Output::Save(write) => {
                        let (record, claim) = write.split();
                        let mut bytes = Vec::new();
                        Machine_::put_record(&record, &mut bytes).expect("a vector is never full");
                        let group = Machine_::group(&record);
                        if let Place::Restart { .. } = Machine_::place(&record) {
                            member.disk.retain(|(of, _)| *of != group);
                        }
                        member.disk.push((group, bytes));
                        claims.push(claim);
                    }
                    Output::Send { to, message } => {
                        let mut bytes = Vec::new();
                        Machine_::put_message(&message, &mut bytes).expect("a vector is never full");
                        wire.push_back(Letter { from: member.id, to, bytes });
                        self.messages += 1;
                    }
                    Output::Event(event) => match event {
                        Side::Coordinator(coordinator::Event::Ended { tx, outcome, .. }) => {
                            assert!(member.outcomes.insert(tx, outcome).is_none(), "an outcome is told once");
                        }
                        Side::Coordinator(coordinator::Event::Contradicted { .. }) => {
                            member.contradicted += 1
                        }
                        Side::Participant(participant::Event::Prepare { tx, .. }) => {
                            member.asked.push(tx);
                            let is_done = member.done.get(&tx).is_some_and(|(_, commit)| *commit);
                            says.extend(match member.manner {
                                _ if is_done => Some(participant::Request::Finish(tx)),
                                Manner::Promises => Some(participant::Request::Promise(tx)),
                                Manner::Reads => Some(participant::Request::Read(tx)),
                                Manner::Refuses => Some(participant::Request::Refuse(tx)),
                                Manner::Waits => None,
                            });
                        }
                        Side::Participant(participant::Event::Decided { tx, commit, .. }) => {
                            let done = member.done.entry(tx).or_insert((0, commit));
                            *done = (done.0 + 1, commit);
                            if commit {
                                says.push(participant::Request::Finish(tx));
                            }
                        }
                        Side::Participant(participant::Event::Retake { tx, .. }) => member.retaken.push(tx),
                        Side::Participant(participant::Event::Contradicted { .. }) => {
                            member.contradicted += 1
                        }
                        Side::Participant(participant::Event::Ready) => {}
                    },
                }
            }
            if let Some(stalled) = &mut member.stalled {
                stalled.append(&mut claims);
            }
            let is_dry = says.is_empty() && claims.is_empty();
            member.syncs += u64::from(!claims.is_empty());
            for claim in claims {
                machine.handle(now, Input::Saved(claim.assert_durable()));
            }
            for say in says {
                machine.request(now, Side::Participant(say)).expect("it was asked");
            }
            if is_dry {
                return;
            }
        }
    }

    pub fn begin(&mut self, number: u64, parts: &[u64]) -> TxId {
        self.try_begin(number, parts).expect("there is room")
    }

    pub fn try_begin(&mut self, number: u64, parts: &[u64]) -> Result<TxId, coordinator::Reason> {
        let now = self.now;
        let transaction =
            Transaction::of(parts.iter().map(|&part| (node(part), part as u32))).expect("sound");
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        let asked = self.at(number).machine.as_mut().expect("it is up").request(now, request);
        self.drain(number);
        match asked {
            Ok(Side::Coordinator(coordinator::Ticket::Begun(tx))) => Ok(tx),
            Err(Side::Coordinator(refusal)) => Err(refusal.reason),
            other => panic!("{other:?}"),
        }
    }

    /// What the application at a node says.
    pub fn say(&mut self, number: u64, request: participant::Request) -> Result<(), participant::Reason> {
        let now = self.now;
        let said = self.machine(number).request(now, Side::Participant(request));
        self.drain(number);
        match said {
            Ok(_) => Ok(()),
            Err(Side::Participant(refusal)) => Err(refusal.reason),
            Err(Side::Coordinator(_)) => panic!("it is for the participant"),
        }
    }

    pub fn machine(&mut self, number: u64) -> &mut Machine_ {
        self.at(number).machine.as_mut().expect("it is up")
    }

    /// Delivers only those messages for which `which` says so, and what follows from them; hands back the others.
    pub fn settle_only(&mut self, which: impl Fn(&Letter) -> bool) -> Vec<Letter> {
        let mut others = Vec::new();
        while let Some(letter) = self.wire.pop_front() {
            if which(&letter) {
                self.deliver(&letter);
            } else {
                others.push(letter);
            }
        }
        others
    }

    /// The disk of a node does not end any sync from now on.
    pub fn stall(&mut self, number: u64) {
        self.at(number).stalled = Some(Vec::new());
    }

    /// The syncs of a node end, each by itself.
    pub fn unstall(&mut self, number: u64) {
        let now = self.now;
        for claim in self.at(number).stalled.take().expect("it is stalled") {
            self.machine(number).handle(now, Input::Saved(claim.assert_durable()));
            self.drain(number);
        }
    }

    /// How many places of its tables a node holds, as coordinator and as participant.
    pub fn places(&mut self, number: u64) -> (usize, usize) {
        let machine = self.machine(number);
        (machine.coordinator().transactions().count(), machine.participant().transactions().count())
    }

    pub fn deliver(&mut self, letter: &Letter) {
        let now = self.now;
        let message = Machine_::take_message(&letter.bytes).expect("its own messages");
        if let Some(machine) = &mut self.nodes[letter.to.get() as usize - 1].machine {
            machine.handle(now, Input::Message { from: letter.from, message });
        }
        self.drain(letter.to.get());
    }

    /// Delivers until nothing is on its way.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(letter) = self.wire.pop_front() else { return };
            self.deliver(&letter);
        }
        panic!("they talk for ever");
    }

    /// Lets time pass, and all be delivered.
    pub fn pass(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(10) {
            self.now = Instant::from_micros(self.now.as_micros() + 10_000);
            for number in 1..=self.nodes.len() as u64 {
                let now = self.now;
                if let Some(machine) = &mut self.at(number).machine {
                    machine.handle(now, Input::Wake);
                }
                self.drain(number);
            }
            self.settle();
        }
    }
}
