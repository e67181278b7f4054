//! The command line of a board: `key=value key=value`.

/// Room for the command line.
const LONGEST: usize = 384;

/// The command line.
#[derive(Debug)]
pub struct Arguments {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Arguments {
    /// Asks the host for it; `None` if it is too long.
    #[must_use]
    pub fn read() -> Option<Self> {
        let mut bytes = [0; LONGEST];
        let length = crate::hardware::command_line(&mut bytes)?;
        Some(Self { bytes, length })
    }

    /// The value of a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let line = core::str::from_utf8(self.bytes.get(..self.length)?).ok()?;
        line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The value of a key, if it is a number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}
