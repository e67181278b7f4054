//! Three nodes in one thread, an in-memory network and storage, no encoding.

use quorate::raft::{Config, Content, Entry, Event, Message, Request, Role, Round};
use quorate::space::{Fixed, Heap};
use quorate::{
    Batch, Command, Index, Input, Instant, Machine, NodeId, Output, Position, Raft, SnapshotId, Space, Term,
};
use std::collections::VecDeque;
use std::sync::Arc;

pub const PAYLOAD: usize = 256;
pub const WINDOWS: [u64; 3] = [1, 64, 1024];
pub const NODES: u64 = 3;

pub type OnHeap = Cluster<Arc<[u8]>, Heap<3, 32_768>>;
pub type Inline = Cluster<heapless::Vec<u8, PAYLOAD>, Fixed<3, 2048>>;

/// A message, owned while it flies.
enum Owned<C> {
    Append { term: Term, prev: Position, entries: Vec<Entry<C>>, commit: Index, round: Round, answer: bool },
    Accepted { term: Term, matched: Index, round: Round },
    Vote { term: Term, last: Position, pre: bool },
    VoteReply { term: Term, granted: bool, pre: bool },
}

pub struct Cluster<C: Command, S: Space> {
    nodes: Vec<Raft<C, S>>,
    inboxes: Vec<VecDeque<(NodeId, Owned<C>)>>,
    /// Buffers of appends, to be used again.
    pool: Vec<Vec<Entry<C>>>,
    applied: Vec<u64>,
    now: Instant,
    pub messages: u64,
}

impl<C: Command + AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>, S: Space> Cluster<C, S> {
    pub fn new() -> Self {
        let ids: Vec<_> = (1..=NODES).map(NodeId::new).collect();
        let node = |&id| {
            Raft::new(Config::new(id, &ids), id.get(), Instant::default()).expect("the settings are good")
        };
        let mut cluster = Self {
            nodes: ids.iter().map(node).collect(),
            inboxes: ids.iter().map(|_| VecDeque::new()).collect(),
            pool: Vec::new(),
            applied: vec![0; ids.len()],
            now: Instant::default(),
            messages: 0,
        };
        cluster.now = cluster.nodes[0].deadline().expect("a node always has a deadline");
        cluster.nodes[0].handle(cluster.now, Input::Wake);
        cluster.run();
        assert_eq!(cluster.nodes[0].status().role, Role::Leader);
        cluster
    }

    /// `window` commands at a time, until there were `count`.
    pub fn replicate(&mut self, window: u64, count: u64) {
        let mut payload = [0xA5; PAYLOAD];
        let (before, mut done) = (self.applied[0], 0);
        while done < count {
            for _ in 0..window {
                done += 1;
                payload[..8].copy_from_slice(&done.to_le_bytes());
                let Ok(command) = C::try_from(&payload[..]) else { panic!("the payload fits") };
                let taken = self.nodes[0].request(self.now, Request::Propose(command));
                assert!(taken.is_ok(), "there is room");
            }
            self.run();
            if self.nodes[0].window().0 > S::WINDOW / 4 {
                self.compact();
            }
        }
        assert_eq!(self.applied[0] - before, done);
    }

    fn run(&mut self) {
        self.drain(0);
        while self.inboxes.iter().any(|inbox| !inbox.is_empty()) {
            for at in 0..self.nodes.len() {
                // All that is ready is taken in before the node is polled.
                while let Some((from, owned)) = self.inboxes[at].pop_front() {
                    self.messages += 1;
                    self.handle(at, from, owned);
                }
                self.drain(at);
            }
        }
    }

    fn handle(&mut self, at: usize, from: NodeId, owned: Owned<C>) {
        let node = &mut self.nodes[at];
        let mut buffer = None;
        let message = match owned {
            Owned::Append { term, prev, entries, commit, round, answer } => {
                let entries = Batch::of(buffer.insert(entries));
                Message::Append { term, prev, entries, commit, round, answer }
            }
            Owned::Accepted { term, matched, round } => Message::Accepted { term, matched, round },
            Owned::Vote { term, last, pre } => Message::Vote { term, last, pre },
            Owned::VoteReply { term, granted, pre } => Message::VoteReply { term, granted, pre },
        };
        node.handle(self.now, Input::Message { from, message });
        if let Some(mut entries) = buffer {
            entries.clear();
            self.pool.push(entries);
        }
    }

    fn drain(&mut self, at: usize) {
        let from = NodeId::new(at as u64 + 1);
        loop {
            let mut receipt = None;
            while let Some(output) = self.nodes[at].poll() {
                match output {
                    Output::Save(write) => receipt = Some(write.split().1.assert_durable()),
                    Output::Send { to, message } => {
                        let owned = own(message, &mut self.pool);
                        self.inboxes[to.get() as usize - 1].push_back((from, owned));
                    }
                    Output::Event(Event::Committed { entries, .. }) => {
                        entries.for_each(|entry| match &entry.content {
                            Content::Command(command) => {
                                self.applied[at] += (command.as_ref().len() == PAYLOAD) as u64
                            }
                            Content::Empty => {}
                        })
                    }
                    Output::Event(_) => {}
                }
            }
            let Some(receipt) = receipt else { return };
            self.nodes[at].handle(self.now, Input::Saved(receipt));
        }
    }

    fn compact(&mut self) {
        for at in 0..self.nodes.len() {
            let of = SnapshotId::new(self.nodes[at].applied(), 1);
            // A follower may be behind what it has compacted already.
            let _ = self.nodes[at].request(self.now, Request::Compact(of));
            self.drain(at);
        }
    }
}

fn own<C: Command>(message: Message<'_, C>, pool: &mut Vec<Vec<Entry<C>>>) -> Owned<C> {
    match message {
        Message::Append { term, prev, entries, commit, round, answer } => {
            let mut buffer = pool.pop().unwrap_or_default();
            entries.for_each(|entry| buffer.push(entry.clone()));
            Owned::Append { term, prev, entries: buffer, commit, round, answer }
        }
        Message::Accepted { term, matched, round } => Owned::Accepted { term, matched, round },
        Message::Vote { term, last, pre } => Owned::Vote { term, last, pre },
        Message::VoteReply { term, granted, pre } => Owned::VoteReply { term, granted, pre },
        other => unreachable!("nothing is lost here: {other:?}"),
    }
}
