//! Asking a node for something, and waiting for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::NodeId;
use quorate_driver::sync::Arc;
use quorate_driver::{
    Answered, Control, Counters, Driven, Filler, Link, RequestError, Sender, StopReason, StopSignal, Tally,
    Unsent, Waiter, slot,
};

use crate::transport::Way;

/// A request on its way to the machine.
pub(crate) type Asked<M> = quorate_driver::Asked<M, Reply<M>>;

/// A handle to a node. Clones are of the same node; a handle does not keep it running.
///
/// What it does waits, so the observer of the node, on whose thread the machine runs, must not use one.
pub struct Handle<M: Driven> {
    pub(crate) requests: Sender<Asked<M>>,
    pub(crate) control: Sender<Control<M>>,
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a node have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) links: BTreeMap<NodeId, Arc<Link<Way>>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stopped: Arc<StopSignal<StopReason>>,
}

/// Where the outcome of a request goes.
pub(crate) struct Reply<M: Driven>(Filler<Answered<M>>);

impl<M: Driven> quorate_driver::Reply<M> for Reply<M> {
    fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }

    fn tell(self, answered: Answered<M>) -> bool {
        self.0.fill(answered).is_ok()
    }
}

impl<M: Driven> Handle<M> {
    /// Asks for something, and waits for the outcome; waits before that while the mailbox is full.
    ///
    /// # Errors
    /// The machine refused the request, or the node stopped.
    pub fn request(&self, request: M::Request) -> Result<M::Outcome, RequestError<M>> {
        self.submit(request)?.wait()
    }

    /// Puts a request into the mailbox, waiting while it is full. Requests of one thread reach the machine in the
    /// order of these calls, so that many can be in flight.
    ///
    /// # Errors
    /// The node stopped; the request is given back.
    pub fn submit(&self, request: M::Request) -> Result<Answer<M>, RequestError<M>> {
        let (reply, outcome) = slot();
        match self.requests.send(Asked { request, reply: Reply(reply) }) {
            Ok(()) => Ok(self.answer(outcome)),
            Err(Asked { request, .. }) => Err(RequestError::NotTaken { request, reason: self.stopped() }),
        }
    }

    /// Puts a request into the mailbox, if there is room at once.
    ///
    /// # Errors
    /// The mailbox is full or the node stopped; the request is given back.
    pub fn try_request(&self, request: M::Request) -> Result<Answer<M>, RequestError<M>> {
        let (reply, outcome) = slot();
        match self.requests.try_send(Asked { request, reply: Reply(reply) }) {
            Ok(()) => Ok(self.answer(outcome)),
            Err(Unsent::Full(Asked { request, .. })) => Err(RequestError::Full(request)),
            Err(Unsent::Closed(Asked { request, .. })) => {
                let reason = self.shared.stopped.reason().unwrap_or(StopReason::Killed);
                Err(RequestError::NotTaken { request, reason })
            }
        }
    }

    /// Looks at the machine, between two turns of its thread: so `look` should be short.
    ///
    /// # Errors
    /// The node stopped.
    pub fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> T + Send + 'static,
    ) -> Result<T, StopReason> {
        let (filler, seen) = slot();
        let look = Box::new(move |machine: &M| {
            // Whoever asked waits, unless its thread is gone.
            let _ = filler.fill(look(machine));
        });
        if self.control.send(Control::Inspect(look)).is_ok()
            && let Some(seen) = seen.wait()
        {
            return Ok(seen);
        }
        Err(self.stopped())
    }

    /// Stops the node: no more requests are taken, records that were handed to storage become durable, whoever waits
    /// is told, connections and files are closed, threads end. Returns when all this is done, with the reason for
    /// which the node stopped: it may have had another before.
    ///
    /// That takes as long as the sync that runs; and while a peer is being dialled, or shakes hands, up to
    /// [`Limits::handshake_time`](crate::Limits::handshake_time).
    pub fn shutdown(&self) -> StopReason {
        // If the machine's thread is gone, the node is stopping already.
        let _ = self.control.send(Control::Shutdown);
        self.stopped()
    }

    /// Waits until the node has stopped, its files closed, and tells why.
    pub fn stopped(&self) -> StopReason {
        self.shared.stopped.wait()
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

    fn answer(&self, outcome: Waiter<Answered<M>>) -> Answer<M> {
        Answer { outcome, stopped: Arc::clone(&self.shared.stopped) }
    }
}

/// The outcome of a request that is under way. Dropped, it lets the request go on without it; before the machine has
/// seen the request, it was never asked.
#[must_use = "the outcome of the request is lost"]
pub struct Answer<M: Driven> {
    outcome: Waiter<Answered<M>>,
    stopped: Arc<StopSignal<StopReason>>,
}

impl<M: Driven> Answer<M> {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// The machine refused the request, or the node stopped.
    pub fn wait(self) -> Answered<M> {
        self.outcome.wait().unwrap_or_else(|| Err(RequestError::Stopped(self.stopped.wait())))
    }

    /// Waits for the outcome, but not longer than that; of a node that is stopping, until it has.
    ///
    /// # Errors
    /// There is no outcome yet: the answer comes back, to wait on or to drop.
    pub fn wait_timeout(self, time: Duration) -> Result<Answered<M>, Self> {
        let Self { outcome, stopped } = self;
        match outcome.wait_timeout(time) {
            Ok(Some(answered)) => Ok(answered),
            Ok(None) => Ok(Err(RequestError::Stopped(stopped.wait()))),
            Err(outcome) => Err(Self { outcome, stopped }),
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
