//! A node: a machine, its storage, its peers.

use std::fmt;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(unix)]
use std::path::PathBuf;

use quorate::{ClusterId, NodeId};
use quorate_driver::DiskStorage;
use quorate_driver::storage_thread::{self, COMPLETIONS, Completion, Deliver};
#[cfg(unix)]
use quorate_driver::sync::Arc;
use quorate_driver::sync::atomic::{AtomicBool, Ordering};
use quorate_driver::sync::thread::{self, JoinHandle};
use quorate_driver::{
    Arrived, Bell, Clock, Drained, Driven, Engine, Identity, Limits, Observer, Outlets, Post, Sender,
    StartError, StopReason, StopSignal, Storage, StorageError, Tally, mailbox, restore, slot,
};
use tracing::{debug, error, info};

use crate::handle::{Handle, Reply, Shared};
use crate::hub::Hub;
use crate::inbox::Inbox;
use crate::transport::Way;
use crate::transport::network::{Listen, Network, Transport};

/// Looks at the machine and shutdowns that may wait.
const CONTROLS: usize = 16;

/// A node that is running. Dropped, it stops at once, as in a crash, and nobody waits for that;
/// [`shutdown`](Self::shutdown) is the polite way.
///
/// ```
/// use quorate::keyspace::{Answer, Keyspace, Query};
/// use quorate::replicated::{Outcome, Request, Settings};
/// use quorate::{ClusterId, NodeId, Replicated, space::Heap};
/// use quorate_threads::{MemoryDisk, Node, StopReason};
///
/// type Store = Replicated<Keyspace, Heap<1, 64>>;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = NodeId::new(1);
/// let node = Node::<Store>::builder(ClusterId::new(1), id, Settings::new(id, &[id]))
///     .start(MemoryDisk::default().open())?; // or `.start_in("data", Default::default())`
///
/// let query = Request::Query(Query::Get { key: "nothing".into() });
/// let outcome = node.handle().request(query)?;
/// assert!(matches!(outcome, Outcome::Answered(Answer::Value(None))));
/// assert!(matches!(node.shutdown(), StopReason::Shutdown));
/// # Ok(())
/// # }
/// ```
#[must_use = "a node that is dropped stops as if it had crashed"]
pub struct Node<M: Driven> {
    handle: Handle<M>,
    /// Taken by who waits for its end.
    thread: Option<JoinHandle<()>>,
    killed: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

impl<M: Driven> Node<M> {
    /// Begins to describe a node. `settings` are the machine's own.
    pub fn builder(cluster: ClusterId, id: NodeId, settings: M::Settings) -> Builder<M> {
        Builder {
            us: Identity { cluster, id },
            settings,
            network: Network::default(),
            limits: Limits::default(),
            observer: Box::new(|_| {}),
        }
    }

    /// The handle to this node, to be cloned at will.
    #[must_use]
    pub const fn handle(&self) -> &Handle<M> {
        &self.handle
    }

    /// Stops the node politely: [`Handle::shutdown`]. All its threads have ended.
    pub fn shutdown(mut self) -> StopReason {
        let reason = self.handle.shutdown();
        // One that panicked has ended as well.
        let _ = self.thread.take().map(JoinHandle::join);
        reason
    }

    /// Stops the node as a crash would, and waits until its storage is closed and its threads have ended. What waits
    /// for a sync is lost, unless the sync had begun.
    pub fn kill(mut self) -> StopReason {
        self.stop_at_once();
        let reason = self.handle.stopped();
        // One that panicked has ended as well.
        let _ = self.thread.take().map(JoinHandle::join);
        reason
    }

    fn stop_at_once(&self) {
        self.killed.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl<M: Driven> Drop for Node<M> {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

impl<M: Driven> fmt::Debug for Node<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.handle.id())
    }
}

/// A node that is being described.
pub struct Builder<M: Driven> {
    us: Identity,
    settings: M::Settings,
    network: Network<Listen>,
    limits: Limits,
    observer: Observer<M>,
}

impl<M: Driven> Builder<M> {
    /// Where the peers are, as `host:port`. An entry for the node itself is left out.
    #[must_use]
    pub fn peers(mut self, addresses: impl IntoIterator<Item = (NodeId, String)>) -> Self {
        self.network.peers = addresses.into_iter().filter(|(id, _)| *id != self.us.id).collect();
        self
    }

    /// Where to listen for the peers, as `host:port`. A node that listens nowhere hears nobody.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.network.listen = Some(Listen::Address(address.into()));
        self
    }

