//! What happened, as a number to compare runs by and, if wanted, in words.

use std::io::Write;

/// A running hash of everything that happened, and where to tell it.
#[derive(Default)]
pub(crate) struct Trace {
    digest: u64,
    steps: u64,
    sink: Option<Box<dyn Write + Send>>,
}

impl Trace {
    pub(crate) fn tell_to(&mut self, sink: Box<dyn Write + Send>) {
        self.sink = Some(sink);
    }

    /// Another step begins.
    pub(crate) const fn step(&mut self, now: u64) {
        self.steps += 1;
        self.note(now);
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// Takes a number into the hash (the step of FxHash, spread by a rotation).
    pub(crate) const fn note(&mut self, number: u64) {
        self.digest = (self.digest.rotate_left(23) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    pub(crate) fn note_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.note(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| self.note(byte.into()));
    }

    /// Tells a line, put into words only if someone listens. A listener that went away is not an error of the run.
    pub(crate) fn tell(&mut self, now: u64, line: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
            let _ = writeln!(sink, "{} {seconds:>3}.{micros:06} {}", self.steps, line());
        }
    }
}
