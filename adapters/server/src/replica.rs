//! A store that is replicated: one node of a cluster.

use crate::line::{Line, PATIENCE};
use crate::service::Service;
use crate::store::{Forced, InDoubt, Settled, Store, Unavailable};
use crate::waits::{self, Waits};
use quorate::keyspace::limits::{COMMAND_BYTES, ITEM_BYTES};
use quorate::keyspace::{Answer, Command, Part, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::{self, Status};
use quorate::replicated::{self, Replicated, Settings};
use quorate::sharded::{self, Event, Failure, Outcome, Reason, Request, Sharded, Transactional};
use quorate::space::Heap;
use quorate::{Application, ClusterId, Command as _, Either, GroupId, Index, NodeId, TxId};
use quorate_tokio::{DiskStorage, Handle, Node, RequestError, StartError, StopReason};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::net::TcpListener;

/// How many other nodes a cluster may have.
pub const PEERS: usize = 8;
/// How many entries of the log of a group a node keeps in memory.
const WINDOW: usize = 65_536;
/// What those of all groups may weigh, and those of one at least. A record of a group's log holds all of its own when it is
/// compacted.
pub(crate) const WINDOW_BYTES: u64 = 64 << 20;
const LEAST_WINDOW_BYTES: u64 = 8 << 20;
/// How many sessions a group has room for: one for each node, and those of nodes that are gone.
const SESSIONS: usize = 64;
/// How many commands of a node may be under way in a group, its steps of transactions counted.
const UNDER_WAY: usize = 1024;
/// How many transactions over several groups a node carries out at a time.
const TRANSACTIONS: usize = 192;
/// How many commands of clients may be under way in a group, and how many queries. The machine keeps a quarter of the room
/// for steps of transactions, and refuses clients what is beyond. So that it does not have to, what steps take besides is left
/// free as well: in a group each transaction has one under way, and perhaps the one that was answered before it another.
const COMMANDS: usize = UNDER_WAY - UNDER_WAY / 4 - 2 * TRANSACTIONS;
const QUERIES: usize = WINDOW - WINDOW / 4;
/// What commands of clients under way in a group may weigh, and what transactions may: together the three quarters that the
/// machine lets them have where it has least. Of large transactions that begin all at once none would end in the time that
/// they have, so they wait before.
const COMMANDS_BYTES: usize = LEAST_WINDOW_BYTES as usize / 8 * 3;
const TRANSACTIONS_BYTES: usize = COMMANDS_BYTES;

type Space = Heap<PEERS, WINDOW>;
type Machine = Sharded<Service, Space, SESSIONS, UNDER_WAY>;
type Group = sharded::Group<Service, Space, SESSIONS, UNDER_WAY>;

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

/// One node of replicated keyspaces and lock tables. Dropped, it stops as in a crash.
pub struct Replica {
    node: Node<Machine>,
    /// By group.
    lines: Arc<[Lines]>,
    transactions: Line,
}

/// Who waits here for something of a group.
#[derive(Debug)]
struct Lines {
    commands: Line,
    queries: Line,
    /// Who waits for a lock.
    waits: Arc<Waits>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            commands: Line::new(COMMANDS, COMMANDS_BYTES),
            queries: Line::new(QUERIES, QUERIES),
            waits: Arc::default(),
        }
    }
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
        let voters: Vec<_> = peers.keys().copied().collect();
        let raft = raft::Config {
            // A message takes the largest command whole.
            append_bytes: COMMAND_BYTES + (64 << 10),
            inflight_bytes: 4 << 20,
            record_bytes: 4 << 20,
            window_bytes: (WINDOW_BYTES / groups).max(LEAST_WINDOW_BYTES),
            ..raft::Config::new(id, &voters)
        };
        let settings = Settings { patience: PATIENCE, ..Settings::of(raft) };
        let settings = sharded::spread(groups, &settings);
        let lines: Arc<[_]> = (0..groups).map(|_| Lines::default()).collect();
        let told = Arc::clone(&lines);
        let node = Node::builder(among(cluster, groups), id, settings).peers(peers).listener(listener);
        let node = node.observe(move |event| tell(&told, event));
        let transactions = Line::new(TRANSACTIONS, TRANSACTIONS_BYTES);
        Ok(Self { node: node.start(disk).await?, lines, transactions })
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

    fn lines(&self, group: GroupId) -> &Lines {
        &self.lines[place(group)]
    }
}

