//! The connections that peers make.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate::NodeId;
use quorate_driver::hello::{self, HELLO_BYTES, Mismatch};
use quorate_driver::{Connections, Identity, Limits, Tally};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::stream::{self, Connection, End, Piece};
use super::tune;

/// How long to wait after an accept that failed: most likely there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may come in, and where what they say goes.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) us: Identity,
    pub(crate) known: Vec<NodeId>,
    pub(crate) pieces: mpsc::Sender<Piece>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
    pub(crate) current: Connections<Connection>,
}

/// Accepts connections. Ends only when its task is aborted, and its connections with it.
pub(crate) async fn run(listener: TcpListener, reception: Arc<Reception>) {
    let slots = Arc::new(Semaphore::new(reception.limits.handshakes));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match Arc::clone(&slots).try_acquire_owned() {
                    Ok(slot) => {
                        connections.spawn(Arc::clone(&reception).serve(stream, address, slot));
                    }
                    Err(_) => reception.tally.refused_busy.add(1),
                },
                Err(error) => {
                    warn!("cannot accept connections: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Reception {
    async fn serve(self: Arc<Self>, mut stream: TcpStream, address: SocketAddr, slot: OwnedSemaphorePermit) {
        tune(&stream, self.limits.silence_time);
        let connection = Arc::new(Connection::default());
        let greeted = timeout(self.limits.handshake_time, self.greet(&mut stream, &connection)).await;
        drop(slot);
        let from = match greeted.unwrap_or(Err(Mismatch::Silent)) {
            Ok(from) => from,
            Err(mismatch) => {
                mismatch.count(&self.tally);
                return warn!(%address, "refused a connection: {mismatch}");
            }
        };
        self.tally.connections.add(1);
        info!(peer = %from, %address, "accepted");
        let receiving = stream::receive(
            &mut stream,
            from,
            &connection,
            self.limits.frame_bytes,
            &self.pieces,
            &self.tally,
        );
        tokio::select! {
            end = receiving => match end {
                End::Closed => info!(peer = %from, "the peer closed its connection"),
                End::BadLength(len) => warn!(peer = %from, "closed: a frame of {len} bytes is announced"),
                End::Io(error) => info!(peer = %from, "lost: {error}"),
            },
            () = connection.closed() => info!(peer = %from, "closed a connection that was replaced or spoke nonsense"),
        }
        self.current.remove(from, &connection);
    }

    /// Hears hello, and answers it. Returns who is there, whose connection this is from now on.
    async fn greet(&self, stream: &mut TcpStream, connection: &Arc<Connection>) -> Result<NodeId, Mismatch> {
        let mut bytes = [0; HELLO_BYTES];
        stream.read_exact(&mut bytes).await?;
        let (answer, judged) = hello::hear_hello(self.us, |node| self.known.contains(&node), &bytes)?;
        // Before the answer: who has it may dial again, and that is the newer one.
        if let Ok(from) = judged
            && let Some(old) = self.current.replace(from, Arc::clone(connection))
        {
            old.close();
        }
        stream.write_all(&answer).await?;
        judged
    }
}
