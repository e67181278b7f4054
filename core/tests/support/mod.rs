//! A few Raft nodes, a network that a test has in its hand, and disks that forget what was not synced.

#![allow(dead_code, reason = "each test uses a part of it")]

use quorate::raft::{Config, Event, Message, Record, Request, Role, Ticket};
use quorate::space::Heap;
use quorate::{
    Hosted, Input, Instant, Machine, NodeId, Output, Pending, Place, Position, Raft, Receipt, SnapshotId,
    Stored,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub type Space = Heap<7, 64, 16>;
pub type Node = Raft<u64, Space>;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Flying {
    pub from: NodeId,
    pub to: NodeId,
    pub bytes: Vec<u8>,
}

impl Flying {
    pub fn message(&self) -> Message<'_, u64> {
        Node::take_message(&self.bytes).expect("what a node sends can be read")
    }
}

/// What a disk holds, and what of it would survive a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub records: Vec<Vec<u8>>,
    pub durable: usize,
    pub snapshots: BTreeMap<SnapshotIdKey, Vec<u8>>,
}

type SnapshotIdKey = (u64, u64, u64);

pub fn key(of: SnapshotId) -> SnapshotIdKey {
    (of.at.index.get(), of.at.term.get(), of.size)
}

pub struct Host {
    pub raft: Node,
    pub disk: Disk,
    pub pending: Option<(usize, Pending)>,
    pub told: Vec<(u64, u64)>,
    pub readable: Vec<Event<'static, u64>>,
    pub loads: Vec<SnapshotId>,
    pub up: bool,
}

pub struct Cluster {
    pub hosts: Vec<Host>,
    pub flying: Vec<Flying>,
    pub now: Instant,
    /// Nodes whose saves are not synced.
    pub slow: Vec<NodeId>,
    settings: Vec<Config<Space>>,
    lives: u64,
    pub sent: u64,
}

pub fn node(id: u64) -> NodeId {
    NodeId::new(id)
}

impl Cluster {
    pub fn new(count: u64) -> Self {
        Self::with(count, |_| {})
    }

    pub fn with(count: u64, adjust: impl Fn(&mut Config<Space>)) -> Self {
        let ids: Vec<_> = (1..=count).map(node).collect();
        let settings: Vec<_> = ids
            .iter()
            .map(|&id| {
                let mut config = Config::new(id, &ids);
                adjust(&mut config);
                config
            })
            .collect();
        let host = |config: &Config<Space>| Host {
            raft: Raft::new(config.clone(), 1, Instant::default()).expect("the settings make sense"),
            disk: Disk::default(),
            pending: None,
            told: Vec::new(),
            readable: Vec::new(),
            loads: Vec::new(),
            up: true,
        };
        let hosts = settings.iter().map(host).collect();
        Self {
            hosts,
            flying: Vec::new(),
            now: Instant::default(),
            slow: Vec::new(),
            settings,
            lives: 1,
            sent: 0,
        }
    }

    pub fn host(&mut self, id: u64) -> &mut Host {
        &mut self.hosts[id as usize - 1]
    }

    pub fn raft(&self, id: u64) -> &Node {
        &self.hosts[id as usize - 1].raft
    }

    /// Carries out what a node wants done, short of syncing.
    pub fn drain(&mut self, id: u64) {
        let host = &mut self.hosts[id as usize - 1];
        while let Some(output) = host.raft.poll() {
            match output {
                Output::Save(write) => {
                    let (record, pending) = write.split();
                    host.disk.save(&record);
                    host.pending = Some((host.disk.records.len(), pending));
                }
                Output::Send { to, message } => {
                    let mut bytes = Vec::new();
                    Node::put_message(&message, &mut bytes).expect("a vector is never full");
                    self.flying.push(Flying { from: node(id), to, bytes });
                    self.sent += 1;
                }
                Output::Event(Event::Committed { first, entries }) => {
                    assert_eq!(
                        first.get(),
                        host.told.last().map_or(first.get(), |last| last.0 + 1),
                        "no gaps"
                    );
                    let mut index = first.get();
                    entries.for_each(|entry| {
                        let value = match entry.content {
                            quorate::raft::Content::Command(value) => value,
                            quorate::raft::Content::Empty => 0,
                        };
                        host.told.push((index, value));
                        index += 1;
                    });
                }
                Output::Event(Event::Readable { through, from }) => {
                    host.readable.push(Event::Readable { through, from });
                }
                Output::Event(Event::Load { of }) => host.loads.push(of),
                Output::Event(Event::Read { to, of, offset, len }) => {
                    let bytes =
                        host.disk.snapshots[&key(of)][offset as usize..offset as usize + len].to_vec();
                    host.raft.chunk(self.now, to, of, offset, &bytes);
                }
                Output::Event(Event::Status(_)) => {}
            }
        }
        if let Some(of) = host.loads.pop() {
            host.told = vec![(of.at.index.get(), 0)];
            host.raft.loaded(self.now, of);
            self.drain(id);
        }
    }

    /// Makes durable what a node saved. Hands the receipt over.
    pub fn sync(&mut self, id: u64) {
        if let Some(receipt) = self.sync_quietly(id) {
            let now = self.now;
            self.host(id).raft.handle(now, Input::Saved(receipt));
            self.drain(id);
        }
    }

