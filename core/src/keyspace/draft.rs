//! What steps would make of the items.

use super::items::{Item, Items, Shelf, cost};
use super::{Blob, Stats};
use alloc::collections::BTreeMap;

/// The items as they would be, and which are not as they are.
#[derive(Debug)]
pub(super) struct Draft<'i> {
    items: &'i Items,
    /// What is there instead, if anything.
    changed: BTreeMap<Blob, Option<Item>>,
    stats: Stats,
}

impl<'i> Draft<'i> {
    pub(super) fn of(items: &'i Items) -> Self {
        Self { items, changed: BTreeMap::new(), stats: items.stats() }
    }

    /// What is not as it is: for each such key what would be there, if anything.
    pub(super) fn changed(self) -> BTreeMap<Blob, Option<Item>> {
        self.changed
    }

    /// Takes what is under a key off the sums, before something else is there. Says whether there was anything.
    fn discount(&mut self, key: &[u8]) -> bool {
        let cost = self.get(key).map(|item| cost(key, &item.value));
        self.stats.keys -= u64::from(cost.is_some());
        self.stats.bytes -= cost.unwrap_or_default();
        cost.is_some()
    }
}

impl Shelf for Draft<'_> {
    fn get(&self, key: &[u8]) -> Option<&Item> {
        self.changed.get(key).map_or_else(|| self.items.get(key), Option::as_ref)
    }

    fn put(&mut self, key: Blob, item: Item) {
        self.discount(&key);
        self.stats.keys += 1;
        self.stats.bytes += cost(&key, &item.value);
        self.changed.insert(key, Some(item));
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let there = self.discount(key);
        if there {
            self.changed.insert(key.into(), None);
        }
        there
    }

    fn stats(&self) -> Stats {
        self.stats
    }
}
