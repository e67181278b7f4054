//! The front end: takes in clients.

use crate::connection::Connection;
use crate::locks::{Branches, Locks};
use crate::members::Members;
use crate::placement::Placement;
use crate::scripts::Scripts;
use crate::store::Store;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many clients are served at the same time, unless said otherwise.
pub const CONNECTIONS: usize = 4096;
/// How long to wait when there is no socket to be had.
const PAUSE: Duration = Duration::from_millis(100);
/// How long clients have to get their last replies.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves a store to the clients of the Redis protocol.
#[derive(Debug)]
pub struct Front<S> {
    pub(crate) store: Arc<S>,
    pub(crate) members: Members,
    pub(crate) scripts: Scripts,
    pub(crate) placement: Placement,
    branches: Branches,
    connections: usize,
}

impl<S: Store> Front<S> {
    /// A front end of `store`.
    #[must_use]
    pub fn new(store: Arc<S>, members: Members) -> Self {
        let (placement, connections) = (Placement::new(store.groups()), CONNECTIONS);
        let (scripts, branches) = (Scripts::default(), Branches::default());
        Self { store, members, scripts, placement, branches, connections }
    }

    /// The same, for no more than this many clients at the same time.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    pub(crate) fn locks(&self) -> Locks<'_, S> {
        Locks { store: &*self.store, placement: &self.placement, branches: &self.branches }
    }

    /// Serves one client over any stream until it goes, is told to go, or `stop` says so.
    ///
    /// # Errors
    /// The stream failed.
    #[doc(hidden)]
    pub async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        id: i64,
        stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        Connection::new(self, stream, id).run(stop).await
    }

    /// Serves those who connect until `stop` says so; those who are connected then get the replies they wait for.
    pub async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let front = Arc::new(self);
        let mut clients = JoinSet::new();
        let announcer = Arc::clone(&front);
        let announcer = tokio::spawn(async move {
            let Self { members, store, placement, .. } = &*announcer;
            members.announce(&**store, placement).await;
        });
        let mut id = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = clients.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) if clients.len() == front.connections => turn_away(socket).await,
                Ok((socket, from)) => {
                    id += 1;
                    let (front, stop) = (Arc::clone(&front), stop.clone());
                    clients.spawn(async move {
                        if let Err(error) = serve(&front, socket, id, stop).await {
                            tracing::debug!(%from, %error, "a client was lost");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        announcer.abort();
        let all = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE, all).await.is_err() {
            tracing::warn!(clients = clients.len(), "not all clients got their last replies");
        }
    }
}

async fn serve<S: Store>(
    front: &Front<S>,
    socket: TcpStream,
    id: i64,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    front.converse(socket, id, stop).await
}

/// Says why, as far as it goes without waiting.
async fn turn_away(mut socket: TcpStream) {
    let told = socket.write_all(b"-ERR max number of clients reached\r\n");
    let _ = tokio::time::timeout(PAUSE, told).await;
}
