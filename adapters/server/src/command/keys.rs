//! The commands on keys.

use super::{Action, Shape, not_an_integer, syntax_error, wrong_number};
use crate::resp::{Request, Value};
use crate::scripts::Scripts;
use quorate::keyspace::{Blob, Change, Condition, Expiry, Query};
use std::time::{SystemTime, UNIX_EPOCH};

type Parsed = Result<Action, Value>;

pub(super) fn set(request: &Request<'_>, _: &Scripts) -> Parsed {
    let (mut condition, mut expiry, mut previous) = (None, None, None);
    let mut at = 3;
    while at < request.len() {
        let word = |word| request.is(at, word);
        if word("nx") {
            once(&mut condition, Condition::IfAbsent)?;
        } else if word("xx") {
            once(&mut condition, Condition::IfPresent)?;
        } else if word("get") {
            once(&mut previous, ())?;
        } else if word("keepttl") {
            once(&mut expiry, Expiry::Keep)?;
        } else if let Some(unit) = Unit::of(request.part(at)).filter(|_| at + 1 < request.len()) {
            at += 1;
            let number = request.integer(at).ok_or_else(not_an_integer)?;
            once(&mut expiry, Expiry::In { millis: lasting("set", unit, number)? })?;
        } else {
            return Err(syntax_error());
        }
        at += 1;
    }
    let change = Change::Set {
        key: request.blob(1),
        value: request.blob(2),
        condition: condition.unwrap_or_default(),
        expiry: expiry.unwrap_or_default(),
        previous: previous.is_some(),
    };
    Action::change(change, Shape::Plain)
}

/// An option may come once, and excludes the others of its kind.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Value> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(syntax_error()),
    }
}

/// A plain set, as the older commands have it.
fn put(request: &Request<'_>, value: usize, condition: Condition, expiry: Expiry, previous: bool) -> Change {
    Change::Set { key: request.blob(1), value: request.blob(value), condition, expiry, previous }
}

/// All at once, or none of them for want of room.
pub(super) fn mset(request: &Request<'_>, _: &Scripts) -> Parsed {
    if request.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let items = (1..request.len()).step_by(2).map(|at| (request.blob(at), request.blob(at + 1)));
    Action::change(Change::SetAll { items: items.collect() }, Shape::Plain)
}

pub(super) fn setnx(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::change(put(request, 2, Condition::IfAbsent, Expiry::Never, false), Shape::WasSet)
}

pub(super) fn setex(request: &Request<'_>, _: &Scripts) -> Parsed {
    let seconds = request.integer(2).ok_or_else(not_an_integer)?;
    let expiry = Expiry::In { millis: lasting("setex", Unit::Seconds, seconds)? };
    Action::change(put(request, 3, Condition::Always, expiry, false), Shape::Plain)
}

pub(super) fn psetex(request: &Request<'_>, _: &Scripts) -> Parsed {
    let millis = request.integer(2).ok_or_else(not_an_integer)?;
    let expiry = Expiry::In { millis: lasting("psetex", Unit::Millis, millis)? };
    Action::change(put(request, 3, Condition::Always, expiry, false), Shape::Plain)
}

pub(super) fn getset(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::change(put(request, 2, Condition::Always, Expiry::Never, true), Shape::Plain)
}

/// What is set to last for no time is gone at once, and the value before is the answer.
pub(super) fn getdel(request: &Request<'_>, _: &Scripts) -> Parsed {
    let change = put(request, 2, Condition::IfPresent, Expiry::In { millis: 0 }, true);
    Action::change(change, Shape::Plain)
}

pub(super) fn get(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Get { key: request.blob(1) }, Shape::Plain)
}

pub(super) fn strlen(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Get { key: request.blob(1) }, Shape::Length)
}

pub(super) fn mget(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::GetAll { keys: request.blobs(1) }, Shape::Plain)
}

pub(super) fn exists(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Exists { keys: request.blobs(1) }, Shape::Plain)
}

