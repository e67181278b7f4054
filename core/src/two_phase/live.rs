//! What is under way: a bounded table by transaction, and a line of those that have something to say.

use crate::space::{List, Window};
use crate::{Space, TxId};
use core::fmt::Debug;

/// Up to `S::CALLS` entries, each under its transaction.
///
/// Open addressing: a transaction belongs where its number says, and lies at most `reach` places behind. A coordinator
/// numbers its transactions so that each gets a place of its own, and few places are ever used.
#[derive(Debug)]
pub(super) struct Live<T: Debug, S: Space> {
    places: S::Places<Place<T>>,
    len: usize,
    /// How far from where it belongs any entry was put since the table was last empty.
    reach: usize,
    /// Places with something to say, each once.
    ready: S::Calls<usize>,
}

#[derive(Debug)]
struct Place<T> {
    entry: Option<(TxId, T)>,
    is_ready: bool,
}

impl<T: Debug, S: Space> Default for Live<T, S> {
    fn default() -> Self {
        Self { places: Default::default(), len: 0, reach: 0, ready: Default::default() }
    }
}

impl<T: Debug, S: Space> Live<T, S> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == S::CALLS
    }

    /// The place of a transaction.
    pub(super) fn find(&self, tx: TxId) -> Option<usize> {
        (0..=self.reach.min(S::CALLS - 1)).map(|behind| place_of(tx, behind, S::CALLS)).find(|&at| {
            self.places.get(at).and_then(|place| place.entry.as_ref()).is_some_and(|(id, _)| *id == tx)
        })
    }

    pub(super) fn get(&self, at: usize) -> Option<(TxId, &T)> {
        self.places.get(at)?.entry.as_ref().map(|(tx, entry)| (*tx, entry))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<(TxId, &mut T)> {
        self.places.get_mut(at)?.entry.as_mut().map(|(tx, entry)| (*tx, entry))
    }

    /// Puts an entry in, and tells where; or hands it back when the table is full.
    pub(super) fn insert(&mut self, tx: TxId, entry: T) -> Result<usize, T> {
        let free = |behind: &usize| {
            let place = self.places.get(place_of(tx, *behind, S::CALLS));
            place.is_none_or(|place| place.entry.is_none())
        };
        let Some(behind) = (0..S::CALLS).find(free) else { return Err(entry) };
        let at = place_of(tx, behind, S::CALLS);
        while self.places.len() <= at {
            let grown = self.places.push(Place { entry: None, is_ready: false });
            assert!(grown.is_ok(), "there are as many places as calls");
        }
        if let Some(place) = self.places.get_mut(at) {
            place.entry = Some((tx, entry));
        }
        self.reach = self.reach.max(behind);
        self.len += 1;
        Ok(at)
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<(TxId, T)> {
        let entry = self.places.get_mut(at)?.entry.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.reach = 0;
        }
        Some(entry)
    }

    /// All entries, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TxId, &T)> {
        self.places.iter().filter_map(|place| place.entry.as_ref()).map(|(tx, entry)| (*tx, entry))
    }

    /// How many places there are to go through, entries or not.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// The entry here may have something to say.
    pub(super) fn rouse(&mut self, at: usize) {
        if let Some(place) = self.places.get_mut(at)
            && !core::mem::replace(&mut place.is_ready, true)
        {
            let queued = self.ready.push_back(at);
            assert!(queued.is_ok(), "each place is in line once");
        }
    }

    /// The first place in line.
    pub(super) fn ready(&self) -> Option<usize> {
        self.ready.get(0).copied()
    }

    /// The first in line has nothing more to say.
    pub(super) fn rest(&mut self) {
        let first = self.ready.pop_front();
        if let Some(place) = first.and_then(|at| self.places.get_mut(at)) {
            place.is_ready = false;
        }
    }
}

const fn place_of(tx: TxId, behind: usize, places: usize) -> usize {
    // The remainder is less than a `usize`.
    ((tx.number % places as u64) as usize + behind) % places
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

    #[test]
    fn a_place_is_in_line_once_and_an_entry_gone_leaves_it_there() {
        let mut live = Live::<u32, Fixed<4, 4>>::default();
        let at = live.insert(tx(1, 1), 0).expect("there is room");
        live.rouse(at);
        live.rouse(at);
        live.remove(at);
        assert_eq!((live.ready(), live.get(at)), (Some(1), None));
        live.rest();
        assert_eq!(live.ready(), None);
    }
}
