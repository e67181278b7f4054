//! Two applications as one.

use super::{Application, Moment, Timestamp};
use crate::Command;
use crate::codec::{Full, Malformed, Sink};
#[cfg(feature = "alloc")]
use crate::{TxId, locks::Mode, sharded::Transactional};
use serde::{Deserialize, Serialize};

/// Two applications in one log: each has its own state and its own commands, time passes for both at once.
///
/// Its snapshot is that of the first, that of the second, and the length of the first as a little-endian `u64`; at
/// the end, since a snapshot is written as it comes.
///
/// ```
/// use quorate::keyspace::{Answer, Command, Keyspace, Query};
/// use quorate::lock::{self, Table, Ttl};
/// use quorate::{Application, Both, Either, Index, Moment, Timestamp};
///
/// let mut service = Both::<Keyspace, Table>::default();
/// let now = Moment { index: Index::new(1), time: Timestamp::default() };
/// let open = lock::Command::Open { client: 7, ttl: Ttl::MAX };
/// let opened = service.apply(now, &Either::Second(open));
/// assert!(matches!(opened, Either::Second(lock::Reply::Opened { .. })));
///
/// let nothing = service.query(now.time, &Either::First(Query::Get { key: "nothing".into() }));
/// assert_eq!(nothing, Either::First(Answer::Value(None)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Both<A, B> {
    first: A,
    second: B,
}

/// What is the first application's, or the second's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Either<A, B> {
    /// The first's.
    First(A),
    /// The second's.
    Second(B),
}

impl<A, B> Both<A, B> {
    /// The first application.
    pub const fn first(&self) -> &A {
        &self.first
    }

    /// The second application.
    pub const fn second(&self) -> &B {
        &self.second
    }
}

impl<A: Command, B: Command> Command for Either<A, B> {
    fn weight(&self) -> usize {
        1 + match self {
            Self::First(command) => command.weight(),
            Self::Second(command) => command.weight(),
        }
    }
}

impl<A: Application, B: Application> Application for Both<A, B> {
    type Command = Either<A::Command, B::Command>;
    type Reply = Either<A::Reply, B::Reply>;
    type Query = Either<A::Query, B::Query>;
    type Answer = Either<A::Answer, B::Answer>;
    type Notice = Either<A::Notice, B::Notice>;

    fn tick(&mut self, now: Moment) {
        self.first.tick(now);
        self.second.tick(now);
    }

    fn apply(&mut self, now: Moment, command: &Self::Command) -> Self::Reply {
        match command {
            Either::First(command) => Either::First(self.first.apply(now, command)),
            Either::Second(command) => Either::Second(self.second.apply(now, command)),
        }
    }

    fn notice(&mut self) -> Option<Self::Notice> {
        self.first.notice().map(Either::First).or_else(|| self.second.notice().map(Either::Second))
    }

    fn deadline(&self) -> Option<Timestamp> {
        [self.first.deadline(), self.second.deadline()].into_iter().flatten().min()
    }

    fn query(&self, now: Timestamp, query: &Self::Query) -> Self::Answer {
        match query {
            Either::First(query) => Either::First(self.first.query(now, query)),
            Either::Second(query) => Either::Second(self.second.query(now, query)),
        }
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        let mut counted = Counted { sink, bytes: 0 };
        self.first.snapshot(&mut counted)?;
        let Counted { sink, bytes } = counted;
        self.second.snapshot(sink)?;
        sink.put(&bytes.to_le_bytes())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let (states, length) = bytes.split_last_chunk().ok_or(Malformed::Content)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| Malformed::Content)?;
        let (first, second) = states.split_at_checked(length).ok_or(Malformed::Content)?;
        self.first.load(first)?;
        self.second.load(second)
    }
}

/// Transactions are the first application's; each command of the second stands by itself, and touches no key.
#[cfg(feature = "alloc")]
impl<A: Transactional, B: Application> Transactional for Both<A, B> {
    type Work = A::Work;
    type Gain = A::Gain;
    type Objection = A::Objection;

    fn keys(work: &A::Work, visit: &mut dyn FnMut(&[u8], Mode)) {
        A::keys(work, visit);
    }

    fn command_keys(command: &Self::Command, visit: &mut dyn FnMut(&[u8], Mode)) {
        match command {
            Either::First(command) => A::command_keys(command, visit),
            Either::Second(_) => (),
        }
    }

    fn query_keys(query: &Self::Query, visit: &mut dyn FnMut(&[u8], Mode)) {
        match query {
            Either::First(query) => A::query_keys(query, visit),
            Either::Second(_) => (),
        }
    }

