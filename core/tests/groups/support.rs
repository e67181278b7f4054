//! Three nodes with some groups each, a network that a test has in its hand, and disks that never fail.

pub use crate::sum::{Ask, Sum};
use quorate::codec;
use quorate::groups::{Groups, InGroup, Message, Request, Settings};
use quorate::raft::{self, Role, Status};
use quorate::replicated::{self, Outcome};
use quorate::space::Heap;
use quorate::{
    Answering, Done, Errand, Fault, GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Place, Receipt,
    Replicated, SnapshotId, Stored, Timestamp,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub type Space = Heap<3, 32, 16>;
pub type Member = Replicated<Sum, Space, 2, 8>;
pub type Node = Groups<Member>;
pub type Ticket = <Node as Machine>::Ticket;

pub const SECOND: Duration = Duration::from_secs(1);
pub const NODES: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

pub fn group(number: u64) -> GroupId {
    GroupId::new(number)
}

/// The settings of one group on a node.
pub fn member(id: NodeId) -> replicated::Settings<Space> {
    replicated::Settings::new(id, &NODES)
}

pub fn settings(id: NodeId, groups: u64) -> Settings<replicated::Settings<Space>> {
    Settings::new((0..groups).map(|number| (group(number), member(id))))
}

pub fn four(id: NodeId) -> Settings<replicated::Settings<Space>> {
    settings(id, 4)
}

pub fn add(number: u64) -> replicated::Request<Sum> {
    replicated::Request::Command(Ask::Add(number))
}

/// A message on its way.
#[derive(Clone)]
pub struct Flying {
    pub from: NodeId,
    pub to: NodeId,
    pub bytes: Vec<u8>,
}

impl Flying {
    pub fn message(&self) -> <Node as Machine>::Message<'_> {
        Node::take_message(&self.bytes).expect("what is sent can be read")
    }

    pub fn is_of(&self, of: u64) -> bool {
        matches!(self.message(), Message::Group { group: id, .. } if id == group(of))
    }

    pub fn is_beat(&self) -> bool {
        matches!(self.message(), Message::Beat { .. })
    }

    pub fn is_rest(&self) -> bool {
        matches!(self.message(), Message::Rest { .. })
    }

    /// Whether it is between these two, in either direction.
    pub fn is_between(&self, one: NodeId, other: NodeId) -> bool {
        (self.from, self.to) == (one, other) || (self.from, self.to) == (other, one)
    }
}

pub struct Host {
    pub id: NodeId,
    pub node: Node,
    pub up: bool,
    pub records: Vec<Vec<u8>>,
    pub snapshots: Vec<(SnapshotId, Vec<u8>)>,
    pub outcomes: BTreeMap<Ticket, Outcome<Sum>>,
    pub notices: Vec<(GroupId, Timestamp)>,
    pub images: Vec<SnapshotId>,
    /// Whether its disk does not finish.
    pub slow: bool,
    /// How often it was woken because it wanted to be.
    pub wakes: u64,
    /// The last receipt of each group, when the disk is slow.
    pub receipts: Vec<(GroupId, Receipt)>,
}

pub struct Cluster {
    pub hosts: Vec<Host>,
    pub flying: Vec<Flying>,
    /// All that was sent since a test last cleared it.
    pub sent: Vec<Flying>,
    pub now: Instant,
    pub settings: fn(NodeId) -> Settings<replicated::Settings<Space>>,
    lives: u64,
}

impl Cluster {
    /// A cluster that has just begun.
    pub fn new(settings: fn(NodeId) -> Settings<replicated::Settings<Space>>) -> Self {
        let now = Instant::from_micros(1);
        let host = |id| Host {
            id,
            node: restore(&settings(id), id.get(), now, &[], &[]).expect("the settings make sense"),
            up: true,
            records: Vec::new(),
            snapshots: Vec::new(),
            outcomes: BTreeMap::new(),
            notices: Vec::new(),
            images: Vec::new(),
            slow: false,
            wakes: 0,
            receipts: Vec::new(),
        };
        let (flying, sent) = Default::default();
        Self { hosts: NODES.map(host).into(), flying, sent, now, settings, lives: 10 }
    }

    /// A cluster whose groups all rest.
    pub fn at_rest(settings: fn(NodeId) -> Settings<replicated::Settings<Space>>) -> Self {
        let mut cluster = Self::new(settings);
        cluster.pass(Duration::from_secs(5));
        cluster.assert_at_rest();
        cluster.sent.clear();
        cluster
    }

    pub fn assert_at_rest(&self) {
        for host in &self.hosts {
            let groups = host.node.iter().len();
            assert_eq!(host.node.resting(), groups, "all groups of {} rest", host.id);
        }
    }

    pub fn host(&mut self, id: NodeId) -> &mut Host {
        &mut self.hosts[id.get() as usize - 1]
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.hosts[id.get() as usize - 1].node
    }

    pub fn status(&self, id: NodeId, of: u64) -> Status {
        self.node(id).get(group(of)).expect("it is hosted").status()
    }

