//! Who may touch which key: bytes that may be locks, and calls of all kinds on locks that are.

use crate::Tape;
use quorate::locks::{Acquired, Locks, Mode};
use quorate::space::{Fixed, Heap};
use quorate::{Age, NodeId, TxId};
use std::collections::BTreeMap;

type Inline = Locks<u8, Fixed<1, 1>, 6, 4>;
type Allocated = Locks<u8, Heap<1, 1>, 6, 4>;

/// A byte for where they come from, and the rest.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let (mut inline, mut allocated) = (Inline::default(), Allocated::default());
    if tape.byte().is_multiple_of(3) {
        let image = tape.slice();
        let (mut first, mut second) = (image, image);
        let restored = (Inline::restore(&mut first), Allocated::restore(&mut second));
        assert_eq!(first, second, "as much is left of the bytes");
        match restored {
            (Ok(one), Ok(other)) => (inline, allocated) = (one, other),
            (Err(one), Err(other)) => return assert_eq!(one, other, "the same is wrong"),
            (one, other) => panic!("{one:?} {other:?}"),
        }
    }
    assert_same(&inline, &allocated);
    // What each holds, since it was granted all.
    let mut held: BTreeMap<TxId, Vec<(u8, Mode)>> = BTreeMap::new();
    let mut asked = BTreeMap::new();
    let is_new = inline.transactions().next().is_none();
    while !tape.is_over() {
        let what = tape.byte();
        let tx = TxId { coordinator: NodeId::new(1), number: u64::from(what >> 4) % 6 };
        match what % 8 {
            0..=3 => {
                let (age, count) = (Age::new(tape.below(4) as u64), tape.below(4));
                let mode = |byte: u8| if byte & 1 == 0 { Mode::Shared } else { Mode::Exclusive };
                let keys: Vec<_> =
                    (0..count).map(|_| tape.byte()).map(|key| (key >> 1 & 7, mode(key))).collect();
                let was = inline.standing(tx);
                let acquired = inline.acquire(tx, age, keys.iter().copied());
                assert_eq!(acquired, allocated.acquire(tx, age, keys.iter().copied()));
                assert!(
                    was.is_none() || acquired == Ok(was.expect("it stood")),
                    "asked again, the same answer"
                );
                if let (Ok(acquired), None) = (acquired, was) {
                    asked.insert(tx, keys);
                    if acquired == Acquired::Granted {
                        held.insert(tx, asked[&tx].clone());
                    }
                }
            }
            4 | 5 => {
                inline.release(tx);
                allocated.release(tx);
                held.remove(&tx);
                asked.remove(&tx);
            }
            6 => {
                let granted = inline.next_granted();
                assert_eq!(granted, allocated.next_granted());
                assert!(granted.is_none_or(|tx| inline.standing(tx) == Some(Acquired::Granted)));
            }
            _ => assert_eq!(inline.next_wounded(), allocated.next_wounded()),
        }
        for (tx, keys) in &asked {
            if inline.standing(*tx) == Some(Acquired::Granted) {
                held.entry(*tx).or_insert_with(|| keys.clone());
            }
        }
        assert_same(&inline, &allocated);
        if is_new {
            assert_alone(&held);
        }
    }
}

/// Both are the same, and so is what is restored from either.
fn assert_same(inline: &Inline, allocated: &Allocated) {
    let (mut one, mut other, mut again) = (Vec::new(), Vec::new(), Vec::new());
    inline.snapshot(&mut one).expect("a vector is never full");
    allocated.snapshot(&mut other).expect("a vector is never full");
    assert_eq!(one, other, "equal locks have equal bytes");
    let mut rest = &one[..];
    let twin = Allocated::restore(&mut rest).expect("what was written can be read");
    assert!(rest.is_empty(), "all of it");
    twin.snapshot(&mut again).expect("a vector is never full");
    assert_eq!(one, again, "equal locks have equal bytes");
    assert_eq!(inline.has_news(), twin.has_news(), "a copy has news when the original has");
    for key in 0..8 {
        for mode in [Mode::Shared, Mode::Exclusive] {
            assert_eq!(inline.conflicts(&key, mode), twin.conflicts(&key, mode));
        }
    }
}

/// Whoever holds a key exclusively is its only holder.
fn assert_alone(held: &BTreeMap<TxId, Vec<(u8, Mode)>>) {
    for (tx, keys) in held {
        for (other, others) in held.iter().filter(|(other, _)| *other > tx) {
            let is_shared = |(key, mode): &(u8, Mode)| {
                others.iter().all(|(held, by)| held != key || !by.conflicts(*mode))
            };
            assert!(keys.iter().all(is_shared), "{tx} and {other} hold one key");
        }
    }
}
