//! What a keyspace does for transactions that span groups.

use super::*;
use crate::sharded::Transactional;
use crate::{NodeId, TxId};
use quickcheck::{Arbitrary, Gen};

const fn tx(number: u64) -> TxId {
    TxId { coordinator: NodeId::new(1), number }
}

fn part(steps: impl IntoIterator<Item = Step>) -> Part {
    let transaction = Transaction { watched: vec![], steps: steps.into_iter().collect() };
    Part { transaction, all_met: false }
}

fn strict(change: Change) -> Part {
    Part { all_met: true, ..part([change.into()]) }
}

fn look(key: &str) -> Step {
    Query::Get { key: key.into() }.into()
}

fn set_all(items: &[(&str, &str)]) -> Change {
    Change::SetAll { items: items.iter().map(|&(key, value)| (key.into(), value.into())).collect() }
}

/// An entry that prepares.
fn prepare<const BYTES: u64>(
    keyspace: &mut Keyspace<BYTES>,
    now: Moment,
    number: u64,
    part: &Part,
) -> Result<Vec<Answer>, Objection> {
    keyspace.tick(now);
    keyspace.prepare(now, tx(number), part)
}

/// An entry that finishes.
fn finish<const BYTES: u64>(
    keyspace: &mut Keyspace<BYTES>,
    now: Moment,
    number: u64,
    part: &Part,
    commit: bool,
) {
    keyspace.tick(now);
    keyspace.finish(now, tx(number), part, commit);
}

fn stats<const BYTES: u64>(keyspace: &Keyspace<BYTES>) -> (u64, u64) {
    match keyspace.query(Timestamp::default(), &Query::Stats) {
        Answer::Stats(stats) => (stats.keys, stats.bytes),
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn what_is_prepared_is_there_once_it_is_committed_and_not_before() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), set("old", "1"));
    let before = stats(&keyspace);
    let changes = [set("new", "2"), Change::Delete { keys: vec!["old".into()] }];
    let part = part(changes.map(Step::from));
    assert_eq!(prepare(&mut keyspace, at(2, 0), 1, &part), Ok(vec![Answer::Done, Answer::Integer(1)]));
    assert_eq!(stats(&keyspace), before);
    finish(&mut keyspace, at(3, 0), 1, &part, true);
    assert_eq!((get(&keyspace, "new"), get(&keyspace, "old")), (Some(b"2".to_vec()), None));
}

#[test]
fn what_is_aborted_leaves_no_trace() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), lock("a", "one", 10));
    let before = (image(&keyspace), keyspace.deadline());
    let part = part([set("a", "two").into(), set("b", "two").into(), look("c")]);
    prepare(&mut keyspace, at(2, 0), 1, &part).expect("nothing is in its way");
    assert_ne!((image(&keyspace), keyspace.deadline()), before);
    finish(&mut keyspace, at(3, 0), 1, &part, false);
    assert_eq!((image(&keyspace), keyspace.deadline()), before);
    finish(&mut keyspace, at(4, 0), 1, &part, false);
    assert_eq!((image(&keyspace), keyspace.deadline()), before, "told again, or what was never prepared");
}

#[test]
fn what_a_part_is_told_is_what_comes_of_it_token_and_expiry_included() {
    let mut keyspace: Keyspace = Keyspace::default();
    let asked = [Query::Fence { key: "k".into() }, Query::Revision { key: "k".into() }];
    let left = Query::Remaining { key: "k".into() };
    let steps = [lock("k", "one", 100).into(), left.clone().into()];
    let part = part(steps.into_iter().chain(asked.clone().map(Step::from)));
    let told = prepare(&mut keyspace, at(5, 0), 1, &part).expect("nothing is in its way");
    assert_eq!(told[1..3], [Answer::Remaining(Remaining::Millis(100)), Answer::Fence(Some(Index::new(5)))]);
    finish(&mut keyspace, at(9, 40), 1, &part, true);
    let is = asked.map(|query| keyspace.query(at(9, 40).time, &query));
    assert_eq!(is, told[2..]);
    assert_eq!(keyspace.query(at(9, 40).time, &left), Answer::Remaining(Remaining::Millis(60)));
}

