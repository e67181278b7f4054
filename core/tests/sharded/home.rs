//! What a home answers, entry by entry.

use crate::bank::{Bank, Overdrawn, Pay, Work};
use crate::cluster::{group, pay};
use quorate::keyspace::{self, Change, Condition, Expiry, Keyspace, Part, Transaction};
use quorate::sharded::{Answer, Command, Notice, Query, Reply, Shard, Transactional};
use quorate::{Age, Application, Index, Moment, NodeId, Timestamp, TxId};

const TX: TxId = TxId { coordinator: NodeId::new(3), number: 4 };
const UNTIL: Timestamp = Timestamp::from_micros(90);

fn at<A: Transactional<Query: Clone>>(
    shard: &mut Shard<A>,
    time: u64,
    command: &Command<A::Command, A::Work>,
) -> Reply<A::Reply, A::Gain, A::Objection> {
    let now = Moment { index: Index::new(time), time: Timestamp::from_micros(time) };
    shard.tick(now);
    shard.apply(now, command)
}

fn prepare() -> Command<Pay, Work> {
    Command::Prepare { tx: TX, age: Age::new(1), home: group(0), until: UNTIL, work: pay(5, 1) }
}

fn decide() -> Command<Pay, Work> {
    Command::Decide { tx: TX, groups: vec![group(0), group(1)], until: UNTIL }
}

fn commit() -> Command<Pay, Work> {
    let (age, home, groups) = (Age::new(1), group(0), vec![group(0), group(1)]);
    Command::Commit { tx: TX, age, home, until: UNTIL, work: pay(5, 1), groups }
}

/// Another transaction takes the key, or has it no more.
fn other(amount: i64) -> Command<Pay, Work> {
    let tx = TxId { number: 1, ..TX };
    match amount {
        0 => Command::Finish { tx, commit: false },
        _ => Command::Prepare { tx, age: Age::new(0), home: group(1), until: UNTIL, work: pay(5, amount) },
    }
}

#[test]
fn a_home_does_its_part_and_decides_in_one() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(at(&mut shard, 90, &commit()), Reply::Gains(vec![101]));
    assert_eq!(shard.application().accounts[&5], 101);
    assert_eq!(at(&mut shard, 91, &Command::Resolve { tx: TX, until: UNTIL }), Reply::Decided(Some(true)));
    // What it gained is not kept: nobody asks twice.
    assert_eq!(at(&mut shard, 92, &commit()), Reply::Unknown);
    assert_eq!(shard.application().accounts[&5], 101);
    at(&mut shard, 93, &Command::Forget(vec![TX]));
    assert!(shard.is_idle());
}

#[test]
fn a_home_that_is_asked_too_late_or_cannot_does_nothing() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(at(&mut shard, 91, &commit()), Reply::Decided(Some(false)));
    let until = Timestamp::from_micros(100);
    let (age, home, groups) = (Age::new(1), group(0), vec![group(0), group(1)]);
    let too_much = Command::Commit { tx: TX, age, home, until, work: pay(5, -101), groups };
    assert_eq!(at(&mut shard, 92, &too_much), Reply::Objects(Overdrawn));
    assert!(shard.is_idle() && shard.application().accounts.is_empty());
}

#[test]
fn a_home_whose_keys_are_taken_promises_in_its_turn_before_it_decides() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(at(&mut shard, 1, &other(-1)), Reply::Gains(vec![99]));
    assert!(matches!(at(&mut shard, 2, &commit()), Reply::Waits { .. }));
    assert_eq!(at(&mut shard, 3, &decide()), Reply::Decided(None));
    at(&mut shard, 4, &other(0));
    assert_eq!(at(&mut shard, 6, &prepare()), Reply::Gains(vec![101]));
    assert!(shard.application().accounts.is_empty());
    assert_eq!(at(&mut shard, 7, &decide()), Reply::Decided(Some(true)));
    assert_eq!(shard.application().accounts[&5], 101);
}

#[test]
fn a_home_that_is_asked_in_time_decides_that_nothing_is_done() {
    let resolve = Command::Resolve { tx: TX, until: UNTIL };
    for is_promised in [true, false] {
        let mut shard = Shard::<Bank>::default();
        if is_promised {
            assert_eq!(at(&mut shard, 1, &prepare()), Reply::Gains(vec![101]));
        }
        // Who comes with a promise later, or asks for one, is told the same, as long as it could be decided otherwise.
        for time in [10, 80] {
            assert_eq!(at(&mut shard, time, &resolve), Reply::Decided(Some(false)));
            assert_eq!(at(&mut shard, time + 1, &decide()), Reply::Decided(Some(false)));
            assert_eq!(at(&mut shard, time + 2, &prepare()), Reply::Decided(Some(false)));
            assert_eq!(at(&mut shard, time + 3, &commit()), Reply::Decided(Some(false)));
            at(&mut shard, time + 4, &Command::Forget(vec![TX]));
        }
        assert_eq!(at(&mut shard, 90, &commit()), Reply::Decided(Some(false)));
        assert!(!shard.is_idle() && shard.deadline() == Some(Timestamp::from_micros(91)));
        // From then on there is nothing to remember.
        assert_eq!(at(&mut shard, 91, &commit()), Reply::Decided(Some(false)));
        assert!(shard.is_idle() && shard.application().accounts.is_empty());
    }
}

