//! Who decides: every quorum decision goes through [`Quorum`].

/// A set of nodes by their slot in the peer table: one machine word, since sets are looked at all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(usize);

impl Slots {
    /// How many slots a set can name: 64, or 32 on a small chip.
    pub const MOST: usize = usize::BITS as usize;

    /// No slots.
    pub const NONE: Self = Self(0);

    /// The first `count` slots.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        Self(if count >= Self::MOST { usize::MAX } else { (1 << count) - 1 })
    }

    /// Adds a slot.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn insert(&mut self, slot: usize) {
        self.0 |= 1 << slot;
    }

    /// Takes a slot out.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub const fn remove(&mut self, slot: usize) {
        self.0 &= !(1 << slot);
    }

    /// Whether a slot is in the set.
    #[must_use]
    pub const fn contains(self, slot: usize) -> bool {
        self.0 >> slot & 1 == 1
    }

    /// How many slots are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set has no slots.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The slots of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The slots that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The slots of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first slot at or after `slot`, going round: lowest bit first would be unfair to the later ones.
    #[must_use]
    pub const fn round_from(self, slot: usize) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let turn = slot % Self::MOST;
        let ahead = self.0 >> turn << turn;
        Some(if ahead == 0 { self.0 } else { ahead }.trailing_zeros() as usize)
    }

    /// The slots, lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let slot = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(slot)
        })
    }
}

/// The voters of a cluster, and what it takes for them to agree: a majority (Raft 5.2, 5.3).
#[derive(Clone, Copy, Debug)]
pub struct Quorum {
    voters: Slots,
    majority: usize,
}

impl Quorum {
    /// A quorum system of these voters.
    #[must_use]
    pub const fn of(voters: Slots) -> Self {
        Self { voters, majority: voters.len() / 2 + 1 }
    }

    /// Whether `slot` has a vote.
    #[must_use]
    pub const fn has_voter(&self, slot: usize) -> bool {
        self.voters.contains(slot)
    }

    /// Whether these nodes are enough to decide.
    #[must_use]
    pub const fn is_met(&self, by: Slots) -> bool {
        self.voters.and(by).len() >= self.majority
    }

    /// The largest number that enough nodes have reached, of those that `reached` tells for each slot.
    pub fn agreed<T: Ord + Copy>(&self, reached: impl Fn(usize) -> Option<T>) -> Option<T> {
        self.voters.iter().filter_map(&reached).filter(|&mark| self.holds(mark, &reached)).max()
    }

    /// Whether enough nodes have reached `mark`.
    pub fn holds<T: Ord>(&self, mark: T, reached: impl Fn(usize) -> Option<T>) -> bool {
        let by = self.voters.iter().filter(|&slot| reached(slot).is_some_and(|at| at >= mark)).count();
        by >= self.majority
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    /// The textbook: sort, and take the one that a majority has reached.
    fn naive(mut reached: Vec<u8>) -> Option<u8> {
        reached.sort_unstable();
        reached.get(reached.len().checked_sub(1)? / 2).copied()
    }

    quickcheck! {
        fn agreed_is_what_sorting_tells(reached: Vec<u8>) -> bool {
            let reached: Vec<u8> = reached.into_iter().take(Slots::MOST).collect();
            let quorum = Quorum::of(Slots::first(reached.len()));
            quorum.agreed(|slot| reached.get(slot).copied()) == naive(reached.clone())
        }

        fn two_quorums_share_a_node(voters: usize, a: usize, b: usize) -> bool {
            let quorum = Quorum::of(Slots(voters));
            let both = Slots(a).and(Slots(b)).and(Slots(voters));
            !both.is_empty() || !quorum.is_met(Slots(a)) || !quorum.is_met(Slots(b))
        }

        fn going_round_finds_each_slot(set: usize, from: u8) -> bool {
            let (set, from) = (Slots(set), usize::from(from) % Slots::MOST);
            let naive = (from..from + Slots::MOST).map(|slot| slot % Slots::MOST).find(|&slot| set.contains(slot));
            set.round_from(from) == naive
        }
    }

    #[test]
    fn half_is_not_a_quorum() {
        assert!(!Quorum::of(Slots::first(4)).is_met(Slots::first(2)));
        assert!(Quorum::of(Slots::first(4)).is_met(Slots::first(3)));
    }

    #[test]
    fn nobody_decides_for_no_voters() {
        assert!(!Quorum::of(Slots::NONE).is_met(Slots::first(3)));
    }
}
