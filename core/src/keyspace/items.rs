//! The items of a keyspace, in the order of their keys and in the order in which they expire.

use super::limits::ITEM_BYTES;
use super::{Blob, Stats};
use crate::{Index, Timestamp};
use alloc::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) value: Blob,
    /// The entry that found no such key.
    pub(super) created: Index,
    /// The last entry that changed any of this.
    pub(super) modified: Index,
    /// Gone from the first entry that is not before.
    pub(super) deadline: Option<Timestamp>,
    /// Whether the value is what the creation put there, on condition that there was none.
    pub(super) fenced: bool,
}

/// All items. Every change goes through [`put`](Shelf::put) and [`remove`](Shelf::remove), so that the two orders and
/// the sum agree.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    by_key: BTreeMap<Blob, Item>,
    due: BTreeSet<(Timestamp, Blob)>,
    bytes: u64,
}

/// What an item counts.
pub(super) fn cost(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len() + ITEM_BYTES) as u64
}

/// Items as steps see and change them.
pub(super) trait Shelf {
    fn get(&self, key: &[u8]) -> Option<&Item>;
    fn put(&mut self, key: Blob, item: Item);
    /// Takes an item out. Says whether there was one.
    fn remove(&mut self, key: &[u8]) -> bool;
    fn stats(&self) -> Stats;
}

impl Items {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Blob, &Item)> {
        self.by_key.iter()
    }

    /// Removes what is due at `time`: no more than is there.
    pub(super) fn expire(&mut self, time: Timestamp) {
        while let Some((_, key)) = self.due.first().filter(|(deadline, _)| *deadline <= time) {
            let key = key.clone();
            assert!(self.remove(&key), "what is due is there");
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(deadline, _)| *deadline)
    }

    /// Keeps an item, if there is one, from being due until it is [let go](Self::let_go).
    pub(super) fn hold(&mut self, key: &Blob) {
        if let Some(item) = self.by_key.get(key) {
            self.unschedule(key.clone(), item.deadline);
        }
    }

    /// Lets an item that was held expire when it should; it may be past that already.
    pub(super) fn let_go(&mut self, key: &Blob) {
        if let Some(deadline) = self.by_key.get(key).and_then(|item| item.deadline) {
            self.due.insert((deadline, key.clone()));
        }
    }

    fn unschedule(&mut self, key: Blob, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            let scheduled = self.due.remove(&(deadline, key));
            assert!(scheduled, "what expires is due");
        }
    }
}

impl Shelf for Items {
    fn get(&self, key: &[u8]) -> Option<&Item> {
        self.by_key.get(key)
    }

    fn put(&mut self, key: Blob, item: Item) {
        self.bytes += cost(&key, &item.value);
        if let Some(deadline) = item.deadline {
            self.due.insert((deadline, key.clone()));
        }
        let deadline = item.deadline;
        if let Some(old) = self.by_key.insert(key.clone(), item) {
            self.bytes -= cost(&key, &old.value);
            if old.deadline != deadline {
                self.unschedule(key, old.deadline);
            }
        }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, item)) = self.by_key.remove_entry(key) else { return false };
        self.bytes -= cost(&key, &item.value);
        self.unschedule(key, item.deadline);
        true
    }

    fn stats(&self) -> Stats {
        Stats { keys: self.by_key.len() as u64, bytes: self.bytes }
    }
}
