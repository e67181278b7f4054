//! Who holds which lock, and who waits for it.

use super::notices::Notices;
use super::query::{Held, Owner, PAGE, Standing};
use super::snapshot::Row;
use super::{Limit, Name, Notice, Reply, SessionId, Token, Wait};
use crate::codec::{Full, Malformed, Sink, put, put_numbers, take, take_numbers};
use crate::space::{List, retain};
use crate::{Index, Moment, Space, Timestamp};

/// A lock that is held. A free one has no row.
#[derive(Debug)]
pub(super) struct Lock<const NAME: usize> {
    name: Name<NAME>,
    holder: SessionId,
    token: Token,
}

impl<const NAME: usize> Lock<NAME> {
    /// The one place where a lock passes from one session to another.
    fn pass_to(&mut self, session: SessionId, now: Moment) -> Token {
        let token = Token::granted_by(now.index);
        assert!(token > self.token, "an entry grants a lock once");
        self.holder = session;
        self.token = token;
        token
    }
}

impl<const NAME: usize> Row for Lock<NAME> {
    fn put(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&self.name, sink)?;
        put_numbers(&[self.holder.get(), self.token.get()], sink)
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let (name, [holder, token]) = (take(input)?, take_numbers(input)?);
        Ok(Self { name, holder: SessionId::new(holder), token: Token::new(token) })
    }
}

/// A session in line for a lock, since the entry `since`.
#[derive(Debug)]
pub(super) struct Waiter<const NAME: usize> {
    name: Name<NAME>,
    since: Index,
    session: SessionId,
    until: Option<Timestamp>,
}

impl<const NAME: usize> Waiter<NAME> {
    /// Waiters are kept by lock, and for each lock in the order in which they came.
    fn place(&self) -> (&Name<NAME>, Index) {
        (&self.name, self.since)
    }
}

impl<const NAME: usize> Row for Waiter<NAME> {
    fn put(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&self.name, sink)?;
        put_numbers(&[self.since.get(), self.session.get()], sink)?;
        put(&self.until, sink)
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let (name, [since, session]) = (take(input)?, take_numbers(input)?);
        let (since, session, until) = (Index::new(since), SessionId::new(session), take(input)?);
        Ok(Self { name, since, session, until })
    }
}

/// The locks that are held, by name, and the sessions in line for them.
///
/// A session named here is open, no lock is free with a session in line for it, and no session waits for what it
/// holds, or twice for the same.
#[derive(Debug)]
pub(super) struct Rows<S: Space, const LOCKS: usize, const WAITERS: usize, const NAME: usize> {
    locks: S::Items<Lock<NAME>, LOCKS>,
    waiters: S::Items<Waiter<NAME>, WAITERS>,
}

impl<S: Space, const LOCKS: usize, const WAITERS: usize, const NAME: usize> Rows<S, LOCKS, WAITERS, NAME> {
    /// Grants the lock to an open session, or puts it in line.
    pub(super) fn acquire(
        &mut self,
        now: Moment,
        session: SessionId,
        name: &Name<NAME>,
        wait: Wait,
    ) -> Reply {
        match self.find(name) {
            Err(at) => {
                let token = Token::granted_by(now.index);
                let lock = Lock { name: name.clone(), holder: session, token };
                self.locks.insert(at, lock).map_or(Reply::Full(Limit::Locks), |()| Reply::Granted { token })
            }
            Ok((_, owner)) if owner.session == session => Reply::Granted { token: owner.token },
            Ok(_) => self.queue(now, session, name, wait),
        }
    }

    /// Puts a session in line for a lock that another holds, unless it is there already.
    fn queue(&mut self, now: Moment, session: SessionId, name: &Name<NAME>, wait: Wait) -> Reply {
        let (first, line) = self.line(name);
        let (ahead, new) = match line.iter().position(|waiter| waiter.session == session) {
            Some(ahead) => (ahead, None),
            None => (line.len(), Some(first + line.len())),
        };
        if let Some(at) = new {
            let until = match wait {
                Wait::No => return Reply::Held,
                Wait::AtMost(span) => Some(now.time.after(span)),
                Wait::Unlimited => None,
            };
            let waiter = Waiter { name: name.clone(), since: now.index, session, until };
            if self.waiters.insert(at, waiter).is_err() {
                return Reply::Full(Limit::Waiters);
            }
        }
        Reply::Queued { ahead: count(ahead) }
    }