#[test]
fn steps_see_earlier_ones_and_one_that_is_refused_does_not_undo_them() {
    let mut keyspace: Keyspace = Keyspace::default();
    let add = |key: &str| Change::Add { key: key.into(), by: 1 }.into();
    let part = part([add("n"), set("s", "x").into(), add("s"), add("n"), look("n")]);
    let told = prepare(&mut keyspace, at(1, 0), 1, &part).expect("no objection");
    let refused = Answer::Refused(Refused::NotAnInteger);
    let value = Answer::Value(Some("2".into()));
    assert_eq!(told, [Answer::Integer(1), Answer::Done, refused, Answer::Integer(2), value]);
    finish(&mut keyspace, at(2, 0), 1, &part, true);
    assert_eq!((get(&keyspace, "n"), get(&keyspace, "s")), (Some(b"2".to_vec()), Some(b"x".to_vec())));
}

#[test]
fn a_watched_key_that_changed_is_a_conflict_and_nothing_is_held() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(3, 0), set("k", "1"));
    let watching = |revision| {
        let watched = vec![("k".into(), Some(Index::new(revision)))];
        Part { transaction: Transaction { watched, steps: vec![set("other", "").into()] }, all_met: false }
    };
    assert_eq!(prepare(&mut keyspace, at(4, 0), 1, &watching(2)), Err(Objection::Conflict));
    entry(&mut keyspace, at(5, 0), set("other", "free"));
    assert_eq!(prepare(&mut keyspace, at(6, 0), 2, &watching(3)), Ok(vec![Answer::Done]));
}

#[test]
fn where_all_must_be_met_a_condition_that_is_not_is_an_objection() {
    let (key, value, none): (Blob, Blob, Blob) = ("k".into(), "one".into(), "none".into());
    let set = |key: &Blob, condition, previous| Change::Set {
        key: key.clone(),
        value: "v".into(),
        condition,
        expiry: Expiry::Never,
        previous,
    };
    let extend = |keys: &[&Blob]| Change::CompareExpire {
        keys: keys.iter().map(|&key| key.clone()).collect(),
        value: value.clone(),
        millis: 9,
        extension: Extension::Replace,
    };
    let create = |keys: Vec<Blob>| Change::CreateAll { keys, value: value.clone(), millis: 9 };
    let own = |value: &str| Change::CompareOrCreate { key: key.clone(), value: value.into(), millis: 9 };
    let (old, zero) = (Answer::Value(Some(value.clone())), Answer::Integer(0));
    let (unmet, refused) = (Objection::Unmet, Refused::NotAnInteger);
    let cases = [
        (set(&key, Condition::IfAbsent, false), Err(unmet(Answer::Unmet))),
        (set(&none, Condition::IfPresent, false), Err(unmet(Answer::Unmet))),
        (set(&none, Condition::IfAbsent, false), Ok(Answer::Done)),
        (set(&key, Condition::IfAbsent, true), Err(unmet(old.clone()))),
        (set(&none, Condition::IfPresent, true), Err(unmet(Answer::Value(None)))),
        (set(&none, Condition::IfAbsent, true), Ok(Answer::Value(None))),
        (set(&key, Condition::IfPresent, true), Ok(old.clone())),
        (set(&key, Condition::Always, true), Ok(old)),
        (set(&none, Condition::Always, true), Ok(Answer::Value(None))),
        (extend(&[&key, &none]), Err(unmet(zero.clone()))),
        (extend(&[&key]), Ok(Answer::Integer(1))),
        (extend(&[]), Ok(zero.clone())),
        (create(vec![none.clone(), key.clone()]), Err(unmet(zero.clone()))),
        (create(vec![none.clone()]), Ok(Answer::Integer(1))),
        (create(vec![]), Ok(zero.clone())),
        (own("other"), Err(unmet(zero.clone()))),
        (own("one"), Ok(Answer::Integer(1))),
        (Change::Add { key: key.clone(), by: 1 }, Err(Objection::Refused(refused))),
        (Change::Delete { keys: vec![none.clone()] }, Ok(zero.clone())),
        (Change::Expire { key: none.clone(), millis: 1 }, Ok(zero.clone())),
        (Change::Persist { key: none.clone() }, Ok(zero)),
    ];
    for (change, expected) in cases {
        let mut keyspace: Keyspace = Keyspace::default();
        entry(&mut keyspace, at(1, 0), lock("k", "one", 100));
        let before = image(&keyspace);
        let told = prepare(&mut keyspace, at(2, 0), 1, &strict(change.clone()));
        assert_eq!(told, expected.map(|answer| vec![answer]), "{change:?}");
        assert_eq!(told.is_err(), image(&keyspace) == before, "who objects prepares nothing: {change:?}");
    }
}

