//! What parts of transactions have prepared, until they are finished.

use super::Blob;
use super::image::is_sound;
use super::items::{Item, Items, Shelf, cost};
use super::limits::{ITEM_BYTES, PREPARED_BYTES};
use crate::TxId;
use crate::codec::{self, Full, Malformed, Sink};
use crate::locks::Mode;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What becomes of a key if the transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Effect {
    /// It was only looked at.
    Looked,
    /// Nothing, but it might have been changed.
    Kept,
    /// It is removed.
    Removed,
    /// It stands for this.
    Put(Item),
}

impl Effect {
    const fn mode(&self) -> Mode {
        match self {
            Self::Looked => Mode::Shared,
            Self::Kept | Self::Removed | Self::Put(_) => Mode::Exclusive,
        }
    }
}

/// One transaction's part: its keys in their order, each once.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    effects: Vec<(Blob, Effect)>,
    /// By how much the items grow if it is committed: kept free for it.
    growth: u64,
    /// What it takes meanwhile.
    bytes: u64,
}

impl Outcome {
    /// What `effects` do to these items.
    pub(super) fn of(effects: Vec<(Blob, Effect)>, items: &Items) -> Self {
        let (mut before, mut after, mut bytes) = (0, 0, ITEM_BYTES as u64);
        for (key, effect) in &effects {
            let old = items.get(key).map_or(0, |item| cost(key, &item.value));
            let new = match effect {
                Effect::Put(item) => cost(key, &item.value),
                Effect::Looked | Effect::Kept | Effect::Removed => 0,
            };
            bytes += new.max(cost(key, &[]));
            if matches!(effect, Effect::Put(_) | Effect::Removed) {
                before += old;
                after += new;
            }
        }
        Self { effects, growth: u64::saturating_sub(after, before), bytes }
    }

    /// Makes the changes.
    pub(super) fn carry_out(self, items: &mut Items) {
        for (key, effect) in self.effects {
            match effect {
                Effect::Looked | Effect::Kept => (),
                Effect::Removed => {
                    items.remove(&key);
                }
                Effect::Put(item) => items.put(key, item),
            }
        }
    }
}

/// Who holds a key.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// So many who only look.
    Shared(usize),
    /// One who may change it.
    Exclusive,
}

/// All that is prepared: no more than [`PREPARED_BYTES`].
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    outcomes: BTreeMap<TxId, Outcome>,
    held: BTreeMap<Blob, Hold>,
    reserved: u64,
    bytes: u64,
}

impl Prepared {
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    pub(super) fn contains(&self, tx: TxId) -> bool {
        self.outcomes.contains_key(&tx)
    }

    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether a transaction has prepared something for exactly these keys, in their order.
    pub(super) fn is_of<'k>(&self, tx: TxId, mut keys: impl Iterator<Item = (&'k Blob, Mode)>) -> bool {
        let Some(outcome) = self.outcomes.get(&tx) else { return false };
        let mut effects = outcome.effects.iter();
        let is_next = |(key, mode): (&Blob, Mode)| {
            effects.next().is_some_and(|(held, effect)| held == key && effect.mode() == mode)
        };
        keys.all(is_next) && effects.next().is_none()
    }

    /// What is kept free for those that may be committed.
    pub(super) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Whether it can be kept beside what there is.
    pub(super) const fn has_room_for(&self, outcome: &Outcome) -> bool {
        self.bytes.saturating_add(outcome.bytes) <= PREPARED_BYTES
    }

    /// Whether somebody holds the key in a way that conflicts with `mode`.
    pub(super) fn conflicts(&self, key: &[u8], mode: Mode) -> bool {
        self.held.get(key).is_some_and(|hold| match hold {
            Hold::Shared(_) => mode == Mode::Exclusive,
            Hold::Exclusive => true,
        })
    }

    /// Keeps what a transaction has prepared; its keys do not expire until it is [taken](Self::take).
    pub(super) fn put(&mut self, tx: TxId, outcome: Outcome, items: &mut Items) {
        for (key, effect) in &outcome.effects {
            match self.held.entry(key.clone()) {
                Entry::Vacant(entry) => {
                    items.hold(key);
                    entry.insert(match effect.mode() {
                        Mode::Shared => Hold::Shared(1),
                        Mode::Exclusive => Hold::Exclusive,
                    });
                }
                Entry::Occupied(mut entry) => {
                    let Hold::Shared(count) = entry.get_mut() else { continue };
                    *count += 1;
                }
            }
        }
        self.reserved += outcome.growth;
        self.bytes += outcome.bytes;
        self.outcomes.insert(tx, outcome);
    }

    /// Hands out what a transaction has prepared, if it has; its keys expire again.
    pub(super) fn take(&mut self, tx: TxId, items: &mut Items) -> Option<Outcome> {
        let outcome = self.outcomes.remove(&tx)?;
        for (key, _) in &outcome.effects {
            if let Some(Hold::Shared(count @ 2..)) = self.held.get_mut(key) {
                *count -= 1;
            } else {
                self.held.remove(key);
                items.let_go(key);
            }
        }
        self.reserved -= outcome.growth;
        self.bytes -= outcome.bytes;
        Some(outcome)
    }

    pub(super) fn write(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        codec::put(&(self.outcomes.len() as u64), sink)?;
        self.outcomes.iter().try_for_each(|(tx, outcome)| codec::put(&(tx, &outcome.effects), sink))
    }

    /// Reads what [`write`](Self::write) wrote of these items, whose bytes may be no more than `limit` when all is committed.
    pub(super) fn read(input: &mut &[u8], items: &mut Items, limit: u64) -> Result<Self, Malformed> {
        let mut prepared = Self::default();
        let count: u64 = codec::take(input)?;
        // Each takes bytes, so a count that lies ends with them.
        for _ in 0..count {
            let tx: TxId = codec::take(input)?;
            let effects = prepared.read_effects(input)?;
            let ascending = prepared.outcomes.last_key_value().is_none_or(|(last, _)| *last < tx);
            let outcome = Outcome::of(effects, items);
            let after = prepared.reserved.saturating_add(outcome.growth).saturating_add(items.stats().bytes);
            if !ascending || !prepared.has_room_for(&outcome) || after > limit {
                return Err(Malformed::Content);
            }
            prepared.put(tx, outcome, items);
        }
        Ok(prepared)
    }

    /// Reads what becomes of the keys of one transaction, which no other holds.
    fn read_effects(&self, input: &mut &[u8]) -> Result<Vec<(Blob, Effect)>, Malformed> {
        let mut effects: Vec<(Blob, Effect)> = Vec::new();
        let mut room = PREPARED_BYTES;
        let count: u64 = codec::take(input)?;
        for _ in 0..count {
            let (key, effect): (Blob, Effect) = codec::take(input)?;
            let sound = match &effect {
                Effect::Put(item) => is_sound(&key, Some(item)),
                Effect::Looked | Effect::Kept | Effect::Removed => is_sound(&key, None),
            };
            let ascending = effects.last().is_none_or(|(last, _)| *last < key);
            let held = self.conflicts(&key, effect.mode());
            // A count that lies ends here.
            room = room.checked_sub(cost(&key, &[])).ok_or(Malformed::Content)?;
            if !sound || !ascending || held {
                return Err(Malformed::Content);
            }
            effects.push((key, effect));
        }
        Ok(effects)
    }
}
