//! The connections that this node makes: for each a thread that writes, and while it is connected one that hears
//! when it is closed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread::Builder;
use std::time::Instant;

use quorate::NodeId;
use quorate_driver::hello::{self, ANSWER_BYTES, Mismatch};
use quorate_driver::sync::{Arc, Mutex, lock};
use quorate_driver::{Bell, Identity, Limits, Link, StopSignal, Tally, Tries};
use tracing::{debug, info, warn};

use super::stream::Connection;
use super::{Way, is_silence, join_all, read_exact_until, tune};

/// A peer that this node dials.
pub(crate) struct Dialer {
    pub(crate) us: Identity,
    pub(crate) peer: NodeId,
    pub(crate) address: String,
    pub(crate) link: Arc<Link<Way>>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: Arc<StopSignal<()>>,
    /// The connection, while there is one.
    pub(crate) current: Mutex<Option<Arc<Connection>>>,
}

impl Dialer {
    /// Connects, sends what the machine says, and connects anew when the connection is lost, until it is told to
    /// stop.
    pub(crate) fn run(&self, seed: u64) {
        let mut tries = Tries::new(&self.limits, seed);
        while self.stop.reason().is_none() {
            match self.connect() {
                Ok(connection) => {
                    info!(peer = %self.peer, address = self.address, "connected");
                    tries.succeed();
                    let end = self.send_over(&connection);
                    info!(peer = %self.peer, "disconnected: {end}");
                }
                Err(mismatch) => {
                    mismatch.count(&self.tally);
                    if tries.fail(&mismatch) {
                        warn!(peer = %self.peer, address = self.address, "not connected: {mismatch}");
                    } else {
                        debug!(peer = %self.peer, address = self.address, "not connected: {mismatch}");
                    }
                }
            }
            *lock(&self.current) = None;
            self.stop.wait_timeout(tries.pause());
        }
    }

    /// Ends what the thread waits for, once the signal to stop was given.
    pub(crate) fn close(&self) {
        if let Some(connection) = &*lock(&self.current) {
            connection.close();
        }
        bell(&self.link).ring();
    }

    fn connect(&self) -> Result<Arc<Connection>, Mismatch> {
        let until = Instant::now() + self.limits.handshake_time;
        let silent = |error| if is_silence(&error) { Mismatch::Silent } else { Mismatch::Io(error) };
        let stream = self.reach(until).map_err(silent)?;
        tune(&stream, self.limits.silence_time);
        let connection = Arc::new(Connection::new(stream));
        *lock(&self.current) = Some(Arc::clone(&connection));
        // Who told us to stop before that has not seen the connection.
        if self.stop.reason().is_some() {
            return Err(Mismatch::Silent);
        }
        let mut stream = &connection.stream;
        stream.write_all(&hello::hello(self.us, self.peer))?;
        let mut answer = [0; ANSWER_BYTES];
        let until = Instant::now() + self.limits.handshake_time;
        read_exact_until(stream, &mut answer, until).map_err(silent)?;
        hello::hear_answer(self.us, self.peer, &answer)?;
        stream.set_read_timeout(None)?;
        self.tally.connections.add(1);
        Ok(connection)
    }

    /// Tries every address that the name stands for.
    fn reach(&self, until: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name stands for no address");
        for address in self.address.to_socket_addrs()? {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn send_over(&self, connection: &Arc<Connection>) -> io::Error {
        self.link.set_connected(true);
        let heard = Arc::new(StopSignal::default());
        let (link, ear, told) = (Arc::clone(&self.link), Arc::clone(connection), Arc::clone(&heard));
        let hear = move || {
            told.give(hear_end(&ear.stream));
            bell(&link).ring();
        };
        let ear = Builder::new().name(format!("quorate-end-{}", self.us.id)).spawn(hear);
        let end = match &ear {
            Ok(_) => self.write_to(&connection.stream, &heard),
            Err(error) => io::Error::new(error.kind(), error.to_string()),
        };
        connection.close();
        join_all(ear);
        self.link.set_connected(false);
        end
    }

    /// Writes what waits, until the connection is closed.
    fn write_to(&self, mut stream: &TcpStream, heard: &StopSignal<(ErrorKind, String)>) -> io::Error {
        let mut buffer = Vec::new();
        loop {
            while self.link.take(&mut buffer, &self.tally) {
                if let Err(error) = stream.write_all(&buffer) {
                    return error;
                }
            }
            if let Some((kind, end)) = heard.reason() {
                return io::Error::new(kind, end);
            }
            if self.stop.reason().is_some() {
                return io::Error::new(ErrorKind::Interrupted, "the node stops");
            }
            bell(&self.link).wait(None);
        }
    }
}

fn bell(link: &Link<Way>) -> &Bell {
    match link.departure() {
        Way::Socket(bell) => bell,
        Way::Hub(_) => unreachable!("who dials has a socket"),
    }
}

/// Waits for the end of a connection on which nothing is to be said to us.
fn hear_end(mut stream: &TcpStream) -> (ErrorKind, String) {
    let heard = match stream.read(&mut [0]) {
        Ok(0) => (ErrorKind::UnexpectedEof, "the peer closed the connection".into()),
        Ok(_) => (ErrorKind::InvalidData, "the peer spoke where it only listens".into()),
        Err(error) => (error.kind(), error.to_string()),
    };
    let _ = stream.shutdown(std::net::Shutdown::Both);
    heard
}
