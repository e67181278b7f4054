//! A store that is replicated: one node of a group.

use crate::service::Service;
use crate::split::Part;
use crate::store::{Forced, InDoubt, Settled, Store, Unavailable};
use crate::waits::{self, Waits};
use quorate::keyspace::limits::COMMAND_BYTES;
use quorate::keyspace::{Answer, Command, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::{self, Status};
use quorate::replicated::{self, Event, Outcome, Replicated, Request, Settings};
use quorate::space::Heap;
use quorate::{Application, ClusterId, Either, GroupId, Index, NodeId, TxId};
use quorate_tokio::{DiskStorage, Handle, Node, RequestError, StartError, StopReason};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many other nodes a group may have.
pub const PEERS: usize = 8;
/// How many entries of the log a node keeps in memory.
const WINDOW: usize = 65_536;
/// What they may weigh. A record of the log holds all of them when it is compacted.
pub(crate) const WINDOW_BYTES: u64 = 64 << 20;
/// How many sessions a group has room for: one for each node, and those of nodes that are gone.
const SESSIONS: usize = 64;
/// How many commands of a node may be under way.
const UNDER_WAY: usize = 1024;

type Space = Heap<PEERS, WINDOW>;
type Machine = Replicated<Service, Space, SESSIONS, UNDER_WAY>;

/// What a node is started with.
#[derive(Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub id: NodeId,
    /// Where the nodes of the cluster listen for each other, this one among them.
    pub peers: BTreeMap<NodeId, String>,
    /// How many groups the cluster has.
    pub groups: u64,
    /// Where this node listens for the others.
    pub listener: TcpListener,
    /// What it has on disk.
    pub disk: DiskStorage,
}

/// One node of a replicated keyspace and lock table. Dropped, it stops as in a crash.
pub struct Replica {
    node: Node<Machine>,
    /// What is beyond waits here, in order, rather than being refused.
    commands: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    /// Who waits here for a lock.
    waits: Arc<Waits>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({})", self.handle().id())
    }
}

impl Replica {
    /// Starts a node from what it has on disk.
    ///
    /// # Errors
    /// What is on disk cannot be used.
    pub async fn start(plan: Plan) -> Result<Self, StartError> {
        let Plan { cluster, id, peers, groups, listener, disk } = plan;
        let cluster = among(cluster, groups);
        let voters: Vec<_> = peers.keys().copied().collect();
        let raft = raft::Config {
            // A message takes the largest command whole.
            append_bytes: COMMAND_BYTES + (64 << 10),
            inflight_bytes: 4 << 20,
            record_bytes: 4 << 20,
            window_bytes: WINDOW_BYTES,
            ..raft::Config::new(id, &voters)
        };
        let waits = Arc::new(Waits::default());
        let told = Arc::clone(&waits);
        let node = Node::builder(cluster, id, Settings::of(raft)).peers(peers).listener(listener);
        let node = node.observe(move |event| match event {
            Event::Notice(Either::Second(notice)) => told.tell(&notice),
            Event::Notice(Either::First(never)) => match never {},
            Event::Loaded { .. } => told.look_again(),
            Event::Ended { .. }
            | Event::Status(_)
            | Event::Snapshot { .. }
            | Event::Load { .. }
            | Event::Read { .. } => {}
        });
        Ok(Self {
            waits,
            node: node.start(disk).await?,
            commands: Arc::new(Semaphore::new(UNDER_WAY - 1)),
            queries: Arc::new(Semaphore::new(WINDOW - 1)),
        })
    }

    /// Stops the node: what was taken up becomes durable, and whoever waits is told.
    pub async fn shutdown(&self) -> StopReason {
        self.handle().shutdown().await
    }

    /// Waits until the node has stopped, and tells why.
    pub async fn stopped(&self) -> StopReason {
        self.handle().stopped().await
    }

    fn handle(&self) -> &Handle<Machine> {
        self.node.handle()
    }
}

type Asked = <Service as Application>::Command;
type Told = <Service as Application>::Reply;

