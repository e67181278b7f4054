//! Cases that random commands must come upon, or the properties show little.

use crate::model::Model;
use core::sync::atomic::{AtomicU32, Ordering};
use quorate::Moment;
use quorate::lock::{Command, Limit, Notice, Reply, SessionId, Token};

static SEEN: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];

const RARE: [&str; 8] = [
    "a second in line cancels",
    "a token is guessed of a grant by the same entry",
    "a session is closed by the entry that granted it a lock",
    "no room for a session",
    "no room for a lock",
    "no room in line",
    "a wait takes too long",
    "one entry ends two sessions",
];

/// Notes what an entry was a case of.
pub(crate) fn note(
    before: &Model,
    now: Moment,
    command: Option<&Command>,
    reply: Option<&Reply>,
    told: &[Notice],
) {
    let fresh = |session: &SessionId| {
        let token = Token::new(now.index.get());
        told.iter().any(|notice| match notice {
            Notice::Granted { session: to, token: with, .. } => (to, *with) == (session, token),
            _ => false,
        })
    };
    let ended = told.iter().filter(|notice| matches!(notice, Notice::Expired { .. })).count();
    let cases = [
        matches!(command, Some(Command::Cancel { session, name })
            if before.locks.get(name).is_some_and(|line| line.iter().skip(2).any(|place| place.session == *session))),
        matches!((command, reply), (Some(Command::Release { session, token, .. }), Some(Reply::NotHeld))
            if token.get() == now.index.get() && fresh(session)),
        matches!(command, Some(Command::Close { session }) if fresh(session)),
        reply == Some(&Reply::Full(Limit::Sessions)),
        reply == Some(&Reply::Full(Limit::Locks)),
        reply == Some(&Reply::Full(Limit::Waiters)),
        told.iter().any(|notice| matches!(notice, Notice::TimedOut { .. })),
        ended > 1,
    ];
    for (seen, case) in SEEN.iter().zip(cases) {
        seen.fetch_add(case.into(), Ordering::Relaxed);
    }
}

pub(crate) fn assert_seen() {
    for (seen, case) in SEEN.iter().zip(RARE) {
        assert!(seen.load(Ordering::Relaxed) > 0, "it never came up that {case}");
    }
}
