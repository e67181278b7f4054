//! The connections that this node makes.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use quorate::{NodeId, Rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::hello::{self, Mismatch};
use super::link::Link;
use super::{Identity, tune};
use crate::counters::Tally;
use crate::limits::Limits;

/// A peer that this node dials.
pub(crate) struct Dialer {
    pub(crate) us: Identity,
    pub(crate) peer: NodeId,
    pub(crate) address: String,
    pub(crate) link: Arc<Link>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
}

impl Dialer {
    /// Connects, sends what the machine says, and connects anew when the connection is lost. Ends only when its
    /// task is aborted.
    pub(crate) async fn run(self, seed: u64) {
        let mut pause = Pause::new(&self.limits, seed);
        let mut last_trouble = String::new();
        loop {
            match self.connect().await {
                Ok(stream) => {
                    info!(peer = %self.peer, address = self.address, "connected");
                    last_trouble.clear();
                    let since = Instant::now();
                    let end = self.send_over(stream).await;
                    info!(peer = %self.peer, "disconnected: {end}");
                    if since.elapsed() > self.limits.longest_pause {
                        pause.reset();
                    }
                }
                Err(mismatch) => {
                    mismatch.count(&self.tally);
                    // Once for each kind of trouble: a peer that is down for a day is not news twice a second.
                    let trouble = mismatch.to_string();
                    if trouble == last_trouble {
                        debug!(peer = %self.peer, address = self.address, "not connected: {trouble}");
                    } else {
                        warn!(peer = %self.peer, address = self.address, "not connected: {trouble}");
                        last_trouble = trouble;
                    }
                }
            }
            sleep(pause.next()).await;
        }
    }

    async fn connect(&self) -> Result<TcpStream, Mismatch> {
        let silent = |_| Mismatch::Silent;
        let connecting = TcpStream::connect(&self.address);
        let mut stream = timeout(self.limits.handshake_time, connecting).await.map_err(silent)??;
        tune(&stream, self.limits.silence_time);
        let greeting = hello::dial(&mut stream, self.us, self.peer);
        timeout(self.limits.handshake_time, greeting).await.map_err(silent)??;
        self.tally.connections.add(1);
        Ok(stream)
    }

    async fn send_over(&self, mut stream: TcpStream) -> io::Error {
        let connected = Connected::new(&self.link);
        let (mut read, mut write) = stream.split();
        let sending = async {
            let mut buffer = Vec::new();
            loop {
                connected.0.take(&mut buffer, &self.tally).await;
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
struct Connected<'l>(&'l Link);

impl<'l> Connected<'l> {
    fn new(link: &'l Link) -> Self {
        link.set_connected(true);
        Self(link)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.set_connected(false);
    }
}

/// How long to wait before the next try: doubled each time, within bounds, and jittered so that a restarted node is
/// not dialled by all the others at once.
struct Pause {
    shortest: Duration,
    longest: Duration,
    current: Duration,
    rng: Rng,
}

impl Pause {
    fn new(limits: &Limits, seed: u64) -> Self {
        let Limits { shortest_pause: shortest, longest_pause: longest, .. } = *limits;
        Self { shortest, longest, current: shortest, rng: Rng::new(seed) }
    }

    fn next(&mut self) -> Duration {
        let full = self.current.min(self.longest);
        self.current = full.saturating_mul(2);
        let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + self.rng.below(micros / 2 + 1))
    }

    fn reset(&mut self) {
        self.current = self.shortest;
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({} at {})", self.peer, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds_and_start_over() {
        let limits = Limits::default();
        let mut pause = Pause::new(&limits, 1);
        for step in 0..20 {
            let full = limits.longest_pause.min(limits.shortest_pause * (1 << step.min(10)));
            let next = pause.next();
            assert!(next >= full / 2 && next <= full, "step {step}: {next:?} of {full:?}");
        }
        pause.reset();
        assert!(pause.next() <= limits.shortest_pause);
    }
}
