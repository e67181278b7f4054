//! Parts of transactions over keys that expire, among commands and queries: whatever comes, replicas stay alike.

use crate::cluster::group;
use quorate::keyspace::{
    Answer as Told, Blob, Change, Command as Do, Condition, Expiry, Extension, Keyspace, Objection, Part,
    Query as Ask, Reply as Did, Revision, Step, Transaction,
};
use quorate::sharded::{Answer, Command, Notice, Query, Reply, Shard};
use quorate::{Age, Application, Index, Moment, NodeId, Timestamp, TxId};
use std::collections::BTreeMap;
use std::convert::Infallible;

type Keys = Keyspace<1_500>;
type Says = Command<Do, Part>;
type Gets = Reply<Did, Vec<Told>, Objection>;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }

    fn key(&mut self) -> Blob {
        KEYS[self.below(4) as usize].into()
    }

    fn keys(&mut self) -> Vec<Blob> {
        (0..=self.below(2)).map(|_| self.key()).collect()
    }

    fn value(&mut self) -> Blob {
        ["", "1", "one", "a value that takes a good deal of the little room that there is in this keyspace"]
            [self.below(4) as usize]
            .into()
    }

    fn change(&mut self) -> Change {
        let (key, keys, value, millis) = (self.key(), self.keys(), self.value(), self.below(12));
        match self.below(10) {
            0..=2 => {
                let condition =
                    [Condition::Always, Condition::IfAbsent, Condition::IfPresent][self.below(3) as usize];
                let expiry = [Expiry::Never, Expiry::Keep, Expiry::In { millis }][self.below(3) as usize];
                Change::Set { key, value, condition, expiry, previous: self.below(2) == 0 }
            }
            3 => Change::Delete { keys },
            4 => Change::Add { key, by: 1 },
            5 => Change::Expire { key, millis },
            6 => Change::Persist { key },
            7 => match self.below(2) {
                0 => Change::CompareDelete { keys, value },
                _ => Change::CompareExpire { keys, value, millis, extension: Extension::Add },
            },
            8 => Change::CreateAll { keys, value, millis },
            _ => Change::SetAll { items: keys.into_iter().map(|key| (key, value.clone())).collect() },
        }
    }

    fn ask(&mut self) -> Ask {
        let key = self.key();
        match self.below(5) {
            0 => Ask::Get { key },
            1 => Ask::Remaining { key },
            2 => Ask::Revision { key },
            3 => Ask::Fence { key },
            _ => Ask::Exists { keys: self.keys() },
        }
    }

    fn transaction(&mut self) -> Transaction {
        let watched = (0..self.below(2)).map(|_| (self.key(), None)).collect();
        let steps = (0..=self.below(3)).map(|_| match self.below(3) {
            0 => Step::from(self.ask()),
            _ => self.change().into(),
        });
        Transaction { watched, steps: steps.collect() }
    }

    fn part(&mut self) -> Part {
        Part { transaction: self.transaction(), all_met: self.below(3) == 0 }
    }

    fn command(&mut self, waiting: &[TxId]) -> Says {
        let tx = TxId { coordinator: NodeId::new(1), number: self.below(6) };
        let until = Timestamp::from_micros(u64::MAX);
        match self.below(16) {
            0 | 1 => Command::Plain(Do::Change(self.change())),
            2 => Command::Plain(Do::Transaction(self.transaction())),
            3 => Command::Once(self.part()),
            4 => Command::Look(vec![Box::from(&*self.key())]),
            5 | 6 if !waiting.is_empty() => {
                Command::Turn { tx: waiting[self.below(waiting.len() as u64) as usize] }
            }
            5..=9 => {
                let (age, work) = (Age::new(self.below(20)), self.part());
                Command::Prepare { tx, age, home: group(0), until, work }
            }
            10 | 11 => Command::Decide { tx, groups: vec![group(0)], until },
            12 | 13 => Command::Finish { tx, commit: self.below(2) == 0 },
            14 => Command::Force { tx, commit: self.below(2) == 0 },
            _ => Command::Forget(vec![tx]),
        }
    }
}

fn image(shard: &Shard<Keys>) -> Vec<u8> {
    let mut bytes = Vec::new();
    shard.snapshot(&mut bytes).expect("a vector is never full");
    bytes
}

/// Tells a replica of the next entry, and hands out what came of it.
fn enter(shard: &mut Shard<Keys>, now: Moment, command: &Says) -> (Gets, Vec<Notice<Infallible>>) {
    shard.tick(now);
    let reply = shard.apply(now, command);
    (reply, std::iter::from_fn(|| shard.notice()).collect())
}

/// The revision of a key, and what it stands for, if nobody has it.
fn look_at(shard: &Shard<Keys>, now: Moment, key: &str) -> Option<(Revision, Option<Blob>)> {
    let ask = |ask| match shard.query(now.time, &Query::Plain(ask)) {
        Answer::Plain(told) => Some(told),
        Answer::Blocked(..) => None,
    };
    match (ask(Ask::Revision { key: key.into() })?, ask(Ask::Get { key: key.into() })?) {
        (Told::Revision(revision), Told::Value(value)) => Some((revision?, value)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn replicas_of_keys_stay_alike_and_a_revision_is_one_value() {
    for seed in 1..=40_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut shard, mut copy) = (Shard::<Keys>::default(), Shard::<Keys>::default());
        let (mut time, mut waiting) = (0, Vec::new());
        let mut before = BTreeMap::new();
        for index in 1..=150 {
            time += [0, 1, 1_000, 3_000, 6_000_000][chance.below(401) as usize / 100];
            if chance.below(20) == 0 {
                copy = Shard::restore(&image(&shard)).expect("its own bytes");
            }
            let now = Moment { index: Index::new(index), time: Timestamp::from_micros(time) };
            let command = chance.command(&waiting);
            let when = format!("seed {seed}, entry {index}: {command:?}");
            let told = enter(&mut shard, now, &command);
            assert_eq!(enter(&mut copy, now, &command), told, "{when}");
            assert_eq!((image(&copy), copy.deadline()), (image(&shard), shard.deadline()), "{when}");
            if let Reply::Waits { tx, .. } = told.0 {
                waiting.push(tx);
            }
            for key in KEYS {
                let Some((revision, value)) = look_at(&shard, now, key) else { continue };
                if let Some((older, was)) = before.insert(key, (revision, value.clone())) {
                    assert!(
                        older.created <= revision.created && older.modified <= revision.modified,
                        "{when}"
                    );
                    assert!(older != revision || was == value, "{when}");
                }
            }
        }
    }
}
