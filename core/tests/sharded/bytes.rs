//! What a log, a session table and a snapshot hold for transactions, as bytes.

use crate::bank::{Bank, Overdrawn, Pay, Work};
use crate::cluster::{group, pay};
use quorate::codec::{put, take_all};
use quorate::sharded::{Command, Reply, Shard};
use quorate::{Age, Application, Index, Moment, NodeId, Timestamp, TxId};

type Says = Command<Pay, Work>;
type Gets = Reply<i64, Vec<i64>, Overdrawn>;

fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(value, &mut bytes).expect("a vector is never full");
    bytes
}

const fn tx(number: u64) -> TxId {
    TxId { coordinator: NodeId::new(3), number }
}

fn prepare(number: u64, work: Work) -> Says {
    let until = Timestamp::from_micros(90);
    Command::Prepare { tx: tx(number), age: Age::new(number), home: group(2), until, work }
}

fn commit(number: u64, work: Work) -> Says {
    let (until, groups) = (Timestamp::from_micros(90), vec![group(2), group(7)]);
    Command::Commit { tx: tx(number), age: Age::new(number), home: group(2), until, work, groups }
}

#[test]
fn entries_are_these_bytes() {
    let until = Timestamp::from_micros(90);
    let golden: [(Says, &[u8]); 11] = [
        (Command::Plain(Pay { account: 5, amount: -1 }), &[0, 5, 1]),
        (Command::Once(pay(5, 1)), &[1, 0, 5, 2]),
        (Command::Look(vec![Box::from([5])]), &[2, 1, 1, 5]),
        (Command::Turn { tx: tx(4) }, &[3, 3, 4]),
        (prepare(4, Work::Look(vec![5])), &[4, 3, 4, 4, 2, 90, 1, 1, 5]),
        (Command::Decide { tx: tx(4), groups: vec![group(2), group(7)], until }, &[5, 3, 4, 2, 2, 7, 90]),
        (Command::Finish { tx: tx(4), commit: true }, &[6, 3, 4, 1]),
        (Command::Resolve { tx: tx(4), until }, &[7, 3, 4, 90]),
        (Command::Forget(vec![tx(4)]), &[8, 1, 3, 4]),
        (Command::Force { tx: tx(4), commit: false }, &[9, 3, 4, 0]),
        (commit(4, Work::Look(vec![5])), &[10, 3, 4, 4, 2, 90, 1, 1, 5, 2, 2, 7]),
    ];
    for (command, golden) in golden {
        assert_eq!(bytes(&command), golden, "{command:?}");
        assert_eq!(take_all::<Says>(golden), Ok(command));
    }
}

#[test]
fn replies_are_these_bytes() {
    let golden: [(Gets, &[u8]); 10] = [
        (Reply::Plain(-1), &[0, 1]),
        (Reply::Gains(vec![7]), &[1, 1, 14]),
        (Reply::Objects(Overdrawn), &[2]),
        (Reply::Waits { tx: tx(4), latest: Age::new(9) }, &[3, 3, 4, 9]),
        (Reply::Full, &[4]),
        (Reply::Decided(None), &[5, 0]),
        (Reply::Decided(Some(true)), &[5, 1, 1]),
        (Reply::Undecided, &[6]),
        (Reply::Finished, &[7]),
        (Reply::Unknown, &[8]),
    ];
    for (reply, golden) in golden {
        assert_eq!(bytes(&reply), golden, "{reply:?}");
        assert_eq!(take_all::<Gets>(golden), Ok(reply));
    }
}

/// One part is promised, one waits for its key, a command waits behind both, a query waits for its turn, and one decision is
/// remembered.
fn busy() -> Shard<Bank> {
    let mut shard = Shard::<Bank>::default();
    let apply = |shard: &mut Shard<Bank>, at: u64, command: &Says| {
        let now = Moment { index: Index::new(at), time: Timestamp::from_micros(at) };
        shard.tick(now);
        shard.apply(now, command)
    };
    let until = Timestamp::from_micros(90);
    apply(&mut shard, 1, &prepare(1, pay(9, 1)));
    apply(&mut shard, 2, &Command::Decide { tx: tx(1), groups: vec![group(2), group(7)], until });
    apply(&mut shard, 3, &prepare(4, pay(5, -1)));
    apply(&mut shard, 4, &prepare(6, pay(5, 1)));
    apply(&mut shard, 5, &Command::Plain(Pay { account: 5, amount: 2 }));
    apply(&mut shard, 6, &Command::Look(vec![Box::from([8])]));
    shard
}

fn image(shard: &Shard<Bank>) -> Vec<u8> {
    let mut bytes = Vec::new();
    shard.snapshot(&mut bytes).expect("a vector is never full");
    bytes
}

#[test]
fn an_image_is_these_bytes() {
    let golden = [
        1, 8, 0, 4, 0, 5, 1, 197, 150, 177, 2, 0, 5, 4, 0, 6, 3, 198, 132, 61, 1, 3, 4, 0, 195, 132, 61, 4,
        2, 90, 3, 0, 5, 1, 1, 1, 198, 1, 3, 6, 0, 164, 203, 152, 1, 6, 2, 90, 4, 0, 5, 2, 0, 1, 3, 1, 2, 2,
        7, 194, 132, 61, 1, 4, 0, 5, 7, 0, 0, 0, 6, 8, 2, 0, 3, 4, 4, 2, 0, 3, 6, 6, 0, 0, 4, 1, 5, 3, 4, 1,
        1, 5, 3, 6, 1, 1, 5, 0, 5, 1, 1, 8, 0, 6, 0, 1, 9, 202, 1, 1, 3, 4,
    ];
    assert_eq!(image(&busy()), golden);
    let mut copy = Shard::<Bank>::default();
    copy.load(&golden).expect("its own bytes");
    assert_eq!(image(&copy), golden);
}

#[test]
fn an_image_that_is_cut_or_corrupt_is_a_shard_or_malformed() {
    let whole = image(&busy());
    for len in 0..whole.len() {
        let mut shard = Shard::<Bank>::default();
        assert!(shard.load(&whole[..len]).is_err(), "{len} bytes of {}", whole.len());
    }
    let (mut refused, mut taken) = (0, 0);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut corrupt = whole.clone();
            corrupt[at] ^= 1 << bit;
            match Shard::<Bank>::default().load(&corrupt) {
                Ok(()) => taken += 1,
                Err(_) => refused += 1,
            }
        }
    }
    // What tells numbers from numbers is the snapshot's own sum.
    assert!(refused > 100 && taken > 100, "{refused} refused, {taken} taken");
}
