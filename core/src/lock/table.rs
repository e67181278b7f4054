//! The lock table: dispatch, the passing of time, and invariants.

use super::lease::Sessions;
use super::notices::{Ended, Notices};
use super::query::{Answer, Held, Query, Totals};
use super::rows::{Rows, count};
use super::{Command, Limit, Name, Notice, Owner, Reply, SessionId, Ttl, Wait, snapshot};
use crate::codec::{Full, Malformed, Sink};
use crate::space::Fixed;
use crate::{Application, Moment, Space, Timestamp};

/// Sessions with leases, the locks they hold, and the lines before them: the state that a lock service replicates.
///
/// At most `SESSIONS` open sessions, `LOCKS` locks held, and `WAITERS` sessions in line over all locks, and names of
/// at most `NAME` bytes. These limits are part of the state: they must be the same on every replica. `S` says only
/// where rows are kept.
///
/// ```
/// use core::time::Duration;
/// use quorate::lock::{Command, Name, Notice, Reply, Table, Token, Ttl, Wait};
/// use quorate::{Application, Index, Moment, Timestamp};
///
/// let mut table = <Table>::default();
/// let mut entry = 0;
/// let mut apply = |seconds: u64, command| {
///     entry += 1;
///     let now = Moment { index: Index::new(entry), time: Timestamp::from_micros(seconds * 1_000_000) };
///     table.tick(now);
///     (table.apply(now, &command), table.notice())
/// };
/// let mut open = |client| {
///     let ttl = Ttl::new(Duration::from_secs(10)).expect("within the limits");
///     match apply(0, Command::Open { client, ttl }) {
///         (Reply::Opened { session }, None) => session,
///         other => panic!("there is room: {other:?}"),
///     }
/// };
/// let (ann, bob) = (open(7), open(8));
///
/// let name = Name::new("printer").expect("short enough");
/// let acquire = |session| Command::Acquire { session, name: name.clone(), wait: Wait::Unlimited };
/// let granted = Reply::Granted { token: Token::new(3) };
/// assert_eq!(apply(1, acquire(ann)).0, granted);
/// assert_eq!(apply(1, acquire(ann)).0, granted, "tried again: already yours");
/// assert_eq!(apply(1, acquire(bob)).0, Reply::Queued { ahead: 0 });
///
/// // Ann is not heard of for ten seconds. The entry that ends her session also grants the lock to Bob.
/// assert_eq!(apply(9, Command::Renew { session: bob }).0, Reply::Renewed);
/// let (late, notice) = apply(10, Command::Release { session: ann, name, token: Token::new(3) });
/// assert_eq!(late, Reply::NotHeld);
/// assert_eq!(notice, Some(Notice::Expired { session: ann }));
/// assert!(matches!(table.notice(), Some(Notice::Granted { session, .. }) if session == bob));
/// ```
#[derive(Debug)]
pub struct Table<
    S: Space = Fixed<4, 64>,
    const SESSIONS: usize = 16,
    const LOCKS: usize = 16,
    const WAITERS: usize = 16,
    const NAME: usize = 64,
> {
    sessions: Sessions<S, SESSIONS>,
    rows: Rows<S, LOCKS, WAITERS, NAME>,
    /// No lease and no wait is over before this. Renewals do not move it, so that they cost no search: it is found
    /// anew when it has come. Part of the state, so that all replicas wake alike.
    due: Option<Timestamp>,
    notices: Notices<S, SESSIONS, WAITERS, NAME>,
}

