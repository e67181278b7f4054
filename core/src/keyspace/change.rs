//! What each change does.

use super::items::{Item, Shelf, cost};
use super::{Answer, Blob, Change, Condition, Expiry, Extension, Refused};
use crate::{Index, Moment, Timestamp};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use core::time::Duration;

/// When something that was given `millis` at `now` is gone; `None` if it is gone at once.
fn gone(now: Timestamp, millis: u64) -> Option<Timestamp> {
    let deadline = now.after(Duration::from_millis(millis));
    (now < deadline).then_some(deadline)
}

/// A count of what is in memory, as an answer.
pub(super) fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

/// A decimal integer as this keyspace writes them: no sign but a minus, no leading zeros.
fn integer(value: &[u8]) -> Option<i64> {
    let text = str::from_utf8(value).ok()?;
    let number = text.parse::<i64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// What is there before a value is written.
#[derive(Clone, Copy)]
struct Before {
    cost: u64,
    created: Index,
    deadline: Option<Timestamp>,
    /// Whether it is the value that is to be written, and was created on condition that there was none.
    fenced: bool,
}

/// Carries changes out.
pub(super) struct Editor<'i, I> {
    pub(super) items: &'i mut I,
    /// The most bytes that they may count.
    pub(super) limit: u64,
}

