//! A readable way to say what is applied when.

use core::time::Duration;
use quorate::lock::{Command, Name, Notice, Owner, Reply, SessionId, Table, Token, Ttl, Wait};
use quorate::space::Heap;
use quorate::{Application, Index, Moment, Timestamp};

pub(crate) type Small = Table<Heap<4, 64>, 3, 3, 4>;

/// The lease of each session that a script opens.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// A table, and how far its log and its time have come.
pub(crate) struct Script {
    pub(crate) table: Small,
    entry: u64,
    time: Timestamp,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { table: Small::default(), entry: 0, time: Timestamp::default() }
    }

    /// From now on, entries are stamped `seconds`.
    pub(crate) fn at(&mut self, seconds: u64) -> &mut Self {
        self.time = Timestamp::default().after(Duration::from_secs(seconds));
        self
    }

    /// Applies an entry; what it caused besides its reply.
    pub(crate) fn apply(&mut self, command: Command) -> (Reply, Vec<Notice>) {
        let now = self.moment();
        self.table.tick(now);
        let reply = self.table.apply(now, &command);
        (reply, self.notices())
    }

    /// Applies an entry that only lets time pass; what it caused.
    pub(crate) fn tick(&mut self) -> Vec<Notice> {
        let now = self.moment();
        self.table.tick(now);
        self.notices()
    }

    pub(crate) fn open(&mut self, client: u64) -> SessionId {
        match self.apply(open(client)) {
            (Reply::Opened { session }, _) => session,
            (other, _) => panic!("a session, not {other:?}"),
        }
    }

    pub(crate) fn renew(&mut self, session: SessionId) -> Reply {
        self.apply(Command::Renew { session }).0
    }

    pub(crate) fn acquire(&mut self, session: SessionId, lock: &str) -> Reply {
        self.acquire_within(session, lock, Wait::Unlimited)
    }

    pub(crate) fn acquire_within(&mut self, session: SessionId, lock: &str, wait: Wait) -> Reply {
        self.apply(Command::Acquire { session, name: name(lock), wait }).0
    }

    /// The token of a lock that is granted at once.
    pub(crate) fn granted(&mut self, session: SessionId, lock: &str) -> Token {
        match self.acquire(session, lock) {
            Reply::Granted { token } => token,
            other => panic!("a token, not {other:?}"),
        }
    }

    pub(crate) fn release(&mut self, session: SessionId, lock: &str, token: Token) -> (Reply, Vec<Notice>) {
        self.apply(Command::Release { session, name: name(lock), token })
    }

    pub(crate) fn close(&mut self, session: SessionId) -> Vec<Notice> {
        let (reply, notices) = self.apply(Command::Close { session });
        assert_eq!(reply, Reply::Closed);
        notices
    }

    pub(crate) fn holder(&self, lock: &str) -> Option<SessionId> {
        self.table.owner(&name(lock)).map(|owner| owner.session)
    }

    pub(crate) fn token(&self, lock: &str) -> Option<Token> {
        self.table.owner(&name(lock)).map(|Owner { token, .. }| token)
    }

    pub(crate) fn waiting(&self, lock: &str) -> Vec<SessionId> {
        self.table.waiting(&name(lock)).collect()
    }

    /// The token of a grant by the last entry.
    pub(crate) const fn last(&self) -> Token {
        Token::new(self.entry)
    }

    /// Another node goes on from a snapshot of this one.
    pub(crate) fn restart(&mut self) {
        self.table = Small::restore(&self.snapshot()).expect("our own snapshot");
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.table.snapshot(&mut bytes).expect("a vector takes all");
        bytes
    }

    fn moment(&mut self) -> Moment {
        self.entry += 1;
        Moment { index: Index::new(self.entry), time: self.time }
    }

    fn notices(&mut self) -> Vec<Notice> {
        core::iter::from_fn(|| self.table.notice()).collect()
    }
}

pub(crate) fn open(client: u64) -> Command {
    Command::Open { client, ttl: Ttl::new(TTL).expect("within the limits") }
}

pub(crate) fn name(lock: &str) -> Name {
    Name::new(lock).expect("short enough")
}

pub(crate) fn granted(session: SessionId, lock: &str, token: Token) -> Notice {
    Notice::Granted { session, name: name(lock), token }
}