    /// Takes the lock from its holder; the first in line has it.
    pub(super) fn release<const SESSIONS: usize>(
        &mut self,
        now: Moment,
        session: SessionId,
        name: &Name<NAME>,
        token: Token,
        notices: &mut Notices<S, SESSIONS, WAITERS, NAME>,
    ) -> Reply {
        // A token of this very entry was guessed, for nobody has been told it yet: that grant stands.
        let known = token.entry() < now.index;
        let owner = Owner { session, token };
        let Some(at) = self.find(name).ok().filter(|&(_, held)| held == owner && known).map(|(at, _)| at)
        else {
            return Reply::NotHeld;
        };
        let (first, line) = self.line(name);
        if line.is_empty() {
            let _ = self.locks.remove(at);
        } else if let (Some(lock), Some(next)) = (self.locks.get_mut(at), self.waiters.remove(first)) {
            let (session, name) = (next.session, next.name);
            let token = lock.pass_to(session, now);
            notices.wait_ended(now.index, Notice::Granted { session, name, token });
        }
        Reply::Released
    }

    /// Takes a session out of the line for a lock.
    pub(super) fn cancel<const SESSIONS: usize>(
        &mut self,
        now: Moment,
        session: SessionId,
        name: &Name<NAME>,
        notices: &mut Notices<S, SESSIONS, WAITERS, NAME>,
    ) -> Reply {
        if let Some(owner) = self.owner(name).filter(|owner| owner.session == session) {
            return Reply::Granted { token: owner.token };
        }
        let (first, line) = self.line(name);
        if let Some(ahead) = line.iter().position(|waiter| waiter.session == session) {
            let _ = self.waiters.remove(first + ahead);
            notices.wait_ended(now.index, Notice::Cancelled { session, name: name.clone() });
        }
        Reply::Cancelled
    }

    /// Frees what sessions that are no longer `open` hold and wait for, ends the waits that took too long, and
    /// passes each lock that came free to the first who is still in line.
    pub(super) fn settle<const SESSIONS: usize>(
        &mut self,
        now: Moment,
        open: &dyn Fn(SessionId) -> bool,
        notices: &mut Notices<S, SESSIONS, WAITERS, NAME>,
    ) {
        let Self { locks, waiters } = self;
        let mut at = 0;
        retain(waiters, |waiter| {
            let session = waiter.session;
            if !open(session) {
                return false;
            }
            if waiter.until.is_some_and(|until| until <= now.time) {
                let name = waiter.name.clone();
                notices.wait_ended(now.index, Notice::TimedOut { session, name });
                return false;
            }
            // Both lists are by name, and a lock that somebody waits for is held: one walk along both finds it.
            while locks.get(at).is_some_and(|lock| lock.name < waiter.name) {
                at += 1;
            }
            // The first of a line who is still here makes the lock's holder open again, so the rest of it stays.
            let Some(lock) = locks.get_mut(at).filter(|lock| !open(lock.holder)) else {
                return true;
            };
            assert!(lock.name == waiter.name, "a free lock has no waiter");
            let token = lock.pass_to(session, now);
            notices.wait_ended(now.index, Notice::Granted { session, name: waiter.name.clone(), token });
            false
        });
        retain(locks, |lock| open(lock.holder));
    }

