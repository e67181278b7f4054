//! Asking a node for something.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use quorate::NodeId;
use quorate_driver::{Answered, Counters, Link, Tally};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::transport::dial::Wakeup;

pub use quorate_driver::{Driven, RequestError, StopReason};

pub(crate) use quorate_driver::Control;

/// A request on its way to the machine.
pub(crate) type Asked<M> = quorate_driver::Asked<M, Reply<M>>;

/// A handle to a node. Clones are of the same node; a handle does not keep it running.
pub struct Handle<M: Driven> {
    pub(crate) requests: mpsc::Sender<Asked<M>>,
    pub(crate) control: mpsc::Sender<Control<M>>,
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a node have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) links: BTreeMap<NodeId, Arc<Link<Wakeup>>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
}

/// Where the outcome of a request goes.
pub(crate) struct Reply<M: Driven>(oneshot::Sender<Answered<M>>);

impl<M: Driven> quorate_driver::Reply<M> for Reply<M> {
    fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }

    fn tell(self, answered: Answered<M>) -> bool {
        self.0.send(answered).is_ok()
    }
}

impl<M: Driven> Handle<M> {
    /// Asks for something, and waits for the outcome; waits before that while the mailbox is full.
    ///
    /// May be dropped at any point. Dropped before the machine has seen the request, it was never asked; after that
    /// the request goes on, and its outcome is dropped.
    ///
    /// # Errors
    /// The machine refused the request, or the node stopped.
    pub async fn request(&self, request: M::Request) -> Result<M::Outcome, RequestError<M>> {
        self.submit(request).await?.outcome().await
    }

    /// Puts a request into the mailbox, waiting while it is full. Requests of one task reach the machine in the
    /// order of these calls, so that many can be in flight.
    ///
    /// # Errors
    /// The node stopped; the request is given back.
    pub async fn submit(&self, request: M::Request) -> Result<Answer<M>, RequestError<M>> {
        let (reply, outcome) = oneshot::channel();
        match self.requests.send(Asked { request, reply: Reply(reply) }).await {
            Ok(()) => Ok(self.answer(outcome)),
            Err(mpsc::error::SendError(Asked { request, .. })) => {
                Err(RequestError::NotTaken { request, reason: self.stopped().await })
            }
        }
    }

    /// Puts a request into the mailbox, if there is room at once.
    ///
    /// # Errors
    /// The mailbox is full or the node stopped; the request is given back.
    pub fn try_request(&self, request: M::Request) -> Result<Answer<M>, RequestError<M>> {
        let (reply, outcome) = oneshot::channel();
        match self.requests.try_send(Asked { request, reply: Reply(reply) }) {
            Ok(()) => Ok(self.answer(outcome)),
            Err(TrySendError::Full(Asked { request, .. })) => Err(RequestError::Full(request)),
            Err(TrySendError::Closed(Asked { request, .. })) => {
                let reason = self.shared.stopped.borrow().clone().unwrap_or(StopReason::Killed);
                Err(RequestError::NotTaken { request, reason })
            }
        }
    }

    /// Looks at the machine, between two turns of its task: so `look` should be short.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> T + Send + 'static,
    ) -> Result<T, StopReason> {
        let (send, seen) = oneshot::channel();
        let look = Box::new(move |machine: &M| {
            // Whoever asked may have gone.
            let _ = send.send(look(machine));
        });
        if self.control.send(Control::Inspect(look)).await.is_ok()
            && let Ok(seen) = seen.await
        {
            return Ok(seen);
        }
        Err(self.stopped().await)
    }

    /// Stops the node: no more requests are taken, records that were handed to storage become durable, whoever waits
    /// is told, connections and files are closed. Returns when all this is done, with the reason for which the node
    /// stopped: it may have had another before.
    pub async fn shutdown(&self) -> StopReason {
        // If the machine's task is gone, the node is stopping already.
        let _ = self.control.send(Control::Shutdown).await;
        self.stopped().await
    }

    /// Waits until the node has stopped, its files closed, and tells why.
    pub async fn stopped(&self) -> StopReason {
        stopped(self.shared.stopped.clone()).await
    }

    /// Who this node is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Where it listens for its peers, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared.address
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// Cuts a peer off, or lets it be heard again: while it is cut, messages to and from it are dropped silently, as
    /// by a network that fails. Connections stay. For tests and drills.
    pub fn set_cut(&self, peer: NodeId, cut: bool) {
        if let Some(link) = self.shared.links.get(&peer) {
            link.set_cut(cut);
        }
    }

    fn answer(&self, outcome: oneshot::Receiver<Answered<M>>) -> Answer<M> {
        Answer { outcome, stopped: self.shared.stopped.clone() }
    }
}

async fn stopped(mut stopped: watch::Receiver<Option<StopReason>>) -> StopReason {
    match stopped.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or(StopReason::Killed),
        // The runtime ended under the node.
        Err(_) => StopReason::Killed,
    }
}

/// The outcome of a request that is under way. Dropped, it lets the request go on without it.
#[must_use = "the outcome of the request is lost"]
pub struct Answer<M: Driven> {
    outcome: oneshot::Receiver<Answered<M>>,
    stopped: watch::Receiver<Option<StopReason>>,
}

impl<M: Driven> Answer<M> {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// The machine refused the request, or the node stopped.
    pub async fn outcome(self) -> Result<M::Outcome, RequestError<M>> {
        match self.outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(RequestError::Stopped(stopped(self.stopped).await)),
        }
    }
}

impl<M: Driven> Clone for Handle<M> {
    fn clone(&self) -> Self {
        let Self { requests, control, shared } = self;
        Self { requests: requests.clone(), control: control.clone(), shared: Arc::clone(shared) }
    }
}

impl<M: Driven> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.shared.id)
    }
}

impl<M: Driven> fmt::Debug for Answer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
