mod part;
mod split;

use super::limits::{COMMAND_BYTES, ITEM_BYTES, KEY_BYTES, KEYS, STEPS, VALUE_BYTES};
use super::model::Model;
use super::*;
use crate::{Command as _, Index, codec};
use quickcheck::quickcheck;
use std::vec;
use std::vec::Vec;

fn at(index: u64, millis: u64) -> Moment {
    Moment { index: Index::new(index), time: Timestamp::from_micros(millis * 1_000) }
}

/// An entry: time passes, then the change happens.
fn entry<const BYTES: u64>(keyspace: &mut Keyspace<BYTES>, now: Moment, change: Change) -> Answer {
    keyspace.tick(now);
    match keyspace.apply(now, &Command::Change(change)) {
        Reply::Answer(answer) => answer,
        Reply::Answers(_) | Reply::Conflict => panic!("a change has one answer"),
    }
}

fn set(key: &str, value: &str) -> Change {
    Change::Set {
        key: key.into(),
        value: value.into(),
        condition: Condition::Always,
        expiry: Expiry::Never,
        previous: false,
    }
}

fn lock(key: &str, value: &str, millis: u64) -> Change {
    Change::CreateAll { keys: vec![key.into()], value: value.into(), millis }
}

fn get(keyspace: &Keyspace, key: &str) -> Option<Vec<u8>> {
    match keyspace.query(Timestamp::default(), &Query::Get { key: key.into() }) {
        Answer::Value(value) => value.map(|value| value.to_vec()),
        answer => panic!("{answer:?}"),
    }
}

fn fence(keyspace: &Keyspace, key: &str) -> Option<u64> {
    match keyspace.query(Timestamp::default(), &Query::Fence { key: key.into() }) {
        Answer::Fence(index) => index.map(Index::get),
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn a_key_is_gone_from_the_entry_at_its_deadline() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), lock("k", "one", 10));
    assert_eq!(entry(&mut keyspace, at(2, 9), lock("k", "two", 10)), Answer::Integer(0));
    assert_eq!(entry(&mut keyspace, at(3, 10), lock("k", "two", 10)), Answer::Integer(1));
    assert_eq!(keyspace.deadline(), Some(at(0, 20).time));
}

#[test]
fn every_grant_has_a_higher_fence_and_only_grants_have_one() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(4, 0), lock("k", "one", 10));
    assert_eq!(fence(&keyspace, "k"), Some(4));
    let value = Blob::from("one");
    let keep = Change::CompareOrCreate { key: "k".into(), value: value.clone(), millis: 20 };
    entry(&mut keyspace, at(5, 1), keep);
    assert_eq!(fence(&keyspace, "k"), Some(4), "to keep is no grant");
    entry(&mut keyspace, at(6, 1), Change::CompareDelete { keys: vec!["k".into()], value });
    assert_eq!(fence(&keyspace, "k"), None);
    entry(&mut keyspace, at(7, 1), lock("k", "one", 10));
    assert_eq!(fence(&keyspace, "k"), Some(7));
    entry(&mut keyspace, at(8, 1), set("k", "one"));
    assert_eq!(fence(&keyspace, "k"), Some(7), "the value is still the one that was created");
    entry(&mut keyspace, at(9, 1), set("k", "other"));
    assert_eq!(fence(&keyspace, "k"), None, "overwritten without a condition");
    entry(&mut keyspace, at(10, 1), set("k", "one"));
    assert_eq!(fence(&keyspace, "k"), None);
}

#[test]
fn a_transaction_sees_its_own_steps_and_stops_at_a_changed_watch() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(3, 0), set("k", "1"));
    let transaction = |revision| {
        Command::Transaction(Transaction {
            watched: vec![("k".into(), Some(Index::new(revision)))],
            steps: vec![
                Step::Change(Change::Add { key: "k".into(), by: 1 }),
                Step::Query(Query::Get { key: "k".into() }),
            ],
        })
    };
    let answers = vec![Answer::Integer(2), Answer::Value(Some("2".into()))];
    assert_eq!(keyspace.apply(at(4, 0), &transaction(3)), Reply::Answers(answers));
    assert_eq!(keyspace.apply(at(5, 0), &transaction(3)), Reply::Conflict);
    assert_eq!(get(&keyspace, "k"), Some(b"2".to_vec()));
}

