//! The connections that this node makes.

use std::sync::Arc;
use std::{fmt, io};

use quorate::NodeId;
use quorate_driver::hello::{self, ANSWER_BYTES, Mismatch};
use quorate_driver::{Departure, Identity, Limits, Link, Tally, Tries};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::tune;

/// Wakes the task of a connection.
#[derive(Debug, Default)]
pub(crate) struct Wakeup(Notify);

impl Departure for Wakeup {
    fn depart(&self, link: &Link<Self>) {
        if !link.is_empty() {
            self.0.notify_one();
        }
    }
}

/// A peer that this node dials.
pub(crate) struct Dialer {
    pub(crate) us: Identity,
    pub(crate) peer: NodeId,
    pub(crate) address: String,
    pub(crate) link: Arc<Link<Wakeup>>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
}

impl Dialer {
    /// Connects, sends what the machine says, and connects anew when the connection is lost. Ends only when its
    /// task is aborted.
    pub(crate) async fn run(self, seed: u64) {
        let mut tries = Tries::new(&self.limits, seed);
        loop {
            match self.connect().await {
                Ok(stream) => {
                    info!(peer = %self.peer, address = self.address, "connected");
                    tries.succeed();
                    let end = self.send_over(stream).await;
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
            sleep(tries.pause()).await;
        }
    }

    async fn connect(&self) -> Result<TcpStream, Mismatch> {
        let silent = |_| Mismatch::Silent;
        let connecting = TcpStream::connect(&self.address);
        let mut stream = timeout(self.limits.handshake_time, connecting).await.map_err(silent)??;
        tune(&stream, self.limits.silence_time);
        timeout(self.limits.handshake_time, self.greet(&mut stream)).await.map_err(silent)??;
        self.tally.connections.add(1);
        Ok(stream)
    }

    /// Says hello, and hears the answer.
    async fn greet(&self, stream: &mut TcpStream) -> Result<(), Mismatch> {
        stream.write_all(&hello::hello(self.us, self.peer)).await?;
        let mut answer = [0; ANSWER_BYTES];
        stream.read_exact(&mut answer).await?;
        hello::hear_answer(self.us, self.peer, &answer)
    }

    async fn send_over(&self, mut stream: TcpStream) -> io::Error {
        let connected = Connected::new(&self.link);
        let (mut read, mut write) = stream.split();
        let sending = async {
            let mut buffer = Vec::new();
            loop {
                while !connected.0.take(&mut buffer, &self.tally) {
                    connected.0.departure().0.notified().await;
                }
                if let Err(error) = write.write_all(&buffer).await {
                    break error;
                }
            }
        };
        let mut byte = [0];
        let hearing = read.read(&mut byte);
        tokio::select! {
            error = sending => error,
            heard = hearing => match heard {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection"),
                Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the peer spoke where it only listens"),
                Err(error) => error,
            },
        }
    }
}

/// Marks a link as connected for as long as it lives.
struct Connected<'l>(&'l Link<Wakeup>);

impl<'l> Connected<'l> {
    fn new(link: &'l Link<Wakeup>) -> Self {
        link.set_connected(true);
        Self(link)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.set_connected(false);
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({} at {})", self.peer, self.address)
    }
}
