//! A keyspace with expiry and revisions: what many programs already use to take locks.
//!
//! It promises that all replicas that applied the same entries hold the same items, that a key with a deadline is
//! gone for every entry that is not before it, and that the fencing token of a key, the index of the entry that
//! created it, grows with each creation. Of transactions that span groups it does its [`Part`], in two steps. It assumes what [`Application`] does: that entries come in order, each
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
mod draft;
mod image;
mod items;
mod keys;
pub mod limits;
#[cfg(test)]
mod model;
mod part;
mod prepared;
mod split;
#[cfg(test)]
mod tests;

pub use blob::Blob;
pub use command::{
    Answer, Change, Command, Condition, Expiry, Extension, Query, Remaining, Reply, Revision, Stats, Step,
    Transaction,
};
pub use limits::Refused;
pub use part::{Objection, Part};
pub use split::{Merge, Split};

use crate::codec::{Full, Malformed, Sink};
use crate::locks::Mode;
use crate::{Application, Moment, Timestamp};
use alloc::vec::Vec;
use change::Editor;
use items::{Items, Shelf};
use limits::{ANSWER_BYTES, STATE_BYTES};
use prepared::Prepared;

/// Items under keys, of no more than `BYTES` altogether; see [`Stats::bytes`].
#[derive(Clone, Debug, Default)]
pub struct Keyspace<const BYTES: u64 = STATE_BYTES> {
    items: Items,
    prepared: Prepared,
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
        if !self.prepared.is_empty() {
            command.keys(&mut |key, mode| self.assert_free(key, mode));
        }
        let unchanged = match command {
            Command::Change(_) => true,
            Command::Transaction(transaction) => self.is_unchanged(transaction),
        };
        let mut editor = Editor { items: &mut self.items, limit: BYTES - self.prepared.reserved() };
        let reply = match command {
            Command::Change(change) => Reply::Answer(editor.change(now, change)),
            Command::Transaction(transaction) if unchanged => {
                Reply::Answers(editor.take(now, &transaction.steps))
            }
            Command::Transaction(_) => Reply::Conflict,
        };
        self.assert_limit();
        reply
    }

    fn notice(&mut self) -> Option<Self::Notice> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.items.deadline()
    }

    fn query(&self, now: Timestamp, query: &Query) -> Answer {
        if !self.prepared.is_empty() {
            query.keys(&mut |key| self.assert_free(key, Mode::Shared));
        }
        match query.check() {
            Ok(()) => capped(look_up(&self.items, now, query), &mut ANSWER_BYTES.clone()),
            Err(refused) => Answer::Refused(refused),
        }
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        image::put(&self.items, &self.prepared, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        (self.items, self.prepared) = image::take(bytes, BYTES)?;
        Ok(())
    }
}

impl<const BYTES: u64> Keyspace<BYTES> {
    /// Whether what a transaction watches is as it was.
    fn is_unchanged(&self, transaction: &Transaction) -> bool {
        let modified = |key| self.items.get(key).map(|item| item.modified);
        transaction.watched.iter().all(|(key, was)| modified(key) == *was)
    }

    fn assert_free(&self, key: &Blob, mode: Mode) {
        assert!(!self.prepared.conflicts(key, mode), "what a transaction holds is locked");
    }

    fn assert_limit(&self) {
        let bytes = self.items.stats().bytes;
        assert!(bytes <= BYTES && self.prepared.reserved() <= BYTES - bytes, "each change sees to the limit");
    }
}

impl<I: Shelf> Editor<'_, I> {
    fn take(&mut self, now: Moment, steps: &[Step]) -> Vec<Answer> {
        let mut room = ANSWER_BYTES;
        let answers = steps.iter().map(|step| {
            let answer = match step {
                Step::Change(change) => self.change(now, change),
                Step::Query(query) => look_up(self.items, now.time, query),
            };
            capped(answer, &mut room)
        });
        answers.collect()
    }
}

fn look_up(items: &impl Shelf, now: Timestamp, query: &Query) -> Answer {
    let get = |key: &Blob| items.get(key);
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
        Query::Revision { key } => {
            Answer::Revision(get(key).map(|item| Revision { created: item.created, modified: item.modified }))
        }
        Query::Fence { key } => Answer::Fence(get(key).filter(|item| item.fenced).map(|item| item.created)),
        Query::Stats => Answer::Stats(items.stats()),
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