#[test]
fn a_watched_key_that_expired_is_a_conflict() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), lock("k", "one", 10));
    let watched = vec![("k".into(), Some(Index::new(1)))];
    keyspace.tick(at(2, 10));
    let command = Command::Transaction(Transaction { watched, steps: vec![] });
    assert_eq!(keyspace.apply(at(2, 10), &command), Reply::Conflict);
}

#[test]
fn extensions_differ_in_what_they_count_from() {
    let left = |extension, millis| {
        let mut keyspace: Keyspace = Keyspace::default();
        entry(&mut keyspace, at(1, 0), lock("k", "one", 100));
        let (keys, value) = (vec!["k".into()], "one".into());
        let extend = Change::CompareExpire { keys, value, millis, extension };
        assert_eq!(entry(&mut keyspace, at(2, 60), extend), Answer::Integer(1));
        keyspace.query(at(2, 60).time, &Query::Remaining { key: "k".into() })
    };
    assert_eq!(left(Extension::Replace, 10), Answer::Remaining(Remaining::Millis(10)));
    assert_eq!(left(Extension::ReplaceExpiring, 10), Answer::Remaining(Remaining::Millis(10)));
    assert_eq!(left(Extension::Add, 10), Answer::Remaining(Remaining::Millis(50)));
    assert_eq!(left(Extension::Replace, 0), Answer::Remaining(Remaining::Absent));
    assert_eq!(left(Extension::Add, 0), Answer::Remaining(Remaining::Millis(40)));
    assert_eq!(
        left(Extension::Replace, u64::MAX),
        Answer::Remaining(Remaining::Millis(u64::MAX / 1_000 - 60))
    );
}

#[test]
fn what_never_expires_is_not_extended_unless_replaced() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), set("k", "one"));
    let mut extend = |extension| {
        let (keys, value) = (vec!["k".into()], "one".into());
        entry(&mut keyspace, at(2, 0), Change::CompareExpire { keys, value, millis: 5, extension })
    };
    assert_eq!(extend(Extension::Add), Answer::Integer(0));
    assert_eq!(extend(Extension::ReplaceExpiring), Answer::Integer(0));
    assert_eq!(extend(Extension::Replace), Answer::Integer(1));
}

#[test]
fn locks_on_several_keys_are_taken_and_kept_together_or_not_at_all() {
    let mut keyspace: Keyspace = Keyspace::default();
    let keys = |names: &[&str]| names.iter().map(|&name| Blob::from(name)).collect::<Vec<_>>();
    let take =
        |names: &[&str], value: &str| Change::CreateAll { keys: keys(names), value: value.into(), millis: 9 };
    assert_eq!(entry(&mut keyspace, at(1, 0), take(&["a", "b"], "one")), Answer::Integer(2));
    assert_eq!(entry(&mut keyspace, at(2, 0), take(&["b", "c"], "two")), Answer::Integer(0));
    assert_eq!(get(&keyspace, "c"), None);
    let extension = Extension::Replace;
    let keep = Change::CompareExpire { keys: keys(&["a", "c"]), value: "one".into(), millis: 50, extension };
    assert_eq!(entry(&mut keyspace, at(3, 0), keep), Answer::Integer(0));
    assert_eq!(keyspace.deadline(), Some(at(0, 9).time));
    let give = Change::CompareDelete { keys: keys(&["a", "b", "c"]), value: "one".into() };
    assert_eq!(entry(&mut keyspace, at(4, 0), give), Answer::Compared { equal: 2, absent: 1 });
}

#[test]
fn only_canonical_integers_are_added_to() {
    for odd in ["", "x", "01", "+1", " 1", "1 ", "-0", "9223372036854775808", "1.0"] {
        let mut keyspace: Keyspace = Keyspace::default();
        entry(&mut keyspace, at(1, 0), set("k", odd));
        let sum = entry(&mut keyspace, at(2, 0), Change::Add { key: "k".into(), by: 1 });
        assert_eq!(sum, Answer::Refused(Refused::NotAnInteger), "{odd:?}");
        assert_eq!(get(&keyspace, "k"), Some(odd.into()));
    }
}

