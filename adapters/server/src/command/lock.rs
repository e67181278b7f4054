//! The commands of the lock table.

use super::Action;
use crate::locks;
use crate::resp::{Request, Value};
use crate::scripts::Scripts;
use crate::service::{LOCKS, SESSIONS, WAITERS};
use quorate::lock::{Limit, Name, Reply, Token, Ttl, Wait};
use std::time::Duration;

type Parsed = Result<Action, Value>;

/// What a client knows a session by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

/// A command of the lock table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Open { client: u64, ttl: Ttl },
    Renew { session: Number },
    Close { session: Number },
    Acquire { session: Number, name: Name, wait: Wait },
    Release { session: Number, name: Name, token: Token },
    Cancel { session: Number, name: Name },
}

/// `LOCK.OPEN client-number ttl-ms`
pub(super) fn open(request: &Request<'_>, _: &Scripts) -> Parsed {
    let client = number(request, 1, "the client's number")?;
    let ttl = Ttl::new(millis(request, 2, "the session's length")?).ok_or_else(|| {
        Value::error("ERR a session lasts from 1 to 86400000 milliseconds without a renewal")
    })?;
    Ok(Action::Lock(Command::Open { client, ttl }))
}

/// `LOCK.RENEW session`
pub(super) fn renew(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Lock(Command::Renew { session: session(request)? }))
}

/// `LOCK.CLOSE session`
pub(super) fn close(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Lock(Command::Close { session: session(request)? }))
}

/// `LOCK.ACQUIRE session name [wait-ms]`
pub(super) fn acquire(request: &Request<'_>, _: &Scripts) -> Parsed {
    let (session, name) = (session(request)?, name(request)?);
    let wait = match request.len() {
        3 => Wait::Unlimited,
        _ => match millis(request, 3, "how long to wait")? {
            Duration::ZERO => Wait::No,
            span => Wait::AtMost(span),
        },
    };
    Ok(Action::Lock(Command::Acquire { session, name, wait }))
}

/// `LOCK.RELEASE session name token`
pub(super) fn release(request: &Request<'_>, _: &Scripts) -> Parsed {
    let (session, name) = (session(request)?, name(request)?);
    let token = Token::new(number(request, 3, "the token")?);
    Ok(Action::Lock(Command::Release { session, name, token }))
}

/// `LOCK.CANCEL session name`
pub(super) fn cancel(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Lock(Command::Cancel { session: session(request)?, name: name(request)? }))
}

/// What a client gets for a reply of the table.
pub(crate) fn value(reply: &Reply) -> Value {
    let integer = |number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    match reply {
        Reply::Granted { token } => integer(token.get()),
        Reply::Renewed | Reply::Closed => Value::OK,
        // One in line gets its reply at the end of its wait.
        Reply::Held | Reply::Cancelled | Reply::Queued { .. } => Value::Null,
        Reply::Released => Value::Integer(1),
        Reply::NotHeld => Value::Integer(0),
        Reply::SessionExpired => Value::error(
            "NOSESSION this session has ended or never was, and holds no lock: open another with LOCK.OPEN",
        ),
        Reply::Full(limit) => full(*limit),
        Reply::Opened { .. } => unreachable!("its client gets a number of another kind"),
    }
}

/// What a client gets that finds no room.
pub(crate) fn full(limit: Limit) -> Value {
    Value::error(match limit {
        Limit::Sessions => {
            format!("OOM {SESSIONS} lock sessions are open: close some, or let some expire")
        }
        Limit::Locks => format!("OOM {LOCKS} locks are held: release some, or let some sessions expire"),
        Limit::Waiters => format!("OOM {WAITERS} sessions wait for locks: try again later"),
    })
}

fn session(request: &Request<'_>) -> Result<Number, Value> {
    number(request, 1, "the session").map(Number)
}

fn name(request: &Request<'_>) -> Result<Name, Value> {
    if locks::is_reserved(request.part(2)) {
        return Err(Value::error("ERR names that begin with \\0quorate:branch: are the server's own"));
    }
    let too_long = || Value::error(format!("ERR lock name is longer than {} bytes", <Name>::LONGEST));
    Name::new(request.part(2)).ok_or_else(too_long)
}

fn millis(request: &Request<'_>, index: usize, what: &str) -> Result<Duration, Value> {
    number(request, index, what).map(Duration::from_millis)
}

fn number(request: &Request<'_>, index: usize, what: &str) -> Result<u64, Value> {
    let number = request.integer(index).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| Value::error(format!("ERR {what} is not a number from 0 to {}", i64::MAX)))
}