    fn prepare(&mut self, now: Moment, tx: TxId, work: &A::Work) -> Result<A::Gain, A::Objection> {
        self.first.prepare(now, tx, work)
    }

    fn finish(&mut self, now: Moment, tx: TxId, work: &A::Work, commit: bool) {
        self.first.finish(now, tx, work, commit);
    }

    fn prepared(&self) -> usize {
        self.first.prepared()
    }

    fn is_prepared(&self, tx: TxId, work: &A::Work) -> bool {
        self.first.is_prepared(tx, work)
    }
}

/// Counts what passes through it.
struct Counted<'s> {
    sink: &'s mut dyn Sink,
    bytes: u64,
}

impl Sink for Counted<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.bytes += bytes.len() as u64;
        self.sink.put(bytes)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::Index;
    use crate::lock::{Command, Name, Notice, Reply, SessionId, Table, Token, Ttl, Wait};
    use core::time::Duration;
    use std::vec::Vec;

    type Tables = Both<Table, Table>;

    fn at(index: u64, seconds: u64) -> Moment {
        Moment { index: Index::new(index), time: Timestamp::from_micros(seconds * 1_000_000) }
    }

    fn open(client: u64, seconds: u64) -> Command {
        Command::Open { client, ttl: Ttl::new(Duration::from_secs(seconds)).expect("within the limits") }
    }

    fn acquire(session: u64) -> Command {
        let name = Name::new("printer").expect("short enough");
        Command::Acquire { session: SessionId::new(session), name, wait: Wait::Unlimited }
    }

    /// In the first a session of 9 seconds holds a lock, in the second one of 5 seconds waits for another's.
    fn tables() -> Tables {
        let mut tables = Tables::default();
        let granted = |token| Reply::Granted { token: Token::new(token) };
        tables.apply(at(1, 0), &Either::First(open(1, 9)));
        tables.apply(at(2, 0), &Either::Second(open(1, 8)));
        tables.apply(at(3, 0), &Either::Second(open(2, 5)));
        assert_eq!(tables.apply(at(4, 0), &Either::First(acquire(1))), Either::First(granted(4)));
        assert_eq!(tables.apply(at(5, 0), &Either::Second(acquire(2))), Either::Second(granted(5)));
        let queued = Reply::Queued { ahead: 0 };
        assert_eq!(tables.apply(at(6, 0), &Either::Second(acquire(3))), Either::Second(queued));
        tables
    }

    fn image(tables: &Tables) -> Vec<u8> {
        let mut image = Vec::new();
        tables.snapshot(&mut image).expect("it grows");
        image
    }

    #[test]
    fn time_passes_for_both_and_the_earlier_deadline_counts() {
        let mut tables = tables();
        let seconds = |tables: &Tables| tables.deadline().map(|due| due.as_micros() / 1_000_000);
        assert_eq!(seconds(&tables), Some(5));
        tables.tick(at(7, 5));
        assert_eq!(tables.notice(), Some(Either::Second(Notice::Expired { session: SessionId::new(3) })));
        assert_eq!((tables.notice(), seconds(&tables)), (None, Some(8)));
        tables.tick(at(8, 9));
        let expired = |session| Notice::Expired { session: SessionId::new(session) };
        assert_eq!(tables.notice(), Some(Either::First(expired(1))));
        assert_eq!(tables.notice(), Some(Either::Second(expired(2))));
        assert_eq!((tables.notice(), tables.deadline()), (None, None));
    }

    #[test]
    fn a_snapshot_holds_both_states() {
        let tables = tables();
        let bytes = image(&tables);
        let restored = Tables::restore(&bytes).expect("a snapshot");
        assert_eq!(image(&restored), bytes);
        assert_eq!(restored.first().totals(), tables.first().totals());
        assert_eq!(restored.second().totals(), tables.second().totals());
    }

    #[test]
    fn a_snapshot_of_nothing_is_these_bytes() {
        // Twice the version of the table's format, not due, and three empty lists.
        let golden = [&[1, 0, 0, 0, 0], &[1, 0, 0, 0, 0][..], &5_u64.to_le_bytes()].concat();
        assert_eq!(image(&Tables::default()), golden);
    }

    #[test]
    fn bytes_that_are_no_snapshot_are_refused_wherever_they_are_cut_or_changed() {
        let bytes = image(&tables());
        for cut in 0..bytes.len() {
            assert!(Tables::restore(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for place in bytes.len() - 8..bytes.len() {
            for wrong in [1, 0x80] {
                let mut bytes = bytes.clone();
                bytes[place] ^= wrong;
                assert!(Tables::restore(&bytes).is_err(), "changed at {place}");
            }
        }
    }
}
