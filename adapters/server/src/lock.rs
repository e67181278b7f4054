//! `quorate lock`: runs a command while holding a lock.
//!
//! Exit status: that of the command, 128 and its number if a signal killed it; 3 if the lock was not acquired in time; 4
//! if it was lost, and the command stopped; 1 for any other failure, 2 for a wrong command line.

mod group;
mod lease;
mod nodes;

use crate::arguments::Lock;
use crate::client::number;
use group::{Group, code};
use lease::{Lease, Lost};
use nodes::Nodes;
use redis_protocol::resp2::types::OwnedFrame;
use rustix::process::Signal;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

/// How long a cluster may take to open a session, however short one would wait for the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the answer to an acquire may be overdue.
const OVERDUE: Duration = Duration::from_secs(2);
/// How long to wait before one goes back in line, when one was taken out of it too early.
const PAUSE: Duration = Duration::from_millis(50);

const NOT_ACQUIRED: u8 = 3;
const LOST: u8 = 4;

/// Why there is no exit status of the command.
#[derive(Debug)]
enum End {
    /// The lock was not acquired in time, for this reason.
    NotAcquired(String),
    /// The lock was lost.
    Lost(Lost),
    /// We were told to end while we waited.
    Signal(Signal),
    /// Anything else.
    Failed(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs a command while holding a lock.
pub(crate) async fn run(arguments: Lock) -> ExitCode {
    let Lock { name, wait, .. } = &arguments;
    let wait = humantime::format_duration(*wait);
    match locked(&arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(End::NotAcquired(why)) => {
            eprintln!(
                "quorate: '{name}' was not acquired within {wait}: {why}; try later, or a longer --wait"
            );
            ExitCode::from(NOT_ACQUIRED)
        }
        Err(End::Lost(why)) => {
            eprintln!(
                "quorate: '{name}' is lost: {why}; the command was stopped, and its work may be half done"
            );
            ExitCode::from(LOST)
        }
        Err(End::Signal(signal)) => {
            u8::try_from(signal.as_raw()).map_or(ExitCode::FAILURE, |signal| ExitCode::from(128 + signal))
        }
        Err(End::Failed(why)) => {
            eprintln!("quorate: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn locked(arguments: &Lock) -> Result<u8, End> {
    let Lock { ttl, wait, connect, .. } = arguments;
    let (start, mut signals) = (Instant::now(), Signals::new()?);
    let nodes = Nodes::new(connect.clone());
    nodes.find().await.map_err(|why| {
        End::Failed(format!(
            "no node can be reached ({why}): start the cluster, or name its nodes with --connect"
        ))
    })?;
    let opening = Lease::open(&nodes, ttl.duration(), PATIENCE.max(*wait));
    let mut lease = tokio::select! {
        opened = opening => {
            opened.map_err(|why| End::Failed(format!("no session was opened ({why}): see `quorate status`")))?
        }
        signal = signals.next() => return Err(End::Signal(signal)),
    };
    let held = hold(arguments, &nodes, &mut lease, start + *wait, &mut signals).await;
    // One that is lost has ended, or nobody answers.
    if !matches!(held, Err(End::Lost(_))) {
        lease.close().await;
    }
    held
}

/// Acquires the lock, and runs the command; keeps the session alive meanwhile.
async fn hold(
    arguments: &Lock,
    nodes: &Nodes,
    lease: &mut Lease<'_>,
    deadline: Instant,
    signals: &mut Signals,
) -> Result<u8, End> {
    let Lock { name, grace, command, .. } = arguments;
    let session = lease.session();
    let mut kept = std::pin::pin!(lease.keep());
    let token = tokio::select! {
        token = acquire(nodes, session, name, deadline) => token?,
        lost = &mut kept => return Err(End::Failed(format!("'{name}' was not acquired: {lost}; try again"))),
        signal = signals.next() => return Err(End::Signal(signal)),
    };
    let shown = command.first().map(|program| program.display().to_string()).unwrap_or_default();
    let mut group = Group::start(command, name, token)
        .map_err(|error| End::Failed(format!("cannot run '{shown}': {error}")))?;
    loop {
        tokio::select! {
            biased;
            status = group.ended() => return Ok(code(status?)),
            lost = &mut kept => {
                group.stop(*grace).await;
                return Err(End::Lost(lost));
            }
            signal = signals.next() => group.signal(signal),
        }
    }
}

/// Waits in line for the lock until `deadline`. The token of its grant.
async fn acquire(nodes: &Nodes, session: u64, name: &str, deadline: Instant) -> Result<u64, End> {
    let mut caller = nodes.caller();
    let request = || {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        ["LOCK.ACQUIRE", &session.to_string(), name, &left.to_string()].map(str::to_owned).to_vec()
    };
    loop {
        let patience = deadline.saturating_duration_since(Instant::now()) + OVERDUE;
        match timeout_at(deadline + OVERDUE, caller.ask(patience, request)).await {
            Ok(Ok(OwnedFrame::Null)) if Instant::now() >= deadline => {
                return Err(End::NotAcquired("another session holds it".to_owned()));
            }
            // Another node cancelled the wait when it was left for this one.
            Ok(Ok(OwnedFrame::Null)) => sleep(PAUSE).await,
            Ok(Ok(answer)) => {
                return number(&answer).ok_or_else(|| End::Failed(format!("not a token: {answer:?}")));
            }
            Ok(Err(error)) => return Err(End::Failed(error)),
            Err(_) => return Err(End::NotAcquired(caller.trouble().to_owned())),
        }
    }
}

/// What we are told from outside, and pass on.
struct Signals([(Signal, unix::Signal); 4]);

impl Signals {
    fn new() -> io::Result<Self> {
        let listen = |kind, passed| signal(kind).map(|signal| (passed, signal));
        Ok(Self([
            listen(SignalKind::interrupt(), Signal::INT)?,
            listen(SignalKind::terminate(), Signal::TERM)?,
            listen(SignalKind::hangup(), Signal::HUP)?,
            listen(SignalKind::quit(), Signal::QUIT)?,
        ]))
    }

    async fn next(&mut self) -> Signal {
        let heard = self.0.iter_mut().map(|(passed, signal)| {
            Box::pin(async {
                signal.recv().await;
                *passed
            })
        });
        futures_util::future::select_all(heard).await.0
    }
}
