//! A client of the lock service: one thing after the other, again and again until it is answered, wherever a node
//! listens.

use crate::chance::Chance;
use quorate::lock::{Command, Name, SessionId, Token, Ttl, Wait};
use quorate::replicated;
use std::time::Duration;

/// What a client does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Opens the session under which its commands take effect once.
    Join,
    /// A command, under its number.
    Submit { sequence: u64, command: Command },
    /// Looks whether its wait for a lock is over.
    Look { lock: usize },
    /// Looks who owns a lock, and may not see a lower token than this.
    Read { lock: usize, floor: Option<Token> },
}

/// What is under way.
#[derive(Clone, Debug)]
pub(super) struct Doing {
    pub(super) id: u64,
    pub(super) act: Act,
    /// When it was first sent, and when last.
    pub(super) first: u64,
    pub(super) last: u64,
}

/// How a client stands to the lock that it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Nothing,
    Waits { lock: usize },
    Holds { lock: usize, token: Token, until: u64 },
}

/// A client. One that crashes comes back as another, under a new number.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) session: Option<replicated::SessionId>,
    sequence: u64,
    pub(super) lease: Option<SessionId>,
    pub(super) ttl: u64,
    /// When the lease was last renewed, as the client reckons.
    pub(super) renewed: u64,
    pub(super) want: Want,
    pub(super) doing: Option<Doing>,
}

impl Client {
    pub(super) fn new(number: u64, rng: &mut Chance) -> Self {
        Self {
            number,
            session: None,
            sequence: 0,
            lease: None,
            ttl: 500_000 + rng.below(3_000_000),
            renewed: 0,
            want: Want::Nothing,
            doing: None,
        }
    }

    /// What to do next, if anything.
    pub(super) fn next(&mut self, now: u64, names: &[Name], rng: &mut Chance) -> Option<Act> {
        if self.session.is_none() {
            return Some(Act::Join);
        }
        let Some(session) = self.lease else {
            let ttl = Ttl::new(Duration::from_micros(self.ttl)).expect("it is within the limits");
            return Some(self.submit(Command::Open { client: self.number, ttl }));
        };
        let dozes = matches!(self.want, Want::Holds { token, .. } if dozes_off(token));
        if now > self.renewed + self.ttl / 3 && !dozes {
            return Some(self.submit(Command::Renew { session }));
        }
        match self.want {
            Want::Nothing if rng.below(64) == 0 => Some(self.submit(Command::Close { session })),
            Want::Nothing => {
                let name = names[rng.below(names.len() as u64) as usize].clone();
                let wait = if rng.below(4) > 0 { Wait::Unlimited } else { Wait::No };
                Some(self.submit(Command::Acquire { session, name, wait }))
            }
            Want::Waits { lock } => Some(Act::Look { lock }),
            Want::Holds { until, .. } if now < until => None,
            Want::Holds { lock, token, .. } => {
                self.want = Want::Nothing;
                Some(self.submit(Command::Release { session, name: names[lock].clone(), token }))
            }
        }
    }

    fn submit(&mut self, command: Command) -> Act {
        self.sequence += 1;
        Act::Submit { sequence: self.sequence, command }
    }

    /// It holds a lock, for a while.
    pub(super) fn hold(&mut self, lock: usize, token: Token, now: u64, rng: &mut Chance) {
        let span = if dozes_off(token) { 8_000_000 } else { 200_000 };
        self.want = Want::Holds { lock, token, until: now + rng.below(span) };
    }

    /// The lease is over: what it held is lost.
    pub(super) fn lose_lease(&mut self) {
        self.lease = None;
        self.want = Want::Nothing;
    }
}

/// Every eighth holder dozes off: it goes on far beyond its lease.
const fn dozes_off(token: Token) -> bool {
    token.get().is_multiple_of(8)
}
