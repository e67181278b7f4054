//! Groups of Raft, with no application around it.

use quorate::groups::{Groups, InGroup, Message, Request, Settings};
use quorate::raft::{self, Config, Event, Role};
use quorate::space::Heap;
use quorate::{GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Raft, Stored};
use std::time::Duration;

type Node = Groups<Raft<u64, Heap<5, 16>>>;
type Flying = (NodeId, NodeId, Vec<u8>);

const NODES: [NodeId; 5] = [NodeId::new(1), NodeId::new(2), NodeId::new(3), NodeId::new(4), NodeId::new(5)];
const GROUP: GroupId = GroupId::new(7);

struct Cluster {
    nodes: Vec<Node>,
    up: Vec<bool>,
    flying: Vec<Flying>,
    readable: Vec<NodeId>,
    offers: usize,
    now: Instant,
}

impl Cluster {
    fn at_rest(adjust: impl Fn(&mut Config<Heap<5, 16>>)) -> Self {
        Self::of(3, None, adjust)
    }

    /// So many nodes, and where the group belongs.
    fn of(count: usize, home: Option<NodeId>, adjust: impl Fn(&mut Config<Heap<5, 16>>)) -> Self {
        let ids = &NODES[..count];
        let now = Instant::from_micros(1);
        let node = |id: NodeId| {
            let mut config = Config::new(id, ids);
            adjust(&mut config);
            let stored = Stored { records: std::iter::empty(), snapshots: &[] };
            let homes = home.map(|home| (GROUP, home)).into_iter().collect();
            let settings = Settings { homes, ..Settings::new([(GROUP, config)]) };
            Node::restore(&settings, id.get(), now, stored).expect("they make sense")
        };
        let nodes = ids.iter().copied().map(node).collect();
        let mut cluster =
            Self { nodes, up: vec![true; count], offers: 0, flying: Vec::new(), readable: Vec::new(), now };
        cluster.pass(Duration::from_secs(5), &|_| false);
        assert!(cluster.nodes.iter().all(|node| node.is_resting(GROUP)));
        cluster
    }

    fn leader(&self) -> usize {
        let leads = |node: &Node| node.get(GROUP).map(|raft| raft.status().role) == Some(Role::Leader);
        self.nodes.iter().position(leads).expect("somebody leads")
    }

    fn drain(&mut self, at: usize) {
        loop {
            let mut receipt = None;
            while let Some(output) = self.nodes[at].poll() {
                match output {
                    Output::Save(write) => receipt = write.commit(|_record| Ok::<_, ()>(())).ok(),
                    Output::Send { to, message } => {
                        if let Message::Rest { groups, .. } = &message {
                            groups.for_each(|resting| self.offers += usize::from(resting.heir.is_some()));
                        }
                        let mut bytes = Vec::new();
                        Node::put_message(&message, &mut bytes).expect("a vector is never full");
                        self.flying.push((NODES[at], to, bytes));
                    }
                    Output::Event(InGroup { inner: Event::Readable { .. }, .. }) => {
                        self.readable.push(NODES[at]);
                    }
                    Output::Event(_) => {}
                }
            }
            let Some(receipt) = receipt else { return };
            self.nodes[at].handle(self.now, Input::Saved(receipt));
        }
    }

    fn run(&mut self, lost: &dyn Fn(&Flying) -> bool) {
        while !self.flying.is_empty() {
            let flying = self.flying.remove(0);
            let (from, to, bytes) = &flying;
            let at = to.get() as usize - 1;
            if self.up[at] && !lost(&flying) {
                let message = Node::take_message(bytes).expect("what is sent can be read");
                self.nodes[at].handle(self.now, Input::Message { from: *from, message });
                self.drain(at);
            }
        }
    }

    fn pass(&mut self, span: Duration, lost: &dyn Fn(&Flying) -> bool) {
        let end = self.now.after(span);
        (0..self.up.len())
            .filter(|&at| self.up[at])
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|at| self.drain(at));
        self.run(lost);
        loop {
            let up = (0..self.up.len()).filter(|&at| self.up[at]);
            let next = up.filter_map(|at| Some((self.nodes[at].deadline()?, at))).min();
            let Some((next, at)) = next.filter(|&(next, _)| next <= end) else { break };
            self.now = self.now.max(next);
            self.nodes[at].handle(self.now, Input::Wake);
            self.drain(at);
            self.run(lost);
        }
        self.now = end;
    }
}

