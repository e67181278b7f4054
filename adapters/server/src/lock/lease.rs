//! A session, and how long it is sure to live.

use super::nodes::{Caller, Nodes};
use crate::client::number;
use redis_protocol::resp2::types::OwnedFrame;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// The least and the most that a node may take to answer, before another is asked.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A hundredth of a lease is not counted on: our clock may go slower than the cluster's.
const DRIFT: u32 = 100;
/// How long closing the session may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// An open session.
#[derive(Debug)]
pub(super) struct Lease<'n> {
    caller: Caller<'n>,
    session: u64,
    ttl: Duration,
    /// When the renewal that was acknowledged last was first sent. The cluster counts from later.
    renewed: Instant,
}

/// Why a session is not sure to live any more.
#[derive(Debug)]
pub(super) enum Lost {
    /// It has ended, says the cluster.
    Ended,
    /// No renewal was acknowledged for as long as it lasts: what went wrong last.
    Unconfirmed(Duration, String),
    /// A renewal was refused, for this reason.
    Refused(String),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("its session has ended, says the cluster"),
            Self::Unconfirmed(ttl, trouble) => {
                let ttl = humantime::format_duration(*ttl);
                write!(f, "its session may have ended: no renewal was acknowledged for {ttl} ({trouble})")
            }
            Self::Refused(why) => write!(f, "its session was not renewed ({why})"),
        }
    }
}

impl<'n> Lease<'n> {
    /// Opens a session.
    ///
    /// # Errors
    /// No node opened one, or not in time.
    pub(super) async fn open(nodes: &'n Nodes, ttl: Duration, time: Duration) -> Result<Self, String> {
        let mut caller = nodes.caller();
        let (client, renewed) = (random(), Instant::now());
        let request = || vec!["LOCK.OPEN".to_owned(), client.to_string(), ttl.as_millis().to_string()];
        let opened = match timeout(time, caller.ask(patience(ttl), request)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(caller.trouble().to_owned()),
        };
        let session = number(&opened).ok_or_else(|| format!("not a session: {opened:?}"))?;
        Ok(Self { caller, session, ttl, renewed })
    }

    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Renews the session again and again, until it may have ended.
    pub(super) async fn keep(&mut self) -> Lost {
        loop {
            sleep_until(self.renewed + self.ttl / 3).await;
            let (sent, session) = (Instant::now(), self.session.to_string());
            let ends = self.renewed + self.ttl - self.ttl / DRIFT;
            let request = || vec!["LOCK.RENEW".to_owned(), session.clone()];
            match timeout_at(ends, self.caller.ask(patience(self.ttl), request)).await {
                Ok(Ok(OwnedFrame::SimpleString(_))) => self.renewed = sent,
                Ok(Ok(answer)) => return Lost::Refused(format!("{answer:?}")),
                Ok(Err(error)) if error.starts_with("NOSESSION ") => return Lost::Ended,
                Ok(Err(error)) => return Lost::Refused(error),
                Err(_) => return Lost::Unconfirmed(self.ttl, self.caller.trouble().to_owned()),
            }
        }
    }

    /// Closes the session if that can be done soon: its locks pass on at once, and not at the end of its lease.
    pub(super) async fn close(mut self) {
        let request = || vec!["LOCK.CLOSE".to_owned(), self.session.to_string()];
        let closed = timeout(GOODBYE, self.caller.ask(patience(self.ttl), request)).await;
        if !matches!(closed, Ok(Ok(_))) {
            tracing::warn!("the session was not closed: its locks pass on when its lease is over");
        }
    }
}

/// How long one node may take: several should have their turn before the lease is over.
fn patience(ttl: Duration) -> Duration {
    (ttl / 6).clamp(PATIENCE.0, PATIENCE.1)
}

/// A number that no other client has, for all that chance can do. Replies are integers of 63 bits.
fn random() -> u64 {
    RandomState::new().build_hasher().finish() >> 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers as many requests as there are answers, each after a while; then it hears, and says nothing.
    async fn answer(listener: TcpListener, answers: &[(Duration, &str)]) -> Vec<Instant> {
        let (mut socket, _) = listener.accept().await.expect("somebody asks");
        let (mut heard, mut request) = (Vec::new(), [0; 1024]);
        for (after, answer) in answers {
            let bytes = socket.read(&mut request).await.expect("a request");
            assert!(bytes > 0, "it was closed");
            heard.push(Instant::now());
            tokio::time::sleep(*after).await;
            socket.write_all(answer.as_bytes()).await.expect("it is heard");
        }
        heard.push(Instant::now());
        heard
    }

    async fn node() -> (TcpListener, Nodes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        (listener, Nodes::new(vec![address]))
    }

    #[tokio::test]
    async fn a_lease_counts_from_the_sending_of_what_was_acknowledged_last() {
        let (ttl, slow) = (Duration::from_secs(6), Duration::from_millis(400));
        let (listener, nodes) = node().await;
        let answers = [(Duration::ZERO, ":7\r\n"), (slow, "+OK\r\n")];
        let holding = async {
            let mut lease = Lease::open(&nodes, ttl, ttl).await.expect("it answers");
            assert_eq!(lease.session(), 7);
            let lost = lease.keep().await;
            assert!(matches!(lost, Lost::Unconfirmed(..)), "{lost}");
            (lease.renewed, Instant::now())
        };
        let (heard, (renewed, lost)) = tokio::join!(answer(listener, &answers), holding);
        assert!(heard[0] < renewed, "it was not renewed");
        assert!(renewed <= heard[1], "it counts from {:?} after that was heard", renewed - heard[1]);
        assert!(lost - renewed >= ttl - ttl / DRIFT, "given up {:?} after it was renewed", lost - renewed);
        // Who waits for the end is woken a little later, or a lot where the machine is busy with something else.
        assert!(lost - renewed < 2 * ttl, "held for {:?} after it was renewed", lost - renewed);
    }

    #[tokio::test]
    async fn a_session_that_the_cluster_does_not_know_is_lost_at_once() {
        let (listener, nodes) = node().await;
        let answers = [(Duration::ZERO, ":7\r\n"), (Duration::ZERO, "-NOSESSION ended\r\n")];
        let holding = async {
            let ttl = Duration::from_secs(6);
            let mut lease = Lease::open(&nodes, ttl, ttl).await.expect("it answers");
            lease.keep().await
        };
        let (_, lost) = tokio::join!(answer(listener, &answers), holding);
        assert!(matches!(lost, Lost::Ended), "{lost}");
    }
}
