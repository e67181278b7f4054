//! What 10,000 groups that have nothing to do cost a node: keys and locks, as the server has them, on three nodes in one
//! thread, with an in-memory network and no storage.

use quorate::groups::{Groups, Request, Settings};
use quorate::keyspace::{Change, Command, Keyspace};
use quorate::raft::Config;
use quorate::replicated;
use quorate::space::Heap;
use quorate::{
    Both, Either, GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Replicated, Stored, lock,
};
use std::collections::VecDeque;
use std::time::Duration;

// As in `adapters/server`.
type Locks = lock::Table<Heap<1, 1>, 4096, 4096, 16_384>;
type Member = Replicated<Both<Keyspace, Locks>, Heap<8, 65_536>, 64, 1024>;
type Node = Groups<Member>;

const GROUPS: u64 = 10_000;
const NODES: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

/// The groups, on three nodes, and messages between them, as bytes.
struct Cluster {
    nodes: Vec<Node>,
    flying: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    now: Instant,
    messages: u64,
    bytes: u64,
    wakes: u64,
}

impl Cluster {
    fn new() -> Self {
        let now = Instant::from_micros(1);
        let settings = |id| {
            let of = |number: u64| {
                let mut config = Config::new(id, &NODES);
                // Each node leads some: the others of those stand for election later.
                if id != NODES[number as usize % NODES.len()] {
                    config.election_timeout *= 2;
                }
                (GroupId::new(number), replicated::Settings::of(config))
            };
            Settings::new((0..GROUPS).map(of))
        };
        let stored = || Stored { records: std::iter::empty(), snapshots: &[] };
        let node =
            |id: NodeId| Node::restore(&settings(id), id.get(), now, stored()).expect("they make sense");
        let nodes = NODES.map(node).into();
        Self { nodes, flying: VecDeque::new(), now, messages: 0, bytes: 0, wakes: 0 }
    }

    fn drain(&mut self, at: usize) {
        loop {
            let mut receipts = Vec::new();
            while let Some(output) = self.nodes[at].poll() {
                match output {
                    Output::Save(write) => {
                        receipts.extend(write.commit(|_record| Ok::<_, ()>(())));
                    }
                    Output::Send { to, message } => {
                        let mut bytes = Vec::new();
                        Node::put_message(&message, &mut bytes).expect("a vector is never full");
                        self.messages += 1;
                        self.bytes += bytes.len() as u64;
                        self.flying.push_back((NODES[at], to, bytes));
                    }
                    Output::Event(_) => {}
                }
            }
            if receipts.is_empty() {
                return;
            }
            for receipt in receipts {
                self.nodes[at].handle(self.now, Input::Saved(receipt));
            }
        }
    }

    fn run(&mut self) {
        while let Some((from, to, bytes)) = self.flying.pop_front() {
            let message = Node::take_message(&bytes).expect("what is sent can be read");
            let at = to.get() as usize - 1;
            self.nodes[at].handle(self.now, Input::Message { from, message });
            self.drain(at);
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        for at in 0..self.nodes.len() {
            self.drain(at);
        }
        self.run();
        while let Some(next) =
            self.nodes.iter().filter_map(Machine::deadline).min().filter(|&next| next <= end)
        {
            self.now = self.now.max(next);
            for at in 0..self.nodes.len() {
                if self.nodes[at].deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.wakes += 1;
                    self.nodes[at].handle(self.now, Input::Wake);
                    self.drain(at);
                }
            }
            self.run();
        }
        self.now = end;
        self.flying.shrink_to_fit();
    }

    /// Writes a key in each group.
    fn write(&mut self) {
        for number in 0..GROUPS {
            let key = b"key of thirty-two bytes, for size"[..32].into();
            let request =
                replicated::Request::Command(Either::First(Command::Change(Change::Add { key, by: 1 })));
            let at = number as usize % NODES.len();
            let request = Request { group: GroupId::new(number), request };
            self.nodes[at].request(self.now, request).expect("there is room");
        }
        self.pass(Duration::from_secs(5));
    }

    fn assert_at_rest(&self) {
        let resting: usize = self.nodes.iter().map(Node::resting).sum();
        assert_eq!(resting, GROUPS as usize * NODES.len(), "all rest");
    }
}

/// What is held after `work`, for each group on each node.
fn held(name: &str, work: impl FnOnce()) -> f64 {
    let each = allocation_counter::measure(work).bytes_current as f64 / (GROUPS as f64 * NODES.len() as f64);
    println!("{each:>12.0} bytes for each group on each node, {name}");
    each
}

/// What a while costs in which nothing is asked.
fn idle(cluster: &mut Cluster, name: &str, span: Duration) {
    (cluster.wakes, cluster.messages, cluster.bytes) = (0, 0, 0);
    let begin = std::time::Instant::now();
    cluster.pass(span);
    let took = begin.elapsed();
    let per = |count: f64| count / span.as_secs_f64() / NODES.len() as f64;
    println!(
        "{:>12.1} wakes, {:.1} messages, {:.0} bytes sent and {:.6} s of a processor each second on each node, {name}",
        per(cluster.wakes as f64),
        per(cluster.messages as f64),
        per(cluster.bytes as f64),
        per(took.as_secs_f64()),
    );
}

fn main() {
    println!("{GROUPS} groups on {} nodes; a machine takes {} bytes", NODES.len(), size_of::<Member>());
    let mut cluster = None;
    let new = held("new", || cluster = Some(Cluster::new()));
    let mut cluster = cluster.expect("it was made");
    let led = held("with a leader, at rest", || cluster.pass(Duration::from_secs(5)));
    cluster.assert_at_rest();
    let written = held("with a key and a session", || cluster.write());
    cluster.assert_at_rest();
    println!("{:>12.0} bytes in all", new + led + written);
    assert!(new + led + written < 4_000.0, "a group that has nothing to do takes less than 4 kB");
    idle(&mut cluster, "at rest", Duration::from_secs(10_000));
    cluster.assert_at_rest();
}
