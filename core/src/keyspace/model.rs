//! The same keyspace again, as simple as can be: a list that is searched, and rules written out one by one.

use super::*;
use crate::Index;
use quickcheck::{Arbitrary, Gen};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
struct Row {
    key: Blob,
    value: Blob,
    created: Index,
    modified: Index,
    /// In microseconds.
    deadline: Option<u64>,
    fence: Option<Index>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    rows: Vec<Row>,
    /// What does not expire for now.
    pub(super) held: Vec<Blob>,
}

impl Model {
    pub(super) fn tick(&mut self, now: Moment) {
        let Self { rows, held } = self;
        rows.retain(|row| {
            held.contains(&row.key) || row.deadline.is_none_or(|deadline| deadline > now.time.as_micros())
        });
    }

    /// Whether the key is past its end.
    pub(super) fn is_late(&self, now: Moment, key: &Blob) -> bool {
        self.row(key).and_then(|row| row.deadline).is_some_and(|deadline| deadline <= now.time.as_micros())
    }

    pub(super) fn apply(&mut self, now: Moment, command: &Command) -> Reply {
        match command {
            Command::Change(change) => Reply::Answer(self.change(now, change)),
            Command::Transaction(Transaction { watched, steps }) => {
                if watched.iter().any(|(key, was)| self.row(key).map(|row| row.modified) != *was) {
                    return Reply::Conflict;
                }
                let take = |step: &Step| match step {
                    Step::Change(change) => self.change(now, change),
                    Step::Query(query) => self.query(now.time, query),
                };
                Reply::Answers(steps.iter().map(take).collect())
            }
        }
    }

    pub(super) fn query(&self, now: Timestamp, query: &Query) -> Answer {
        let remaining = |row: Option<&Row>| {
            Answer::Remaining(match row.map(|row| row.deadline) {
                None => Remaining::Absent,
                Some(None) => Remaining::Unlimited,
                Some(Some(deadline)) => Remaining::Millis(deadline.saturating_sub(now.as_micros()) / 1_000),
            })
        };
        let value = |key: &Blob| self.row(key).map(|row| row.value.clone());
        match query {
            Query::Get { key } => Answer::Value(value(key)),
            Query::GetAll { keys } => Answer::Values(keys.iter().map(value).collect()),
            Query::Exists { keys } => {
                Answer::Integer(keys.iter().flat_map(|key| self.row(key)).count() as i64)
            }
            Query::Remaining { key } => remaining(self.row(key)),
            Query::Held { key, value } => remaining(self.row(key).filter(|row| row.value == *value)),
            Query::Revision { key } => Answer::Revision(
                self.row(key).map(|row| Revision { created: row.created, modified: row.modified }),
            ),
            Query::Fence { key } => Answer::Fence(self.row(key).and_then(|row| row.fence)),
            Query::Stats => {
                let bytes = self.rows.iter().map(|row| row.key.len() + row.value.len() + limits::ITEM_BYTES);
                Answer::Stats(Stats { keys: self.rows.len() as u64, bytes: bytes.sum::<usize>() as u64 })
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.rows.iter().filter(|row| !self.held.contains(&row.key)).filter_map(|row| row.deadline).min()
    }

    fn row(&self, key: &Blob) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == *key)
    }

    fn remove(&mut self, key: &Blob) -> i64 {
        let before = self.rows.len();
        self.rows.retain(|row| row.key != *key);
        (before - self.rows.len()) as i64
    }

    /// Puts a value, and drops it again if its time is already over.
    fn put(&mut self, now: Moment, key: &Blob, value: &Blob, deadline: Option<u64>, nx: bool) {
        let old = self.row(key).cloned();
        let created = old.as_ref().map_or(now.index, |row| row.created);
        let kept = old.filter(|row| row.value == *value).and_then(|row| row.fence);
        self.remove(key);
        self.rows.push(Row {
            key: key.clone(),
            value: value.clone(),
            created,
            modified: now.index,
            deadline,
            fence: if nx { Some(now.index) } else { kept },
        });
        self.tick(now);
    }