#[test]
fn a_held_key_does_not_expire_until_the_last_who_holds_it_lets_go() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), lock("k", "one", 10));
    entry(&mut keyspace, at(2, 0), lock("free", "one", 10));
    let part = part([look("k")]);
    prepare(&mut keyspace, at(3, 0), 1, &part).expect("it is free");
    prepare(&mut keyspace, at(4, 0), 2, &part).expect("they share it");
    keyspace.tick(at(5, 20));
    assert_eq!((get(&keyspace, "free"), keyspace.deadline()), (None, None));
    finish(&mut keyspace, at(6, 30), 1, &part, true);
    assert_eq!(get(&keyspace, "k"), Some(b"one".to_vec()), "late, never early");
    finish(&mut keyspace, at(7, 30), 2, &part, false);
    assert_eq!(get(&keyspace, "k"), None);
}

#[test]
fn nothing_is_prepared_on_a_key_that_is_past_its_end_so_that_it_ends() {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), lock("k", "one", 10));
    let part = part([look("k")]);
    prepare(&mut keyspace, at(2, 9), 1, &part).expect("it is free");
    let expiring = Err(Objection::Refused(Refused::Expiring));
    assert_eq!(prepare(&mut keyspace, at(3, 10), 2, &part), expiring);
    finish(&mut keyspace, at(4, 10), 1, &part, true);
    assert_eq!(prepare(&mut keyspace, at(5, 10), 2, &part), Ok(vec![Answer::Value(None)]));
}

#[test]
fn what_would_have_expired_before_it_is_committed_is_gone_at_once() {
    let mut keyspace: Keyspace = Keyspace::default();
    let part = part([lock("k", "one", 10).into()]);
    assert_eq!(prepare(&mut keyspace, at(1, 0), 1, &part), Ok(vec![Answer::Integer(1)]));
    finish(&mut keyspace, at(2, 10), 1, &part, true);
    assert_eq!((stats(&keyspace), keyspace.deadline()), ((0, 0), None));
}

#[test]
fn room_is_kept_for_what_is_prepared() {
    const ROOM: u64 = 2 * (ITEM_BYTES as u64 + 5);
    let mut keyspace = Keyspace::<ROOM>::default();
    let full = Answer::Refused(Refused::Full);
    let part = |key: &str| part([set(key, "four").into()]);
    assert_eq!(entry(&mut keyspace, at(1, 0), set("a", "four")), Answer::Done);
    assert_eq!(prepare(&mut keyspace, at(2, 0), 1, &part("b")), Ok(vec![Answer::Done]));
    assert_eq!(entry(&mut keyspace, at(3, 0), set("c", "")), full);
    assert_eq!(prepare(&mut keyspace, at(4, 0), 2, &part("d")), Ok(vec![full.clone()]));
    finish(&mut keyspace, at(5, 0), 2, &part("d"), false);
    keyspace = Keyspace::restore(&image(&keyspace)).expect("its own bytes");
    assert_eq!(entry(&mut keyspace, at(6, 0), set("c", "")), full, "after a restart too");
    finish(&mut keyspace, at(7, 0), 1, &part("b"), false);
    assert_eq!(entry(&mut keyspace, at(8, 0), set("c", "four")), Answer::Done);
}

