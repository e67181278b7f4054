//! The lock table once more, as naive as can be: a lock is a list of sessions, the first of which holds it.

use core::time::Duration;
use quorate::lock::{Command, Limit, Name, Notice, Reply, SessionId, Token, Wait};
use quorate::{Moment, Timestamp};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Session {
    client: u64,
    ttl: Duration,
    pub(crate) until: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) session: SessionId,
    /// Of who holds the lock.
    pub(crate) token: Option<Token>,
    pub(crate) until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) locks: BTreeMap<Name, Vec<Place>>,
    told: Vec<Notice>,
}

pub(crate) const LIMITS: [usize; 3] = [3, 2, 3];

impl Model {
    /// What an entry answers and tells, the latter in some order.
    pub(crate) fn step(&mut self, now: Moment, command: Option<&Command>) -> (Option<Reply>, Vec<Notice>) {
        self.expire(now);
        let reply = command.map(|command| self.carry_out(now, command));
        (reply, core::mem::take(&mut self.told))
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let leases = self.sessions.values().map(|session| session.until);
        leases.chain(self.locks.values().flatten().filter_map(|place| place.until)).min()
    }

    fn expire(&mut self, now: Moment) {
        let over: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.until <= now.time)
            .map(|(&id, _)| id)
            .collect();
        for session in over {
            self.sessions.remove(&session);
            self.told.push(Notice::Expired { session });
        }
        for (name, line) in &mut self.locks {
            line.retain(|place| self.sessions.contains_key(&place.session));
            for late in line.extract_if(.., |place| place.until.is_some_and(|until| until <= now.time)) {
                self.told.push(Notice::TimedOut { session: late.session, name: name.clone() });
            }
        }
        self.grant(now);
    }

    /// Whoever is first holds the lock.
    fn grant(&mut self, now: Moment) {
        self.locks.retain(|_, line| !line.is_empty());
        for (name, line) in &mut self.locks {
            let first = &mut line[0];
            if first.token.is_none() {
                let token = Token::new(now.index.get());
                (first.token, first.until) = (Some(token), None);
                self.told.push(Notice::Granted { session: first.session, name: name.clone(), token });
            }
        }
    }

    fn carry_out(&mut self, now: Moment, command: &Command) -> Reply {
        let token_now = Token::new(now.index.get());
        match command.clone() {
            Command::Open { client, ttl } => self.open(now, client, ttl.duration()),
            Command::Renew { session } => match self.sessions.get_mut(&session) {
                Some(row) => {
                    row.until = row.until.max(now.time.after(row.ttl));
                    Reply::Renewed
                }
                None => Reply::SessionExpired,
            },
            Command::Close { session } => {
                let fresh = self
                    .locks
                    .values()
                    .any(|line| line[0].session == session && line[0].token == Some(token_now));
                if fresh {
                    self.sessions.get_mut(&session).expect("it holds a lock").until = now.time;
                } else if self.sessions.remove(&session).is_some() {
                    self.told.push(Notice::Closed { session });
                    self.locks.values_mut().for_each(|line| line.retain(|place| place.session != session));
                    self.grant(now);
                }
                Reply::Closed
            }
            Command::Acquire { session, .. } if !self.sessions.contains_key(&session) => {
                Reply::SessionExpired
            }
            Command::Acquire { session, name, wait } => self.acquire(now, session, name, wait),
            Command::Release { session, name, token } => match self.locks.get_mut(&name) {
                Some(line)
                    if line[0].session == session && line[0].token == Some(token) && token != token_now =>
                {
                    line.remove(0);
                    self.grant(now);
                    Reply::Released
                }
                _ => Reply::NotHeld,
            },
            Command::Cancel { session, name } => {
                let Some(line) = self.locks.get_mut(&name) else { return Reply::Cancelled };
                match line.iter().position(|place| place.session == session) {
                    Some(0) => Reply::Granted { token: line[0].token.expect("it is first") },
                    Some(at) => {
                        line.remove(at);
                        self.told.push(Notice::Cancelled { session, name });
                        Reply::Cancelled
                    }
                    None => Reply::Cancelled,
                }
            }
        }
    }

    fn open(&mut self, now: Moment, client: u64, ttl: Duration) -> Reply {
        let until = now.time.after(ttl);
        if let Some((&session, row)) = self.sessions.iter_mut().find(|(_, row)| row.client == client) {
            (row.ttl, row.until) = (ttl, row.until.max(until));
            return Reply::Opened { session };
        }
        if self.sessions.len() == LIMITS[0] {
            return Reply::Full(Limit::Sessions);
        }
        let session = SessionId::new(now.index.get());
        self.sessions.insert(session, Session { client, ttl, until });
        Reply::Opened { session }
    }

    fn acquire(&mut self, now: Moment, session: SessionId, name: Name, wait: Wait) -> Reply {
        let waiters = self.locks.values().map(|line| line.len() - 1).sum::<usize>();
        let held = self.locks.len();
        let line = self.locks.entry(name.clone()).or_default();
        if let Some(at) = line.iter().position(|place| place.session == session) {
            return match line[at].token {
                Some(token) => Reply::Granted { token },
                None => Reply::Queued { ahead: at as u32 - 1 },
            };
        }
        if line.is_empty() {
            if held == LIMITS[1] {
                self.locks.remove(&name);
                return Reply::Full(Limit::Locks);
            }
            let token = Token::new(now.index.get());
            line.push(Place { session, token: Some(token), until: None });
            return Reply::Granted { token };
        }
        let until = match wait {
            Wait::No => return Reply::Held,
            Wait::AtMost(span) => Some(now.time.after(span)),
            Wait::Unlimited => None,
        };
        if waiters == LIMITS[2] {
            return Reply::Full(Limit::Waiters);
        }
        line.push(Place { session, token: None, until });
        Reply::Queued { ahead: line.len() as u32 - 2 }
    }
}
