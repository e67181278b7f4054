//! Pages of flash: reading and writing with any alignment that a device asks for, and looking for pages.

use super::error::{FlashError, Unfit};
use super::format::{Found, HEADER_BYTES, Header, Identity};
use embedded_storage::nor_flash::NorFlash;

pub(super) type Result<T, F> =
    core::result::Result<T, FlashError<<F as embedded_storage::nor_flash::ErrorType>::Error>>;

/// The longest word, and the most that is read or compared at a time.
pub(super) const PIECE: usize = 64;

/// What there is of a word that is set to zero when something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Absent,
    /// It was begun: all before it was done.
    Part,
    /// Most of its bits say so.
    Whole,
}

/// A region of pages.
#[derive(Debug)]
pub(super) struct Medium<F> {
    pub(super) flash: F,
    pub(super) from: u32,
    pub(super) pages: u32,
    pub(super) identity: Identity,
}

impl<F: NorFlash> Medium<F> {
    /// The unit of writing; four bytes or more, so that no single bit decides.
    pub(super) const WORD: u32 = if F::WRITE_SIZE < 4 { 4 } else { F::WRITE_SIZE as u32 };
    /// Where entries begin in a page.
    pub(super) const BODY: u32 = (HEADER_BYTES as u32).next_multiple_of(Self::WORD);
    /// Where entries end in a page. The word behind it says that another page follows.
    pub(super) const END: u32 = F::ERASE_SIZE as u32 - Self::WORD;

    /// What is wrong with the device, if anything.
    pub(super) fn check(&self) -> Result<(), F> {
        let page = F::ERASE_SIZE;
        let is_word = |size: usize| size.is_power_of_two() && size <= PIECE / 2;
        if !is_word(F::WRITE_SIZE) || !is_word(F::READ_SIZE) {
            return Err(FlashError::Options(Unfit::Words));
        }
        if !(256..=1 << 23).contains(&page) || !page.is_power_of_two() {
            return Err(FlashError::Options(Unfit::Pages));
        }
        let (from, pages) = (self.from as usize, self.pages as usize);
        if !from.is_multiple_of(page) || self.flash.capacity() / page < from / page + pages {
            return Err(FlashError::Options(Unfit::Region));
        }
        Ok(())
    }

    fn address(&self, page: u32, at: u32) -> u32 {
        self.from.saturating_add(page.saturating_mul(F::ERASE_SIZE as u32)).saturating_add(at)
    }

    /// Reads any bytes of a page.
    pub(super) fn read(&mut self, page: u32, at: u32, into: &mut [u8]) -> Result<(), F> {
        let start = self.address(page, at);
        if F::READ_SIZE == 1 {
            return self.flash.read(start, into).map_err(FlashError::Device);
        }
        let (mut done, mut window) = (0, [0; PIECE]);
        while done < into.len() {
            let from = start.saturating_add(done as u32);
            let skip = from as usize % F::READ_SIZE;
            let take = (into.len() - done).min(PIECE - F::READ_SIZE);
            let Some(aligned) = window.get_mut(..(skip + take).next_multiple_of(F::READ_SIZE)) else {
                return Ok(());
            };
            self.flash.read(from - skip as u32, aligned).map_err(FlashError::Device)?;
            into.iter_mut()
                .skip(done)
                .zip(aligned.iter().skip(skip))
                .take(take)
                .for_each(|(to, from)| *to = *from);
            done += take;
        }
        Ok(())
    }

    /// Writes whole words, and sees that they are there.
    pub(super) fn program(&mut self, page: u32, at: u32, bytes: &[u8]) -> Result<(), F> {
        let start = self.address(page, at);
        self.flash.write(start, bytes).map_err(FlashError::Device)?;
        let (mut done, mut there) = (0, [0; PIECE]);
        for piece in bytes.chunks(PIECE) {
            let Some(there) = there.get_mut(..piece.len()) else { continue };
            self.read(page, at.saturating_add(done), there)?;
            if there != piece {
                return Err(FlashError::Worn { page });
            }
            done += piece.len() as u32;
        }
        Ok(())
    }

    /// Sets all bits of a word to zero.
    pub(super) fn mark(&mut self, page: u32, at: u32) -> Result<(), F> {
        let zeros = [0; PIECE];
        self.program(page, at, zeros.get(..Self::WORD as usize).unwrap_or_default())
    }

    /// What there is of a mark.
    pub(super) fn find_mark(&mut self, page: u32, at: u32) -> Result<Mark, F> {
        let mut word = [0; PIECE];
        let word = word.get_mut(..Self::WORD as usize).unwrap_or_default();
        self.read(page, at, word)?;
        Ok(match word.iter().map(|byte| byte.count_zeros()).sum::<u32>() {
            // A bit may rot.
            0 | 1 => Mark::Absent,
            zeros if zeros * 2 < Self::WORD * 8 => Mark::Part,
            _ => Mark::Whole,
        })
    }

    pub(super) fn erase(&mut self, page: u32) -> Result<(), F> {
        let (from, to) = (self.address(page, 0), self.address(page, F::ERASE_SIZE as u32));
        self.flash.erase(from, to).map_err(FlashError::Device)
    }

    /// Whether nothing was ever written from `at` to `end` of a page.
    pub(super) fn is_blank(&mut self, page: u32, mut at: u32, end: u32) -> Result<bool, F> {
        let mut piece = [0; PIECE];
        while at < end {
            let len = (PIECE as u32).min(end - at) as usize;
            let piece = piece.get_mut(..len).unwrap_or_default();
            self.read(page, at, piece)?;
            if piece.iter().any(|byte| *byte != 0xFF) {
                return Ok(false);
            }
            at += len as u32;
        }
        Ok(true)
    }

    /// What a page is.
    pub(super) fn find(&mut self, page: u32) -> Result<Found, F> {
        Ok(Header::find(&self.head(page)?, self.identity))
    }

    fn head(&mut self, page: u32) -> Result<[u8; HEADER_BYTES], F> {
        let mut bytes = [0; HEADER_BYTES];
        self.read(page, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// The newest of the pages that are `wanted`.
    ///
    /// Pages are looked up where they lie: a table of them would take memory for the sake of a few milliseconds.
    pub(super) fn newest(&mut self, wanted: &dyn Fn(&Header) -> bool) -> Result<Option<(u32, Header)>, F> {
        let mut newest: Option<(u32, Header)> = None;
        for page in 0..self.pages {
            let bytes = self.head(page)?;
            // Only what would be chosen is worth a checksum.
            let Some((_, Some(claimed))) = Header::claimed(&bytes) else { continue };
            let is_newer =
                newest.is_none_or(|(_, best)| (best.epoch, best.serial) < (claimed.epoch, claimed.serial));
            if is_newer && wanted(&claimed) && Header::find(&bytes, self.identity) == Found::Ours(claimed) {
                newest = Some((page, claimed));
            }
        }
        Ok(newest)
    }
}
