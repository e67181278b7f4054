//! The formats: what they are, byte for byte, and that nothing else is taken for them.

use crate::script::{Script, Small, name};
use core::time::Duration;
use quorate::codec::{self, Malformed};
use quorate::lock::{Command, Limit, Name, Reply, SessionId, Token, Ttl, Wait};
use quorate::{Application, Command as _};

fn encoded<T: serde::Serialize>(item: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::put(item, &mut bytes).expect("a vector takes all");
    bytes
}

fn commands() -> [(Command, &'static [u8]); 8] {
    let (session, name, token) = (SessionId::new(300), name("ab"), Token::new(5));
    let acquire = |wait| Command::Acquire { session, name: name.clone(), wait };
    let ttl = Ttl::new(Duration::from_millis(1)).expect("within the limits");
    [
        (Command::Open { client: 9, ttl }, &[0, 9, 0xE8, 7]),
        (Command::Renew { session }, &[1, 0xAC, 2]),
        (Command::Close { session }, &[2, 0xAC, 2]),
        (acquire(Wait::No), &[3, 0xAC, 2, 2, b'a', b'b', 0]),
        (
            acquire(Wait::AtMost(Duration::from_micros(3_000_001))),
            &[
                3, 0xAC, 2, 2, b'a', b'b', 1, 3, 0xE8, 7, //
            ],
        ),
        (acquire(Wait::Unlimited), &[3, 0xAC, 2, 2, b'a', b'b', 2]),
        (Command::Release { session, name: name.clone(), token }, &[4, 0xAC, 2, 2, b'a', b'b', 5]),
        (Command::Cancel { session, name }, &[5, 0xAC, 2, 2, b'a', b'b']),
    ]
}

#[test]
fn commands_are_these_bytes() {
    for (command, golden) in commands() {
        assert_eq!(encoded(&command), golden, "{command:?}");
        assert_eq!(codec::take_all(golden), Ok(command));
    }
}

#[test]
fn replies_are_these_bytes() {
    let golden: [(Reply, &[u8]); 11] = [
        (Reply::Opened { session: SessionId::new(300) }, &[0, 0xAC, 2]),
        (Reply::Renewed, &[1]),
        (Reply::Closed, &[2]),
        (Reply::Granted { token: Token::new(5) }, &[3, 5]),
        (Reply::Queued { ahead: 2 }, &[4, 2]),
        (Reply::Held, &[5]),
        (Reply::Released, &[6]),
        (Reply::NotHeld, &[7]),
        (Reply::Cancelled, &[8]),
        (Reply::SessionExpired, &[9]),
        (Reply::Full(Limit::Waiters), &[10, 2]),
    ];
    for (reply, golden) in golden {
        assert_eq!(encoded(&reply), golden, "{reply:?}");
        assert_eq!(codec::take_all(golden), Ok(reply));
    }
}

#[test]
fn a_command_weighs_at_least_its_bytes() {
    let widest = SessionId::new(u64::MAX);
    let (session, name, token) = (widest, Name::new([9; 64]).expect("it fits"), Token::new(u64::MAX));
    let wait = Wait::AtMost(Duration::MAX);
    let wide = [
        Command::Open { client: u64::MAX, ttl: Ttl::MAX },
        Command::Acquire { session, name: name.clone(), wait },
        Command::Release { session, name, token },
    ];
    for command in commands().map(|(command, _)| command).into_iter().chain(wide) {
        assert!(command.weight() >= encoded(&command).len(), "{command:?}");
    }
}

#[test]
fn names_and_leases_beyond_their_limits_are_malformed() {
    let mut acquire = vec![3, 1, 65];
    acquire.extend([b'x'; 65]);
    acquire.push(0);
    assert_eq!(codec::take_all::<Command>(&acquire), Err(Malformed::Content));
    assert_eq!(codec::take_all::<Command>(&[0, 9, 0xE7, 7]), Err(Malformed::Content), "0.999 ms");
}

/// Ann holds "a" and "b"; Bob waits for "a" without limit, Cid for 5 s.
fn state() -> Script {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.at(1).open(9));
    script.granted(ann, "b");
    script.granted(ann, "a");
    script.acquire(bob, "a");
    script.acquire_within(cid, "a", Wait::AtMost(Duration::from_secs(5)));
    script
}

const STATE: &[u8] = &[
    1, 1, 0x80, 0x9B, 0xEE, 2, // version; due at 6 s
    3, // sessions: id, client, lease, until
    1, 7, 0x80, 0xAD, 0xE2, 4, 0x80, 0xAD, 0xE2, 4, //
    2, 8, 0x80, 0xAD, 0xE2, 4, 0x80, 0xAD, 0xE2, 4, //
    3, 9, 0x80, 0xAD, 0xE2, 4, 0xC0, 0xB1, 0x9F, 5, //
    2, // locks: name, holder, token
    1, b'a', 1, 5, //
    1, b'b', 1, 4, //
    2, // waiters: name, since, session, until
    1, b'a', 6, 2, 0, //
    1, b'a', 7, 3, 1, 0x80, 0x9B, 0xEE, 2,
];