    /// The one that leads a group, of those that are up.
    pub fn leader(&self, of: u64) -> NodeId {
        let up = self.hosts.iter().filter(|host| host.up).map(|host| host.id);
        up.max_by_key(|&id| {
            let status = self.status(id, of);
            (status.role == Role::Leader).then_some(status.term)
        })
        .filter(|&id| self.status(id, of).role == Role::Leader)
        .expect("somebody leads")
    }

    /// The two that do not lead a group.
    pub fn followers(&self, of: u64) -> [NodeId; 2] {
        let leader = self.leader(of);
        let followers: Vec<_> = NODES.into_iter().filter(|&id| id != leader).collect();
        followers.try_into().expect("one of three leads")
    }

    pub fn ask(&mut self, id: NodeId, of: u64, request: replicated::Request<Sum>) -> Ticket {
        let now = self.now;
        let request = Request { group: group(of), request };
        let ticket = self.host(id).node.request(now, request).expect("it is taken up");
        self.drain(id);
        ticket
    }

    /// Asks, and lets a second pass.
    pub fn done(&mut self, id: NodeId, of: u64, request: replicated::Request<Sum>) -> Outcome<Sum> {
        let ticket = self.ask(id, of, request);
        self.pass(SECOND);
        self.host(id).outcomes.remove(&ticket).expect("it ended")
    }

    pub fn add(&mut self, id: NodeId, of: u64, number: u64) -> u64 {
        match self.done(id, of, add(number)) {
            Outcome::Replied { reply, .. } => reply,
            other => panic!("{other:?}"),
        }
    }

    pub fn total(&mut self, id: NodeId, of: u64) -> u64 {
        match self.done(id, of, replicated::Request::Query(())) {
            Outcome::Answered(total) => total,
            other => panic!("{other:?}"),
        }
    }

    /// Does all that a node wants done.
    pub fn drain(&mut self, id: NodeId) {
        while self.drain_once(id) && !self.host(id).slow {
            let now = self.now;
            let host = self.host(id);
            for (_, receipt) in std::mem::take(&mut host.receipts) {
                host.node.handle(now, Input::Saved(receipt));
            }
        }
    }

    /// Does all that a node wants done, but keeps the receipts. Tells whether there are any.
    pub fn drain_once(&mut self, id: NodeId) -> bool {
        let now = self.now;
        let host = &mut self.hosts[id.get() as usize - 1];
        while let Some(output) = host.node.poll() {
            match output {
                Output::Save(write) => {
                    let (record, pending) = write.split();
                    save(&mut host.records, &mut host.snapshots, &record);
                    host.receipts.retain(|(of, _)| *of != record.group);
                    host.receipts.push((record.group, pending.assert_durable()));
                }
                Output::Send { to, message } => {
                    let mut bytes = Vec::new();
                    Node::put_message(&message, &mut bytes).expect("a vector is never full");
                    let flying = Flying { from: id, to, bytes };
                    self.sent.push(flying.clone());
                    self.flying.push(flying);
                }
                Output::Event(event) => {
                    if let Some(errand) = Node::errand(&event) {
                        run(errand, now, host_parts(&mut host.snapshots, &mut host.images))(&mut host.node);
                        continue;
                    }
                    match Node::outcome(event) {
                        Ok((ticket, outcome)) => {
                            assert!(host.outcomes.insert(ticket, outcome).is_none(), "a ticket ends once");
                        }
                        Err(InGroup { group, inner: replicated::Event::Notice(notice) }) => {
                            host.notices.push((group, notice));
                        }
                        Err(_) => {}
                    }
                }
            }
        }
        !host.receipts.is_empty()
    }

    /// Delivers all that flies and what follows from it, but what `lost` says.
    pub fn run_but(&mut self, lost: &dyn Fn(&Flying) -> bool) {
        for _ in 0..1_000_000 {
            if self.flying.is_empty() {
                return;
            }
            let flying = self.flying.remove(0);
            if !lost(&flying) {
                self.deliver(&flying);
            }
        }
        panic!("the cluster does not come to rest");
    }

    pub fn deliver(&mut self, flying: &Flying) {
        let now = self.now;
        let host = self.host(flying.to);
        if host.up {
            host.node.handle(now, Input::Message { from: flying.from, message: flying.message() });
            self.drain(flying.to);
        }
    }

    /// Lets time pass, waking each node when it wants and no earlier.
    pub fn pass_but(&mut self, span: Duration, lost: &dyn Fn(&Flying) -> bool) {
        let end = self.now.after(span);
        for id in NODES {
            if self.host(id).up {
                self.drain(id);
            }
        }
        self.run_but(lost);
        let mut again = 0;
        loop {
            let up = self.hosts.iter().filter(|host| host.up);
            let Some(next) = up.filter_map(|host| host.node.deadline()).min().filter(|&next| next <= end)
            else {
                self.now = end;
                return;
            };
            // What was asked just now may be overdue.
            again = if next > self.now { 0 } else { again + 1 };
            assert!(again < 10, "a node that was woken wants to be woken later");
            let next = next.max(self.now);
            self.now = next;
            for id in NODES {
                let host = self.host(id);
                if host.up && host.node.deadline().is_some_and(|at| at <= next) {
                    host.wakes += 1;
                    host.node.handle(next, Input::Wake);
                    self.drain(id);
                }
            }
            self.run_but(lost);
        }
    }