pub(super) fn kind(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Exists { keys: request.blobs(1) }, Shape::Kind)
}

pub(super) fn dbsize(_: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Stats, Shape::Plain)
}

pub(super) fn fence(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Fence { key: request.blob(1) }, Shape::Plain)
}

pub(super) fn pttl(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Remaining { key: request.blob(1) }, Shape::Plain)
}

pub(super) fn ttl(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::query(Query::Remaining { key: request.blob(1) }, Shape::Seconds)
}

pub(super) fn del(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::change(Change::Delete { keys: request.blobs(1) }, Shape::Plain)
}

pub(super) fn persist(request: &Request<'_>, _: &Scripts) -> Parsed {
    Action::change(Change::Persist { key: request.blob(1) }, Shape::Plain)
}

pub(super) fn expire(request: &Request<'_>, _: &Scripts) -> Parsed {
    expire_in("expire", request, Unit::Seconds)
}

pub(super) fn pexpire(request: &Request<'_>, _: &Scripts) -> Parsed {
    expire_in("pexpire", request, Unit::Millis)
}

pub(super) fn expireat(request: &Request<'_>, _: &Scripts) -> Parsed {
    expire_in("expireat", request, Unit::UnixSeconds)
}

pub(super) fn pexpireat(request: &Request<'_>, _: &Scripts) -> Parsed {
    expire_in("pexpireat", request, Unit::UnixMillis)
}

fn expire_in(name: &str, request: &Request<'_>, unit: Unit) -> Parsed {
    let number = request.integer(2).ok_or_else(not_an_integer)?;
    let millis = unit.millis(number).ok_or_else(|| invalid_expire(name))?;
    Action::change(Change::Expire { key: request.blob(1), millis }, Shape::Plain)
}

pub(super) fn incr(request: &Request<'_>, _: &Scripts) -> Parsed {
    add(request.blob(1), Some(1))
}

pub(super) fn decr(request: &Request<'_>, _: &Scripts) -> Parsed {
    add(request.blob(1), Some(-1))
}

pub(super) fn incrby(request: &Request<'_>, _: &Scripts) -> Parsed {
    add(request.blob(1), request.integer(2))
}

pub(super) fn decrby(request: &Request<'_>, _: &Scripts) -> Parsed {
    add(request.blob(1), request.integer(2).and_then(i64::checked_neg))
}

fn add(key: Blob, by: Option<i64>) -> Parsed {
    Action::change(Change::Add { key, by: by.ok_or_else(not_an_integer)? }, Shape::Plain)
}

/// What a number of a command counts.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl Unit {
    /// What the word before the number says.
    fn of(word: &[u8]) -> Option<Self> {
        let units = [
            ("px", Self::Millis),
            ("ex", Self::Seconds),
            ("pxat", Self::UnixMillis),
            ("exat", Self::UnixSeconds),
        ];
        let unit = units.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        unit.map(|(_, unit)| unit)
    }

    /// Milliseconds from now; none for what is past.
    ///
    /// A time of day is taken by this node's own clock, here and once: the cluster's time knows no days.
    fn millis(self, number: i64) -> Option<u64> {
        let millis = match self {
            Self::Millis | Self::UnixMillis => number,
            Self::Seconds | Self::UnixSeconds => number.checked_mul(1_000)?,
        };
        let from_now = match self {
            Self::Seconds | Self::Millis => millis,
            Self::UnixSeconds | Self::UnixMillis => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                millis.saturating_sub(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            }
        };
        Some(u64::try_from(from_now).unwrap_or(0))
    }
}

/// Milliseconds from now, of a number that must be positive.
fn lasting(name: &str, unit: Unit, number: i64) -> Result<u64, Value> {
    if number <= 0 {
        return Err(invalid_expire(name));
    }
    unit.millis(number).ok_or_else(|| invalid_expire(name))
}

fn invalid_expire(name: &str) -> Value {
    Value::error(format!("ERR invalid expire time in '{name}' command"))
}
