//! A node: a machine, its storage, its peers.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;

use quorate::{ClusterId, NodeId};
#[cfg(unix)]
use quorate_driver::DiskStorage;
use quorate_driver::storage_thread::{self, COMPLETIONS, Completion, Deliver};
use quorate_driver::{
    Clock, Connections, Engine, Identity, Limits, Link, Observer, Outlets, Post, StartError, StopReason,
    Storage, StorageError, Tally, random_seed, restore,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tracing::{error, info};

use crate::handle::{Driven, Handle, Shared};
use crate::inbox::{Inbox, Mailboxes};
use crate::runner::Runner;
use crate::transport::accept::{self, Reception};
use crate::transport::dial::{Dialer, Wakeup};
use crate::transport::stream;

/// Looks at the machine and shutdowns that may wait.
const CONTROLS: usize = 16;

/// A node that is running. Dropped, it stops at once, as in a crash; [`shutdown`](Self::shutdown) is the polite way.
///
/// ```
/// use quorate::keyspace::{Answer, Keyspace, Query};
/// use quorate::replicated::{Outcome, Request, Settings};
/// use quorate::{ClusterId, NodeId, Replicated, space::Heap};
/// use quorate_tokio::{MemoryDisk, Node, StopReason};
///
/// type Store = Replicated<Keyspace, Heap<1, 64>>;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = NodeId::new(1);
/// let node = Node::<Store>::builder(ClusterId::new(1), id, Settings::new(id, &[id]))
///     .start(MemoryDisk::default().open()) // or `.start_in("data", Default::default())`
///     .await?;
///
/// let query = Request::Query(Query::Get { key: "nothing".into() });
/// let outcome = node.handle().request(query).await?;
/// assert!(matches!(outcome, Outcome::Answered(Answer::Value(None))));
/// assert!(matches!(node.shutdown().await, StopReason::Shutdown));
/// # Ok(())
/// # }
/// ```
#[must_use = "a node that is dropped stops as if it had crashed"]
pub struct Node<M: Driven> {
    handle: Handle<M>,
    machine: AbortHandle,
}

impl<M: Driven> Node<M> {
    /// Begins to describe a node. `settings` are the machine's own.
    pub fn builder(cluster: ClusterId, id: NodeId, settings: M::Settings) -> Builder<M> {
        Builder {
            us: Identity { cluster, id },
            settings,
            peers: BTreeMap::new(),
            listen: None,
            limits: Limits::default(),
            observer: Box::new(|_| {}),
        }
    }

    /// The handle to this node, to be cloned at will.
    #[must_use]
    pub const fn handle(&self) -> &Handle<M> {
        &self.handle
    }

    /// Stops the node politely: [`Handle::shutdown`].
    pub async fn shutdown(self) -> StopReason {
        self.handle.shutdown().await
    }

    /// Stops the node as a crash would, and waits until its storage is closed. What waits for a sync is lost, unless
    /// the sync had begun.
    pub async fn kill(self) -> StopReason {
        self.machine.abort();
        self.handle.stopped().await
    }
}

impl<M: Driven> Drop for Node<M> {
    fn drop(&mut self) {
        self.machine.abort();
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
    peers: BTreeMap<NodeId, String>,
    listen: Option<Listen>,
    limits: Limits,
    observer: Observer<M>,
}

enum Listen {
    Address(String),
    Listener(TcpListener),
}

impl<M: Driven> Builder<M> {
    /// Where the peers are, as `host:port`. An entry for the node itself is left out.
    #[must_use]
    pub fn peers(mut self, addresses: impl IntoIterator<Item = (NodeId, String)>) -> Self {
        self.peers = addresses.into_iter().filter(|(id, _)| *id != self.us.id).collect();
        self
    }

    /// Where to listen for the peers, as `host:port`. A node that listens nowhere hears nobody.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(Listen::Address(address.into()));
        self
    }

    /// Listens for the peers on a socket that is bound already, such as one with a port of the system's choice.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listen = Some(Listen::Listener(listener));
        self
    }

    /// Other bounds than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who is told of all events that end no request, on the machine's own task: so it should be quick, and pass on
    /// what takes long.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(M::Event<'_>) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Restores the machine from what storage holds, and runs it on the current runtime.
    ///
    /// # Errors
    /// The address is taken, or storage cannot be read or used.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and network enabled.
    pub async fn start(self, storage: impl Storage) -> Result<Node<M>, StartError> {
        self.start_with(|| Ok(Box::new(storage))).await
    }

    /// Like [`start`](Self::start), with storage in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// The address is taken, the directory is in use or another node's, or what it holds cannot be read or used.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and network enabled.
    #[cfg(unix)]
    pub async fn start_in(
        self,
        directory: impl Into<PathBuf>,
        options: quorate_disk::Options,
    ) -> Result<Node<M>, StartError> {
        let (Identity { cluster, id }, directory) = (self.us, directory.into());
        let open = move || {
            let storage = DiskStorage::open(&directory, cluster, id, options)?;
            if let Some(bytes) = storage.cut() {
                info!(bytes, "cut the torn end of the log: it was never acknowledged");
            }
            Ok(Box::new(storage) as Box<dyn Storage>)
        };
        self.start_with(open).await
    }

    async fn start_with(
        self,
        open: impl FnOnce() -> Result<Box<dyn Storage>, StorageError> + Send + 'static,
    ) -> Result<Node<M>, StartError> {
        let Self { us, settings, peers, listen, limits, observer } = self;
        let listener = bind(listen).await?;
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let (tally, clock) = (Arc::new(Tally::default()), Clock::start());
        let name = format!("quorate-log-{}", us.id);
        let restore = move |storage: &mut dyn Storage| restore::<M>(&settings, clock, storage);
        let (completed, completions) = mpsc::channel(COMPLETIONS);
        let (restored, machine) = oneshot::channel();
        let (closing, closed) = oneshot::channel::<()>();
        // If the start was given up meanwhile, the queue is dropped, and the thread ends at once.
        let restored = |machine| drop(restored.send(machine));
        let deliver = Completions(completed);
        let (queue, _) =
            storage_thread::start(name, Arc::clone(&tally), deliver, open, restore, restored, closing)?;
        let machine = machine.await.map_err(|_| StartError::Restoring)??;

        let links: BTreeMap<_, _> =
            peers.keys().map(|peer| (*peer, Arc::new(Link::new(Wakeup::default())))).collect();
        let (piece_sender, pieces) = mpsc::channel(limits.incoming_pieces);
        let transport = Transport { us, peers, links: &links, limits, tally: &tally };
        let transport = transport.start(listener, piece_sender);

        let (requests, asked) = mpsc::channel(limits.mailbox);
        let (control, controls) = mpsc::channel(CONTROLS);
        let mailboxes = Mailboxes { completions, pieces, control: controls, requests: asked };
        let inbox = Inbox::new(clock, mailboxes);
        let post = Post { us, links: links.clone(), limits, tally: Arc::clone(&tally) };
        let engine = Engine::new(machine, Outlets::new(post, observer), queue);
        let runner = Runner { engine, clock, inbox };

        info!(node = %us.id, cluster = %us.cluster, "started");
        let machine = tokio::spawn(runner.run());
        let abort = machine.abort_handle();
        let (stopping, stopped) = watch::channel(None);
        tokio::spawn(supervise(us.id, machine, transport, closed, stopping));
        let shared = Arc::new(Shared { id: us.id, address, links, tally, stopped });
        Ok(Node { handle: Handle { requests, control, shared }, machine: abort })
    }
}