    fn touch(&mut self, now: Moment, key: &Blob, deadline: Option<u64>) {
        for row in self.rows.iter_mut().filter(|row| row.key == *key) {
            (row.modified, row.deadline) = (now.index, deadline);
        }
        self.tick(now);
    }

    fn change(&mut self, now: Moment, change: &Change) -> Answer {
        let after = |millis: u64| now.time.as_micros() + millis * 1_000;
        match change {
            Change::Set { key, value, condition, expiry, previous } => {
                let old = self.row(key).cloned();
                let met = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                };
                let deadline = match expiry {
                    Expiry::Never => None,
                    Expiry::Keep => old.as_ref().and_then(|row| row.deadline),
                    Expiry::In { millis } => Some(after(*millis)),
                };
                if met {
                    self.put(now, key, value, deadline, *condition == Condition::IfAbsent);
                }
                match (previous, met) {
                    (true, _) => Answer::Value(old.map(|row| row.value)),
                    (false, true) => Answer::Done,
                    (false, false) => Answer::Unmet,
                }
            }
            Change::Delete { keys } => Answer::Integer(keys.iter().map(|key| self.remove(key)).sum()),
            Change::Add { key, by } => self.add(now, key, *by),
            Change::Expire { key, millis } => {
                let there = self.row(key).is_some();
                self.touch(now, key, Some(after(*millis)));
                Answer::Integer(there.into())
            }
            Change::Persist { key } => {
                let expiring = self.row(key).is_some_and(|row| row.deadline.is_some());
                if expiring {
                    self.touch(now, key, None);
                }
                Answer::Integer(expiring.into())
            }
            Change::CompareDelete { keys, value } => {
                let (mut equal, mut absent) = (0, 0);
                for key in keys {
                    match self.row(key).map(|row| row.value == *value) {
                        Some(true) => equal += self.remove(key) as u32,
                        Some(false) => (),
                        None => absent += 1,
                    }
                }
                Answer::Compared { equal, absent }
            }
            Change::CompareExpire { keys, value, millis, extension } => {
                let held = |key| {
                    self.row(key).is_some_and(|row| {
                        row.value == *value && (*extension == Extension::Replace || row.deadline.is_some())
                    })
                };
                if !keys.iter().all(held) {
                    return Answer::Integer(0);
                }
                for key in keys {
                    let left = self.row(key).and_then(|row| row.deadline);
                    let deadline = match extension {
                        Extension::Add => left.unwrap_or(now.time.as_micros()) + millis * 1_000,
                        Extension::Replace | Extension::ReplaceExpiring => after(*millis),
                    };
                    self.touch(now, key, Some(deadline));
                }
                Answer::Integer(keys.len() as i64)
            }
            Change::CreateAll { keys, value, millis } => {
                if keys.iter().any(|key| self.row(key).is_some()) {
                    return Answer::Integer(0);
                }
                keys.iter().for_each(|key| self.put(now, key, value, Some(after(*millis)), true));
                Answer::Integer(keys.len() as i64)
            }
            Change::SetAll { items } => {
                for (at, (key, value)) in items.iter().enumerate() {
                    if items[at + 1..].iter().all(|(later, _)| later != key) {
                        self.put(now, key, value, None, false);
                    }
                }
                Answer::Done
            }
            Change::CompareOrCreate { key, value, millis } => {
                match self.row(key).map(|row| row.value == *value) {
                    Some(true) => self.touch(now, key, Some(after(*millis))),
                    Some(false) => return Answer::Integer(0),
                    None => self.put(now, key, value, Some(after(*millis)), true),
                }
                Answer::Integer(1)
            }
        }
    }

    fn add(&mut self, now: Moment, key: &Blob, by: i64) -> Answer {
        let row = self.row(key).cloned();
        let text =
            row.as_ref().map_or("0".to_string(), |row| String::from_utf8_lossy(&row.value).into_owned());
        let canonical = |number: &i128| number.to_string() == text && i64::try_from(*number).is_ok();
        match text.parse::<i128>().ok().filter(canonical) {
            None => Answer::Refused(Refused::NotAnInteger),
            Some(number) => match i64::try_from(number + i128::from(by)) {
                Err(_) => Answer::Refused(Refused::Overflow),
                Ok(sum) => {
                    let deadline = row.and_then(|row| row.deadline);
                    self.put(now, key, &Blob::from(sum.to_string().as_str()), deadline, false);
                    Answer::Integer(sum)
                }
            },
        }
    }
}

