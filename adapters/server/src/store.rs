//! What is behind the front end.

use quorate::keyspace::{Answer, Command, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::Status;
use std::fmt;
use std::future::Future;

/// A keyspace with a lock table beside it: replicated ones, or some in memory for a test.
///
/// A query sees all commands whose replies were there when it was asked.
pub trait Store: Send + Sync + 'static {
    /// Hands a command in, waiting until there is room; it is carried out durably and once, and the future that comes
    /// back ends in its reply. Commands take effect in the order in which they were handed in.
    fn command(
        &self,
        command: Command,
    ) -> impl Future<
        Output = Result<impl Future<Output = Result<Reply, Unavailable>> + Send + use<Self>, Unavailable>,
    > + Send;

    /// Hands a command for the lock table in, as [`command`](Self::command) does one for the keyspace. What is
    /// acquired so does not wait here: see [`acquire`](Self::acquire).
    fn lock(
        &self,
        command: lock::Command,
    ) -> impl Future<
        Output = Result<
            impl Future<Output = Result<lock::Reply, Unavailable>> + Send + use<Self>,
            Unavailable,
        >,
    > + Send;

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
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> impl Future<Output = Result<lock::Reply, Unavailable>> + Send;

    /// Answers a query about the keyspace from a state that is no older than the query.
    fn query(&self, query: Query) -> impl Future<Output = Result<Answer, Unavailable>> + Send;

    /// Answers a query from the state of this node, however old, without asking anyone.
    fn peek(&self, query: Query) -> impl Future<Output = Result<Answer, Unavailable>> + Send;

    /// What this node knows of itself, without asking anyone.
    fn status(&self) -> impl Future<Output = Result<Status, Unavailable>> + Send;
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Too much is in flight here already. Nothing was done.
    Busy,
    /// No quorum confirmed it in time. A command may still take effect, once.
    Unconfirmed,
    /// The node is stopping. A command may still take effect, once.
    Stopped,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "TRYAGAIN too many commands in flight on this node; nothing was done",
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