#[test]
fn a_home_presumes_that_nothing_is_done_when_its_time_is_over() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(at(&mut shard, 91, &Command::Resolve { tx: TX, until: UNTIL }), Reply::Decided(Some(false)));
    assert!(shard.is_idle());
    // Whoever comes with a promise now is told the same.
    assert_eq!(at(&mut shard, 92, &prepare()), Reply::Gains(vec![101]));
    assert_eq!(at(&mut shard, 93, &decide()), Reply::Decided(Some(false)));
}

#[test]
fn a_home_decides_only_so_much_to_come_to_nothing() {
    let mut shard = Shard::<Bank>::default();
    let resolve = |number| Command::Resolve { tx: TxId { number, ..TX }, until: UNTIL };
    for number in 0..4096 {
        assert_eq!(at(&mut shard, 1, &resolve(number)), Reply::Decided(Some(false)));
    }
    assert_eq!(at(&mut shard, 2, &resolve(4096)), Reply::Undecided);
    assert_eq!(at(&mut shard, 91, &resolve(4096)), Reply::Decided(Some(false)));
}

#[test]
fn what_gets_its_turn_is_looked_at_from_then_on() {
    let mut shard = Shard::<Bank>::default();
    let second = |micros: u64| Timestamp::from_micros(1_000_000 + micros);
    at(&mut shard, 1, &other(-1));
    assert!(matches!(at(&mut shard, 2, &prepare()), Reply::Waits { .. }));
    let line = Command::Plain(Pay { account: 5, amount: 1 });
    let Reply::Waits { tx, .. } = at(&mut shard, 3, &line) else { panic!("it waits") };
    assert_eq!(shard.deadline(), Some(second(1)), "what is promised");
    at(&mut shard, 900_000, &other(0));
    at(&mut shard, 900_002, &Command::Forget(Vec::new()));
    assert_eq!(shard.deadline(), Some(second(900_002)), "what has been promised just now");
    at(&mut shard, 1_500_000, &Command::Finish { tx: TX, commit: false });
    at(&mut shard, 1_500_002, &Command::Forget(Vec::new()));
    assert_eq!(shard.deadline(), Some(second(1_500_002)), "whose turn it is");
    at(&mut shard, 2_500_002, &Command::Forget(Vec::new()));
    assert!(shard.is_idle());
    assert_eq!(at(&mut shard, 2_500_003, &Command::Turn { tx }), Reply::Unknown);
}

#[test]
fn a_home_decides_only_what_it_has_promised() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(at(&mut shard, 1, &decide()), Reply::Decided(None));
    at(&mut shard, 2, &Command::Once(Work::Look(vec![5])));
    // One that waits for its keys has promised nothing.
    let other = TxId { number: 1, ..TX };
    let first =
        Command::Prepare { tx: other, age: Age::new(0), home: group(0), until: UNTIL, work: pay(5, -1) };
    assert_eq!(at(&mut shard, 3, &first), Reply::Gains(vec![99]));
    assert!(matches!(at(&mut shard, 4, &prepare()), Reply::Waits { .. }));
    assert_eq!(at(&mut shard, 5, &decide()), Reply::Decided(None));
}

#[test]
fn a_home_that_decided_says_so_until_it_is_told_to_forget() {
    let mut shard = Shard::<Bank>::default();
    at(&mut shard, 1, &prepare());
    let resolve = Command::Resolve { tx: TX, until: UNTIL };
    for time in [2, 3] {
        assert_eq!(at(&mut shard, time, &decide()), Reply::Decided(Some(true)));
    }
    assert_eq!(at(&mut shard, 95, &resolve), Reply::Decided(Some(true)));
    at(&mut shard, 96, &Command::Forget(vec![TX]));
    assert!(shard.is_idle());
    assert_eq!(at(&mut shard, 97, &resolve), Reply::Decided(Some(false)));
}

fn image(shard: &Shard<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    shard.snapshot(&mut bytes).expect("a vector is never full");
    bytes
}

