//! What the tests share.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of it")]

#[path = "../../../driver/tests/common/adder.rs"]
pub mod adder;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use adder::{Adder, Request, Settings};
use quorate::{ClusterId, NodeId};
use quorate_threads::{Answer, Builder, Driven, Handle, Hub, Limits, MemoryDisk, Node};

pub const CLUSTER: ClusterId = ClusterId::new(7);
pub const ONE: NodeId = NodeId::new(1);
pub const TWO: NodeId = NodeId::new(2);
pub const THREE: NodeId = NodeId::new(3);

/// How long anything may take, on a machine that is busy with something else.
pub const LONG: Duration = Duration::from_secs(60);

/// A node with these peers; the toy machine waits for all of them.
pub fn node(id: NodeId, peers: &[NodeId]) -> Builder<Adder> {
    Node::builder(CLUSTER, id, settings(id, peers)).limits(patient())
}

/// The usual limits, but that nobody is sent away for being slow to shake hands, as on a machine that is busy with
/// something else.
pub fn patient() -> Limits {
    Limits { handshake_time: LONG, ..Limits::default() }
}

/// A node without peers, on a disk in memory.
pub fn alone(disk: &MemoryDisk) -> Node<Adder> {
    node(ONE, &[]).start(disk.open()).expect("it starts")
}

pub fn settings(id: NodeId, peers: &[NodeId]) -> Settings {
    let peers = peers.iter().copied().filter(|peer| *peer != id).collect();
    Settings { id, peers, window: 1024, snapshot_after: 0 }
}

/// Adds one and returns the sum.
pub fn add_one(handle: &Handle<Adder>) -> u64 {
    let answer = handle.submit(Request::Add(1)).expect("the node runs");
    match soon("addition", answer).expect("the node runs") {
        adder::Outcome::Added(sum) => sum,
        adder::Outcome::Bytes(bytes) => panic!("bytes for an addition: {bytes:?}"),
    }
}

pub fn total(handle: &Handle<Adder>, of: NodeId) -> u64 {
    handle.inspect(move |adder| adder.total(of)).expect("the node runs")
}

/// An answer that must come soon.
pub fn soon<M: Driven>(
    what: &str,
    answer: Answer<M>,
) -> Result<M::Outcome, quorate_threads::RequestError<M>> {
    answer.wait_timeout(LONG).unwrap_or_else(|_| panic!("never ended: {what}"))
}

/// What must end soon, on a thread of its own.
pub fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || drop(done.send(work())));
    match ended.recv_timeout(LONG) {
        Ok(value) => value,
        Err(_) if thread.is_finished() => panic!("it panicked: {what}"),
        Err(_) => panic!("never ended: {what}"),
    }
}

/// Waits until something is so, and fails if it is not in time.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How the nodes of a cluster reach each other.
#[derive(Clone)]
pub enum Net {
    Sockets,
    Hub(Hub),
}

/// Both ways to reach each other: what is claimed must hold over each.
pub fn nets() -> [Net; 2] {
    [Net::Sockets, Net::Hub(Hub::default())]
}

/// Some nodes in this process, on disks in memory.
pub struct Cluster<M: Driven> {
    net: Net,
    ids: Vec<NodeId>,
    members: Vec<Member<M>>,
}

struct Member<M: Driven> {
    settings: M::Settings,
    disk: MemoryDisk,
    /// Bound for as long as the cluster lives, so that a node that starts again has its address.
    listener: TcpListener,
    node: Option<Node<M>>,
}

impl<M: Driven> Cluster<M> {
    pub fn start(net: Net, count: u64, mut settings: impl FnMut(NodeId, &[NodeId]) -> M::Settings) -> Self {
        let ids: Vec<_> = (1..=count).map(NodeId::new).collect();
        let members = ids.iter().map(|id| Member {
            settings: settings(*id, &ids),
            disk: MemoryDisk::default(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            node: None,
        });
        let mut cluster = Self { net, members: members.collect(), ids: ids.clone() };
        ids.into_iter().for_each(|id| cluster.start_again(id));
        cluster
    }

    pub fn start_again(&mut self, id: NodeId) {
        self.kill(id);
        let book: Vec<_> = self.ids.iter().copied().zip(self.members.iter().map(Member::address)).collect();
        let (net, ids) = (self.net.clone(), self.ids.clone());
        let limits = Limits { longest_pause: Duration::from_millis(200), ..Limits::default() };
        let member = self.member(id);
        let builder = Node::builder(CLUSTER, id, member.settings.clone()).limits(limits);
        let builder = match net {
            Net::Hub(hub) => builder.hub(&hub, ids),
            Net::Sockets => builder.peers(book).listener(member.listener.try_clone().expect("a descriptor")),
        };
        member.node = Some(builder.start(member.disk.open()).expect("it starts"));
    }

    pub fn kill(&mut self, id: NodeId) {
        if let Some(node) = self.member(id).node.take() {
            ends("kill", || node.kill());
        }
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.ids.clone()
    }

    pub fn handle(&self, id: NodeId) -> &Handle<M> {
        self.members[id.get() as usize - 1].node.as_ref().expect("it runs").handle()
    }

    pub fn handles(&self) -> impl Iterator<Item = &Handle<M>> {
        self.members.iter().filter_map(|member| member.node.as_ref().map(Node::handle))
    }

    pub fn set_cut(&self, a: NodeId, b: NodeId, cut: bool) {
        self.handle(a).set_cut(b, cut);
        self.handle(b).set_cut(a, cut);
    }

    fn member(&mut self, id: NodeId) -> &mut Member<M> {
        &mut self.members[id.get() as usize - 1]
    }
}

impl<M: Driven> Member<M> {
    fn address(&self) -> String {
        self.listener.local_addr().expect("it is bound").to_string()
    }
}
