//! How an answer of the keyspace looks to a client.

use crate::resp::Value;
use quorate::keyspace::{Answer, Refused, Remaining};

/// What becomes of the answer to one command. What it does not name comes out as [`plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it is.
    Plain,
    /// `SETNX`: 1 if it was set.
    WasSet,
    /// `TTL`: seconds, rounded.
    Seconds,
    /// `STRLEN`.
    Length,
    /// `TYPE`.
    Kind,
    /// A script that deletes one key: -1 if it was absent.
    EqualOrAbsent,
    /// A script that counts keys: whether there were any.
    Any,
    /// A script that asks how long a lock is held: 0 if it is not, or for ever.
    Held,
}

impl Shape {
    /// What the client gets.
    pub(crate) fn value(self, answer: Answer) -> Value {
        match (self, answer) {
            (Self::WasSet, Answer::Done) => Value::Integer(1),
            (Self::WasSet, Answer::Unmet) => Value::Integer(0),
            (Self::Seconds, Answer::Remaining(Remaining::Millis(millis))) => {
                integer(millis.saturating_add(500) / 1_000)
            }
            (Self::Length, Answer::Value(value)) => integer(value.map_or(0, |value| value.len() as u64)),
            (Self::Kind, Answer::Integer(0)) => Value::Simple("none"),
            (Self::Kind, Answer::Integer(_)) => Value::Simple("string"),
            (Self::EqualOrAbsent, Answer::Compared { equal: 0, absent }) if absent > 0 => Value::Integer(-1),
            (Self::Any, Answer::Integer(count)) => Value::Integer(count.min(1)),
            (Self::Held, Answer::Remaining(Remaining::Absent | Remaining::Unlimited)) => Value::Integer(0),
            (_, answer) => plain(answer),
        }
    }
}

fn plain(answer: Answer) -> Value {
    let value = |value| match value {
        Some(value) => Value::Bulk(value),
        None => Value::Null,
    };
    match answer {
        Answer::Done => Value::OK,
        Answer::Unmet => Value::Null,
        Answer::Integer(number) => Value::Integer(number),
        Answer::Value(one) => value(one),
        Answer::Values(values) => Value::Array(values.into_iter().map(value).collect()),
        Answer::Compared { equal, .. } => Value::Integer(equal.into()),
        Answer::Remaining(Remaining::Absent) => Value::Integer(-2),
        Answer::Remaining(Remaining::Unlimited) => Value::Integer(-1),
        Answer::Remaining(Remaining::Millis(millis)) => integer(millis),
        Answer::Revision(revision) => {
            revision.map_or(Value::Null, |revision| integer(revision.modified.get()))
        }
        Answer::Fence(token) => token.map_or(Value::Null, |token| integer(token.get())),
        Answer::Stats(stats) => integer(stats.keys),
        Answer::Refused(refused) => refusal(refused),
    }
}

/// What a client gets for something that was not done.
pub(crate) fn refusal(refused: Refused) -> Value {
    let kind = match refused {
        Refused::Full => "OOM",
        Refused::KeyTooLong
        | Refused::ValueTooLong
        | Refused::TooManyKeys
        | Refused::TooManySteps
        | Refused::CommandTooLarge
        | Refused::AnswerTooLarge
        | Refused::NotAnInteger
        | Refused::Overflow
        | Refused::Spans => "ERR",
        Refused::Expiring => "TRYAGAIN",
    };
    Value::error(format!("{kind} {refused}"))
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