impl Replica {
    /// Hands a command in. What comes of it also tells in which entry.
    async fn hand_in(
        &self,
        command: Asked,
    ) -> Result<impl Future<Output = Result<(Told, Index), Unavailable>> + use<>, Unavailable> {
        let turn = turn(&self.commands).await?;
        let answer = self.handle().submit(Request::Command(command)).await.map_err(unavailable)?;
        Ok(async move {
            let outcome = answer.outcome().await.map_err(unavailable);
            drop(turn);
            match outcome? {
                Outcome::Replied { reply, at } => Ok((reply, at.index)),
                Outcome::Failed(_) => Err(Unavailable::Unconfirmed),
                outcome => unreachable!("a command is replied to: {outcome:?}"),
            }
        })
    }

    async fn ask(
        &self,
        query: <Service as Application>::Query,
    ) -> Result<<Service as Application>::Answer, Unavailable> {
        let _turn = turn(&self.queries).await?;
        match self.handle().request(Request::Query(query)).await.map_err(unavailable)? {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Failed(_) => Err(Unavailable::Unconfirmed),
            outcome => unreachable!("a query is answered: {outcome:?}"),
        }
    }
}

impl Store for Replica {
    fn groups(&self) -> u64 {
        1
    }

    async fn command(
        &self,
        _: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        let reply = self.hand_in(Either::First(command)).await?;
        Ok(async { Ok(of_keys(reply.await?.0)) })
    }

    async fn transact(&self, _: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        unreachable!("there is one group")
    }

    async fn query(&self, _: GroupId, query: Query) -> Result<Answer, Unavailable> {
        self.ask(Either::First(query)).await.map(of_keys)
    }

    async fn peek(&self, _: GroupId, query: Query) -> Result<Answer, Unavailable> {
        let look = move |machine: &Machine| machine.application().first().query(machine.time(), &query);
        self.handle().inspect(look).await.map_err(|_| Unavailable::Stopped)
    }

    async fn lock(&self, _: GroupId, command: lock::Command) -> Result<lock::Reply, Unavailable> {
        Ok(of_locks(self.hand_in(Either::Second(command)).await?.await?.0))
    }

    async fn acquire(
        &self,
        _: GroupId,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> Result<lock::Reply, Unavailable> {
        tokio::select! {
            ended = self.waits.acquire(self, session, name, wait) => ended,
            _ = self.stopped() => Err(Unavailable::Stopped),
        }
    }

    async fn look(&self, _: GroupId, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        self.ask(Either::Second(query)).await.map(of_locks)
    }

    async fn status(&self) -> Result<Vec<(GroupId, Status)>, Unavailable> {
        let status = self.handle().inspect(Machine::status).await.map_err(|_| Unavailable::Stopped)?;
        Ok(vec![(GroupId::default(), status)])
    }

    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        Ok(Vec::new())
    }

    async fn force(&self, _: GroupId, _: TxId, _: bool) -> Result<Forced, Unavailable> {
        Ok(Forced::Unknown)
    }
}

impl waits::Table for Replica {
    type Error = Unavailable;

    async fn carry_out(&self, command: lock::Command) -> Result<(lock::Reply, Index), Unavailable> {
        let (reply, at) = self.hand_in(Either::Second(command)).await?.await?;
        Ok((of_locks(reply), at))
    }

    async fn look(&self, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        self.ask(Either::Second(query)).await.map(of_locks)
    }
}

/// What the keyspace says to what it was asked.
fn of_keys<A, B>(told: Either<A, B>) -> A {
    match told {
        Either::First(told) => told,
        Either::Second(_) => unreachable!("the keyspace was asked"),
    }
}

/// What the lock table says to what it was asked.
fn of_locks<A, B>(told: Either<A, B>) -> B {
    match told {
        Either::Second(told) => told,
        Either::First(_) => unreachable!("the lock table was asked"),
    }
}

/// The cluster's number as its nodes tell it to each other: nodes that do not agree on how many groups there are do not
/// talk.
const fn among(cluster: ClusterId, groups: u64) -> ClusterId {
    ClusterId::new(cluster.get() ^ (groups << 48))
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Unavailable> {
    Arc::clone(turns).acquire_owned().await.map_err(|_| Unavailable::Stopped)
}

fn unavailable(error: RequestError<Machine>) -> Unavailable {
    match error {
        RequestError::Refused(refusal) => {
            let busy = refusal.reason == replicated::Reason::Busy;
            assert!(busy, "the keyspace's limit for commands is below that for entries");
            Unavailable::Busy
        }
        _ => Unavailable::Stopped,
    }
}