#[test]
fn room_that_is_given_back_can_be_used_once_that_is_committed() {
    const ROOM: u64 = ITEM_BYTES as u64 + 5;
    let mut keyspace = Keyspace::<ROOM>::default();
    assert_eq!(entry(&mut keyspace, at(1, 0), set("a", "four")), Answer::Done);
    let part = part([Change::Delete { keys: vec!["a".into()] }.into(), set("b", "four").into()]);
    assert_eq!(prepare(&mut keyspace, at(2, 0), 1, &part), Ok(vec![Answer::Integer(1), Answer::Done]));
    assert_eq!(entry(&mut keyspace, at(3, 0), set("c", "")), Answer::Refused(Refused::Full));
    finish(&mut keyspace, at(4, 0), 1, &part, true);
    assert_eq!(entry(&mut keyspace, at(5, 0), Change::Delete { keys: vec!["b".into()] }), Answer::Integer(1));
}

#[test]
fn several_values_are_set_together_or_not_at_all() {
    const ROOM: u64 = 2 * (ITEM_BYTES as u64 + 5);
    let mut keyspace = Keyspace::<ROOM>::default();
    let (two, three) =
        (set_all(&[("a", "four"), ("b", "four")]), set_all(&[("a", ""), ("b", ""), ("c", "")]));
    assert_eq!(entry(&mut keyspace, at(1, 0), three.clone()), Answer::Refused(Refused::Full));
    assert_eq!(stats(&keyspace), (0, 0));
    assert_eq!(entry(&mut keyspace, at(2, 0), two), Answer::Done);
    let swapped = set_all(&[("a", "longer"), ("b", "12"), ("a", "123456"), ("b", "12")]);
    assert_eq!(entry(&mut keyspace, at(3, 0), swapped), Answer::Done, "in all it does not grow");
    assert_eq!(stats(&keyspace), (2, ROOM));

    let without_room = part([three.into()]);
    let refused = Err(Objection::Refused(Refused::Full));
    assert_eq!(prepare(&mut keyspace, at(4, 0), 1, &without_room), refused, "whatever else is asked");
}

#[test]
fn what_is_prepared_is_bounded() {
    let mut keyspace: Keyspace = Keyspace::default();
    let value = Blob::from(vec![b'x'; VALUE_BYTES]);
    let fits = limits::PREPARED_BYTES / VALUE_BYTES as u64;
    let big = |number: u64| {
        let key = Blob::from(&number.to_le_bytes()[..]);
        part([Change::SetAll { items: vec![(key, value.clone())] }.into()])
    };
    for number in 1..fits {
        assert_eq!(prepare(&mut keyspace, at(number, 0), number, &big(number)), Ok(vec![Answer::Done]));
    }
    let refused = Err(Objection::Refused(Refused::Full));
    assert_eq!(prepare(&mut keyspace, at(fits, 0), fits, &big(fits)), refused);
    finish(&mut keyspace, at(fits + 1, 0), 1, &big(1), true);
    assert_eq!(prepare(&mut keyspace, at(fits + 2, 0), fits, &big(fits)), Ok(vec![Answer::Done]));
}

#[test]
fn a_part_beyond_a_limit_is_refused() {
    let long = Query::Get { key: Blob::from(vec![b'x'; KEY_BYTES + 1]) };
    let refused = prepare(&mut Keyspace::<STATE_BYTES>::default(), at(1, 0), 1, &part([long.into()]));
    assert_eq!(refused, Err(Objection::Refused(Refused::KeyTooLong)));
}

/// Two that share a key, one that creates, changes nothing of, and removes keys.
fn busy() -> Keyspace {
    let mut keyspace: Keyspace = Keyspace::default();
    entry(&mut keyspace, at(1, 0), set("a", "1"));
    entry(&mut keyspace, at(2, 0), set("r", ""));
    let remove = Change::Delete { keys: vec!["r".into(), "x".into()] };
    let steps = [look("x"), lock("k", "one", 1).into(), remove.into(), look("a")];
    prepare(&mut keyspace, at(3, 0), 7, &part(steps)).expect("it is free");
    prepare(&mut keyspace, at(4, 0), 8, &part([look("a")])).expect("they share it");
    keyspace
}

