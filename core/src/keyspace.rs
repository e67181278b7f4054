//! A keyspace with expiry and revisions: what many programs already use to take locks.
//!
//! It promises that all replicas that applied the same entries hold the same items, that a key with a deadline is
//! gone for every entry that is not before it, and that the fencing token of a key, the index of the entry that
//! created it, grows with each creation. It assumes what [`Application`] does: that entries come in order, each
//! after a `tick` with its time. It leaves out patterns over keys, and any type of value but bytes.
//!
//! ```
//! use quorate::keyspace::{Answer, Change, Command, Condition, Expiry, Keyspace, Query, Reply};
//! use quorate::{Application, Index, Moment, Timestamp};
//!
//! let take = |holder: &str| Command::Change(Change::Set {
//!     key: "lock".into(),
//!     value: holder.into(),
//!     condition: Condition::IfAbsent,
//!     expiry: Expiry::In { millis: 1_000 },
//!     previous: false,
//! });
//! let at = |index, millis: u64| Moment { index: Index::new(index), time: Timestamp::from_micros(millis * 1_000) };
//! let mut keyspace: Keyspace = Keyspace::default();
//! assert_eq!(keyspace.apply(at(5, 0), &take("one")), Reply::Answer(Answer::Done));
//! assert_eq!(keyspace.apply(at(6, 999), &take("two")), Reply::Answer(Answer::Unmet));
//!
//! keyspace.tick(at(7, 1_000));
//! assert_eq!(keyspace.apply(at(7, 1_000), &take("two")), Reply::Answer(Answer::Done));
//! let fence = keyspace.query(Timestamp::default(), &Query::Fence { key: "lock".into() });
//! assert_eq!(fence, Answer::Fence(Some(Index::new(7))));
//! ```

mod blob;
mod change;
mod command;
mod image;
mod items;
pub mod limits;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use blob::Blob;
pub use command::{
    Answer, Change, Command, Condition, Expiry, Extension, Query, Remaining, Reply, Revision, Stats, Step,
    Transaction,
};
pub use limits::Refused;

use crate::codec::{Full, Malformed, Sink};
use crate::{Application, Moment, Timestamp};
use items::Items;
use limits::{ANSWER_BYTES, STATE_BYTES};

/// Items under keys, of no more than `BYTES` altogether; see [`Stats::bytes`].
#[derive(Clone, Debug, Default)]
pub struct Keyspace<const BYTES: u64 = STATE_BYTES> {
    items: Items,
}

impl<const BYTES: u64> Application for Keyspace<BYTES> {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Answer;
    type Notice = core::convert::Infallible;

    fn tick(&mut self, now: Moment) {
        self.items.expire(now.time);
    }

    fn apply(&mut self, now: Moment, command: &Command) -> Reply {
        assert!(self.items.deadline().is_none_or(|deadline| now.time < deadline), "a tick comes first");
        if let Err(refused) = command.check() {
            return Reply::Answer(Answer::Refused(refused));
        }
        let reply = match command {
            Command::Change(change) => Reply::Answer(self.change(now, change)),
            Command::Transaction(transaction) => self.transact(now, transaction),
        };
        assert!(self.items.stats().bytes <= BYTES, "each change sees to the limit");
        reply
    }

    fn notice(&mut self) -> Option<Self::Notice> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.items.deadline()
    }

    fn query(&self, now: Timestamp, query: &Query) -> Answer {
        match query.check() {
            Ok(()) => capped(self.look_up(now, query), &mut ANSWER_BYTES.clone()),
            Err(refused) => Answer::Refused(refused),
        }
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        image::put(&self.items, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.items = image::take(bytes, BYTES)?;
        Ok(())
    }
}

impl<const BYTES: u64> Keyspace<BYTES> {
    fn transact(&mut self, now: Moment, transaction: &Transaction) -> Reply {
        let unchanged = transaction
            .watched
            .iter()
            .all(|(key, modified)| self.items.get(key).map(|item| item.modified) == *modified);
        if !unchanged {
            return Reply::Conflict;
        }
        let mut room = ANSWER_BYTES;
        let answers = transaction.steps.iter().map(|step| {
            let answer = match step {
                Step::Change(change) => self.change(now, change),
                Step::Query(query) => self.look_up(now.time, query),
            };
            capped(answer, &mut room)
        });
        Reply::Answers(answers.collect())
    }

    fn look_up(&self, now: Timestamp, query: &Query) -> Answer {
        let get = |key: &Blob| self.items.get(key);
        let value = |key: &Blob| get(key).map(|item| item.value.clone());
        match query {
            Query::Get { key } => Answer::Value(value(key)),
            Query::GetAll { keys } => Answer::Values(keys.iter().map(value).collect()),
            Query::Exists { keys } => {
                let there = keys.iter().filter(|&key| get(key).is_some());
                Answer::Integer(change::count(there.count()))
            }
            Query::Remaining { key } => Answer::Remaining(remaining(now, get(key).map(|item| item.deadline))),
            Query::Held { key, value } => {
                let held = get(key).filter(|item| item.value == *value);
                Answer::Remaining(remaining(now, held.map(|item| item.deadline)))
            }
            Query::Revision { key } => Answer::Revision(
                get(key).map(|item| Revision { created: item.created, modified: item.modified }),
            ),
            Query::Fence { key } => {
                Answer::Fence(get(key).filter(|item| item.fenced).map(|item| item.created))
            }
            Query::Stats => Answer::Stats(self.items.stats()),
        }
    }
}

fn remaining(now: Timestamp, deadline: Option<Option<Timestamp>>) -> Remaining {
    match deadline {
        None => Remaining::Absent,
        Some(None) => Remaining::Unlimited,
        Some(Some(deadline)) => {
            Remaining::Millis(u64::try_from(deadline.since(now).as_millis()).unwrap_or(u64::MAX))
        }
    }
}

/// The answer, if its values fit into the room that is left.
fn capped(answer: Answer, room: &mut usize) -> Answer {
    let size = match &answer {
        Answer::Value(Some(value)) => value.len(),
        Answer::Values(values) => values.iter().flatten().map(|value| value.len()).sum(),
        Answer::Value(None)
        | Answer::Done
        | Answer::Unmet
        | Answer::Integer(_)
        | Answer::Compared { .. }
        | Answer::Remaining(_)
        | Answer::Revision(_)
        | Answer::Fence(_)
        | Answer::Stats(_)
        | Answer::Refused(_) => 0,
    };
    match room.checked_sub(size) {
        Some(left) => {
            *room = left;
            answer
        }
        None => Answer::Refused(Refused::AnswerTooLarge),
    }
}