impl<I: Shelf> Editor<'_, I> {
    pub(super) fn change(&mut self, now: Moment, change: &Change) -> Answer {
        let done = match change {
            Change::Set { key, value, condition, expiry, previous } => {
                let before = previous.then(|| self.items.get(key).map(|item| item.value.clone()));
                let set = self.set(now, key, value, *condition, *expiry);
                set.map(|answer| before.map_or(answer, Answer::Value))
            }
            Change::Delete { keys } => Ok(self.delete(keys)),
            Change::Add { key, by } => self.add(now, key, *by),
            Change::Expire { key, millis } => Ok(self.expire(now, key, *millis)),
            Change::Persist { key } => Ok(self.persist(now, key)),
            Change::CompareDelete { keys, value } => Ok(self.compare_delete(keys, value)),
            Change::CompareExpire { keys, value, millis, extension } => {
                Ok(self.compare_expire(now, keys, value, *millis, *extension))
            }
            Change::CreateAll { keys, value, millis } => self.create_all(now, keys, value, *millis),
            Change::CompareOrCreate { key, value, millis } => {
                let key = core::slice::from_ref(key);
                match self.create_all(now, key, value, *millis) {
                    Ok(Answer::Integer(0)) => {
                        Ok(self.compare_expire(now, key, value, *millis, Extension::Replace))
                    }
                    created => created,
                }
            }
            Change::SetAll { items } => self.set_all(now, items),
        };
        done.unwrap_or_else(Answer::Refused)
    }

    fn set(
        &mut self,
        now: Moment,
        key: &Blob,
        value: &Blob,
        condition: Condition,
        expiry: Expiry,
    ) -> Result<Answer, Refused> {
        let before = self.before(key, value);
        let met = match condition {
            Condition::Always => true,
            Condition::IfAbsent => before.is_none(),
            Condition::IfPresent => before.is_some(),
        };
        if !met {
            return Ok(Answer::Unmet);
        }
        let deadline = match expiry {
            Expiry::Never => None,
            Expiry::Keep => before.and_then(|before| before.deadline),
            Expiry::In { millis } => match gone(now.time, millis) {
                Some(deadline) => Some(deadline),
                None => {
                    self.items.remove(key);
                    return Ok(Answer::Done);
                }
            },
        };
        let fenced = condition == Condition::IfAbsent || before.is_some_and(|before| before.fenced);
        self.write(now, key, value, before, deadline, fenced)?;
        Ok(Answer::Done)
    }

    fn delete(&mut self, keys: &[Blob]) -> Answer {
        Answer::Integer(count(keys.iter().filter(|key| self.items.remove(key)).count()))
    }

    fn add(&mut self, now: Moment, key: &Blob, by: i64) -> Result<Answer, Refused> {
        let number = match self.items.get(key) {
            Some(item) => integer(&item.value).ok_or(Refused::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(by).ok_or(Refused::Overflow)?;
        let value = Blob::from(sum.to_string().as_str());
        let before = self.before(key, &value);
        let deadline = before.and_then(|before| before.deadline);
        self.write(now, key, &value, before, deadline, before.is_some_and(|before| before.fenced))?;
        Ok(Answer::Integer(sum))
    }

    fn expire(&mut self, now: Moment, key: &Blob, millis: u64) -> Answer {
        match self.items.get(key) {
            None => Answer::Integer(0),
            Some(_) => {
                self.reschedule(now, key, gone(now.time, millis));
                Answer::Integer(1)
            }
        }
    }

    fn persist(&mut self, now: Moment, key: &Blob) -> Answer {
        match self.items.get(key) {
            Some(Item { deadline: Some(_), .. }) => {
                self.update(now, key, None);
                Answer::Integer(1)
            }
            Some(Item { deadline: None, .. }) | None => Answer::Integer(0),
        }
    }

    fn compare_delete(&mut self, keys: &[Blob], value: &Blob) -> Answer {
        let (mut equal, mut absent) = (0, 0);
        for key in keys {
            match self.items.get(key) {
                Some(item) if item.value == *value => {
                    self.items.remove(key);
                    equal += 1;
                }
                Some(_) => (),
                None => absent += 1,
            }
        }
        Answer::Compared { equal, absent }
    }

    fn compare_expire(
        &mut self,
        now: Moment,
        keys: &[Blob],
        value: &Blob,
        millis: u64,
        extension: Extension,
    ) -> Answer {
        let held = |key| {
            self.items.get(key).is_some_and(|item| {
                let suits = match extension {
                    Extension::Replace => true,
                    Extension::ReplaceExpiring | Extension::Add => item.deadline.is_some(),
                };
                item.value == *value && suits
            })
        };
        if !keys.iter().all(|key| held(key)) {
            return Answer::Integer(0);
        }
        for key in keys {
            let left = self.items.get(key).and_then(|item| item.deadline);
            let from = match extension {
                Extension::Replace | Extension::ReplaceExpiring => now.time,
                Extension::Add => left.unwrap_or(now.time),
            };
            let deadline = from.after(Duration::from_millis(millis));
            self.reschedule(now, key, (now.time < deadline).then_some(deadline));
        }
        Answer::Integer(count(keys.len()))
    }

    fn create_all(
        &mut self,
        now: Moment,
        keys: &[Blob],
        value: &Blob,
        millis: u64,
    ) -> Result<Answer, Refused> {
        if keys.iter().any(|key| self.items.get(key).is_some()) {
            return Ok(Answer::Integer(0));
        }
        let added: u64 = keys.iter().map(|key| cost(key, value)).sum();
        self.room(added)?;
        if let Some(deadline) = gone(now.time, millis) {
            for key in keys {
                self.write(now, key, value, self.before(key, value), Some(deadline), true)?;
            }
        }
        Ok(Answer::Integer(count(keys.len())))
    }

    fn set_all(&mut self, now: Moment, items: &[(Blob, Blob)]) -> Result<Answer, Refused> {
        // Of a key that comes twice, the last value counts.
        let last: BTreeMap<_, _> = items.iter().map(|(key, value)| (key, value)).collect();
        let after: u64 = last.iter().map(|(key, value)| cost(key, value)).sum();
        let old = |key: &Blob| self.items.get(key).map_or(0, |item| cost(key, &item.value));
        let before: u64 = last.keys().map(|key| old(key)).sum();
        self.room(after.saturating_sub(before))?;
        for (key, value) in last {
            let before = self.before(key, value);
            self.put(now, key, value, before, None, before.is_some_and(|before| before.fenced));
        }
        Ok(Answer::Done)
    }

    /// Sets when a key that is there is gone; with `None`, now.
    fn reschedule(&mut self, now: Moment, key: &Blob, deadline: Option<Timestamp>) {
        match deadline {
            Some(_) => self.update(now, key, deadline),
            None => {
                self.items.remove(key);
            }
        }
    }

    fn update(&mut self, now: Moment, key: &Blob, deadline: Option<Timestamp>) {
        if let Some(item) = self.items.get(key) {
            let item = Item { modified: now.index, deadline, ..item.clone() };
            self.items.put(key.clone(), item);
        }
    }

    fn before(&self, key: &Blob, value: &Blob) -> Option<Before> {
        self.items.get(key).map(|item| Before {
            cost: cost(key, &item.value),
            created: item.created,
            deadline: item.deadline,
            fenced: item.fenced && item.value == *value,
        })
    }

    fn write(
        &mut self,
        now: Moment,
        key: &Blob,
        value: &Blob,
        before: Option<Before>,
        deadline: Option<Timestamp>,
        fenced: bool,
    ) -> Result<(), Refused> {
        // What shrinks is let through, however full it is.
        self.room(cost(key, value).saturating_sub(before.map_or(0, |before| before.cost)))?;
        self.put(now, key, value, before, deadline, fenced);
        Ok(())
    }

    fn put(
        &mut self,
        now: Moment,
        key: &Blob,
        value: &Blob,
        before: Option<Before>,
        deadline: Option<Timestamp>,
        fenced: bool,
    ) {
        let created = before.map_or(now.index, |before| before.created);
        let item = Item { value: value.clone(), created, modified: now.index, deadline, fenced };
        self.items.put(key.clone(), item);
    }

    fn room(&self, added: u64) -> Result<(), Refused> {
        if self.items.stats().bytes.saturating_add(added) <= self.limit { Ok(()) } else { Err(Refused::Full) }
    }
}
