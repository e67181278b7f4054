//! Messages that wait.

use quorate::codec::{Full, Sink};

/// Room for a message.
pub struct Room<'r> {
    bytes: &'r mut [u8],
    used: usize,
}

impl Sink for Room<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.used.checked_add(bytes.len()).ok_or(Full)?;
        self.bytes.get_mut(self.used..end).ok_or(Full)?.copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }
}
