//! A key to one of so many numbered parts.

use super::hash;
use core::num::NonZeroU32;

/// Numbered parts that keys are spread over, by jump hashing (Lamping, Veach, 2014).
///
/// It needs no memory and spreads evenly. With one part more, of each part as much moves as the new one gets, and
/// nothing else; a part other than the last cannot be taken away, which is what a [`Ring`](super::Ring) is for. A
/// hash modulo the number of parts would move nearly everything.
///
/// ```
/// use core::num::NonZeroU32;
/// use quorate::placement::Partition;
///
/// let three = Partition::new(const { NonZeroU32::new(3).unwrap() });
/// assert_eq!(three.of(b"user:1"), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    parts: NonZeroU32,
}

impl Partition {
    /// Parts 0 to before `parts`.
    #[must_use]
    pub const fn new(parts: NonZeroU32) -> Self {
        Self { parts }
    }

    /// The part of a key.
    #[must_use]
    pub fn of(self, key: &[u8]) -> u32 {
        self.at(hash(key))
    }

    /// The part of a key with this hash.
    #[must_use]
    pub fn at(self, hash: u64) -> u32 {
        let parts = i64::from(self.parts.get());
        let (mut state, mut part, mut next) = (hash, 0, 0);
        // `next` grows in each round: at most as many rounds as parts, and about ln(parts).
        while next < parts {
            part = next;
            state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            // Doubles as in the paper: each step is rounded as IEEE 754 says, which is the same everywhere.
            let chance = (1_u64 << 31) as f64 / ((state >> 33) + 1) as f64;
            next = ((part + 1) as f64 * chance) as i64;
        }
        part as u32 // below `parts`
    }
}