    pub fn pass(&mut self, span: Duration) {
        self.pass_but(span, &|_| false);
    }

    /// A node crashes: what is not on its disk is lost.
    pub fn crash(&mut self, id: NodeId) {
        let host = self.host(id);
        host.up = false;
        host.outcomes.clear();
        host.receipts.clear();
        self.flying.retain(|flying| flying.from != id && flying.to != id);
    }

    pub fn restart(&mut self, id: NodeId) {
        self.lives += 1;
        let (lives, now, settings) = (self.lives, self.now, (self.settings)(id));
        let host = self.host(id);
        host.node = restore(&settings, lives, now, &host.records, &host.snapshots).expect("its disk is good");
        host.up = true;
        self.drain(id);
    }
}

type Parts<'h> = (&'h mut Vec<(SnapshotId, Vec<u8>)>, &'h mut Vec<SnapshotId>);

fn host_parts<'h>(
    snapshots: &'h mut Vec<(SnapshotId, Vec<u8>)>,
    images: &'h mut Vec<SnapshotId>,
) -> Parts<'h> {
    (snapshots, images)
}

/// Runs an errand; hands out what tells its machine of it, once the event is no longer lent.
fn run(errand: Errand<'_>, now: Instant, (snapshots, images): Parts<'_>) -> impl FnOnce(&mut Node) + use<> {
    let held = |of| snapshots.iter().find(|(id, _)| *id == of).map(|(_, bytes)| bytes.clone());
    let (of, peer, bytes) = match errand {
        Errand::Write { group, at, image } => {
            let mut bytes = Vec::new();
            image.write(&mut bytes).expect("a vector is never full");
            let of = SnapshotId::new(at, bytes.len() as u64).in_group(group);
            snapshots.push((of, bytes));
            images.push(of);
            (of, None, None)
        }
        Errand::Read { to, of, offset, len } => {
            let bytes = held(of).expect("it is kept")[offset as usize..offset as usize + len].to_vec();
            (of, Some((to, offset)), Some(bytes))
        }
        Errand::Load { of } => (of, None, Some(held(of).expect("it is kept"))),
    };
    move |node| {
        let done = match (peer, &bytes) {
            (Some((to, offset)), Some(bytes)) => Done::Read { to, of, offset, bytes },
            (None, Some(bytes)) => Done::Loaded { of, bytes },
            (_, None) => Done::Written(of),
        };
        node.finish(now, done).expect("it is good");
    }
}

fn save(
    records: &mut Vec<Vec<u8>>,
    snapshots: &mut Vec<(SnapshotId, Vec<u8>)>,
    record: &<Node as Machine>::Record<'_>,
) {
    let group = Node::group(record);
    match Node::place(record) {
        Place::Log => {}
        Place::Restart { keep } => {
            snapshots.retain(|(of, _)| of.group != group || Some(*of) == keep);
            records.retain(|record| group_of(record) != group);
        }
        Place::Snapshot { of, offset, bytes } => {
            if offset == 0 {
                snapshots.push((of, Vec::new()));
            }
            let held = snapshots.iter_mut().find(|(id, _)| *id == of).expect("it began");
            held.1.extend_from_slice(bytes);
        }
    }
    let mut bytes = Vec::new();
    Node::put_record(record, &mut bytes).expect("a vector is never full");
    assert_eq!(group_of(&bytes), group, "a record says of which group it is");
    records.push(bytes);
}

/// The group of a stored record: after the version.
pub fn group_of(record: &[u8]) -> GroupId {
    codec::take(&mut &record[1..]).expect("a record has a group")
}

pub fn restore(
    settings: &Settings<replicated::Settings<Space>>,
    seed: u64,
    now: Instant,
    records: &[Vec<u8>],
    snapshots: &[(SnapshotId, Vec<u8>)],
) -> Result<Node, Fault> {
    let snapshots: Vec<_> = snapshots.iter().map(|(of, bytes)| (*of, bytes.len() as u64)).collect();
    let stored = Stored { records: records.iter().map(Vec::as_slice), snapshots: &snapshots };
    Node::restore(settings, seed, now, stored)
}

impl Cluster {
    /// The life that a node speaks of.
    pub fn sent_life(&mut self, id: NodeId) -> Option<u64> {
        self.pass(Duration::from_millis(200));
        self.sent.iter().rev().filter(|sent| sent.from == id).find_map(|sent| match sent.message() {
            Message::Beat { life, .. } | Message::Rest { life, .. } => Some(life),
            Message::Group { .. } => None,
        })
    }
}

/// A message of Raft in a group, as bytes.
pub fn in_group(of: u64, message: raft::Message<'_, replicated::Stamped<Ask>>) -> Vec<u8> {
    let message = Message::Group { group: group(of), message: replicated::Message::Raft(message) };
    let mut bytes = Vec::new();
    Node::put_message(&message, &mut bytes).expect("a vector is never full");
    bytes
}
