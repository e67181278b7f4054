//! Bytes as decisions, read from front to back.

/// What is left of some bytes. Where they end, every decision is the first one: 0, no, nothing.
#[derive(Clone, Copy, Debug)]
pub struct Tape<'b>(&'b [u8]);

impl<'b> Tape<'b> {
    /// All of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any number, the small and the largest ones most of the time.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => small.into(),
            wide @ 200..=231 => u64::from(wide) << 8 | u64::from(self.byte()),
            large @ 232..=247 => u64::MAX - u64::from(large - 232),
            _ => self.bytes(8).iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
        }
    }

    /// A number by one of those that matter; now and then any.
    pub fn near(&mut self, matter: &[u64]) -> u64 {
        let byte = usize::from(self.byte());
        let from = matter[byte / 8 % matter.len()];
        match byte % 8 {
            0..=2 => from,
            3 => from.saturating_add(1),
            4 => from.saturating_sub(1),
            5 => from.saturating_add(2),
            6 => from.saturating_sub(3),
            _ => self.number(),
        }
    }

    /// The next bytes, or as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Some bytes, after a byte that says how many.
    pub fn slice(&mut self) -> &'b [u8] {
        let count = self.byte();
        self.bytes(count.into())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }
}
