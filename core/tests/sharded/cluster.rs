//! Nodes in one thread, each of which hosts all groups. Every message and every record passes through its codec.

use crate::bank::{Bank, Pay, Work};
use quorate::raft::Role;
use quorate::replicated::Settings;
use quorate::sharded::{self, Event, Outcome, Request, Sharded, Ticket};
use quorate::space::Heap;
use quorate::{
    Done, Errand, GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Place, SnapshotId, Stored,
};
use std::collections::{BTreeMap, VecDeque};

pub type Space = Heap<3, 64>;
pub type Member = Sharded<Bank, Space>;

pub struct Letter {
    pub from: usize,
    pub to: usize,
    pub bytes: Vec<u8>,
}

pub struct Node {
    pub machine: Option<Member>,
    pub disk: Vec<(GroupId, Vec<u8>)>,
    pub images: Vec<(SnapshotId, Vec<u8>)>,
    pub outcomes: BTreeMap<Ticket, Outcome<Bank>>,
    pub contradicted: u32,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    pub wire: VecDeque<Letter>,
    pub now: Instant,
    pub lives: u64,
    pub groups: u64,
    pub cut: Vec<(usize, usize)>,
    /// Links on which letters are kept, and those letters.
    pub held: Vec<(usize, usize)>,
    pub kept: Vec<Letter>,
    /// How many letters were sent, records written, and times that a node had to wait for its disk.
    pub costs: [u32; 3],
    /// Nodes whose clocks stand still.
    pub stopped: BTreeMap<usize, Instant>,
}

pub const fn group(number: u64) -> GroupId {
    GroupId::new(number)
}

pub fn pay(account: u8, amount: i64) -> Work {
    Work::Pay(Pay { account, amount })
}

impl Cluster {
    pub fn new(count: usize, groups: u64) -> Self {
        let node = |_| Node {
            machine: None,
            disk: Vec::new(),
            images: Vec::new(),
            outcomes: BTreeMap::new(),
            contradicted: 0,
        };
        let nodes = (0..count).map(node).collect();
        let now = Instant::from_micros(1);
        let (held, kept, stopped) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (wire, cut) = (VecDeque::new(), Vec::new());
        let mut cluster =
            Self { nodes, wire, now, lives: 0, groups, cut, held, kept, costs: [0; 3], stopped };
        (0..count).for_each(|at| cluster.start(at));
        cluster.pass(3_000);
        cluster
    }

    /// What a node's clock shows.
    fn clock(&self, at: usize) -> Instant {
        self.stopped.get(&at).copied().unwrap_or(self.now)
    }

    /// Delivers what was kept.
    pub fn release(&mut self) {
        self.held.clear();
        self.wire.extend(self.kept.drain(..));
        self.settle();
    }

    pub fn start(&mut self, at: usize) {
        self.lives += 1;
        let ids: Vec<_> = (1..=self.nodes.len() as u64).map(NodeId::new).collect();
        let node = &mut self.nodes[at];
        let settings = sharded::spread(self.groups, &Settings::<Space>::new(ids[at], &ids));
        let snapshots: Vec<_> = node.images.iter().map(|(of, bytes)| (*of, bytes.len() as u64)).collect();
        let records = node.disk.iter().map(|(_, bytes)| bytes.as_slice());
        let stored = Stored { records, snapshots: &snapshots };
        node.machine =
            Some(Member::restore(&settings, self.lives, self.now, stored).expect("its own records"));
        self.drain(at);
    }

    pub fn crash(&mut self, at: usize) {
        self.nodes[at].machine = None;
        self.nodes[at].outcomes.clear();
    }

