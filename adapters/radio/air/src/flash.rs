//! NOR flash in memory.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// Flash as a chip has it: writing clears bits, erasing sets those of a whole page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryFlash {
    bytes: Vec<u8>,
}

impl MemoryFlash {
    /// Bytes of a page.
    pub const PAGE: usize = 1024;

    /// Blank flash of so many pages.
    #[must_use]
    pub fn blank(pages: usize) -> Self {
        Self { bytes: vec![0xFF; pages * Self::PAGE] }
    }

    fn range(&mut self, offset: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let at = offset as usize;
        self.bytes.get_mut(at..at + length).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ErrorType for MemoryFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for MemoryFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        bytes.copy_from_slice(self.range(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for MemoryFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = Self::PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.range(from, (to - from) as usize)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let cells = self.range(offset, bytes.len())?;
        cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}
