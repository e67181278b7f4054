//! A ring with bounded loads.

use super::ring::Member;
use super::{Placed, Refusal, Ring, hash};
use crate::space::{List, Space};

/// A ring on which no node takes more than its share and a bit (Mirrokni, Thorup, Zadimoghaddam, 2016).
///
/// It counts what each node has taken. With `m` taken, the next one included, a node of share `s` takes none that
/// brings it over `ceil(percent / 100 * m * s)`: what would goes to the next node on the ring that has room, and there
/// always is one. The less room, the further that is; 125 is a good start.
///
/// Where a key went depends on what was there before it, so the caller remembers it until it gives it back.
///
/// ```
/// use quorate::placement::{Bounded, Ring};
/// use quorate::space::Fixed;
///
/// let ring = Ring::<u64, Fixed<0, 0>, 3, 300>::of([(1, 100), (2, 100), (3, 100)])?;
/// let mut bounded = Bounded::new(ring, 125).expect("more than the average");
/// for _ in 0..30 {
///     bounded.take(b"the one key that everybody wants");
/// }
/// assert!(bounded.loads().all(|(_, load)| load <= 13)); // 1.25 * 30 / 3, rounded up
/// # Ok::<(), quorate::placement::Refusal<u64>>(())
/// ```
#[derive(Debug)]
pub struct Bounded<N: Placed, S: Space, const NODES: usize, const POINTS: usize> {
    ring: Ring<N, S, NODES, POINTS>,
    percent: u32,
    /// What each node has taken, by rank.
    loads: S::Items<u64, NODES>,
    total: u64,
}

impl<N: Placed, S: Space, const NODES: usize, const POINTS: usize> Bounded<N, S, NODES, POINTS> {
    /// Bounds what the nodes of a ring take, in percent of the average.
    ///
    /// # Errors
    /// Hands the ring back when the bound is below 100: not everything would have a place.
    pub fn new(ring: Ring<N, S, NODES, POINTS>, percent: u32) -> Result<Self, Ring<N, S, NODES, POINTS>> {
        if percent < 100 {
            return Err(ring);
        }
        let loads = List::of(ring.nodes().map(|_| 0));
        Ok(Self { ring, percent, loads, total: 0 })
    }

    /// Finds a node for a key, and counts it there.
    pub fn take(&mut self, key: &[u8]) -> N {
        self.take_at(hash(key))
    }

    /// Finds a node for what has this hash, and counts it there.
    pub fn take_at(&mut self, hash: u64) -> N {
        let total = self.total.saturating_add(1);
        let has_room = |&(rank, member): &(usize, Member<N>)| {
            self.loads.get(rank).is_some_and(|load| *load < self.limit(total, member.weight))
        };
        let found = self.ring.from(hash).find(has_room);
        // Less than `total` is taken, and the limits come to at least that.
        let Some((rank, member)) = found else { return self.ring.owner_at(hash) };
        if let Some(load) = self.loads.get_mut(rank) {
            *load += 1;
            self.total = total;
        }
        member.node
    }

    /// Notes that a node is done with one of those it took. Says whether it had any.
    pub fn give_back(&mut self, node: N) -> bool {
        let load =
            self.ring.rank_of(node).and_then(|rank| self.loads.get_mut(rank)).filter(|load| **load > 0);
        load.map(|load| {
            *load -= 1;
            self.total -= 1;
        })
        .is_some()
    }

    /// How much a node may have with one more taken, by all, than are now. Nothing, if it is not there.
    #[must_use]
    pub fn capacity_of(&self, node: N) -> u64 {
        let weight = self.ring.weight_of(node).unwrap_or(0);
        self.limit(self.total.saturating_add(1), weight)
    }

    /// What each node has taken, in the order of their numbers.
    pub fn loads(&self) -> impl Iterator<Item = (N, u64)> {
        self.ring.nodes().zip(self.loads.iter()).map(|((node, _), load)| (node, *load))
    }

    /// The ring.
    #[must_use]
    pub const fn ring(&self) -> &Ring<N, S, NODES, POINTS> {
        &self.ring
    }

    /// Adds a node, which has taken nothing.
    ///
    /// # Errors
    /// As [`Ring::add`].
    pub fn add(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        self.ring.add(node, weight)?;
        let fits = self.loads.insert(self.ring.rank_of(node).unwrap_or(0), 0);
        assert!(fits.is_ok(), "there is room for a load where there was for the node");
        Ok(())
    }

    /// Takes a node away, and says how much it had: that is to be taken anew.
    ///
    /// # Errors
    /// As [`Ring::remove`].
    pub fn remove(&mut self, node: N) -> Result<u64, Refusal<N>> {
        let rank = self.ring.rank_of(node).ok_or(Refusal::Absent(node))?;
        self.ring.remove(node)?;
        let load = self.loads.remove(rank).unwrap_or(0);
        self.total -= load;
        Ok(load)
    }

    /// Gives a node another weight, and so another share. What it has taken it keeps.
    ///
    /// # Errors
    /// As [`Ring::set_weight`].
    pub fn set_weight(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        self.ring.set_weight(node, weight)
    }

    /// `ceil(percent / 100 * total * weight / all weights)`.
    fn limit(&self, total: u64, weight: u32) -> u64 {
        let share = u128::from(self.percent) * u128::from(weight) * u128::from(total);
        let limit = share.div_ceil(100 * self.ring.points() as u128);
        u64::try_from(limit).unwrap_or(u64::MAX)
    }
}
