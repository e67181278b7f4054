//! A cluster in one process, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use quorate::{ClusterId, NodeId};
use quorate_driver::{Limits, MemoryDisk, StartError, StopReason};

use crate::handle::{Driven, Handle};
use crate::node::Node;

/// Some nodes in one process, with real connections between them and disks in memory, for tests of what runs on
/// them: kill one, start it again, cut two off from each other, and see what is left.
///
/// The nodes are numbered from 1. Dropped, they all stop.
///
/// ```
/// use quorate::keyspace::{Answer, Change, Command, Keyspace, Reply};
/// use quorate::replicated::{Outcome, Request, Settings};
/// use quorate::{NodeId, Replicated, space::Heap};
/// use quorate_tokio::{Handle, TestCluster};
///
/// type Store = Replicated<Keyspace, Heap<3, 1024>>;
///
/// async fn add_one(handle: &Handle<Store>) -> Result<Outcome<Keyspace>, Box<dyn std::error::Error>> {
///     let add = Change::Add { key: "visits".into(), by: 1 };
///     Ok(handle.request(Request::Command(Command::Change(add))).await?)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut cluster = TestCluster::<Store>::start(3, Settings::new).await?;
/// let (one, two) = (NodeId::new(1), NodeId::new(2));
/// let first = add_one(cluster.handle(one)).await?;
/// assert!(matches!(first, Outcome::Replied { reply: Reply::Answer(Answer::Integer(1)), .. }));
///
/// cluster.kill(one).await;
/// let second = add_one(cluster.handle(two)).await?;
/// assert!(matches!(second, Outcome::Replied { reply: Reply::Answer(Answer::Integer(2)), .. }));
/// # Ok(())
/// # }
/// ```
pub struct TestCluster<M: Driven> {
    members: BTreeMap<NodeId, Member<M>>,
    /// Pairs that do not hear each other, the smaller id first.
    cuts: BTreeSet<(NodeId, NodeId)>,
    limits: Limits,
}

struct Member<M: Driven> {
    settings: M::Settings,
    disk: MemoryDisk,
    /// Bound for as long as the cluster lives, so that a node that starts again has its address.
    listener: TcpListener,
    address: String,
    node: Option<Node<M>>,
}

impl<M: Driven> TestCluster<M> {
    /// Starts `count` nodes. `settings` makes the settings of each, given who it is and who all are.
    ///
    /// # Errors
    /// A node did not start.
    pub async fn start(
        count: u64,
        mut settings: impl FnMut(NodeId, &[NodeId]) -> M::Settings,
    ) -> Result<Self, StartError> {
        let ids: Vec<_> = (1..=count).map(NodeId::new).collect();
        let mut members = BTreeMap::new();
        for id in &ids {
            members.insert(*id, Member::new(settings(*id, &ids)).map_err(listen_error)?);
        }
        let limits = Limits { longest_pause: Duration::from_millis(200), ..Limits::default() };
        let mut cluster = Self { members, cuts: BTreeSet::new(), limits };
        for id in ids {
            cluster.start_again(id).await?;
        }
        Ok(cluster)
    }

    /// Who the nodes are, running or not.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<'_, M> {
        self.members.keys().copied()
    }

    /// The handles of the nodes that run.
    pub fn handles(&self) -> impl Iterator<Item = &Handle<M>> {
        self.members.values().filter_map(|member| member.node.as_ref().map(Node::handle))
    }

    /// The handle of a node. After it was started again, it has another one.
    ///
    /// # Panics
    /// If the node does not run, or is none of this cluster.
    #[must_use]
    pub fn handle(&self, id: NodeId) -> &Handle<M> {
        match self.members.get(&id).and_then(|member| member.node.as_ref()) {
            Some(node) => node.handle(),
            None => panic!("node {id} does not run"),
        }
    }

    /// The disk of a node, to make it slow or have it fail.
    ///
    /// # Panics
    /// If the node is none of this cluster.
    #[must_use]
    pub fn disk(&self, id: NodeId) -> &MemoryDisk {
        match self.members.get(&id) {
            Some(member) => &member.disk,
            None => panic!("node {id} is not of this cluster"),
        }
    }

    /// Stops a node as a crash would: what it did not sync is lost. `None` if it does not run.
    pub async fn kill(&mut self, id: NodeId) -> Option<StopReason> {
        let node = self.members.get_mut(&id)?.node.take()?;
        Some(node.kill().await)
    }

    /// Stops a node politely. `None` if it does not run.
    pub async fn shutdown(&mut self, id: NodeId) -> Option<StopReason> {
        let node = self.members.get_mut(&id)?.node.take()?;
        Some(node.shutdown().await)
    }

    /// Starts a node from what its disk holds; one that runs is killed before.
    ///
    /// # Errors
    /// It did not start.
    ///
    /// # Panics
    /// If the node is none of this cluster.
    pub async fn start_again(&mut self, id: NodeId) -> Result<(), StartError> {
        self.kill(id).await;
        let book: Vec<_> = self.members.iter().map(|(id, member)| (*id, member.address.clone())).collect();
        let Some(member) = self.members.get_mut(&id) else { panic!("node {id} is not of this cluster") };
        let listener = member.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let node = Node::builder(ClusterId::new(1), id, member.settings.clone())
            .peers(book)
            .listener(listener.map_err(listen_error)?)
            .limits(self.limits)
            .start(member.disk.open())
            .await?;
        for (a, b) in self.cuts.iter().filter(|(a, b)| *a == id || *b == id) {
            node.handle().set_cut(if *a == id { *b } else { *a }, true);
        }
        member.node = Some(node);
        Ok(())
    }

    /// Drops all that two nodes say to each other from now on, until [`heal`](Self::heal).
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cuts.insert((a.min(b), a.max(b)));
        self.set_cut(a, b, true);
    }

    /// Cuts a node off from all others.
    pub fn isolate(&mut self, id: NodeId) {
        let others: Vec<_> = self.ids().filter(|other| *other != id).collect();
        others.into_iter().for_each(|other| self.cut(id, other));
    }

    /// Lets two nodes hear each other again.
    pub fn heal(&mut self, a: NodeId, b: NodeId) {
        self.cuts.remove(&(a.min(b), a.max(b)));
        self.set_cut(a, b, false);
    }

    /// Lets all nodes hear each other again.
    pub fn heal_all(&mut self) {
        for (a, b) in std::mem::take(&mut self.cuts) {
            self.set_cut(a, b, false);
        }
    }

    fn set_cut(&self, a: NodeId, b: NodeId, cut: bool) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(node) = self.members.get(&one).and_then(|member| member.node.as_ref()) {
                node.handle().set_cut(other, cut);
            }
        }
    }
}

impl<M: Driven> Member<M> {
    fn new(settings: M::Settings) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        Ok(Self { settings, disk: MemoryDisk::default(), listener, address, node: None })
    }
}

impl<M: Driven> fmt::Debug for TestCluster<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running: Vec<_> = self.handles().map(Handle::id).collect();
        write!(f, "TestCluster({} nodes, {running:?} running)", self.members.len())
    }
}

fn listen_error(source: io::Error) -> StartError {
    StartError::Listen { address: "127.0.0.1:0".into(), source }
}
