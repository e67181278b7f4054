//! The connections that peers make: a thread that accepts, and one that reads from each.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use quorate::NodeId;
use quorate_driver::hello::{self, HELLO_BYTES, Mismatch};
use quorate_driver::sync::Arc;
use quorate_driver::sync::atomic::{AtomicUsize, Ordering};
use quorate_driver::{Connections, Identity, Limits, Sender, StopSignal, Tally};
use tracing::{info, warn};

use super::stream::{self, Connection, End, Piece};
use super::{is_silence, join_all, read_exact_until, tune};

/// How long to wait after an accept that failed: most likely there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long one try to wake the accepting thread may take, and how often it is tried.
const WAKE_TIME: Duration = Duration::from_millis(100);
const WAKE_TRIES: usize = 100;

/// Who may come in, and where what they say goes.
pub(crate) struct Reception {
    pub(crate) us: Identity,
    pub(crate) known: Vec<NodeId>,
    pub(crate) pieces: Sender<Piece>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
    pub(crate) current: Connections<Connection>,
    pub(crate) stop: Arc<StopSignal<()>>,
    /// Connections that shake hands.
    pub(crate) handshakes: AtomicUsize,
}

/// A connection that is served, and by which thread.
struct Served {
    connection: Arc<Connection>,
    thread: JoinHandle<()>,
}

/// The thread that accepts connections.
pub(crate) struct Acceptor {
    thread: JoinHandle<()>,
    address: SocketAddr,
    /// Given when no more connections are accepted.
    closed: Arc<StopSignal<()>>,
}

impl Acceptor {
    /// Starts to accept connections.
    pub(crate) fn start(listener: TcpListener, reception: Arc<Reception>) -> std::io::Result<Self> {
        let id = reception.us.id;
        let address = listener.local_addr()?;
        let closed = Arc::new(StopSignal::default());
        let closing = Arc::clone(&closed);
        let body = move || {
            let served = accept(&listener, &reception);
            drop(listener);
            closing.give(());
            served.iter().for_each(|served| served.connection.close());
            join_all(served.into_iter().map(|served| served.thread));
        };
        let thread = Builder::new().name(format!("quorate-in-{id}")).spawn(body)?;
        Ok(Self { thread, address, closed })
    }

    /// Waits for the end of all connections and their threads, once the signal to stop was given.
    pub(crate) fn join(self) {
        // Nothing but a connection ends a wait for one. If none can be made now, the system may have no descriptors
        // left; but then the other threads that stop give some back.
        for _ in 0..WAKE_TRIES {
            let _ = TcpStream::connect_timeout(&reachable(self.address), WAKE_TIME);
            if self.closed.wait_timeout(WAKE_TIME).is_some() {
                return join_all([self.thread]);
            }
        }
        warn!("still listens on {}: no connection to it could be made to end that", self.address);
    }
}

/// Where a socket that listens everywhere can be reached from here.
const fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Accepts connections until it is told to stop, and hands over those that are served then.
fn accept(listener: &TcpListener, reception: &Arc<Reception>) -> Vec<Served> {
    // Those that shake hands, and one from each peer that counts; those that were replaced are about to end.
    let mut served: Vec<Served> = Vec::new();
    while reception.stop.reason().is_none() {
        let accepted = listener.accept();
        if reception.stop.reason().is_some() {
            break;
        }
        served.retain(|served| !served.thread.is_finished());
        match accepted {
            Ok((stream, address)) => match Reception::admit(reception, stream, address) {
                Ok(newest) => served.extend(newest),
                Err(error) => warn!("cannot serve a connection: {error}"),
            },
            Err(error) => {
                warn!("cannot accept connections: {error}");
                reception.stop.wait_timeout(ACCEPT_PAUSE);
            }
        }
    }
    served
}

impl Reception {
    /// Starts a thread for a connection, if not too many shake hands.
    fn admit(
        reception: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> std::io::Result<Option<Served>> {
        if reception.handshakes.fetch_add(1, Ordering::Relaxed) >= reception.limits.handshakes {
            reception.handshakes.fetch_sub(1, Ordering::Relaxed);
            reception.tally.refused_busy.add(1);
            return Ok(None);
        }
        tune(&stream, reception.limits.silence_time);
        let connection = Arc::new(Connection::new(stream));
        let (serving, served) = (Arc::clone(reception), Arc::clone(&connection));
        let body = move || {
            serving.serve(&served, address);
            // The stream is closed when the thread that accepts lets go of it as well, which may be late.
            served.close();
        };
        match Builder::new().name(format!("quorate-from-{}", reception.us.id)).spawn(body) {
            Ok(thread) => Ok(Some(Served { connection, thread })),
            Err(error) => {
                reception.handshakes.fetch_sub(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn serve(&self, connection: &Arc<Connection>, address: SocketAddr) {
        let greeted = self.greet(connection);
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
        let from = match greeted {
            Ok(from) => from,
            Err(mismatch) => {
                mismatch.count(&self.tally);
                return warn!(%address, "refused a connection: {mismatch}");
            }
        };
        self.tally.connections.add(1);
        info!(peer = %from, %address, "accepted");
        match stream::receive(connection, from, self.limits.frame_bytes, &self.pieces, &self.tally) {
            end @ End::BadLength(_) => warn!(peer = %from, "closed: {end}"),
            end @ (End::Closed | End::Io(_)) => info!(peer = %from, "lost: {end}"),
        }
        self.current.remove(from, connection);
    }

    /// Hears hello, and answers it. Returns who is there, whose connection this is from now on.
    fn greet(&self, connection: &Arc<Connection>) -> Result<NodeId, Mismatch> {
        let mut stream = &connection.stream;
        let mut bytes = [0; HELLO_BYTES];
        let until = Instant::now() + self.limits.handshake_time;
        read_exact_until(stream, &mut bytes, until).map_err(silent)?;
        let (answer, judged) = hello::hear_hello(self.us, |node| self.known.contains(&node), &bytes)?;
        // It fits into the buffer of a connection that nothing was written to.
        let mut reply = || stream.write_all(&answer).and_then(|()| stream.set_read_timeout(None));
        let from = match judged {
            Ok(from) => from,
            Err(mismatch) => return reply().map_err(Mismatch::Io).and(Err(mismatch)),
        };
        // Before the answer: who has it may dial again, and that is the newer one.
        if let Some(old) = self.current.replace(from, Arc::clone(connection)) {
            old.close();
            self.pieces.stir();
        }
        reply().inspect_err(|_| self.current.remove(from, connection))?;
        Ok(from)
    }
}

fn silent(error: std::io::Error) -> Mismatch {
    if is_silence(&error) { Mismatch::Silent } else { Mismatch::Io(error) }
}