#[test]
fn what_is_prepared_is_these_bytes() {
    let golden = [
        &[2, 2][..], // the format, two items
        &[1, b'a', 1, b'1', 1, 1, 0, 0, 1, b'r', 0, 2, 2, 0, 0],
        &[2, 1, 7, 4], // two transactions, the first of four keys
        &[1, b'a', 0], // looked at
        &[1, b'k', 3, 3, b'o', b'n', b'e', 3, 3, 1, 0xE8, 7, 1], // put
        &[1, b'r', 2, 1, b'x', 1], // removed, kept
        &[1, 8, 1, 1, b'a', 0],
    ];
    assert_eq!(image(&busy()), golden.concat());
}

#[test]
fn a_part_is_these_bytes() {
    let mut bytes = Vec::new();
    codec::put(&Part { all_met: true, ..part([look("k")]) }, &mut bytes).expect("a vector takes it all");
    assert_eq!(bytes, [0, 1, 1, 0, 1, b'k', 1]);
}

#[test]
fn an_older_snapshot_has_nothing_prepared() {
    let older = [1, 1, 1, b'k', 3, b'o', b'n', b'e', 7, 7, 1, 0xB8, 0x17, 1];
    let keyspace = Keyspace::<STATE_BYTES>::restore(&older).expect("it can be read");
    assert_eq!(image(&keyspace), [&[2], &older[1..], &[0]].concat());
    assert!(Keyspace::<STATE_BYTES>::restore(&[3, 0, 0]).is_err());
}