impl<M: Driven> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({}, {} peers)", self.us.id, self.peers.len())
    }
}

async fn bind(listen: Option<Listen>) -> Result<Option<TcpListener>, StartError> {
    match listen {
        None => Ok(None),
        Some(Listen::Listener(listener)) => Ok(Some(listener)),
        Some(Listen::Address(address)) => match TcpListener::bind(&address).await {
            Ok(listener) => Ok(Some(listener)),
            Err(source) => Err(StartError::Listen { address, source }),
        },
    }
}

/// The way from the storage thread to the machine's task.
#[derive(Clone)]
struct Completions(mpsc::Sender<Completion>);

impl Deliver for Completions {
    fn deliver(&self, completion: Completion) {
        // The receiver is gone when the node is stopping, and then nobody has to know.
        let _ = self.0.blocking_send(completion);
    }
}

/// What the tasks of the connections share.
struct Transport<'t> {
    us: Identity,
    peers: BTreeMap<NodeId, String>,
    links: &'t BTreeMap<NodeId, Arc<Link<Wakeup>>>,
    limits: Limits,
    tally: &'t Arc<Tally>,
}

impl Transport<'_> {
    fn start(self, listener: Option<TcpListener>, pieces: mpsc::Sender<stream::Piece>) -> JoinSet<()> {
        let Self { us, peers, links, limits, tally } = self;
        let mut tasks = JoinSet::new();
        if let Some(listener) = listener {
            let (known, current) = (peers.keys().copied().collect(), Connections::default());
            let reception = Reception { us, known, pieces, limits, tally: Arc::clone(tally), current };
            tasks.spawn(accept::run(listener, Arc::new(reception)));
        }
        for (peer, address) in peers {
            let Some(link) = links.get(&peer).map(Arc::clone) else { continue };
            let dialer = Dialer { us, peer, address, link, limits, tally: Arc::clone(tally) };
            tasks.spawn(dialer.run(random_seed()));
        }
        tasks
    }
}

/// Waits for the end of the machine, whatever it is; then closes everything, and only then tells the reason.
async fn supervise(
    id: NodeId,
    machine: JoinHandle<StopReason>,
    mut transport: JoinSet<()>,
    closed: oneshot::Receiver<()>,
    stopping: watch::Sender<Option<StopReason>>,
) {
    let reason = machine.await.unwrap_or_else(reason_of);
    transport.shutdown().await;
    // Nothing is ever sent: the other end is dropped when storage is closed.
    let _ = closed.await;
    if matches!(reason, StopReason::Shutdown | StopReason::Killed) {
        info!(node = %id, "{reason}");
    } else {
        error!(node = %id, "{reason}");
    }
    stopping.send_replace(Some(reason));
}

fn reason_of(error: JoinError) -> StopReason {
    match error.try_into_panic() {
        Ok(panic) => StopReason::of_panic(&*panic),
        Err(_) => StopReason::Killed,
    }
}
