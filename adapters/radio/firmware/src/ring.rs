//! Bytes from an interrupt to the main loop.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// A ring with one writer and one reader.
pub(crate) struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// Bytes that ever came in, and that were ever taken out.
    came: AtomicUsize,
    taken: AtomicUsize,
}

impl<const N: usize> Ring<N> {
    pub(crate) const fn new() -> Self {
        assert!(N.is_power_of_two(), "the counts wrap around");
        Self { bytes: [const { AtomicU8::new(0) }; N], came: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }

    /// Adds a byte; says whether there was room.
    pub(crate) fn push(&self, byte: u8) -> bool {
        let came = self.came.load(Ordering::Relaxed);
        if came.wrapping_sub(self.taken.load(Ordering::Acquire)) >= N {
            return false;
        }
        if let Some(place) = self.bytes.get(came % N) {
            place.store(byte, Ordering::Relaxed);
        }
        self.came.store(came.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes the oldest byte out.
    pub(crate) fn pop(&self) -> Option<u8> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.came.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes.get(taken % N).map(|place| place.load(Ordering::Relaxed));
        self.taken.store(taken.wrapping_add(1), Ordering::Release);
        byte
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.came.load(Ordering::Acquire)
    }
}