/// How much of the room for what is under way something takes.
fn weight(request: &Request<Service>) -> usize {
    match request {
        Request::Command { command, .. } => command.weight(),
        Request::Transact { parts } => parts.iter().map(|(_, part)| weight_of_part(part)).sum(),
        Request::Query { .. } | Request::Force { .. } => 0,
    }
}

/// Each key is work twice, in the promise and after the decision.
fn weight_of_part(part: &Part) -> usize {
    let mut weight = part.weight();
    Service::keys(part, &mut |_, _| weight += ITEM_BYTES);
    weight
}

fn place(group: GroupId) -> usize {
    usize::try_from(group.get()).unwrap_or(usize::MAX)
}

/// The cluster's number as its nodes tell it to each other: nodes that do not agree on how many groups there are do not
/// talk.
const fn among(cluster: ClusterId, groups: u64) -> ClusterId {
    ClusterId::new(cluster.get() ^ (groups << 48))
}

/// Passes on what ends no request.
fn tell(lines: &[Lines], event: Event<'_, Service, Space, SESSIONS, UNDER_WAY>) {
    let waits = |group| lines.get(place(group)).map(|line| &*line.waits);
    match event {
        Event::Notice { group, notice: Either::Second(notice) } => {
            waits(group).into_iter().for_each(|waits| waits.tell(&notice));
        }
        Event::Notice { notice: Either::First(never), .. } => match never {},
        Event::Contradicted { group, tx, forced } => {
            let (forced, decided) = if forced { ("commit", "abort") } else { ("abort", "commit") };
            tracing::error!(%tx, %group, forced, decided, "a transaction takes effect in part");
        }
        Event::InGroup(event) => match event.inner {
            replicated::Event::Loaded { .. } => {
                waits(event.group).into_iter().for_each(Waits::look_again);
            }
            replicated::Event::Ended { .. }
            | replicated::Event::Notice(_)
            | replicated::Event::Status(_)
            | replicated::Event::Snapshot { .. }
            | replicated::Event::Load { .. }
            | replicated::Event::Read { .. } => {}
        },
        Event::Ended { .. } => {}
    }
}

type Asked = <Service as Application>::Command;
type Told = <Service as Application>::Reply;

impl Replica {
    /// Hands a command in. What comes of it also tells in which entry.
    async fn hand_in(
        &self,
        group: GroupId,
        command: Asked,
    ) -> Result<impl Future<Output = Result<(Told, Index), Unavailable>> + use<>, Unavailable> {
        let line = &self.lines(group).commands;
        let outcome = self.hand_in_line(line, Request::Command { group, command }).await?;
        Ok(async {
            match outcome.await? {
                Outcome::Replied { reply, at } => Ok((reply, at.index)),
                outcome => Err(failed(outcome)),
            }
        })
    }

    async fn ask(
        &self,
        group: GroupId,
        query: <Service as Application>::Query,
    ) -> Result<<Service as Application>::Answer, Unavailable> {
        let line = &self.lines(group).queries;
        match self.hand_in_line(line, Request::Query { group, query }).await?.await? {
            Outcome::Answered(answer) => Ok(answer),
            outcome => Err(failed(outcome)),
        }
    }

    /// Hands a request in when it is its turn.
    async fn hand_in_line(
        &self,
        line: &Line,
        request: Request<Service>,
    ) -> Result<impl Future<Output = Result<Outcome<Service>, Unavailable>> + use<>, Unavailable> {
        let turn = line.turn(weight(&request)).await?;
        let answer = self.handle().submit(request).await.map_err(unavailable)?;
        Ok(turn.outcome(async { answer.outcome().await.map_err(unavailable) }))
    }

    async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.handle().inspect(look).await.map_err(|_| Unavailable::Stopped)
    }
}