    /// Makes durable what a node saved, and keeps the receipt from it.
    pub fn sync_quietly(&mut self, id: u64) -> Option<Receipt> {
        let host = self.host(id);
        let (records, pending) = host.pending.take()?;
        host.disk.durable = records;
        Some(pending.assert_durable())
    }

    fn settle(&mut self, id: u64) {
        self.drain(id);
        while !self.slow.contains(&node(id)) && self.host(id).pending.is_some() {
            self.sync(id);
        }
    }

    pub fn wake(&mut self, id: u64) {
        let now = self.now;
        self.host(id).raft.handle(now, Input::Wake);
        self.settle(id);
    }

    pub fn deliver(&mut self, flying: &Flying) {
        let now = self.now;
        let (id, from) = (flying.to.get(), flying.from);
        let host = self.host(id);
        if host.up {
            host.raft.handle(now, Input::Message { from, message: flying.message() });
            self.settle(id);
        }
    }

    /// Delivers all that flies and what follows from it, but what `lost` says.
    pub fn run_but(&mut self, lost: impl Fn(&Flying) -> bool) {
        for _ in 0..10_000 {
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

    pub fn run(&mut self) {
        self.run_but(|_| false);
    }

    /// Lets time pass, waking each node when it wants.
    pub fn pass_but(&mut self, span: Duration, lost: impl Fn(&Flying) -> bool) {
        let end = self.now.after(span);
        self.run_but(&lost);
        loop {
            let up = self.hosts.iter().filter(|host| host.up);
            let next = up.filter_map(|host| host.raft.deadline()).min().unwrap_or(end).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now.after(Duration::from_micros(1)));
            for id in 1..=self.hosts.len() as u64 {
                if self.host(id).up {
                    self.wake(id);
                }
            }
            self.run_but(&lost);
        }
    }

    pub fn pass(&mut self, span: Duration) {
        self.pass_but(span, |_| false);
    }

    /// Makes a node stand for election at once.
    pub fn campaign(&mut self, id: u64) {
        let deadline = self.raft(id).deadline().expect("a node always has a deadline");
        self.now = self.now.max(deadline);
        self.wake(id);
    }

    /// Elects a node, all messages arriving.
    pub fn elect(&mut self, id: u64) {
        self.campaign(id);
        self.run();
        assert_eq!(self.raft(id).status().role, Role::Leader, "node {id} was to be elected");
    }

    pub fn propose(&mut self, id: u64, value: u64) -> Position {
        let now = self.now;
        let ticket =
            self.host(id).raft.request(now, Request::Propose(value)).expect("the leader takes it up");
        self.settle(id);
        let Ticket::Proposed(at) = ticket else { panic!("a proposal has a position") };
        at
    }

    /// The application has a snapshot of all it was told.
    pub fn compact(&mut self, id: u64, size: u64) -> SnapshotId {
        let (now, at) = (self.now, self.raft(id).applied());
        let of = SnapshotId::new(at, size);
        let host = self.host(id);
        host.disk.snapshots.insert(key(of), (0..size).map(|byte| byte as u8).collect());
        host.raft.request(now, Request::Compact(of)).expect("it is here");
        self.settle(id);
        of
    }

    /// Loses what is not durable, and starts anew from the rest.
    pub fn restart(&mut self, id: u64) {
        self.lives += 1;
        let (now, seed, settings) = (self.now, self.lives, self.settings[id as usize - 1].clone());
        let host = self.host(id);
        host.disk.records.truncate(host.disk.durable);
        host.pending = None;
        host.told.clear();
        host.raft =
            restore(&settings, seed, now, &host.disk).expect("a disk that lost no durable record is good");
        host.up = true;
        self.settle(id);
    }

    pub fn values(&self, id: u64) -> Vec<u64> {
        self.hosts[id as usize - 1].told.iter().map(|told| told.1).filter(|&value| value != 0).collect()
    }
}

pub fn restore(
    settings: &Config<Space>,
    seed: u64,
    now: Instant,
    disk: &Disk,
) -> Result<Node, quorate::Fault> {
    let records = disk.records.iter().take(disk.durable).map(Vec::as_slice);
    let id = |&(index, term, size): &SnapshotIdKey| {
        SnapshotId::new(Position { term: quorate::Term::new(term), index: quorate::Index::new(index) }, size)
    };
    let snapshots: Vec<_> = disk.snapshots.iter().map(|(of, bytes)| (id(of), bytes.len() as u64)).collect();
    <Node as Hosted>::restore(settings, seed, now, Stored { records, snapshots: &snapshots })
}

impl Disk {
    pub fn save(&mut self, record: &Record<'_, u64>) {
        match Node::place(record) {
            Place::Log => {}
            Place::Restart { keep } => {
                self.snapshots.retain(|of, _| keep.is_some_and(|keep| key(keep) == *of))
            }
            Place::Snapshot { of, offset, bytes } => {
                let held = self.snapshots.entry(key(of)).or_default();
                assert!(offset as usize <= held.len(), "pieces come in order");
                held.truncate(offset as usize);
                held.extend_from_slice(bytes);
            }
        }
        let mut bytes = Vec::new();
        Node::put_record(record, &mut bytes).expect("a vector is never full");
        self.records.push(bytes);
    }
}
