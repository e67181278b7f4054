//! A store that is replicated: one node of a group.

use crate::disk::Disk;
use crate::store::{Store, Unavailable};
use quorate::keyspace::limits::COMMAND_BYTES;
use quorate::keyspace::{Answer, Command, Keyspace, Query, Reply};
use quorate::raft::{self, Status};
use quorate::replicated::{self, Outcome, Replicated, Request, Settings};
use quorate::space::Heap;
use quorate::{Application, ClusterId, NodeId};
use quorate_tokio::{Handle, Node, RequestError, StartError, StopReason};
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
type Machine = Replicated<Keyspace, Space, SESSIONS, UNDER_WAY>;

/// What a node is started with.
#[derive(Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub id: NodeId,
    /// Where the nodes of the cluster listen for each other, this one among them.
    pub peers: BTreeMap<NodeId, String>,
    /// Where this node listens for the others.
    pub listener: TcpListener,
    /// What it has on disk.
    pub disk: Disk,
}

/// One node of a replicated keyspace. Dropped, it stops as in a crash.
pub struct Replica {
    node: Node<Machine>,
    /// What is beyond waits here, in order, rather than being refused.
    commands: Arc<Semaphore>,
    queries: Arc<Semaphore>,
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
        let Plan { cluster, id, peers, listener, disk } = plan;
        let voters: Vec<_> = peers.keys().copied().collect();
        let raft = raft::Config {
            // A message takes the largest command whole.
            append_bytes: COMMAND_BYTES + (64 << 10),
            inflight_bytes: 4 << 20,
            record_bytes: 4 << 20,
            window_bytes: WINDOW_BYTES,
            ..raft::Config::new(id, &voters)
        };
        let node = Node::builder(cluster, id, Settings::of(raft)).peers(peers).listener(listener);
        Ok(Self {
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

impl Store for Replica {
    async fn command(
        &self,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        let turn = turn(&self.commands).await?;
        let answer = self.handle().submit(Request::Command(command)).await.map_err(unavailable)?;
        Ok(async move {
            let outcome = answer.outcome().await.map_err(unavailable);
            drop(turn);
            match outcome? {
                Outcome::Replied { reply, .. } => Ok(reply),
                Outcome::Failed(_) => Err(Unavailable::Unconfirmed),
                outcome => unreachable!("a command is replied to: {outcome:?}"),
            }
        })
    }

    async fn query(&self, query: Query) -> Result<Answer, Unavailable> {
        let _turn = turn(&self.queries).await?;
        match self.handle().request(Request::Query(query)).await.map_err(unavailable)? {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Failed(_) => Err(Unavailable::Unconfirmed),
            outcome => unreachable!("a query is answered: {outcome:?}"),
        }
    }

    async fn peek(&self, query: Query) -> Result<Answer, Unavailable> {
        let look = move |machine: &Machine| machine.application().query(machine.time(), &query);
        self.handle().inspect(look).await.map_err(|_| Unavailable::Stopped)
    }

    async fn status(&self) -> Result<Status, Unavailable> {
        self.handle().inspect(Machine::status).await.map_err(|_| Unavailable::Stopped)
    }
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