#[test]
fn what_cannot_have_been_prepared_is_malformed() {
    let restore = |prepared: &[&[u8]]| {
        let bytes = [&[2, 1, 1, b'a', 1, b'1', 1, 1, 0, 0][..], &prepared.concat()].concat();
        Keyspace::<256>::restore(&bytes).map(|_| ())
    };
    let put: &[u8] = &[1, b'b', 3, 0, 1, 1, 0, 0];
    assert_eq!(restore(&[&[1, 1, 7, 1], put]), Err(Malformed::Content), "there is no room for it");
    let restore = |prepared: &[&[u8]]| {
        let bytes = [&[2, 1, 1, b'a', 1, b'1', 1, 1, 0, 0][..], &prepared.concat()].concat();
        Keyspace::<STATE_BYTES>::restore(&bytes).map(|_| ())
    };
    assert_eq!(restore(&[&[1, 1, 7, 1], put]), Ok(()));
    assert_eq!(restore(&[&[2, 1, 7, 1, 1, b'a', 0], &[1, 8, 1, 1, b'a', 0]]), Ok(()));
    let broken: [&[&[u8]]; 6] = [
        &[&[2, 1, 7, 1], put, &[1, 8, 1], put],               // held by two
        &[&[2, 1, 7, 1, 1, b'a', 0], &[1, 8, 1, 1, b'a', 1]], // shared with one who changes it
        &[&[2, 1, 8, 0], &[1, 7, 0]],                         // out of order
        &[&[1, 1, 7, 2, 1, b'c', 1, 1, b'b', 1]],             // its keys are
        &[&[1, 1, 7, 2, 1, b'b', 1, 1, b'b', 1]],             // a key twice
        &[&[1, 1, 7, 1, 1, b'b', 3, 0, 2, 1, 0, 0]],          // modified before it was created
    ];
    for (at, broken) in broken.into_iter().enumerate() {
        assert_eq!(restore(broken), Err(Malformed::Content), "{at}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "so many keys take an interpreter too long")]
fn a_transaction_of_too_many_keys_is_malformed() {
    let many = limits::PREPARED_BYTES / ITEM_BYTES as u64 + 1;
    let mut bytes = vec![2, 0, 1, 1, 7];
    codec::put(&many, &mut bytes).expect("a vector takes it all");
    (0..many).for_each(|key| {
        codec::put(&(Blob::from(&key.to_be_bytes()[..]), 0_u8), &mut bytes).expect("it grows");
    });
    assert_eq!(Keyspace::<STATE_BYTES>::restore(&bytes).map(|_| ()), Err(Malformed::Content));
    // Too many transactions without a key.
    let mut bytes = vec![2, 0];
    codec::put(&many, &mut bytes).expect("a vector takes it all");
    (0..many).for_each(|number| codec::put(&(1_u8, number, 0_u8), &mut bytes).expect("it grows"));
    assert_eq!(Keyspace::<STATE_BYTES>::restore(&bytes).map(|_| ()), Err(Malformed::Content));
}

#[test]
#[should_panic(expected = "what a transaction holds is locked")]
fn no_command_changes_what_a_transaction_looks_at() {
    entry(&mut busy(), at(5, 0), set("a", "2"));
}

#[test]
#[should_panic(expected = "what a transaction holds is locked")]
fn no_query_looks_at_what_is_in_doubt() {
    get(&busy(), "k");
}

#[test]
#[should_panic(expected = "keys are locked before anything is prepared")]
fn no_two_prepare_changes_of_one_key() {
    let _ = prepare(&mut busy(), at(5, 0), 9, &part([look("x")]));
}

#[test]
#[should_panic(expected = "a part is prepared once")]
fn none_is_prepared_twice() {
    let _ = prepare(&mut busy(), at(5, 0), 8, &part([look("a")]));
}

#[test]
#[should_panic(expected = "only what was prepared is committed")]
fn none_is_committed_that_was_not_prepared() {
    finish(&mut busy(), at(5, 0), 9, &part([]), true);
}

/// What happens to a keyspace.
#[derive(Clone, Debug)]
enum Happening {
    Command(Command),
    Prepare { part: Part, commit: bool },
    Finish(usize),
    Restart,
}

impl Arbitrary for Happening {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 8 {
            0..3 => Self::Command(Command::arbitrary(g)),
            3..6 => Self::Prepare { part: Part::arbitrary(g), commit: bool::arbitrary(g) },
            6 => Self::Finish(usize::arbitrary(g)),
            _ => Self::Restart,
        }
    }
}

/// A keyspace and its model. The model does at once what will be committed, since nobody looks at it before.
#[derive(Default)]
struct Twins {
    keyspace: Keyspace,
    model: Model,
    open: Vec<(u64, Part, bool)>,
}

impl Twins {
    /// Whether both do the same.
    fn happens(&mut self, now: Moment, happening: &Happening) -> bool {
        self.keyspace.tick(now);
        self.model.tick(now);
        match happening {
            Happening::Command(command) => {
                let mut free = match command {
                    Command::Change(_) => true,
                    Command::Transaction(transaction) => !self.is_ahead(transaction),
                };
                command.keys(&mut |key, mode| free &= !self.is_held(key, mode));
                !free || self.keyspace.apply(now, command) == self.model.apply(now, command)
            }
            Happening::Prepare { part, commit } => self.prepares(now, part, *commit),
            Happening::Finish(which) if !self.open.is_empty() => {
                let (number, part, commit) = self.open.remove(which % self.open.len());
                self.keyspace.finish(now, tx(number), &part, commit);
                self.let_go(now);
                true
            }
            Happening::Finish(_) => true,
            Happening::Restart => {
                let bytes = image(&self.keyspace);
                self.keyspace = Keyspace::restore(&bytes).expect("its own bytes");
                image(&self.keyspace) == bytes
            }
        }
    }

    fn prepares(&mut self, now: Moment, part: &Part, commit: bool) -> bool {
        let (mut free, mut late) = (true, false);
        part.transaction.keys(&mut |key, mode| {
            free &= !self.is_held(key, mode);
            late |= self.model.is_late(now, key);
        });
        if !free || self.is_ahead(&part.transaction) {
            return true;
        }
        let number = now.index.get();
        let mut model = self.model.clone();
        let expected = match model.apply(now, &Command::Transaction(part.transaction.clone())) {
            _ if late => Err(Objection::Refused(Refused::Expiring)),
            Reply::Answers(answers) => Ok(answers),
            Reply::Conflict => Err(Objection::Conflict),
            Reply::Answer(answer) => panic!("a transaction has several answers: {answer:?}"),
        };
        let told = self.keyspace.prepare(now, tx(number), part);
        if told.is_ok() {
            if commit {
                self.model = model;
            }
            self.open.push((number, part.clone(), commit));
            self.let_go(now);
        }
        let objected = matches!(told, Err(Objection::Unmet(_) | Objection::Refused(_)));
        told == expected || part.all_met && objected
    }

    /// What nobody holds expires.
    fn let_go(&mut self, now: Moment) {
        self.model.held.clear();
        for (_, part, _) in &self.open {
            part.transaction.keys(&mut |key, _| self.model.held.push(key.clone()));
        }
        self.model.tick(now);
    }

    /// Whether it asks for what the model knows already, and no lock keeps it from asking.
    fn is_ahead(&self, transaction: &Transaction) -> bool {
        !self.open.is_empty() && transaction.steps.contains(&Query::Stats.into())
    }

    fn is_held(&self, key: &Blob, mode: Mode) -> bool {
        self.open.iter().any(|(_, part, _)| {
            let mut held = false;
            part.transaction.keys(&mut |other, theirs| held |= other == key && mode.conflicts(theirs));
            held
        })
    }

    /// Whether all that may be looked at is the same.
    fn are_alike(&self, now: Moment) -> bool {
        let seen = |key: &str| {
            let key = Blob::from(key);
            let ask = [
                Query::Get { key: key.clone() },
                Query::Revision { key: key.clone() },
                Query::Fence { key: key.clone() },
                Query::Remaining { key: key.clone() },
            ];
            let same = |query| self.keyspace.query(now.time, query) == self.model.query(now.time, query);
            self.is_held(&key, Mode::Shared) || ask.iter().all(same)
        };
        let stats = Query::Stats;
        ["a", "b", "c", "", "lock"].into_iter().all(seen)
            && self.keyspace.deadline().map(Timestamp::as_micros) == self.model.deadline()
            && (!self.open.is_empty()
                || self.keyspace.query(now.time, &stats) == self.model.query(now.time, &stats))
    }
}

quickcheck! {
    /// Through any mixture of commands and transactions under way, and any number of restarts.
    fn what_is_prepared_is_as_its_model(happenings: Vec<(u8, Happening)>) -> bool {
        let mut twins = Twins::default();
        let (mut micros, mut index) = (0, 0);
        let all_end = (0..happenings.len()).map(|_| (1, Happening::Finish(0)));
        happenings.into_iter().chain(all_end).all(|(passed, happening)| {
            micros += u64::from(passed) * 50;
            index += 1;
            let now = Moment { index: Index::new(index), time: Timestamp::from_micros(micros) };
            twins.happens(now, &happening) && twins.are_alike(now)
        }) && twins.open.is_empty()
    }

    fn prepared_and_committed_in_one_entry_is_the_transaction(commands: Vec<Command>, part: Part) -> bool {
        let (mut whole, mut halves): (Keyspace, Keyspace) = Default::default();
        for (command, index) in commands.iter().zip(1..) {
            whole.apply(at(index, 0), command);
            halves.apply(at(index, 0), command);
        }
        let (now, part) = (at(commands.len() as u64 + 1, 0), Part { all_met: false, ..part });
        let same = match halves.prepare(now, tx(1), &part) {
            Ok(answers) => {
                halves.finish(now, tx(1), &part, true);
                Reply::Answers(answers)
            }
            Err(_) => Reply::Conflict,
        };
        same == whole.apply(now, &Command::Transaction(part.transaction)) && image(&whole) == image(&halves)
    }

    fn a_part_survives_its_encoding_and_weighs_no_less(part: Part) -> bool {
        let mut bytes = Vec::new();
        codec::put(&part, &mut bytes).expect("a vector takes it all");
        bytes.len() <= part.weight() && codec::take_all(&bytes) == Ok(part)
    }

    fn corrupt_parts_are_a_keyspace_or_malformed(happenings: Vec<Happening>, place: usize, byte: u8) -> bool {
        let mut twins = Twins::default();
        for (happening, index) in happenings.iter().zip(1..) {
            twins.happens(at(index, 0), happening);
        }
        let mut bytes = image(&twins.keyspace);
        let place = place % bytes.len();
        bytes[place] = byte;
        restored(bytes)
    }
}