    pub fn drain(&mut self, at: usize) {
        let now = self.clock(at);
        let node = &mut self.nodes[at];
        let Some(machine) = &mut node.machine else { return };
        for _ in 0..10_000 {
            let (mut claims, mut done) = (Vec::new(), Vec::new());
            while let Some(output) = machine.poll() {
                match output {
                    Output::Save(write) => {
                        let (record, claim) = write.split();
                        let group = Member::group(&record);
                        match Member::place(&record) {
                            Place::Snapshot { of, offset, bytes } => {
                                if offset == 0 {
                                    node.images.push((of, Vec::new()));
                                }
                                let image = node.images.iter_mut().find(|(id, _)| *id == of).expect("begun");
                                image.1.truncate(offset as usize);
                                image.1.extend_from_slice(bytes);
                            }
                            place => {
                                if let Place::Restart { keep } = place {
                                    node.disk.retain(|(of, _)| *of != group);
                                    node.images.retain(|(of, _)| of.group != group || Some(*of) == keep);
                                }
                                let mut bytes = Vec::new();
                                Member::put_record(&record, &mut bytes).expect("a vector is never full");
                                node.disk.push((group, bytes));
                            }
                        }
                        claims.push(claim);
                    }
                    Output::Send { to, message } => {
                        let mut bytes = Vec::new();
                        Member::put_message(&message, &mut bytes).expect("a vector is never full");
                        self.costs[0] += 1;
                        self.wire.push_back(Letter { from: at, to: to.get() as usize - 1, bytes });
                    }
                    Output::Event(event) => {
                        match Member::errand(&event) {
                            Some(Errand::Write { group, at, image }) => {
                                let mut bytes = Vec::new();
                                image.write(&mut bytes).expect("a vector is never full");
                                let of = SnapshotId::new(at, bytes.len() as u64).in_group(group);
                                node.images.push((of, bytes));
                                done.push((of, None));
                            }
                            Some(Errand::Read { to, of, offset, len }) => {
                                done.push((of, Some((to, offset, len))))
                            }
                            Some(Errand::Load { of }) => {
                                done.push((of, Some((NodeId::default(), 0, usize::MAX))))
                            }
                            None => {}
                        }
                        match event {
                            Event::Ended { ticket, outcome } => {
                                assert!(node.outcomes.insert(ticket, outcome).is_none(), "told once");
                            }
                            Event::Contradicted { .. } => node.contradicted += 1,
                            Event::Notice { .. } | Event::InGroup(_) => {}
                        }
                    }
                }
            }
            self.costs[1] += claims.len() as u32;
            self.costs[2] += u32::from(!claims.is_empty());
            let is_dry = claims.is_empty() && done.is_empty();
            for claim in claims {
                machine.handle(now, Input::Saved(claim.assert_durable()));
            }
            for (of, what) in done {
                let image = node.images.iter().find(|(id, _)| *id == of).map(|(_, bytes)| bytes.as_slice());
                let done = match (what, image) {
                    (None, _) => Done::Written(of),
                    (Some((_, _, usize::MAX)), Some(bytes)) => Done::Loaded { of, bytes },
                    (Some((to, offset, len)), Some(bytes)) => {
                        Done::Read { to, of, offset, bytes: &bytes[offset as usize..offset as usize + len] }
                    }
                    (Some(_), None) => continue,
                };
                machine.finish(now, done).expect("its own snapshot");
            }
            if is_dry {
                return;
            }
        }
        panic!("it talks for ever");
    }

    /// Delivers what was sent first, if anything.
    pub fn deliver_first(&mut self) -> bool {
        let Some(letter) = self.wire.pop_front() else { return false };
        if self.held.contains(&(letter.from, letter.to)) {
            self.kept.push(letter);
            return true;
        }
        let Letter { from, to, bytes } = letter;
        let now = self.clock(to);
        if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
            return true;
        }
        let message = Member::take_message(&bytes).expect("its own messages");
        if let Some(machine) = &mut self.nodes[to].machine {
            machine.handle(now, Input::Message { from: NodeId::new(from as u64 + 1), message });
        }
        self.drain(to);
        true
    }

    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.deliver_first() {
                return;
            }
        }
        panic!("they talk for ever");
    }

    /// Lets a hundredth of a second pass.
    pub fn step(&mut self) {
        self.now = Instant::from_micros(self.now.as_micros() + 10_000);
        for at in 0..self.nodes.len() {
            let now = self.clock(at);
            if let Some(machine) = &mut self.nodes[at].machine {
                machine.handle(now, Input::Wake);
            }
            self.drain(at);
        }
    }

    pub fn pass(&mut self, millis: u64) {
        for _ in 0..millis.div_ceil(10) {
            self.step();
            self.settle();
        }
    }

    pub fn ask(&mut self, at: usize, request: Request<Bank>) -> Ticket {
        let now = self.clock(at);
        let machine = self.nodes[at].machine.as_mut().expect("it is up");
        let ticket = machine.request(now, request).expect("there is room");
        self.drain(at);
        ticket
    }

    pub fn transact(&mut self, at: usize, parts: &[(u64, Work)]) -> Ticket {
        let parts = parts.iter().map(|(number, work)| (group(*number), work.clone())).collect();
        self.ask(at, Request::Transact { parts })
    }

    pub fn outcome(&self, at: usize, ticket: Ticket) -> Option<&Outcome<Bank>> {
        self.nodes[at].outcomes.get(&ticket)
    }

    pub fn leader(&self, number: u64) -> Option<usize> {
        self.nodes.iter().position(|node| {
            node.machine
                .as_ref()
                .and_then(|machine| machine.groups().get(group(number)))
                .is_some_and(|group| group.status().role == Role::Leader)
        })
    }

    pub fn machine(&self, at: usize) -> &Member {
        self.nodes[at].machine.as_ref().expect("it is up")
    }

    /// Whether no group holds anything, on any node that is up.
    pub fn is_idle(&self) -> bool {
        self.nodes.iter().filter_map(|node| node.machine.as_ref()).all(|machine| {
            machine.conducted() == 0
                && machine.groups().iter().all(|(_, group)| group.application().is_idle())
        })
    }

    pub fn balance(&self, at: usize, number: u64, account: u8) -> i64 {
        let machine = self.nodes[at].machine.as_ref().expect("it is up");
        let bank = machine.groups().get(group(number)).expect("it is hosted").application().application();
        bank.accounts.get(&account).copied().unwrap_or(100)
    }
}
