//! What applications may be asked.

use crate::Tape;
use quorate::keyspace::{self, Blob, Change, Condition, Expiry, Extension, Step, Transaction};
use quorate::lock::{self, Name, SessionId, Token, Ttl, Wait};
use quorate::replicated::{self, Operation, Request, Sequence, Stamped};
use quorate::{Application, Either, Timestamp};
use std::fmt::Debug;
use std::time::Duration;

/// An application whose commands and queries a tape can tell.
pub trait Asked: Application<Command: PartialEq + Debug> {
    fn command_of(tape: &mut Tape<'_>) -> Self::Command;
    fn query_of(tape: &mut Tape<'_>) -> Self::Query;
    /// Looks for what must never be.
    fn assert_sound(&self);
}

/// A small number, as indices of log entries are: so sessions and tokens are met.
fn index(tape: &mut Tape<'_>) -> u64 {
    tape.near(&[1, 2, 3, 4, 6, 9])
}

fn name(tape: &mut Tape<'_>) -> Name {
    let bytes = match tape.byte() {
        255 => tape.slice(),
        other => [&b"a"[..], b"b", b"c", b"d"][usize::from(other) % 4],
    };
    Name::new(bytes).unwrap_or_else(|| Name::new("a").expect("it is short"))
}

fn ttl(tape: &mut Tape<'_>) -> Ttl {
    let millis = tape.near(&[1, 100, 1_000, 86_400_000]).clamp(1, 86_400_000);
    Ttl::new(Duration::from_millis(millis)).expect("it is within the limits")
}

impl<S: quorate::Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize> Asked
    for lock::Table<S, SESSIONS, LOCKS, WAITERS>
{
    fn command_of(tape: &mut Tape<'_>) -> lock::Command {
        use lock::Command;
        let session = SessionId::new(index(tape));
        match tape.below(8) {
            0 => Command::Open { client: tape.below(6) as u64, ttl: ttl(tape) },
            1 => Command::Renew { session },
            2 => Command::Close { session },
            3..=5 => {
                let wait = match tape.below(4) {
                    0 => Wait::No,
                    1 => Wait::AtMost(Duration::from_micros(tape.number())),
                    _ => Wait::Unlimited,
                };
                Command::Acquire { session, name: name(tape), wait }
            }
            6 => Command::Release { session, name: name(tape), token: Token::new(index(tape)) },
            _ => Command::Cancel { session, name: name(tape) },
        }
    }

    fn query_of(tape: &mut Tape<'_>) -> lock::Query {
        use lock::Query;
        let session = SessionId::new(index(tape));
        match tape.below(5) {
            0 => Query::Owner { name: name(tape) },
            1 => Query::Session { session },
            2 => Query::Standing { session, name: name(tape) },
            3 => Query::Locks { after: tape.flag().then(|| name(tape)) },
            _ => Query::Totals,
        }
    }

    fn assert_sound(&self) {
        assert_eq!(self.check(), Ok(()));
    }
}

fn blob(tape: &mut Tape<'_>) -> Blob {
    match tape.byte() {
        255 => tape.slice().into(),
        other => ["k", "l", "m", "7", "-9223372036854775808", "", "n", "9223372036854775807"]
            [usize::from(other) % 8]
            .into(),
    }
}

fn keys(tape: &mut Tape<'_>) -> Vec<Blob> {
    (0..tape.below(4)).map(|_| blob(tape)).collect()
}

fn millis(tape: &mut Tape<'_>) -> u64 {
    tape.near(&[1, 1_000, 0, u64::MAX])
}

fn change(tape: &mut Tape<'_>) -> Change {
    match tape.below(9) {
        0 => {
            let expiry = match tape.below(4) {
                0 => Expiry::Keep,
                1 => Expiry::Never,
                _ => Expiry::In { millis: millis(tape) },
            };
            let condition = tape.one(&[Condition::Always, Condition::IfAbsent, Condition::IfPresent]);
            Change::Set { key: blob(tape), value: blob(tape), condition, expiry, previous: tape.flag() }
        }
        1 => Change::Delete { keys: keys(tape) },
        2 => Change::Add { key: blob(tape), by: tape.number() as i64 },
        3 => Change::Expire { key: blob(tape), millis: millis(tape) },
        4 => Change::Persist { key: blob(tape) },
        5 => Change::CompareDelete { keys: keys(tape), value: blob(tape) },
        6 => {
            let extension = tape.one(&[Extension::Replace, Extension::ReplaceExpiring, Extension::Add]);
            Change::CompareExpire { keys: keys(tape), value: blob(tape), millis: millis(tape), extension }
        }
        7 => Change::CreateAll { keys: keys(tape), value: blob(tape), millis: millis(tape) },
        _ => Change::CompareOrCreate { key: blob(tape), value: blob(tape), millis: millis(tape) },
    }
}

impl<const BYTES: u64> Asked for keyspace::Keyspace<BYTES> {
    fn command_of(tape: &mut Tape<'_>) -> keyspace::Command {
        if tape.below(4) > 0 {
            return keyspace::Command::Change(change(tape));
        }
        let watched = (0..tape.below(3))
            .map(|_| (blob(tape), tape.flag().then(|| quorate::Index::new(index(tape)))))
            .collect();
        let step = |tape: &mut Tape<'_>| match tape.flag() {
            true => Step::Change(change(tape)),
            false => Step::Query(Self::query_of(tape)),
        };
        let steps = (0..tape.below(4)).map(|_| step(tape)).collect();
        keyspace::Command::Transaction(Transaction { watched, steps })
    }

    fn query_of(tape: &mut Tape<'_>) -> keyspace::Query {
        use keyspace::Query;
        match tape.below(8) {
            0 => Query::Get { key: blob(tape) },
            1 => Query::GetAll { keys: keys(tape) },
            2 => Query::Exists { keys: keys(tape) },
            3 => Query::Remaining { key: blob(tape) },
            4 => Query::Held { key: blob(tape), value: blob(tape) },
            5 => Query::Revision { key: blob(tape) },
            6 => Query::Fence { key: blob(tape) },
            _ => Query::Stats,
        }
    }

    fn assert_sound(&self) {}
}

impl<A: Asked, B: Asked> Asked for quorate::Both<A, B> {
    fn command_of(tape: &mut Tape<'_>) -> Either<A::Command, B::Command> {
        match tape.flag() {
            true => Either::First(A::command_of(tape)),
            false => Either::Second(B::command_of(tape)),
        }
    }

