//! Entries and images that no honest node makes: they come to nothing, or are refused.

use crate::bank::{Bank, Pay, Work};
use crate::cluster::{group, pay};
use quorate::codec::put;
use quorate::sharded::{Command, Reply, Shard};
use quorate::{Age, Application, Index, Moment, NodeId, Timestamp, TxId};

fn at(index: u64, micros: u64) -> Moment {
    Moment { index: Index::new(index), time: Timestamp::from_micros(micros) }
}

const fn tx(coordinator: u64, number: u64) -> TxId {
    TxId { coordinator: NodeId::new(coordinator), number }
}

fn prepare(tx: TxId) -> Command<Pay, Work> {
    let until = Timestamp::from_micros(2_000_000);
    Command::Prepare { tx, age: Age::new(1), home: group(0), until, work: pay(1, -30) }
}

/// A shard in which a part is promised.
fn promised() -> Shard<Bank> {
    let mut shard = Shard::default();
    assert_eq!(shard.apply(at(1, 0), &prepare(tx(1, 7))), Reply::Gains(vec![70]));
    shard
}

fn image(of: &impl Application) -> Vec<u8> {
    let mut image = Vec::new();
    of.snapshot(&mut image).expect("a vector is never full");
    image
}

#[test]
fn what_is_due_at_the_end_of_time_is_looked_at_once_an_entry() {
    let mut shard = promised();
    for index in 2..4 {
        shard.tick(at(index, u64::MAX));
        assert!(shard.notice().is_some());
        assert!(shard.notice().is_none());
    }
}

#[test]
fn what_waits_in_line_shares_its_name_with_no_transaction() {
    let mut shard = Shard::<Bank>::default();
    assert_eq!(shard.apply(at(1, 0), &prepare(tx(0, 2))), Reply::Unknown);
    assert_eq!(shard.apply(at(2, 0), &Command::Once(pay(1, -30))), Reply::Gains(vec![70]));
}

#[test]
fn nothing_takes_the_place_of_what_an_image_named_after_a_later_entry() {
    let mut shard = promised();
    let name = tx(0, 9);
    assert!(
        matches!(shard.apply(at(9, 1), &Command::Plain(Pay { account: 1, amount: 5 })), Reply::Waits { tx, .. } if tx == name)
    );
    let later = image(&shard);
    let mut shard = Shard::<Bank>::restore(&later).expect("its own bytes");
    for command in
        [Command::Plain(Pay { account: 1, amount: -5 }), Command::Once(pay(1, -5)), Command::Once(pay(2, -5))]
    {
        assert_eq!(shard.apply(at(9, 2), &command), Reply::Full);
    }
    assert_eq!(image(&shard), later);
}

#[test]
fn an_image_whose_parts_contradict_is_refused() {
    let (full, empty) = (promised(), Shard::<Bank>::default());
    let rows = |shard: &Shard<Bank>| {
        let (mut whole, bank) = (image(shard), image(shard.application()));
        whole.truncate(whole.len() - bank.len());
        whole
    };
    let both = |rows: Vec<u8>, bank: &Bank| Shard::<Bank>::restore(&[rows, image(bank)].concat());
    assert!(both(rows(&full), full.application()).is_ok());
    assert!(both(rows(&full), empty.application()).is_err(), "promised, and not prepared");
    assert!(both(rows(&empty), full.application()).is_err(), "prepared, and not promised");
}

#[test]
fn an_image_in_which_something_has_not_asked_for_its_keys_is_refused() {
    let mut shard = Shard::<Bank>::default();
    let (until, home) = (Timestamp::from_micros(2_000_000), group(0));
    let prepare = |number, amount| {
        let (age, work) = (Age::new(number), pay(77, amount));
        Command::Prepare { tx: tx(1, number), age, home, until, work }
    };
    assert!(matches!(shard.apply(at(1, 0), &prepare(1, 3)), Reply::Gains(_)));
    assert!(matches!(shard.apply(at(2, 0), &prepare(2, 5)), Reply::Waits { .. }));
    let command = Pay { account: 77, amount: 7 };
    assert!(matches!(shard.apply(at(3, 0), &Command::Plain(command)), Reply::Waits { .. }));
    assert!(matches!(shard.apply(at(4, 0), &Command::Once(pay(77, 9))), Reply::Waits { .. }));
    let whole = image(&shard);
    assert!(Shard::<Bank>::restore(&whole).is_ok());
    // Each of the four says that it is about another account than it has asked for.
    for amount in [3, 5, 7, 9] {
        let mut about = Vec::new();
        put(&Pay { account: 77, amount }, &mut about).expect("a vector is never full");
        let found = whole.windows(about.len()).position(|bytes| bytes == about).expect("it is in the image");
        let mut other = whole.clone();
        other[found] += 1;
        assert!(Shard::<Bank>::restore(&other).is_err(), "{amount}");
    }
}