impl<S: Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize, const NAME: usize>
    Table<S, SESSIONS, LOCKS, WAITERS, NAME>
{
    /// Who holds a lock.
    #[must_use]
    pub fn owner(&self, name: &Name<NAME>) -> Option<Owner> {
        self.rows.owner(name)
    }

    /// The sessions in line for a lock, first come first.
    pub fn waiting(&self, name: &Name<NAME>) -> impl Iterator<Item = SessionId> {
        self.rows.waiting(name)
    }

    /// The first [`PAGE`](super::PAGE) locks whose names come after `after`, or the first of all.
    #[must_use]
    pub fn locks(&self, after: Option<&Name<NAME>>) -> heapless::Vec<Held<NAME>, { super::PAGE }> {
        self.rows.page(after)
    }

    /// How full it is.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            sessions: count(self.sessions.rows().len()),
            locks: count(self.rows.locks().len()),
            waiters: count(self.rows.waiters().len()),
        }
    }

    /// Looks at every row for what must never be. Takes time in the square of the number of rows, so it runs after
    /// each entry in debug builds and in simulations, and on what [`restore`](Application::restore) reads.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check(&self) -> Result<(), &'static str> {
        self.sessions.check()?;
        self.rows.check(|session| self.sessions.contains(session))?;
        if self.first_deadline().is_some_and(|first| self.due.is_none_or(|due| due > first)) {
            return Err("no lease and no wait is over before the table is due");
        }
        Ok(())
    }

    fn open(&mut self, now: Moment, client: u64, ttl: Ttl) -> Reply {
        let Some((session, until)) = self.sessions.open(now, client, ttl) else {
            return Reply::Full(Limit::Sessions);
        };
        self.is_due(until);
        Reply::Opened { session }
    }

    fn close(&mut self, now: Moment, session: SessionId) -> Reply {
        if self.rows.granted(session, now.index) {
            // Time granted it a lock in this very entry. Were the lock passed on at once, the next holder would have
            // the same token: so the lease is over, and the next entry, due at once, passes it on.
            self.sessions.cut_short(now, session);
            self.is_due(now.time);
        } else if self.sessions.close(session) {
            self.notices.session_ended(now.index, Ended::Closed(session));
            self.rows.settle(now, &|other| other != session, &mut self.notices);
        }
        Reply::Closed
    }

    fn acquire(&mut self, now: Moment, session: SessionId, name: &Name<NAME>, wait: Wait) -> Reply {
        if !self.sessions.contains(session) {
            return Reply::SessionExpired;
        }
        let reply = self.rows.acquire(now, session, name, wait);
        if let (Wait::AtMost(span), Reply::Queued { .. }) = (wait, &reply) {
            self.is_due(now.time.after(span));
        }
        reply
    }

    fn is_due(&mut self, time: Timestamp) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    fn first_deadline(&self) -> Option<Timestamp> {
        self.sessions.deadline().into_iter().chain(self.rows.deadline()).min()
    }

    fn assert_invariants(&self) {
        if cfg!(debug_assertions) {
            let broken = self.check().err();
            assert!(broken.is_none(), "{broken:?}");
        }
    }
}

impl<S: Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize, const NAME: usize> Application
    for Table<S, SESSIONS, LOCKS, WAITERS, NAME>
{
    type Command = Command<NAME>;
    type Reply = Reply;
    type Query = Query<NAME>;
    type Answer = Answer<NAME>;
    type Notice = Notice<NAME>;

    fn tick(&mut self, now: Moment) {
        if self.due.is_none_or(|due| due > now.time) {
            return;
        }
        let Self { sessions, rows, notices, .. } = self;
        // All sessions whose time has come end before any lock is passed on, so that none is passed to one of them.
        sessions.expire(now, |session| notices.session_ended(now.index, Ended::Expired(session)));
        rows.settle(now, &|session| sessions.contains(session), notices);
        self.due = self.first_deadline();
        self.assert_invariants();
    }

    fn apply(&mut self, now: Moment, command: &Command<NAME>) -> Reply {
        let reply = match *command {
            Command::Open { client, ttl } => self.open(now, client, ttl),
            Command::Renew { session } if self.sessions.renew(now, session) => Reply::Renewed,
            Command::Renew { .. } => Reply::SessionExpired,
            Command::Close { session } => self.close(now, session),
            Command::Acquire { session, ref name, wait } => self.acquire(now, session, name, wait),
            Command::Release { session, ref name, token } => {
                self.rows.release(now, session, name, token, &mut self.notices)
            }
            Command::Cancel { session, ref name } => self.rows.cancel(now, session, name, &mut self.notices),
        };
        self.assert_invariants();
        reply
    }

    fn notice(&mut self) -> Option<Notice<NAME>> {
        self.notices.next()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due
    }

    fn query(&self, now: Timestamp, query: &Query<NAME>) -> Answer<NAME> {
        match query {
            Query::Owner { name } => Answer::Owner(self.owner(name)),
            Query::Session { session } => Answer::Session(self.sessions.lease(now, *session)),
            Query::Standing { session, name } => Answer::Standing(self.rows.standing(*session, name)),
            Query::Locks { after } => Answer::Locks(self.locks(after.as_ref())),
            Query::Totals => Answer::Totals(self.totals()),
        }
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        snapshot::write(self.due, &self.sessions, &self.rows, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.notices.forget();
        self.due = snapshot::read(bytes, &mut self.sessions, &mut self.rows)?;
        self.check().map_err(|_| Malformed::Content)
    }
}

impl<S: Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize, const NAME: usize> Default
    for Table<S, SESSIONS, LOCKS, WAITERS, NAME>
{
    fn default() -> Self {
        Self { sessions: Sessions::default(), rows: Rows::default(), due: None, notices: Notices::default() }
    }
}
