//! What a log may hold for transactions, whatever it is.

use super::bank::{Bank, Pay, Work};
use crate::Tape;
use crate::asks::Asked;
use quorate::sharded::{Command, Query, Shard};
use quorate::{Age, GroupId, NodeId, Timestamp, TxId};

pub fn pay(tape: &mut Tape<'_>) -> Pay {
    Pay { account: tape.below(4) as u8, amount: tape.one(&[-1, 1, -60, 60, -101, 127]) }
}

pub fn work(tape: &mut Tape<'_>) -> Work {
    match tape.below(4) {
        0 => {
            let accounts = tape.byte();
            let several = (0..4).filter(|account| accounts & 1 << account != 0);
            Work::Look(several.chain((accounts >= 0xE0).then_some(accounts & 3)).collect())
        }
        _ => Work::Pay(pay(tape)),
    }
}

/// Names that are met; those of what waits in line among them.
fn tx(tape: &mut Tape<'_>) -> TxId {
    let which = tape.byte();
    let coordinator = NodeId::new([1, 1, 2, 0][usize::from(which & 3)]);
    let number = if which >= 0xE0 { tape.number() } else { u64::from(which >> 2) % 8 };
    // What waits in line has the number of its entry.
    TxId { coordinator, number: if which & 3 == 3 { number.saturating_add(100) } else { number } }
}

fn until(tape: &mut Tape<'_>) -> Timestamp {
    Timestamp::from_micros(tape.near(&[2_000_000, 2_000_000, 0, u64::MAX]))
}

fn group(tape: &mut Tape<'_>) -> GroupId {
    GroupId::new(tape.one(&[0, 1, 2, 0, 1, 2, 9]))
}

fn groups(tape: &mut Tape<'_>) -> Vec<GroupId> {
    (0..tape.below(4)).map(|_| group(tape)).collect()
}

impl Asked for Shard<Bank> {
    fn command_of(tape: &mut Tape<'_>) -> Command<Pay, Work> {
        match tape.below(22) {
            0..=2 => Command::Plain(pay(tape)),
            3 | 4 => Command::Once(work(tape)),
            5 => {
                let count = tape.below(5);
                Command::Look((0..count).map(|_| tape.bytes(1).into()).collect())
            }
            6 | 7 => Command::Turn { tx: tx(tape) },
            8..=11 => {
                let (tx, age, home) = (tx(tape), Age::new(tape.near(&[1, 5, u64::MAX])), group(tape));
                Command::Prepare { tx, age, home, until: until(tape), work: work(tape) }
            }
            12 | 13 => Command::Decide { tx: tx(tape), groups: groups(tape), until: until(tape) },
            14..=16 => Command::Finish { tx: tx(tape), commit: tape.flag() },
            17 => Command::Resolve { tx: tx(tape), until: until(tape) },
            18 => Command::Forget((0..tape.below(3)).map(|_| tx(tape)).collect()),
            19 => Command::Force { tx: tx(tape), commit: tape.flag() },
            _ => {
                let (tx, age, home) = (tx(tape), Age::new(tape.near(&[1, 5, u64::MAX])), group(tape));
                let (until, work, groups) = (until(tape), work(tape), groups(tape));
                Command::Commit { tx, age, home, until, work, groups }
            }
        }
    }

    fn query_of(tape: &mut Tape<'_>) -> Query<u8> {
        // What is in turn comes of what was blocked, on this node: no log holds it, and no peer says it.
        Query::Plain(tape.below(4) as u8)
    }

    fn assert_sound(&self) {}
}
