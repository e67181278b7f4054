//! A client of the lock table: one session, one lock.

use super::{Answered, Asker, Patience};
use core::time::Duration;
use quorate::codec;
use quorate::lock::{Command, Name, Reply, SessionId, Token, Ttl, Wait};
use quorate::{Instant, NodeId};

/// Bytes of the longest command: a name of 64 bytes, a session, a token, a number.
const ASK: usize = 112;
/// How long who waits in line waits before it asks for its place again.
const IN_LINE: Duration = Duration::from_millis(250);

/// What came of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is a session.
    Opened(SessionId),
    /// The lock is held: since now, or since an earlier answer that was lost.
    Granted(Token),
    /// Another holds it; so many wait before.
    Queued(u32),
    /// The session has its whole lease again.
    Renewed,
    /// The lock was given back.
    Released,
    /// The session had ended, and with it the lock, which bore this token.
    Lost(Option<Token>),
    /// The table has no room now, or the node could not tell what came of it: it is asked again.
    Delayed,
}

/// Takes one lock and keeps it, by radio: what to ask next is derived from what is wanted and what was answered.
///
/// The lease is counted from when its renewal was first sent. When it is over on this clock, less a hundredth, the
/// holder is *in jeopardy*: [`held`](Self::held) is `None` until a renewal is answered, and what the lock protects
/// must be left alone. What makes that safe is still the token alone.
#[derive(Debug)]
pub struct Holder<const NODES: usize> {
    asker: Asker<NODES, ASK>,
    client: u64,
    name: Name,
    ttl: Ttl,
    wanted: bool,
    session: Option<SessionId>,
    /// Since when the lease runs.
    lease: Instant,
    token: Option<Token>,
    /// In line, or told that there is no room: not to be asked again before.
    pause: Instant,
    asked: Option<What>,
    /// Whether the last thing that was answered was a renewal, or the opening of the session.
    renewed: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Open,
    Renew,
    Acquire,
    Release,
}

impl<const NODES: usize> Holder<NODES> {
    /// A client that wants nothing yet. `life` must grow from life to life, and `seed` differ.
    #[must_use]
    pub fn new(nodes: &[NodeId], name: Name, ttl: Ttl, patience: Patience, life: u32, seed: u64) -> Self {
        Self {
            asker: Asker::new(nodes, patience, life, seed),
            client: seed,
            name,
            ttl,
            wanted: false,
            session: None,
            lease: Instant::default(),
            token: None,
            pause: Instant::default(),
            asked: None,
            renewed: false,
        }
    }

    /// Whether the lock is wanted from now on: if so it is taken and kept, if not given back. Once it is neither wanted
    /// nor held the session is not renewed any more.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// The token, as long as the lock is wanted and the lease is not over on this clock.
    #[must_use]
    pub fn held(&self, now: Instant) -> Option<Token> {
        self.token.filter(|_| self.wanted && now < self.jeopardy())
    }

    /// The token of the last grant that was neither given back nor is known to be lost. Not enough to act on.
    #[must_use]
    pub const fn believed(&self) -> Option<Token> {
        self.token
    }

    /// The session, if there is one.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// What is to be sent now as an ask, and to whom.
    pub fn due(&mut self, now: Instant) -> Option<(NodeId, &[u8])> {
        let next = self.next(now);
        if next != self.asked {
            self.asked = next;
            self.asker.drop_ask();
            if let Some(command) = next.and_then(|what| self.command(what)) {
                // It fits: see ASK.
                let _ = self.asker.ask(now, |ask| codec::put(&command, ask));
            }
        }
        self.asker.due(now)
    }

    /// Takes an answer in. Others are dropped.
    pub fn take(&mut self, now: Instant, from: NodeId, message: &[u8]) -> Option<Progress> {
        let sent = self.asker.first_asked();
        let body = self.asker.take(from, message)?;
        let asked = self.asked.take()?;
        self.renewed = matches!(asked, What::Open | What::Renew);
        let Ok(Answered::Replied(reply)) = Answered::<Reply>::take(body) else {
            self.asker.next_node();
            self.pause = now.after(IN_LINE);
            return Some(Progress::Delayed);
        };
        self.on_reply(now, sent.unwrap_or(now), asked, &reply)
    }

    /// When [`due`](Self::due) next has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if let Some(next) = self.asker.deadline() {
            return Some(next);
        }
        let renewal = self.is_of_use().then(|| self.renewal());
        let waits = self.session.is_none() || self.wanted != self.token.is_some();
        let other = (waits && (self.wanted || self.token.is_some())).then_some(self.pause);
        renewal.into_iter().chain(other).min()
    }

    fn on_reply(&mut self, now: Instant, sent: Instant, asked: What, reply: &Reply) -> Option<Progress> {
        match (asked, reply) {
            (What::Open, &Reply::Opened { session }) => {
                (self.session, self.lease) = (Some(session), sent);
                Some(Progress::Opened(session))
            }
            (What::Renew, Reply::Renewed) => {
                self.lease = sent;
                Some(Progress::Renewed)
            }
            (What::Acquire, &Reply::Granted { token }) => {
                self.token = Some(token);
                Some(Progress::Granted(token))
            }
            (What::Acquire, &Reply::Queued { ahead }) => {
                self.pause = now.after(IN_LINE);
                Some(Progress::Queued(ahead))
            }
            (What::Release, Reply::Released | Reply::NotHeld) => {
                self.token = None;
                Some(Progress::Released)
            }
            (_, Reply::SessionExpired) => {
                self.session = None;
                Some(Progress::Lost(self.token.take()))
            }
            // No room, or an answer to something else, which an honest node does not give.
            _ => {
                self.pause = now.after(IN_LINE);
                Some(Progress::Delayed)
            }
        }
    }

    /// What to ask now. What is being asked goes on until it is answered.
    fn next(&self, now: Instant) -> Option<What> {
        if self.asked.is_some() {
            return self.asked;
        }
        let wants = match (self.session, self.token) {
            _ if now < self.pause => None,
            (None, _) => self.wanted.then_some(What::Open),
            (Some(_), None) => self.wanted.then_some(What::Acquire),
            (Some(_), Some(_)) => (!self.wanted).then_some(What::Release),
        };
        let is_due = self.is_of_use() && now >= self.renewal();
        // Where answers take longer than a third of the lease the next renewal is due with each: what is wanted goes in
        // between.
        if is_due && !(self.renewed && wants.is_some()) { Some(What::Renew) } else { wants }
    }

    /// Whether the session is worth a renewal. One that nothing is wanted of may be in line still, or have been granted
    /// the lock by a retry that was late: it is left to end, and others get the lock.
    fn is_of_use(&self) -> bool {
        self.session.is_some() && (self.wanted || self.token.is_some())
    }

    fn command(&self, what: What) -> Option<Command> {
        let name = || self.name.clone();
        Some(match what {
            What::Open => Command::Open { client: self.client, ttl: self.ttl },
            What::Renew => Command::Renew { session: self.session? },
            What::Acquire => Command::Acquire { session: self.session?, name: name(), wait: Wait::Unlimited },
            What::Release => Command::Release { session: self.session?, name: name(), token: self.token? },
        })
    }

    /// When to renew the lease: after a third of it.
    fn renewal(&self) -> Instant {
        self.lease.after(self.ttl.duration() / 3)
    }

    /// When the lease is over on this clock, allowing for a clock that is slow by a hundredth.
    fn jeopardy(&self) -> Instant {
        self.lease.after(self.ttl.duration() / 100 * 99)
    }
}