#[test]
fn beyond_a_limit_nothing_happens() {
    let long = |length: usize| Blob::from(vec![b'x'; length]);
    let put = |key, value| Change::Set {
        key,
        value,
        condition: Condition::Always,
        expiry: Expiry::Never,
        previous: false,
    };
    let many = vec![Step::Change(put("k".into(), long(COMMAND_BYTES / STEPS))); STEPS];
    let transact = |steps| Command::Transaction(Transaction { watched: vec![], steps });
    let change = Command::Change;
    let cases = [
        (change(put(long(KEY_BYTES), long(VALUE_BYTES))), Ok(())),
        (change(put(long(KEY_BYTES + 1), long(0))), Err(Refused::KeyTooLong)),
        (change(put(long(0), long(VALUE_BYTES + 1))), Err(Refused::ValueTooLong)),
        (change(Change::Delete { keys: vec![long(1); KEYS + 1] }), Err(Refused::TooManyKeys)),
        (transact(vec![Step::Query(Query::Stats); STEPS + 1]), Err(Refused::TooManySteps)),
        (transact(many), Err(Refused::CommandTooLarge)),
    ];
    for (command, expected) in cases {
        assert_eq!(command.check(), expected);
        let mut keyspace: Keyspace = Keyspace::default();
        let reply = keyspace.apply(at(1, 0), &command);
        match expected {
            Ok(()) => assert_eq!(reply, Reply::Answer(Answer::Done)),
            Err(refused) => {
                assert_eq!(reply, Reply::Answer(Answer::Refused(refused)));
                assert_eq!(keyspace.query(at(1, 0).time, &Query::Stats), Answer::Stats(Stats::default()));
            }
        }
    }
}

#[test]
fn answers_are_bounded() {
    let mut keyspace: Keyspace = Keyspace::default();
    let value = core::str::from_utf8(&[b'x'; VALUE_BYTES]).map(|value| set("k", value));
    entry(&mut keyspace, at(1, 0), value.expect("text"));
    let all = |keys| keyspace.query(at(1, 0).time, &Query::GetAll { keys: vec!["k".into(); keys] });
    assert!(matches!(all(ANSWER_BYTES / VALUE_BYTES), Answer::Values(_)));
    assert_eq!(all(ANSWER_BYTES / VALUE_BYTES + 1), Answer::Refused(Refused::AnswerTooLarge));
}

#[test]
fn a_full_keyspace_refuses_what_grows_and_lets_through_what_shrinks() {
    const ROOM: u64 = 2 * (ITEM_BYTES as u64 + 5);
    let mut keyspace = Keyspace::<ROOM>::default();
    assert_eq!(entry(&mut keyspace, at(1, 0), set("a", "four")), Answer::Done);
    assert_eq!(entry(&mut keyspace, at(2, 0), set("b", "four")), Answer::Done);
    for growing in [set("c", ""), set("a", "five5"), lock("c", "", 10)] {
        assert_eq!(entry(&mut keyspace, at(3, 0), growing), Answer::Refused(Refused::Full));
    }
    assert_eq!(entry(&mut keyspace, at(4, 0), set("a", "4")), Answer::Done);
    assert_eq!(entry(&mut keyspace, at(5, 0), Change::Delete { keys: vec!["b".into()] }), Answer::Integer(1));
    let both = Change::CreateAll { keys: vec!["c".into(), "d".into()], value: "".into(), millis: 10 };
    assert_eq!(entry(&mut keyspace, at(6, 0), both), Answer::Refused(Refused::Full), "all or nothing");
    assert_eq!(entry(&mut keyspace, at(7, 0), lock("c", "four", 10)), Answer::Integer(1));
}

fn image<const BYTES: u64>(keyspace: &Keyspace<BYTES>) -> Vec<u8> {
    let mut bytes = Vec::new();
    keyspace.snapshot(&mut bytes).expect("a vector takes it all");
    bytes
}

#[test]
fn a_snapshot_is_these_bytes() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(7, 2), lock("k", "one", 1));
    let golden = [2, 1, 1, b'k', 3, b'o', b'n', b'e', 7, 7, 1, 0xB8, 0x17, 1, 0];
    assert_eq!(image(&keyspace), golden);
}