#[test]
fn at_the_end_of_time_a_copy_of_a_home_that_was_asked_tells_what_the_home_tells() {
    let (mut shard, mut copy) = (Shard::default(), Shard::default());
    at(&mut shard, u64::MAX - 3_100_000, &prepare());
    let due = shard.deadline().expect("it is looked at later").as_micros();
    let resolve = Command::Resolve { tx: TX, until: Timestamp::from_micros(u64::MAX) };
    assert_eq!(at(&mut shard, due - 100_000, &resolve), Reply::Undecided);
    copy.load(&image(&shard)).expect("its own bytes");
    for shard in [&mut shard, &mut copy] {
        at(shard, u64::MAX, &Command::Forget(Vec::new()));
        assert!(matches!(shard.notice(), Some(Notice::Overdue { tx: TX, .. })));
        assert_eq!(shard.notice(), None);
    }
}

#[test]
fn a_home_promises_nothing_anew_for_what_it_decided() {
    let mut shard = Shard::<Bank>::default();
    at(&mut shard, 1, &prepare());
    at(&mut shard, 2, &decide());
    assert_eq!(at(&mut shard, 3, &prepare()), Reply::Decided(Some(true)));
    assert_eq!(shard.query(Timestamp::from_micros(3), &Query::Plain(5)), Answer::Plain(101));
    at(&mut shard, 4, &Command::Forget(vec![TX]));
    assert!(shard.is_idle());
}

#[test]
fn a_copy_of_a_home_that_was_asked_goes_on_as_the_home_does() {
    let (mut shard, mut copy) = (Shard::default(), Shard::default());
    at(&mut shard, 1, &prepare());
    assert_eq!(at(&mut shard, 2, &Command::Resolve { tx: TX, until: UNTIL }), Reply::Decided(Some(false)));
    copy.load(&image(&shard)).expect("its own bytes");
    for time in [100, 4_000_000] {
        for shard in [&mut shard, &mut copy] {
            at(shard, time, &Command::Forget(Vec::new()));
        }
        assert_eq!(image(&shard), image(&copy));
    }
}

#[test]
fn what_waits_is_not_carried_out_before_its_turn() {
    let mut shard = Shard::<Bank>::default();
    at(&mut shard, 1, &prepare());
    let reply = at(&mut shard, 2, &Command::Plain(Pay { account: 5, amount: 7 }));
    let Reply::Waits { tx, .. } = reply else { panic!("{reply:?}") };
    assert!(matches!(at(&mut shard, 3, &Command::Turn { tx }), Reply::Waits { .. }));
    at(&mut shard, 4, &Command::Finish { tx: TX, commit: true });
    assert_eq!(at(&mut shard, 6, &Command::Turn { tx }), Reply::Plain(108));
    assert_eq!(at(&mut shard, 7, &Command::Turn { tx }), Reply::Unknown);
}

#[test]
fn what_comes_later_does_not_overtake_what_waits() {
    let mut shard = Shard::<Bank>::default();
    let look = Command::Once(Work::Look(vec![5]));
    let work = Work::Look(vec![5]);
    at(&mut shard, 1, &Command::Prepare { tx: TX, age: Age::new(1), home: group(0), until: UNTIL, work });
    assert_eq!(at(&mut shard, 2, &look), Reply::Gains(vec![100]));
    assert!(matches!(at(&mut shard, 3, &Command::Plain(Pay { account: 5, amount: 7 })), Reply::Waits { .. }));
    assert!(matches!(at(&mut shard, 4, &look), Reply::Waits { .. }));
}

#[test]
fn whose_turn_is_not_taken_loses_it() {
    let mut shard = Shard::<Bank>::default();
    let Reply::Waits { tx: gone, .. } = at(&mut shard, 1, &Command::Look(vec![Box::from([5])])) else {
        panic!("a query takes its place")
    };
    let plain = Command::Plain(Pay { account: 5, amount: 7 });
    let Reply::Waits { tx, .. } = at(&mut shard, 9, &plain) else { panic!("it waits for who looks") };
    let over = 5_000_001;
    assert!(matches!(at(&mut shard, over - 1, &Command::Turn { tx }), Reply::Waits { .. }));
    assert_eq!(at(&mut shard, over, &Command::Turn { tx: gone }), Reply::Unknown);
    assert_eq!(at(&mut shard, over + 1, &Command::Turn { tx }), Reply::Plain(107));
    assert!(shard.is_idle());
}

