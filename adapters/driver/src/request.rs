//! What is asked of a node, and why there may be no outcome.

use std::error::Error;
use std::fmt;

use quorate::Answering;

use crate::reason::StopReason;

/// A machine that a driver can run: any that answers, and may move between threads.
pub trait Driven:
    Answering<Request: Send, Refusal: Send, Ticket: Send, Outcome: Send, Settings: Send> + Send + 'static
{
}

impl<M> Driven for M where
    M: Answering<Request: Send, Refusal: Send, Ticket: Send, Outcome: Send, Settings: Send> + Send + 'static
{
}

/// What whoever asked is told.
pub type Answered<M> = Result<<M as Answering>::Outcome, RequestError<M>>;

/// Where the outcome of a request goes. Dropped, it tells whoever asked that there is none.
pub trait Reply<M: Driven>: Send + 'static {
    /// Whether whoever asked has gone.
    fn is_abandoned(&self) -> bool;

    /// Tells the outcome, and whether anybody heard it.
    fn tell(self, answered: Answered<M>) -> bool;
}

/// A request on its way to the machine.
#[derive(Debug)]
pub struct Asked<M: Driven, R> {
    /// What is asked.
    pub request: M::Request,
    /// Where the outcome goes.
    pub reply: R,
}

/// What is not for the machine itself.
pub enum Control<M> {
    /// Somebody looks at the machine.
    Inspect(Box<dyn FnOnce(&M) + Send>),
    /// Somebody asks the node to stop.
    Shutdown,
}

impl<M> fmt::Debug for Control<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inspect(_) => f.write_str("Inspect"),
            Self::Shutdown => f.write_str("Shutdown"),
        }
    }
}

/// Why a request has no outcome.
#[non_exhaustive]
pub enum RequestError<M: Driven> {
    /// The machine refused it, says why, and gives it back. Nothing changed; the driver does not try again.
    Refused(M::Refusal),
    /// The mailbox is full. Only `Handle::try_request` says so; the others wait.
    Full(M::Request),
    /// The node stopped before the machine saw the request: it has no effect.
    NotTaken {
        /// What was asked.
        request: M::Request,
        /// Why the node stopped.
        reason: StopReason,
    },
    /// The node stopped after the machine may have taken the request up: whether it has an effect is not known.
    Stopped(StopReason),
}

impl<M: Driven<Refusal: fmt::Debug>> fmt::Debug for RequestError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Full(_) => f.write_str("Full"),
            Self::NotTaken { reason, .. } => write!(f, "NotTaken({reason:?})"),
            Self::Stopped(reason) => write!(f, "Stopped({reason:?})"),
        }
    }
}

impl<M: Driven> fmt::Display for RequestError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("the machine refused the request"),
            Self::Full(_) => f.write_str("the mailbox is full: wait for an outcome, then ask again"),
            Self::NotTaken { reason, .. } => write!(f, "the request had no effect: {reason}"),
            Self::Stopped(reason) => write!(f, "the request may have had an effect: {reason}"),
        }
    }
}

impl<M: Driven<Refusal: fmt::Debug>> Error for RequestError<M> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotTaken { reason, .. } | Self::Stopped(reason) => Some(reason),
            Self::Refused(_) | Self::Full(_) => None,
        }
    }
}
