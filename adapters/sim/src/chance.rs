//! Chance: what a tape says while it lasts, and then what follows from a seed.

use quorate::Rng;
use std::vec;

/// All that a world decides by chance comes from here.
///
/// With a seed alone, the same seed gives the same numbers. With a tape the first decisions are the tape's, a byte
/// each, so whoever writes the tape (a fuzzer, which sees what its bytes reach) decides what happens; where it ends,
/// the seed goes on.
///
/// ```
/// use quorate_sim::Chance;
///
/// let mut chance = Chance::taped(7, vec![0, 128, 255]);
/// assert_eq!([chance.below(1_000), chance.below(1_000), chance.below(2)], [0, 500, 1]);
/// assert_eq!(chance.below(1_000), Chance::seeded(7).below(1_000));
/// ```
#[derive(Clone, Debug)]
pub struct Chance {
    tape: vec::IntoIter<u8>,
    rng: Rng,
}

impl Chance {
    /// What follows from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::taped(seed, Vec::new())
    }

    /// What the tape says, and then what follows from the seed.
    #[must_use]
    pub fn taped(seed: u64, tape: Vec<u8>) -> Self {
        Self { tape: tape.into_iter(), rng: Rng::new(seed) }
    }

    /// The next 64 bits. A byte of a tape stands for bits of its own: for what has to differ, not for what has an order.
    pub fn bits(&mut self) -> u64 {
        match self.tape.next() {
            None => self.rng.next(),
            Some(byte) => Rng::new(byte.into()).next(),
        }
    }

    /// A number below `bound`; 0 when `bound` is 0. A byte of a tape says how far between the two: the likely and the
    /// unlikely are within its reach alike, since what has a likelihood happens at the low end.
    pub fn below(&mut self, bound: u64) -> u64 {
        match self.tape.next() {
            None => self.rng.below(bound),
            Some(byte) => ((u128::from(byte) * u128::from(bound)) >> 8) as u64,
        }
    }

    /// Another source, which shares the rest of the tape: every second byte is its.
    pub(crate) fn split(&mut self) -> Self {
        let other = Rng::new(self.bits());
        let mut rest = std::mem::take(&mut self.tape);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        while let Some(byte) = rest.next() {
            ours.push(byte);
            theirs.extend(rest.next());
        }
        self.tape = ours.into_iter();
        Self { tape: theirs.into_iter(), rng: other }
    }

    /// From now on the seed decides.
    pub(crate) fn end_tape(&mut self) {
        self.tape = vec::IntoIter::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_that_is_split_goes_to_both_in_turn() {
        let mut ours = Chance::taped(1, vec![9, 0, 64, 128, 192, 255]);
        let mut theirs = ours.split();
        let draw = |chance: &mut Chance| chance.below(256);
        assert_eq!([draw(&mut ours), draw(&mut theirs), draw(&mut ours)], [0, 64, 128]);
        assert_eq!([draw(&mut theirs), draw(&mut ours)], [192, 255]);
    }
}