#[test]
fn a_snapshot_is_these_bytes() {
    let script = state();
    assert_eq!(script.snapshot(), STATE);
    let restored = Small::restore(STATE).expect("a state");
    assert_eq!(restored.deadline(), script.table.deadline());
    assert_eq!(Script::new().snapshot(), [1, 0, 0, 0, 0]);
}

#[test]
fn a_cut_or_continued_snapshot_is_malformed() {
    for cut in 0..STATE.len() {
        assert!(Small::restore(&STATE[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(Small::restore(&[STATE, &[0]].concat()).err(), Some(Malformed::Trailing));
    let mut other = STATE.to_vec();
    other[0] = 2;
    assert_eq!(Small::restore(&other).err(), Some(Malformed::Version(2)));
}

/// Each is a state that no sequence of commands leads to.
#[test]
fn a_snapshot_of_what_must_never_be_is_malformed() {
    let ann: &[u8] = &[1, 7, 0xE8, 7, 9];
    let bob: &[u8] = &[2, 8, 0xE8, 7, 9];
    let both = [&[2], ann, bob].concat();
    let state = |due: &[u8], rest: &[&[u8]]| Small::restore(&[&[1], due, &rest.concat()].concat()).err();
    let due: &[u8] = &[1, 9];
    let held: &[u8] = &[1, 1, b'a', 1, 5];
    let good: &[u8] = &[1, 1, b'a', 6, 2, 0];
    assert_eq!(state(due, &[&both, held, good]), None);

    let wrong: [(&str, &[&[u8]]); 14] = [
        ("sessions out of order", &[&[2], bob, ann, &[0, 0]]),
        ("one id twice", &[&[2], ann, &[1, 8, 0xE8, 7, 9], &[0, 0]]),
        ("one client twice", &[&[2], ann, &[2, 7, 0xE8, 7, 9], &[0, 0]]),
        ("more sessions than fit", &[&[4], ann, bob, &[3, 9, 0xE8, 7, 9], &[4, 10, 0xE8, 7, 9], &[0, 0]]),
        ("a holder that has no session", &[&both, &[1, 1, b'a', 3, 5], &[0]]),
        ("a lock older than its holder", &[&both, &[1, 1, b'a', 2, 2], &[0]]),
        ("locks out of order", &[&both, &[2, 1, b'b', 1, 5, 1, b'a', 1, 6], &[0]]),
        ("a lock held twice", &[&both, &[2, 1, b'a', 1, 5, 1, b'a', 2, 6], &[0]]),
        ("a waiter of a free lock", &[&both, held, &[1, 1, b'b', 6, 2, 0]]),
        ("a waiter that has no session", &[&both, held, &[1, 1, b'a', 6, 3, 0]]),
        ("a waiter older than its session", &[&both, held, &[1, 1, b'a', 2, 2, 0]]),
        ("the holder in line", &[&both, held, &[1, 1, b'a', 6, 1, 0]]),
        ("a waiter twice in line", &[&both, held, &[2, 1, b'a', 6, 2, 0, 1, b'a', 7, 2, 0]]),
        ("a wait that ends before the table is due", &[&both, held, &[1, 1, b'a', 6, 2, 1, 8]]),
    ];
    for (what, rest) in wrong {
        assert_eq!(state(due, rest), Some(Malformed::Content), "{what}");
    }
    assert_eq!(state(&[1, 10], &[&both, held, good]), Some(Malformed::Content), "due too late");
    assert_eq!(state(&[0], &[&both, held, good]), Some(Malformed::Content), "never due");
}

#[test]
fn waiters_out_of_order_are_malformed() {
    let sessions: &[u8] = &[3, 1, 7, 0xE8, 7, 9, 2, 8, 0xE8, 7, 9, 3, 9, 0xE8, 7, 9];
    let held: &[u8] = &[1, 1, b'a', 1, 5];
    let line = |waiters: &[u8]| Small::restore(&[&[1, 1, 9], sessions, held, waiters].concat()).err();
    assert_eq!(line(&[2, 1, b'a', 6, 2, 0, 1, b'a', 7, 3, 0]), None);
    assert_eq!(line(&[2, 1, b'a', 7, 2, 0, 1, b'a', 6, 3, 0]), Some(Malformed::Content));
    assert_eq!(line(&[2, 1, b'a', 6, 2, 0, 1, b'a', 6, 3, 0]), Some(Malformed::Content));
}