impl Store for Replica {
    fn groups(&self) -> u64 {
        self.lines.len() as u64
    }

    async fn command(
        &self,
        group: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        let reply = self.hand_in(group, Either::First(command)).await?;
        Ok(async { Ok(of_keys(reply.await?.0)) })
    }

    async fn transact(&self, parts: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        let transact = Request::Transact { parts };
        match self.hand_in_line(&self.transactions, transact).await?.await? {
            Outcome::Committed { gains } => Ok(Settled::Committed(gains)),
            Outcome::Aborted { objection, .. } => Ok(Settled::Aborted(objection)),
            outcome => Err(failed(outcome)),
        }
    }

    async fn query(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        self.ask(group, Either::First(query)).await.map(of_keys)
    }

    async fn peek(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        let look = move |machine: &Machine| {
            let group = machine.groups().get(group)?;
            Some(group.application().application().first().query(group.time(), &query))
        };
        self.inspect(look).await?.ok_or(Unavailable::Stopped)
    }

    async fn lock(&self, group: GroupId, command: lock::Command) -> Result<lock::Reply, Unavailable> {
        Ok(of_locks(self.hand_in(group, Either::Second(command)).await?.await?.0))
    }

    async fn acquire(
        &self,
        group: GroupId,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> Result<lock::Reply, Unavailable> {
        let table = Table(self, group);
        tokio::select! {
            ended = self.lines(group).waits.acquire(&table, session, name, wait) => ended,
            _ = self.stopped() => Err(Unavailable::Stopped),
        }
    }

    async fn look(&self, group: GroupId, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        self.ask(group, Either::Second(query)).await.map(of_locks)
    }

    async fn status(&self) -> Result<Vec<(GroupId, Status)>, Unavailable> {
        let status = |(group, machine): (GroupId, &Group)| (group, Replicated::status(machine));
        self.inspect(move |machine| machine.groups().iter().map(status).collect()).await
    }

    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        let look = |machine: &Machine| {
            let shown = |one: sharded::InDoubt| {
                let now = machine.groups().get(one.group).map(Replicated::time).unwrap_or_default();
                let sharded::InDoubt { tx, age, group, home, since, forced } = one;
                InDoubt { tx, age, group, home, since: now.since(since), forced }
            };
            machine.in_doubt().map(shown).collect()
        };
        self.inspect(look).await
    }

    async fn force(&self, group: GroupId, tx: TxId, commit: bool) -> Result<Forced, Unavailable> {
        let forced = self.handle().request(Request::Force { group, tx, commit }).await;
        match forced.map_err(unavailable)? {
            Outcome::Forced(Some(_)) => Ok(Forced::Settled),
            Outcome::Forced(None) => Ok(Forced::Unknown),
            outcome => Err(failed(outcome)),
        }
    }
}

/// The lock table of a group.
struct Table<'r>(&'r Replica, GroupId);

impl waits::Table for Table<'_> {
    type Error = Unavailable;

    async fn carry_out(&self, command: lock::Command) -> Result<(lock::Reply, Index), Unavailable> {
        let (reply, at) = self.0.hand_in(self.1, Either::Second(command)).await?.await?;
        Ok((of_locks(reply), at))
    }

    async fn look(&self, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        self.0.look(self.1, query).await
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

fn failed(outcome: Outcome<Service>) -> Unavailable {
    match outcome {
        Outcome::Failed(Failure::Unconfirmed) => Unavailable::Unconfirmed,
        Outcome::Failed(Failure::TimedOut) => Unavailable::Aborted,
        Outcome::Failed(Failure::Full) => Unavailable::Busy,
        outcome => unreachable!("this was not asked: {outcome:?}"),
    }
}

fn unavailable(error: RequestError<Machine>) -> Unavailable {
    match error {
        RequestError::Refused(refusal) => {
            assert!(
                refusal.reason == Reason::Busy,
                "the front end keeps to the limits: {:?}",
                refusal.reason
            );
            Unavailable::Busy
        }
        _ => Unavailable::Stopped,
    }
}
