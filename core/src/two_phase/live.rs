//! What is under way: a bounded table by transaction.

use crate::space::List;
use crate::{Space, TxId};
use core::fmt::Debug;

/// Up to `S::CALLS` entries, each under its transaction.
///
/// Open addressing: a transaction belongs where its number says, and lies at most `reach` places behind. A coordinator
/// numbers its transactions so that each gets a place of its own, and few places are ever used.
#[derive(Debug)]
pub(super) struct Live<T: Debug, S: Space> {
    places: S::Places<Option<(TxId, T)>>,
    len: usize,
    /// How far from where it belongs any entry was put since the table was last empty.
    reach: usize,
}

impl<T: Debug, S: Space> Default for Live<T, S> {
    fn default() -> Self {
        Self { places: Default::default(), len: 0, reach: 0 }
    }
}

impl<T: Debug, S: Space> Live<T, S> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == S::CALLS
    }

    /// The place of a transaction: mostly where it belongs.
    pub(super) fn find(&self, tx: TxId) -> Option<usize> {
        let at = place_of(tx, S::CALLS);
        if self.is_at(at, tx) {
            Some(at)
        } else if self.reach == 0 {
            None
        } else {
            self.find_behind(at, tx)
        }
    }

    fn find_behind(&self, mut at: usize, tx: TxId) -> Option<usize> {
        for _ in 0..self.reach {
            at = next(at, S::CALLS);
            if self.is_at(at, tx) {
                return Some(at);
            }
        }
        None
    }

    fn is_at(&self, at: usize, tx: TxId) -> bool {
        self.get(at).is_some_and(|(id, _)| id == tx)
    }

    pub(super) fn get(&self, at: usize) -> Option<(TxId, &T)> {
        self.places.get(at)?.as_ref().map(|(tx, entry)| (*tx, entry))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<(TxId, &mut T)> {
        self.places.get_mut(at)?.as_mut().map(|(tx, entry)| (*tx, entry))
    }

    /// Puts an entry in, and tells where; or hands it back when the table is full.
    pub(super) fn insert(&mut self, tx: TxId, entry: T) -> Result<usize, T> {
        if self.is_full() {
            return Err(entry);
        }
        let (mut at, mut behind) = (place_of(tx, S::CALLS), 0);
        while self.get(at).is_some() {
            (at, behind) = (next(at, S::CALLS), behind + 1);
        }
        while self.places.len() <= at {
            let grown = self.places.push(None);
            assert!(grown.is_ok(), "there are as many places as calls");
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some((tx, entry));
        }
        self.reach = self.reach.max(behind);
        self.len += 1;
        Ok(at)
    }

    pub(super) fn remove(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && place.is_some()
        {
            *place = None;
            self.len -= 1;
            if self.len == 0 {
                self.reach = 0;
            }
        }
    }

    /// All entries, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TxId, &T)> {
        self.places.iter().filter_map(Option::as_ref).map(|(tx, entry)| (*tx, entry))
    }

    /// How many places there are to go through, entries or not.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}

/// Where a transaction belongs.
const fn place_of(tx: TxId, places: usize) -> usize {
    // The remainder is less than a `usize`.
    (tx.number % places as u64) as usize
}

/// The place behind another, going round.
const fn next(at: usize, places: usize) -> usize {
    if at + 1 == places { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use crate::space::Fixed;

    fn tx(coordinator: u64, number: u64) -> TxId {
        TxId { coordinator: NodeId::new(coordinator), number }
    }

    #[test]
    fn transactions_of_two_coordinators_with_one_number_lie_side_by_side() {
        let mut live = Live::<u32, Fixed<4, 4>>::default();
        let places = [(1, 7), (2, 7), (3, 3), (4, 0)].map(|(node, number)| live.insert(tx(node, number), 0));
        assert_eq!(places, [Ok(3), Ok(0), Ok(1), Ok(2)]);
        assert_eq!(live.insert(tx(5, 5), 9), Err(9));
        assert_eq!((live.find(tx(3, 3)), live.find(tx(3, 7))), (Some(1), None));
        live.remove(0);
        assert_eq!((live.find(tx(4, 0)), live.find(tx(2, 7))), (Some(2), None));
    }
}