/// One of few, so that keys and values meet.
fn one_of<T: Clone>(g: &mut Gen, of: &[T]) -> T {
    g.choose(of).expect("some to choose from").clone()
}

fn key(g: &mut Gen) -> Blob {
    one_of(g, &["a", "b", "c", "", "lock"]).into()
}

fn keys(g: &mut Gen) -> Vec<Blob> {
    let some = one_of(g, &[0, 1, 1, 2, 3]);
    (0..some).map(|_| key(g)).collect()
}

fn value(g: &mut Gen) -> Blob {
    one_of(g, &["one", "two", "7", "-1", "01", "9223372036854775807"]).into()
}

fn millis(g: &mut Gen) -> u64 {
    one_of(g, &[0, 1, 2, 5, 10, 50])
}

impl Arbitrary for Change {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 12 {
            0..3 => Self::Set {
                key: key(g),
                value: value(g),
                condition: one_of(g, &[Condition::Always, Condition::IfAbsent, Condition::IfPresent]),
                expiry: one_of(
                    g,
                    &[Expiry::Never, Expiry::Keep, Expiry::In { millis: 0 }, Expiry::In { millis: 7 }],
                ),
                previous: bool::arbitrary(g),
            },
            3 => Self::Delete { keys: keys(g) },
            4 => Self::Add { key: key(g), by: one_of(g, &[1, -1, i64::MAX, i64::MIN]) },
            5 => Self::Expire { key: key(g), millis: millis(g) },
            6 => Self::Persist { key: key(g) },
            7 => Self::CompareDelete { keys: keys(g), value: value(g) },
            8 => Self::CompareExpire {
                keys: keys(g),
                value: value(g),
                millis: millis(g),
                extension: one_of(g, &[Extension::Replace, Extension::ReplaceExpiring, Extension::Add]),
            },
            9 => Self::SetAll { items: keys(g).into_iter().map(|key| (key, value(g))).collect() },
            10 => Self::CreateAll { keys: keys(g), value: value(g), millis: millis(g) },
            _ => Self::CompareOrCreate { key: key(g), value: value(g), millis: millis(g) },
        }
    }
}

impl Arbitrary for Query {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0 => Self::Get { key: key(g) },
            1 => Self::GetAll { keys: keys(g) },
            2 => Self::Exists { keys: keys(g) },
            3 => Self::Remaining { key: key(g) },
            4 => Self::Held { key: key(g), value: value(g) },
            5 => Self::Revision { key: key(g) },
            6 => Self::Fence { key: key(g) },
            _ => Self::Stats,
        }
    }
}

impl Arbitrary for Transaction {
    fn arbitrary(g: &mut Gen) -> Self {
        let watched = match bool::arbitrary(g) {
            true => vec![(key(g), one_of(g, &[None, Some(1), Some(2), Some(3)]).map(Index::new))],
            false => vec![],
        };
        let step = |g: &mut Gen| match bool::arbitrary(g) {
            true => Step::Change(Change::arbitrary(g)),
            false => Step::Query(Query::arbitrary(g)),
        };
        Self { watched, steps: (0..u8::arbitrary(g) % 5).map(|_| step(g)).collect() }
    }
}

impl Arbitrary for Command {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 4 {
            0 => Self::Transaction(Transaction::arbitrary(g)),
            _ => Self::Change(Change::arbitrary(g)),
        }
    }
}

impl Arbitrary for Part {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { transaction: Transaction::arbitrary(g), all_met: bool::arbitrary(g) }
    }
}
