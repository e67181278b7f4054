//! NOR flash, kept in a file of the host.
//!
//! As on a chip, writing only clears bits and erasing sets those of a whole page. The file is written through at once,
//! so it holds what was written when the process that emulates the board is killed.

use crate::hardware::{file_length, open_file, read_file, write_file};
use core::ffi::CStr;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// Bytes of a page: what is erased at once. That of the chip.
pub const PAGE: usize = 1024;
/// What is written at once.
pub const WORD: usize = 4;
/// The longest path of a file.
const PATH: usize = 256;

/// Flash in a file.
#[derive(Debug)]
pub struct HostFlash {
    file: u32,
    capacity: usize,
}

/// The flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(NorFlashErrorKind);

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl HostFlash {
    /// Opens the file, which must be there and as long as the flash is to be: whole pages.
    #[must_use]
    pub fn open(path: &str) -> Option<Self> {
        let mut terminated = [0; PATH];
        terminated.get_mut(..path.len())?.copy_from_slice(path.as_bytes());
        let file = open_file(CStr::from_bytes_until_nul(&terminated).ok()?)?;
        let capacity = file_length(file)? as usize;
        (capacity > 0 && capacity.is_multiple_of(PAGE)).then_some(Self { file, capacity })
    }

    /// How many pages it has.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.capacity / PAGE
    }

    /// Clears the bits of a place that are clear in `bytes`.
    fn clear_bits(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        let mut buffer = [0; 64];
        let mut at = offset;
        for part in bytes.chunks(buffer.len()) {
            let Some(cells) = buffer.get_mut(..part.len()) else { return Err(OTHER) };
            done(read_file(self.file, at, cells))?;
            cells.iter_mut().zip(part).for_each(|(cell, byte)| *cell &= byte);
            done(write_file(self.file, at, cells))?;
            at += part.len() as u32;
        }
        Ok(())
    }
}

const OTHER: Failed = Failed(NorFlashErrorKind::Other);

fn done(success: bool) -> Result<(), Failed> {
    if success { Ok(()) } else { Err(OTHER) }
}

impl ErrorType for HostFlash {
    type Error = Failed;
}

impl ReadNorFlash for HostFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        check_read(self, offset, bytes.len()).map_err(Failed)?;
        done(bytes.is_empty() || read_file(self.file, offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl NorFlash for HostFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        check_erase(self, from, to).map_err(Failed)?;
        let blank = [0xFF; 64];
        let mut parts = (from..to).step_by(blank.len());
        parts.try_for_each(|at| done(write_file(self.file, at, &blank)))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        check_write(self, offset, bytes.len()).map_err(Failed)?;
        self.clear_bits(offset, bytes)
    }
}
