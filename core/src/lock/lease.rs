//! Sessions, and how long each lives.

use super::query::Lease;
use super::snapshot::Row;
use super::{SessionId, Ttl};
use crate::codec::{Full, Malformed, Sink, put_numbers, take_numbers};
use crate::space::{List, retain};
use crate::{Moment, Space, Timestamp};

/// A session: it lives until `until` unless it is renewed.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    client: u64,
    ttl: Ttl,
    until: Timestamp,
}

impl Row for Session {
    fn put(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put_numbers(&[self.id.get(), self.client, self.ttl.into(), self.until.as_micros()], sink)
    }

    fn take(input: &mut &[u8]) -> Result<Self, Malformed> {
        let [id, client, ttl, until] = take_numbers(input)?;
        let ttl = Ttl::try_from(ttl).map_err(|_| Malformed::Content)?;
        Ok(Self { id: SessionId::new(id), client, ttl, until: Timestamp::from_micros(until) })
    }
}

/// All open sessions, in the order in which they were opened, which is that of their ids.
#[derive(Debug)]
pub(super) struct Sessions<S: Space, const N: usize> {
    rows: S::Items<Session, N>,
}

impl<S: Space, const N: usize> Sessions<S, N> {
    /// The client's session, new or renewed, and until when it lives; or `None` when there is no room.
    pub(super) fn open(&mut self, now: Moment, client: u64, ttl: Ttl) -> Option<(SessionId, Timestamp)> {
        let until = now.time.after(ttl.duration());
        if let Some(session) = self.rows.iter_mut().find(|session| session.client == client) {
            // A retry: the client may count on the longer of what it asked for, so neither is cut short.
            session.ttl = ttl;
            session.until = session.until.max(until);
            return Some((session.id, session.until));
        }
        let id = SessionId::opened_by(now.index);
        self.rows.push(Session { id, client, ttl, until }).ok()?;
        Some((id, until))
    }

    /// Gives a session its whole lease again; says whether there is such a session.
    pub(super) fn renew(&mut self, now: Moment, id: SessionId) -> bool {
        let session = self.find(id).and_then(|at| self.rows.get_mut(at));
        session
            .map(|session| session.until = session.until.max(now.time.after(session.ttl.duration())))
            .is_some()
    }

    /// Lets a session's lease run out now instead of later.
    pub(super) fn cut_short(&mut self, now: Moment, id: SessionId) {
        if let Some(session) = self.find(id).and_then(|at| self.rows.get_mut(at)) {
            session.until = session.until.min(now.time);
        }
    }

    /// Ends a session; says whether there was one.
    pub(super) fn close(&mut self, id: SessionId) -> bool {
        self.find(id).and_then(|at| self.rows.remove(at)).is_some()
    }

    /// Ends the sessions whose lease is over, and shows each.
    pub(super) fn expire(&mut self, now: Moment, mut ended: impl FnMut(SessionId)) {
        retain(&mut self.rows, |session| {
            let alive = session.until > now.time;
            if !alive {
                ended(session.id);
            }
            alive
        });
    }

    /// When the first lease is over.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.rows.iter().map(|session| session.until).min()
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.find(id).is_some()
    }

    pub(super) fn lease(&self, now: Timestamp, id: SessionId) -> Option<Lease> {
        let session = self.rows.get(self.find(id)?)?;
        Some(Lease { left: session.until.since(now), ttl: session.ttl.duration() })
    }

    pub(super) fn rows(&self) -> &[Session] {
        &self.rows
    }

    pub(super) fn rows_mut(&mut self) -> &mut S::Items<Session, N> {
        &mut self.rows
    }

    /// Whether what `restore` or a bug made of it may be: else, what is wrong.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !self.rows.is_sorted_by(|one, next| one.id < next.id) {
            return Err("sessions are in the order of their ids, each once");
        }
        let twice = |(at, session): (usize, &Session)| {
            self.rows.iter().skip(at + 1).any(|other| other.client == session.client)
        };
        if self.rows.iter().enumerate().any(twice) {
            return Err("a client has one session");
        }
        Ok(())
    }

    fn find(&self, id: SessionId) -> Option<usize> {
        self.rows.binary_search_by_key(&id, |session| session.id).ok()
    }
}

impl<S: Space, const N: usize> Default for Sessions<S, N> {
    fn default() -> Self {
        Self { rows: S::Items::default() }
    }
}