#[test]
fn a_command_is_these_bytes() {
    let mut bytes = Vec::new();
    let condition = Condition::IfAbsent;
    let (key, value, expiry) = ("k".into(), "one".into(), Expiry::In { millis: 300 });
    let command = Command::Change(Change::Set { key, value, condition, expiry, previous: false });
    codec::put(&command, &mut bytes).expect("a vector takes it all");
    assert_eq!(bytes, [0, 0, 1, b'k', 3, b'o', b'n', b'e', 1, 2, 0xAC, 2, 0]);
    assert!(command.weight() >= bytes.len());
}

#[test]
fn a_snapshot_out_of_order_or_beyond_the_limits_is_malformed() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), set("a", ""));
    entry(&mut keyspace, at(2, 0), set("b", ""));
    let good = image(&keyspace);
    let swapped: Vec<u8> = good
        .iter()
        .map(|byte| match byte {
            b'a' => b'b',
            b'b' => b'a',
            other => *other,
        })
        .collect();
    let twice: Vec<u8> = good.iter().map(|byte| if *byte == b'b' { b'a' } else { *byte }).collect();
    for bad in [swapped, twice] {
        assert!(matches!(Keyspace::<STATE_BYTES>::restore(&bad), Err(Malformed::Content)));
    }
    assert!(matches!(Keyspace::<ITEM_BYTES_AND_ONE>::restore(&good), Err(Malformed::Content)));
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(Keyspace::<STATE_BYTES>::restore(&longer), Err(Malformed::Trailing)));
}

const ITEM_BYTES_AND_ONE: u64 = ITEM_BYTES as u64 + 1;

quickcheck! {
    /// The same replies, the same answers and the same deadline as the model, through any number of restarts.
    fn a_keyspace_is_as_its_model(entries: Vec<(u8, Command, Query, bool)>) -> bool {
        let (mut keyspace, mut model): (Keyspace, Model) = Default::default();
        let mut micros = 0;
        entries.into_iter().zip(1..).all(|((passed, command, query, restart), index)| {
            micros += u64::from(passed) * 50;
            let now = Moment { index: Index::new(index), time: Timestamp::from_micros(micros) };
            keyspace.tick(now);
            model.tick(now);
            let same = keyspace.apply(now, &command) == model.apply(now, &command);
            if restart {
                keyspace = Keyspace::restore(&image(&keyspace)).expect("its own bytes");
            }
            same && keyspace.query(now.time, &query) == model.query(now.time, &query)
                && keyspace.query(now.time, &Query::Stats) == model.query(now.time, &Query::Stats)
                && keyspace.deadline().map(Timestamp::as_micros) == model.deadline()
        })
    }

    fn a_command_survives_its_encoding_and_weighs_no_less(command: Command) -> bool {
        let mut bytes = Vec::new();
        codec::put(&command, &mut bytes).expect("a vector takes it all");
        bytes.len() <= command.weight() && codec::take_all(&bytes) == Ok(command)
    }

    fn any_bytes_are_a_keyspace_or_malformed(bytes: Vec<u8>, items: u8) -> bool {
        restored([&[1, items], &bytes[..]].concat()) && restored([&[2, items], &bytes[..]].concat()) && restored(bytes)
    }

    /// What one changed byte leaves readable is a whole keyspace: it can run on and be written again.
    fn a_corrupt_snapshot_is_a_keyspace_or_malformed(entries: Vec<Command>, place: usize, byte: u8) -> bool {
        let mut keyspace: Keyspace = Keyspace::default();
        for (command, index) in entries.iter().zip(1..) {
            keyspace.apply(at(index, 0), command);
        }
        let mut bytes = image(&keyspace);
        let place = place % bytes.len();
        bytes[place] = byte;
        restored(bytes)
    }
}

/// Whether the bytes are malformed, or a keyspace that can run on and be written again.
fn restored(bytes: Vec<u8>) -> bool {
    match Keyspace::<STATE_BYTES>::restore(&bytes) {
        Err(_) => true,
        Ok(mut keyspace) => {
            keyspace.tick(at(1_000, u64::MAX / 1_000));
            Keyspace::<STATE_BYTES>::restore(&image(&keyspace)).is_ok()
        }
    }
}