    fn query_of(tape: &mut Tape<'_>) -> Either<A::Query, B::Query> {
        match tape.flag() {
            true => Either::First(A::query_of(tape)),
            false => Either::Second(B::query_of(tape)),
        }
    }

    fn assert_sound(&self) {
        self.first().assert_sound();
        self.second().assert_sound();
    }
}

/// Something to do to a replicated application, with numbers that are met.
pub fn operation<A: Asked>(tape: &mut Tape<'_>) -> Operation<A::Command> {
    let session = replicated::SessionId::new(index(tape));
    match tape.below(8) {
        0 => Operation::Tick,
        1 | 2 => Operation::Open { client: tape.below(6) as u64 },
        3 => Operation::Close { session },
        _ => {
            let (sequence, floor) = (tape.near(&[1, 2, 3, 4]), tape.near(&[0, 0, 1, 2]));
            let command = (tape.byte() < 240).then(|| A::command_of(tape));
            let (sequence, floor) = (Sequence::new(sequence), Sequence::new(floor));
            Operation::Call { session, sequence, floor, command }
        }
    }
}

/// The same, at a time.
pub fn stamped<A: Asked>(tape: &mut Tape<'_>) -> Stamped<A::Command> {
    let time = Timestamp::from_micros(tape.near(&[0, 1_000, 1_000_000, 100_000_000]));
    Stamped { time, operation: operation::<A>(tape) }
}

/// A request for a replicated application.
pub fn request<A: Asked>(tape: &mut Tape<'_>) -> Request<A> {
    match tape.below(4) {
        0 => Request::Command(A::command_of(tape)),
        1 => Request::Query(A::query_of(tape)),
        _ => match operation::<A>(tape) {
            Operation::Tick => Request::Open { client: 1 },
            Operation::Open { client } => Request::Open { client },
            Operation::Close { session } => Request::Close { session },
            Operation::Call { session, sequence, floor, command } => {
                let command = command.unwrap_or_else(|| A::command_of(tape));
                Request::Submit { session, sequence, floor, command }
            }
        },
    }
}
