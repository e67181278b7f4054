//! NOR flash in memory: writing only clears bits, words are written once, power can be cut at any word or erase.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use quorate::Rng;

/// Flash with words of `WORD` bytes and pages of `PAGE`, read `READ` bytes at a time or a multiple.
///
/// A word whose write was cut short has each bit set, not set, or read now so, now so. So has a page whose erase was.
#[derive(Clone, Debug)]
pub struct Nor<const WORD: usize, const PAGE: usize, const READ: usize = 1> {
    cells: Vec<u8>,
    /// Bits that are read at random.
    unsteady: Vec<u8>,
    /// Words that were written since the last erase, and those of them that a cut tore.
    written: Vec<Written>,
    /// Erases of each page.
    pub erases: Vec<u32>,
    /// Words written and pages erased.
    pub operations: u64,
    /// A byte that is worn out: it stays as it is.
    pub worn: Option<usize>,
    /// The operation in which power goes.
    pub cut_at: Option<u64>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    No,
    Torn,
    Yes,
}

/// What the flash says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NorError {
    /// There is no power.
    Off,
    /// A call that no flash takes.
    Wrong(NorFlashErrorKind),
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Off => NorFlashErrorKind::Other,
            Self::Wrong(kind) => *kind,
        }
    }
}

impl<const WORD: usize, const PAGE: usize, const READ: usize> Nor<WORD, PAGE, READ> {
    pub fn new(pages: usize, seed: u64) -> Self {
        Self {
            cells: vec![0xFF; pages * PAGE],
            unsteady: vec![0; pages * PAGE],
            written: vec![Written::No; pages * PAGE / WORD],
            erases: vec![0; pages],
            operations: 0,
            worn: None,
            cut_at: None,
            rng: Rng::new(seed),
        }
    }

    /// Power comes back.
    pub fn power_on(&mut self) {
        self.cut_at = None;
    }

    /// Flips a bit, as rot does.
    pub fn flip(&mut self, bit: usize) {
        self.cells[bit / 8] ^= 1 << (bit % 8);
    }

    /// Bits of the device.
    pub fn bits(&self) -> usize {
        self.cells.len() * 8
    }

    /// What is in a page, as it would be read.
    pub fn page(&self, page: usize) -> &[u8] {
        &self.cells[page * PAGE..(page + 1) * PAGE]
    }

    /// Puts anything into the cells.
    pub fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.cells[at..at + bytes.len()].copy_from_slice(bytes);
        // Whoever reads them cannot tell them from words that were torn.
        let words = &mut self.written[at / WORD..(at + bytes.len()).div_ceil(WORD)];
        words.iter_mut().filter(|word| **word == Written::Yes).for_each(|word| *word = Written::Torn);
    }

    /// Counts an operation. Tells whether power goes in it.
    fn operate(&mut self) -> Result<bool, NorError> {
        if self.cut_at.is_some_and(|at| self.operations > at) {
            return Err(NorError::Off);
        }
        self.operations += 1;
        Ok(self.cut_at.is_some_and(|at| self.operations > at))
    }

    /// Sets bits halfway: each becomes what it should, stays, or cannot make up its mind. How many of each is up to how
    /// far the operation was: `progress` of three.
    fn tear(&mut self, at: usize, wanted: u8, progress: u64) {
        for bit in (0..8).map(|bit| 1 << bit) {
            if (self.cells[at] ^ wanted) & bit == 0 {
                continue;
            }
            match (progress, self.rng.next() % 24) {
                (0, 1..) | (1, 0..8) => {}
                (2, 1..) | (1, 8..16) => self.cells[at] ^= bit,
                _ => self.unsteady[at] |= bit,
            }
        }
    }
}

impl<const WORD: usize, const PAGE: usize, const READ: usize> ErrorType for Nor<WORD, PAGE, READ> {
    type Error = NorError;
}

impl<const WORD: usize, const PAGE: usize, const READ: usize> ReadNorFlash for Nor<WORD, PAGE, READ> {
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        check_read(self, offset, bytes.len()).map_err(NorError::Wrong)?;
        if self.cut_at.is_some_and(|at| self.operations > at) {
            return Err(NorError::Off);
        }
        let range = offset as usize..offset as usize + bytes.len();
        bytes.copy_from_slice(&self.cells[range.clone()]);
        for (byte, unsteady) in bytes.iter_mut().zip(&self.unsteady[range]).filter(|(_, bits)| **bits != 0) {
            *byte ^= unsteady & self.rng.next() as u8;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl<const WORD: usize, const PAGE: usize, const READ: usize> NorFlash for Nor<WORD, PAGE, READ> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        check_erase(self, from, to).map_err(NorError::Wrong)?;
        for page in from as usize / PAGE..to as usize / PAGE {
            let (cut, progress) = (self.operate()?, self.rng.next() % 3);
            self.erases[page] += 1;
            for at in page * PAGE..(page + 1) * PAGE {
                if cut {
                    self.tear(at, 0xFF, progress);
                } else {
                    (self.cells[at], self.unsteady[at]) = (0xFF, 0);
                }
            }
            let written = if cut { Written::Torn } else { Written::No };
            self.written[page * PAGE / WORD..(page + 1) * PAGE / WORD].fill(written);
            if cut {
                return Err(NorError::Off);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        check_write(self, offset, bytes.len()).map_err(NorError::Wrong)?;
        for (at, word) in bytes.chunks(WORD).enumerate() {
            let at = offset as usize + at * WORD;
            let zeros = word.iter().all(|byte| *byte == 0);
            match self.written[at / WORD] {
                Written::No => {}
                Written::Torn => assert!(zeros, "a word that was torn may only be set to zero"),
                Written::Yes if zeros && self.cells[at..at + WORD].iter().all(|byte| *byte == 0) => {}
                Written::Yes => panic!("the word at {at} is written twice"),
            }
            let (cut, progress) = (self.operate()?, self.rng.next() % 3);
            self.written[at / WORD] = if cut { Written::Torn } else { Written::Yes };
            let worn = self.worn;
            for (at, byte) in (at..).zip(word).filter(|(at, _)| worn != Some(*at)) {
                if cut {
                    self.tear(at, self.cells[at] & byte, progress);
                } else {
                    self.cells[at] &= byte;
                    self.unsteady[at] &= byte;
                }
            }
            if cut {
                return Err(NorError::Off);
            }
        }
        Ok(())
    }
}