#[test]
fn who_waits_for_a_read_does_not_rest() {
    let mut cluster = Cluster::at_rest(|_| {});
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let request = |request| Request { group: GROUP, request };
    cluster.nodes[leader].request(cluster.now, request(raft::Request::Propose(1))).expect("it leads");
    let asks = |flying: &Flying| {
        let message = Node::take_message(&flying.2).expect("what is sent can be read");
        matches!(message, Message::Group { message: raft::Message::ReadIndex { .. }, .. })
    };
    cluster.pass(Duration::from_millis(50), &asks);
    cluster.nodes[follower].request(cluster.now, request(raft::Request::Read)).expect("there is room");
    cluster.pass(Duration::from_millis(800), &asks);
    assert!(!cluster.nodes[follower].is_resting(GROUP), "its questions are lost");
    cluster.pass(Duration::from_secs(2), &|_| false);
    assert_eq!(cluster.readable, [NODES[follower]]);
    assert!(cluster.nodes.iter().all(|node| node.is_resting(GROUP)));
}

#[test]
fn who_has_something_that_is_not_committed_does_not_rest() {
    let mut cluster = Cluster::at_rest(|config| config.check_quorum = false);
    let leader = cluster.leader();
    (0..3).filter(|&at| at != leader).for_each(|at| cluster.up[at] = false);
    let request = Request { group: GROUP, request: raft::Request::Propose(1) };
    cluster.nodes[leader].request(cluster.now, request).expect("it leads");
    cluster.pass(Duration::from_secs(10), &|_| false);
    assert_eq!(cluster.leader(), leader, "nothing makes it step down");
    assert!(!cluster.nodes[leader].is_resting(GROUP));
}

/// Proposes something now and then, for a minute.
fn keep_busy(cluster: &mut Cluster) {
    for value in 0..5 {
        let leader = cluster.leader();
        let request = Request { group: GROUP, request: raft::Request::Propose(value) };
        cluster.nodes[leader].request(cluster.now, request).expect("it leads");
        cluster.pass(Duration::from_secs(12), &|_| false);
        assert!(cluster.nodes[leader].is_resting(GROUP));
    }
}

#[test]
fn who_is_absent_is_not_asked_to_lead() {
    let mut cluster = Cluster::of(5, Some(NODES[4]), |_| {});
    assert_eq!(cluster.leader(), 4);
    cluster.up[4] = false;
    cluster.pass(Duration::from_secs(5), &|_| false);
    cluster.offers = 0;
    // What it believes does not count.
    cluster.nodes[4] = Cluster::of(5, None, |_| {}).nodes.swap_remove(4);
    let leader = cluster.leader();
    assert_ne!(leader, 4);
    keep_busy(&mut cluster);
    assert_eq!(cluster.offers, 0);
}

#[test]
fn a_lead_that_takes_the_vote_of_who_has_it_is_not_offered() {
    let home = 0;
    let mut cluster = Cluster::of(3, Some(NODES[home]), |_| {});
    assert_eq!(cluster.leader(), home);
    // It stands still for a while; then one of the two others does.
    cluster.up[home] = false;
    cluster.pass(Duration::from_secs(5), &|_| false);
    let leads = |at: &usize| {
        let role = cluster.nodes[*at].get(GROUP).map(|raft| raft.status().role);
        *at != home && role == Some(Role::Leader)
    };
    let leader = (0..3).find(leads).expect("the others elected one");
    cluster.up[home] = true;
    cluster.up[3 - home - leader] = false;
    cluster.pass(Duration::from_secs(5), &|_| false);
    assert!(cluster.nodes[leader].is_resting(GROUP) && cluster.nodes[home].is_resting(GROUP));
    cluster.offers = 0;
    cluster.pass(Duration::from_secs(60), &|_| false);
    assert_eq!(cluster.offers, 0);
}
