//! Nodes in one thread: every message and every record passes through its codec, applications are counters of what they did.

use quorate::two_phase::{Config, Node, Side, Transaction, coordinator, participant};
use quorate::{GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Place, Stored, TxId, space::Heap};
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

/// What the application at a node says to what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Promises,
    Reads,
    Refuses,
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
    pub contradicted: u32,
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
                        Side::Coordinator(_) => {}
                        Side::Participant(participant::Event::Prepare { tx, .. }) => {
                            member.asked.push(tx);
                            says.extend(match member.manner {
                                Manner::Promises => Some(participant::Request::Promise(tx)),
                                Manner::Reads => Some(participant::Request::Read(tx)),
                                Manner::Refuses => Some(participant::Request::Refuse(tx)),
                            });
                        }
                        Side::Participant(participant::Event::Decided { tx, commit, .. }) => {
                            let done = member.done.entry(tx).or_insert((0, commit));
                            *done = (done.0 + 1, commit);
                            if commit && member.manner != Manner::Reads {
                                says.push(participant::Request::Finish(tx));
                            }
                        }
                        Side::Participant(participant::Event::Retake { tx, .. }) => member.retaken.push(tx),
                        Side::Participant(participant::Event::Contradicted { .. }) => {
                            member.contradicted += 1
                        }
                        Side::Participant(participant::Event::Ready | participant::Event::Noted { .. }) => {}
                    },
                }
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
        let now = self.now;
        let transaction =
            Transaction::of(parts.iter().map(|&part| (node(part), part as u32))).expect("sound");
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        let ticket = self.at(number).machine.as_mut().expect("it is up").request(now, request).expect("room");
        let Side::Coordinator(coordinator::Ticket::Begun(tx)) = ticket else { panic!("it has begun") };
        self.drain(number);
        tx
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