    /// Listens for the peers on a socket that is bound already, such as one with a port of the system's choice.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.network.listen = Some(Listen::Listener(listener));
        self
    }

    /// Meets these peers in a hub, in this process, and needs no socket for them. The node itself is left out.
    #[must_use]
    pub fn hub(mut self, hub: &Hub, peers: impl IntoIterator<Item = NodeId>) -> Self {
        let peers = peers.into_iter().filter(|id| *id != self.us.id).collect();
        self.network.hub = Some((hub.clone(), peers));
        self
    }

    /// Other bounds than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who is told of all events that end no request, on the machine's own thread: so it should be quick, and pass on
    /// what takes long. It must not wait for the node, which waits for it.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(M::Event<'_>) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Restores the machine from what storage holds, and runs it.
    ///
    /// # Errors
    /// The address is taken, storage cannot be read or used, or there is no thread to be had.
    pub fn start(self, storage: impl Storage) -> Result<Node<M>, StartError> {
        self.start_with(|| Ok(Box::new(storage)))
    }

    /// Like [`start`](Self::start), with storage in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// The address is taken, the directory is in use or another node's, or what it holds cannot be read or used.
    #[cfg(unix)]
    pub fn start_in(
        self,
        directory: impl Into<PathBuf>,
        options: quorate_disk::Options,
    ) -> Result<Node<M>, StartError> {
        let (Identity { cluster, id }, directory) = (self.us, directory.into());
        self.start_with(move || {
            let storage = DiskStorage::open(&directory, cluster, id, options)?;
            if let Some(bytes) = storage.cut() {
                info!(bytes, "cut the torn end of the log: it was never acknowledged");
            }
            Ok(Box::new(storage) as Box<dyn Storage>)
        })
    }

    fn start_with(
        self,
        open: impl FnOnce() -> Result<Box<dyn Storage>, StorageError> + Send + 'static,
    ) -> Result<Node<M>, StartError> {
        let Self { us, settings, network, limits, observer } = self;
        let network = network.bind()?;
        let (tally, clock) = (Arc::new(Tally::default()), Clock::start());
        let (killed, bell) = (Arc::<AtomicBool>::default(), Arc::<Bell>::default());
        // Before the mailbox that its threads wait for, and so dropped after it if the start fails.
        let mut transport = Transport::new(us, limits, Arc::clone(&tally));
        let (completed, completions) = mailbox(COMPLETIONS, Arc::clone(&bell));
        let (piece_sender, pieces) = mailbox(limits.incoming_pieces, Arc::clone(&bell));
        let (requests, asked) = mailbox(limits.mailbox, Arc::clone(&bell));
        let (control, controls) = mailbox(CONTROLS, Arc::clone(&bell));

        let (restored, machine) = slot();
        // If the start was given up meanwhile, the queue is dropped, and the thread ends at once.
        let restored = |machine| drop(restored.fill(machine));
        let restore = move |storage: &mut dyn Storage| restore::<M>(&settings, clock, storage);
        let (name, deliver) = (format!("quorate-log-{}", us.id), Completions(completed));
        let (queue, storage) =
            storage_thread::start(name, Arc::clone(&tally), deliver, open, restore, restored, ())?;
        let machine = machine.wait().unwrap_or(Err(StartError::Restoring))?;

        let address = network.address();
        transport.start(network, piece_sender).map_err(StartError::Thread)?;
        let links = transport.links.clone();
        let post = Post { us, links: links.clone(), limits, tally: Arc::clone(&tally) };
        let engine = Engine::new(machine, Outlets::new(post, observer), queue);
        let inbox = Inbox {
            arrived: Arrived::default(),
            completions,
            pieces,
            control: controls,
            requests: asked,
            bell: Arc::clone(&bell),
            killed: Arc::clone(&killed),
            clock,
        };
        let stopped = Arc::new(StopSignal::default());
        let stopping = Arc::clone(&stopped);
        let body = move || {
            let running = AssertUnwindSafe(|| run(engine, inbox));
            let reason = catch_unwind(running).unwrap_or_else(|panic| StopReason::of_panic(&*panic));
            drop(transport);
            let _ = storage.join();
            if matches!(reason, StopReason::Shutdown | StopReason::Killed) {
                info!(node = %us.id, "{reason}");
            } else {
                error!(node = %us.id, "{reason}");
            }
            stopping.give(reason);
        };
        let thread = thread::Builder::new().name(format!("quorate-{}", us.id)).spawn(body);
        let thread = thread.map_err(StartError::Thread)?;
        info!(node = %us.id, cluster = %us.cluster, "started");
        let shared = Arc::new(Shared { id: us.id, address, links, tally, stopped });
        let handle = Handle { requests, control, shared };
        Ok(Node { handle, thread: Some(thread), killed, bell })
    }
}

impl<M: Driven> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({}, {:?})", self.us.id, self.network)
    }
}

/// The way from the storage thread to the machine's.
#[derive(Clone)]
struct Completions(Sender<Completion>);

impl Deliver for Completions {
    fn deliver(&self, completion: Completion) {
        // The receiver is gone when the node is stopping, and then nobody has to know.
        let _ = self.0.send(completion);
    }
}

/// Runs the machine until somebody asks it to stop, or it cannot go on.
fn run<M: Driven>(mut engine: Engine<M, Reply<M>, Way>, mut inbox: Inbox<M>) -> StopReason {
    loop {
        match turn(&mut engine, &mut inbox) {
            Ok(Drained::Dry) => inbox.fill(engine.deadline(), engine.appetite()),
            // The machine has more to say, but nobody may be kept waiting for it.
            Ok(Drained::More) => _ = inbox.take(engine.appetite()),
            Err(reason) => {
                debug!("the machine stops: {reason}");
                engine.stop(&reason, inbox.close());
                return reason;
            }
        }
    }
}

fn turn<M: Driven>(
    engine: &mut Engine<M, Reply<M>, Way>,
    inbox: &mut Inbox<M>,
) -> Result<Drained, StopReason> {
    if inbox.is_killed() {
        return Err(StopReason::Killed);
    }
    let drained = engine.turn(inbox.clock.now(), &mut inbox.arrived)?;
    if inbox.is_deserted() {
        return Err(StopReason::Panicked("the storage thread panicked".into()));
    }
    Ok(drained)
}