#[test]
fn what_nobody_has_the_keys_of_is_done_however_much_is_locked() {
    let mut shard = Shard::<Keyspace>::default();
    let mut entries = 0;
    let mut apply = |command: &Command<_, _>| {
        entries += 1;
        at(&mut shard, entries, command)
    };
    // As many keys as there may be, and one more.
    for number in 0..4_u64 {
        let step = |step: u64| {
            let keys = (0..128).map(|key| format!("{number}.{step}.{key}").as_str().into());
            keyspace::Query::Exists { keys: keys.collect() }.into()
        };
        let transaction = Transaction { watched: vec![], steps: (0..128).map(step).collect() };
        let (tx, work) = (TxId { number, ..TX }, Part { transaction, all_met: false });
        let prepare = Command::Prepare { tx, age: Age::new(1), home: group(0), until: UNTIL, work };
        assert!(matches!(apply(&prepare), Reply::Gains(_)));
    }
    let set = |key: &str| {
        let (key, value, condition) = (key.into(), "".into(), Condition::Always);
        let set = Change::Set { key, value, condition, expiry: Expiry::Never, previous: false };
        Command::Plain(keyspace::Command::Change(set))
    };
    assert_eq!(apply(&set("0.0.0")), Reply::Full);
    assert_eq!(apply(&set("other")), Reply::Plain(keyspace::Reply::Answer(keyspace::Answer::Done)));
}

#[test]
fn what_waits_or_is_promised_is_bounded_in_bytes() {
    let mut shard = Shard::<Keyspace>::default();
    let mut entries = 0;
    let mut apply = |command: &Command<_, _>| {
        entries += 1;
        at(&mut shard, entries, command)
    };
    // A megabyte each, all but a thousandth.
    let work = || {
        let value = vec![0; keyspace::limits::VALUE_BYTES - 512];
        let items = ["one", "two"].map(|key| (key.into(), value.clone().into()));
        let steps = vec![Change::SetAll { items: items.into() }.into()];
        Part { transaction: Transaction { watched: vec![], steps }, all_met: false }
    };
    let prepare = |number, work| {
        let tx = TxId { number, ..TX };
        Command::Prepare { tx, age: Age::new(number), home: group(0), until: UNTIL, work }
    };
    assert!(matches!(apply(&prepare(1, work())), Reply::Gains(_)));
    for number in 2..=63 {
        let waits = if number % 2 == 0 { prepare(number, work()) } else { Command::Once(work()) };
        assert!(matches!(apply(&waits), Reply::Waits { .. }), "{number}");
    }
    assert!(matches!(apply(&prepare(64, work())), Reply::Waits { .. }));
    assert_eq!(apply(&prepare(65, work())), Reply::Full);
    assert_eq!(apply(&Command::Once(work())), Reply::Full);
    assert!(matches!(apply(&prepare(1, work())), Reply::Gains(_)), "it has its place already");
    let give_up = |number| Command::Finish { tx: TxId { number, ..TX }, commit: false };
    assert_eq!(apply(&give_up(64)), Reply::Finished);
    assert!(matches!(apply(&prepare(66, work())), Reply::Waits { .. }), "there is room again");
    // A replica that starts from an image has no more room, and no less.
    let mut image = Vec::new();
    shard.snapshot(&mut image).expect("a vector is never full");
    let mut shard = Shard::<Keyspace>::restore(&image).expect("its own bytes");
    assert_eq!(at(&mut shard, 80, &prepare(67, work())), Reply::Full);
    assert_eq!(at(&mut shard, 81, &give_up(66)), Reply::Finished);
    assert!(matches!(at(&mut shard, 82, &prepare(67, work())), Reply::Waits { .. }));
}

#[test]
fn what_stays_in_doubt_is_asked_about_less_and_less_but_never_not_at_all() {
    let mut shard = Shard::<Bank>::default();
    at(&mut shard, 1, &prepare());
    let mut asked = Vec::new();
    while let Some(due) = shard.deadline().filter(|due| *due < Timestamp::from_micros(60_000_000)) {
        shard.tick(Moment { index: Index::new(2), time: due });
        while let Some(notice) = shard.notice() {
            assert!(matches!(notice, Notice::Overdue { tx: TX, .. }), "{notice:?}");
            asked.push(due.as_micros());
        }
    }
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!((asked[0], pauses[0], pauses.last()), (1_000_001, 250_000, Some(&2_000_000)));
    assert!(pauses.is_sorted() && asked.len() < 40, "{asked:?}");
}

#[test]
fn what_was_given_up_when_its_part_was_due_is_forgotten_as_well() {
    let mut shard = Shard::<Bank>::default();
    let until = Timestamp::from_micros(1_000_000);
    let prepare = Command::Prepare { tx: TX, age: Age::new(1), home: group(0), until, work: pay(5, 1) };
    // It is due a second later, and the decision as soon as nobody can decide otherwise.
    at(&mut shard, 1, &prepare);
    assert_eq!(at(&mut shard, 2, &Command::Resolve { tx: TX, until }), Reply::Decided(Some(false)));
    assert_eq!(shard.deadline(), Some(Timestamp::from_micros(1_000_001)));
    shard.tick(Moment { index: Index::new(3), time: Timestamp::from_micros(1_000_001) });
    assert!(shard.is_idle() && shard.deadline().is_none(), "{shard:?}");
}
