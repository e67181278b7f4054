//! What a board tells whoever watches: lines of text, `what key=value key=value`.

use crate::uart::tell;

/// A line that is being told. It ends when it is dropped.
#[derive(Debug)]
pub struct Line(());

/// Begins a line.
pub fn line(what: &str) -> Line {
    what.bytes().for_each(tell);
    Line(())
}

impl Line {
    /// Adds a number.
    pub fn number(self, key: &str, value: u64) -> Self {
        self.key(key);
        tell_number(value);
        self
    }

    /// Adds a number, or a dash.
    pub fn maybe(self, key: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self.word(key, "-"),
        }
    }

    /// Adds a word.
    pub fn word(self, key: &str, value: &str) -> Self {
        self.key(key);
        value.bytes().for_each(tell);
        self
    }

    fn key(&self, key: &str) {
        tell(b' ');
        key.bytes().for_each(tell);
        tell(b'=');
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        tell(b'\n');
    }
}

fn tell_number(value: u64) {
    /// Digits of the largest `u64`.
    const DIGITS: usize = 20;
    let mut digits = [0; DIGITS];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    digits.iter().skip(DIGITS - used).copied().for_each(tell);
}
