//! What is behind the front end.

use quorate::keyspace::{Answer, Command, Objection, Part, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::Status;
use quorate::{Age, GroupId, TxId};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// Several groups, each a keyspace with a lock table beside it: replicated ones, or some in memory for a test.
///
/// A query sees all commands and transactions whose replies were there when it was asked, and nothing of a transaction
/// that may yet be aborted.
pub trait Store: Send + Sync + 'static {
    /// How many groups there are: from 0 to before this.
    fn groups(&self) -> u64;

    /// Hands a command in, waiting until there is room; it is carried out durably and once, and the future that comes
    /// back ends in its reply. The commands of one group take effect in the order in which they were handed in.
    fn command(
        &self,
        group: GroupId,
        command: Command,
    ) -> impl Future<
        Output = Result<impl Future<Output = Result<Reply, Unavailable>> + Send + use<Self>, Unavailable>,
    > + Send;

    /// Carries out a transaction over several groups, each named once: all parts or none, and for everyone else at one
    /// moment.
    fn transact(
        &self,
        parts: Vec<(GroupId, Part)>,
    ) -> impl Future<Output = Result<Settled, Unavailable>> + Send;

    /// Answers a query about the keyspace of a group from a state that is no older than the query.
    fn query(&self, group: GroupId, query: Query)
    -> impl Future<Output = Result<Answer, Unavailable>> + Send;

    /// Answers a query about the keyspace of a group from the state of this node, however old, without asking anyone.
    fn peek(&self, group: GroupId, query: Query) -> impl Future<Output = Result<Answer, Unavailable>> + Send;

    /// Carries out a command of the lock table of a group. What is acquired so does not wait: see
    /// [`acquire`](Self::acquire).
    fn lock(
        &self,
        group: GroupId,
        command: lock::Command,
    ) -> impl Future<Output = Result<lock::Reply, Unavailable>> + Send;

    /// Acquires a lock, and waits until it is granted or it is known that it will not be: [`Granted`], [`Held`] if it
    /// was not granted in time or its wait was cancelled, [`SessionExpired`] or [`Full`]. Dropped, it leaves the
    /// session in line.
    ///
    /// [`Granted`]: lock::Reply::Granted
    /// [`Held`]: lock::Reply::Held
    /// [`SessionExpired`]: lock::Reply::SessionExpired
    /// [`Full`]: lock::Reply::Full
    fn acquire(
        &self,
        group: GroupId,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> impl Future<Output = Result<lock::Reply, Unavailable>> + Send;

    /// Answers a query about the lock table of a group from a state that is no older than the query.
    fn look(
        &self,
        group: GroupId,
        query: lock::Query,
    ) -> impl Future<Output = Result<lock::Answer, Unavailable>> + Send;

    /// What this node knows of itself in each group, without asking anyone.
    fn status(&self) -> impl Future<Output = Result<Vec<(GroupId, Status)>, Unavailable>> + Send;

    /// The transactions that this node knows to be in doubt, without asking anyone.
    fn in_doubt(&self) -> impl Future<Output = Result<Vec<InDoubt>, Unavailable>> + Send;

    /// Settles a transaction in a group where it is in doubt, whatever its coordinator decided or will decide.
    fn force(
        &self,
        group: GroupId,
        tx: TxId,
        commit: bool,
    ) -> impl Future<Output = Result<Forced, Unavailable>> + Send;
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All parts were carried out: what each of them gets, in their order.
    Committed(Vec<Vec<Answer>>),
    /// None was: what one of them objected.
    Aborted(Objection),
}

/// A transaction of which a group does not know yet whether it takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The transaction.
    pub tx: TxId,
    /// How old it is, among those that want the same keys.
    pub age: Age,
    /// The group, which has promised to do its part.
    pub group: GroupId,
    /// Where it is decided.
    pub home: GroupId,
    /// For how long it has been so here.
    pub since: Duration,
    /// How an operator settled it, if one did. Then what was decided is still to be heard.
    pub forced: Option<bool>,
}

/// What became of settling a transaction by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// It was settled.
    Settled,
    /// It is not in doubt there: it never was, or it has been settled.
    Unknown,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Too much is in flight here already. Nothing was done.
    Busy,
    /// A transaction was given up. Nothing was done.
    Aborted,
    /// No quorum confirmed it in time. A command may still take effect, once.
    Unconfirmed,
    /// The node is stopping. A command may still take effect, once.
    Stopped,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "TRYAGAIN too many commands in flight on this node; nothing was done",
            Self::Aborted => {
                "TRYAGAIN the transaction did not get all its keys in time: others have them, or a group has no quorum; \
                 nothing was done"
            },
            Self::Unconfirmed => {
                "CLUSTERDOWN no quorum confirmed it in time; the outcome is unknown, a write may still take effect"
            }
            Self::Stopped => {
                "CLUSTERDOWN this node is stopping; the outcome is unknown, a write may still take effect"
            }
        })
    }
}

impl std::error::Error for Unavailable {}