    /// When the first wait has taken too long.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.waiters.iter().filter_map(|waiter| waiter.until).min()
    }

    /// Whether a lock was granted to the session by the entry.
    pub(super) fn granted(&self, session: SessionId, entry: Index) -> bool {
        self.locks.iter().any(|lock| lock.holder == session && lock.token.entry() == entry)
    }

    pub(super) fn owner(&self, name: &Name<NAME>) -> Option<Owner> {
        self.find(name).ok().map(|(_, owner)| owner)
    }

    pub(super) fn standing(&self, session: SessionId, name: &Name<NAME>) -> Standing {
        if let Some(owner) = self.owner(name).filter(|owner| owner.session == session) {
            return Standing::Holds(owner.token);
        }
        let ahead = self.waiting(name).position(|waiter| waiter == session);
        ahead.map_or(Standing::Apart, |ahead| Standing::Waits { ahead: count(ahead) })
    }

    /// The locks whose names come after `after`.
    pub(super) fn page(&self, after: Option<&Name<NAME>>) -> heapless::Vec<Held<NAME>, PAGE> {
        let first = after.map_or(0, |after| self.locks.partition_point(|lock| lock.name <= *after));
        let page = self.locks.iter().skip(first).take(PAGE);
        page.map(|lock| Held {
            name: lock.name.clone(),
            owner: Owner { session: lock.holder, token: lock.token },
            waiting: count(self.line(&lock.name).1.len()),
        })
        .collect()
    }

    /// The sessions in line for a lock, first come first.
    pub(super) fn waiting(&self, name: &Name<NAME>) -> impl Iterator<Item = SessionId> {
        self.line(name).1.iter().map(|waiter| waiter.session)
    }

    pub(super) fn locks(&self) -> &[Lock<NAME>] {
        &self.locks
    }

    pub(super) fn waiters(&self) -> &[Waiter<NAME>] {
        &self.waiters
    }

    pub(super) fn rows_mut(
        &mut self,
    ) -> (&mut S::Items<Lock<NAME>, LOCKS>, &mut S::Items<Waiter<NAME>, WAITERS>) {
        (&mut self.locks, &mut self.waiters)
    }

    /// Whether what `restore` or a bug made of it may be: else, what is wrong.
    pub(super) fn check(&self, open: impl Fn(SessionId) -> bool) -> Result<(), &'static str> {
        if !self.locks.is_sorted_by(|one, next| one.name < next.name) {
            return Err("locks are in the order of their names, each held once");
        }
        if !self.waiters.is_sorted_by(|one, next| one.place() < next.place()) {
            return Err("waiters are in line as they came");
        }
        self.locks.iter().try_for_each(|lock| {
            if !open(lock.holder) {
                return Err("the holder of a lock has an open session");
            }
            if lock.token.entry() <= lock.holder.entry() {
                return Err("a lock is granted after the holder's session was opened");
            }
            Ok(())
        })?;
        self.waiters.iter().try_for_each(|waiter| {
            let owner = self.owner(&waiter.name).ok_or("a free lock has no waiter")?;
            if !open(waiter.session) {
                return Err("a waiter has an open session");
            }
            if waiter.since <= waiter.session.entry() {
                return Err("a session waits after it was opened");
            }
            if owner.session == waiter.session {
                return Err("a session does not wait for what it holds");
            }
            let places = self.waiting(&waiter.name).filter(|&session| session == waiter.session);
            if places.count() > 1 {
                return Err("a session waits for a lock once");
            }
            Ok(())
        })
    }

    /// Where the lock is and who holds it, or where it would be.
    fn find(&self, name: &Name<NAME>) -> Result<(usize, Owner), usize> {
        let at = self.locks.binary_search_by(|lock| lock.name.cmp(name))?;
        let lock = self.locks.get(at).ok_or(at)?;
        Ok((at, Owner { session: lock.holder, token: lock.token }))
    }

    /// Where the line for a lock begins, and the line.
    fn line(&self, name: &Name<NAME>) -> (usize, &[Waiter<NAME>]) {
        let first = self.waiters.partition_point(|waiter| waiter.name < *name);
        let rest = self.waiters.get(first..).unwrap_or_default();
        let line = rest.get(..rest.partition_point(|waiter| waiter.name == *name)).unwrap_or_default();
        (first, line)
    }
}

impl<S: Space, const LOCKS: usize, const WAITERS: usize, const NAME: usize> Default
    for Rows<S, LOCKS, WAITERS, NAME>
{
    fn default() -> Self {
        Self { locks: S::Items::default(), waiters: S::Items::default() }
    }
}

/// A number of rows, to be told.
pub(super) fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
