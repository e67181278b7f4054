//! Reading entries along a chain of pages.

use super::error::{Evidence, FlashError};
use super::format::{Header, Kind, Sum};
use super::medium::{Mark, Medium, PIECE, Result};
use embedded_storage::nor_flash::NorFlash;

/// The part of an entry's first word that is its length.
pub(super) const LEN: u32 = 0xFF_FFFF;

/// Where a reader is, and how far its page goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) page: u32,
    pub(super) header: Header,
    pub(super) at: u32,
    /// Where the page ends, as the next one says.
    limit: u32,
    next: Option<(u32, Header)>,
    /// How many pages were entered.
    pub(super) pages: u32,
}

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: u8,
    pub(super) len: u32,
}

impl<F: NorFlash> Medium<F> {
    /// Begins to read at a page.
    pub(super) fn enter(&mut self, page: u32, header: Header) -> Result<Cursor, F> {
        // A restart begins a log; one that is met on the way was torn.
        let follows = |next: &Header| next.follows(&header) && next.kind != Kind::Restart;
        let next = self.newest(&follows)?;
        let limit = next.map_or(Self::END, |(_, next)| next.prev_end.clamp(Self::BODY, Self::END));
        Ok(Cursor { page, header, at: Self::BODY, limit, next, pages: 1 })
    }

    /// Goes on to the next page, if there is one.
    fn cross(&mut self, cursor: &mut Cursor) -> Result<bool, F> {
        let Some((page, header)) = cursor.next else { return Ok(false) };
        *cursor = Cursor { pages: cursor.pages.saturating_add(1), ..self.enter(page, header)? };
        Ok(true)
    }

    /// Whether nothing that counts lies in the page, so that it need not count either.
    pub(super) const fn is_idle(cursor: &Cursor) -> bool {
        cursor.at == Self::BODY && cursor.header.prev != 0
    }

    /// Whether the page that follows says of what is here that it was right: it was begun by a later life, which looked,
    /// or behind the end of an entry.
    fn is_vouched(cursor: &Cursor) -> bool {
        cursor.next.is_some_and(|(_, next)| next.epoch > cursor.header.epoch) || cursor.limit < Self::END
    }

    /// Reads the next entry, of which the bytes from `skip` on go into `into` as far as they fit. `None` at the end:
    /// what may be there was never acknowledged.
    pub(super) fn entry(
        &mut self,
        cursor: &mut Cursor,
        skip: u32,
        into: &mut [u8],
    ) -> Result<Option<Entry>, F> {
        while cursor.limit.saturating_sub(cursor.at) < 3 * Self::WORD {
            if !self.cross(cursor)? {
                return Ok(None);
            }
        }
        let start = *cursor;
        let mut head = [0; 4];
        self.read(start.page, start.at, &mut head)?;
        let mark = self.find_mark(start.page, start.at + Self::WORD)?;
        let word = u32::from_le_bytes(head);
        let entry = Entry { kind: (word >> 24) as u8, len: word & LEN };
        cursor.at += 2 * Self::WORD;
        let right = word != u32::MAX && self.payload(cursor, &start, word, skip, into)?;
        let vouched = Self::is_vouched(&start) || right && Self::is_vouched(cursor);
        if right && (mark == Mark::Whole || vouched) {
            return Ok(Some(entry));
        }
        *cursor = start;
        // Once the mark was begun all of the entry was in place: it was not torn.
        if !right && (mark != Mark::Absent || vouched) {
            return Err(FlashError::Corrupt { page: start.page, evidence: Evidence::Entry });
        }
        Ok(None)
    }

    /// Reads what an entry holds, and its checksum. Tells whether it is right.
    fn payload(
        &mut self,
        cursor: &mut Cursor,
        start: &Cursor,
        word: u32,
        skip: u32,
        into: &mut [u8],
    ) -> Result<bool, F> {
        let (mut sum, mut given, mut piece) = (entry_sum(&start.header, start.at, word), [0; 4], [0; PIECE]);
        let len = word & LEN;
        let (mut done, total) = (0, len + 4);
        while done < total {
            if cursor.at >= cursor.limit && (cursor.limit != Self::END || !self.cross(cursor)?) {
                return Ok(false);
            }
            let wanted = if done < len { len - done } else { total - done };
            let take = wanted.min(PIECE as u32).min(cursor.limit - cursor.at);
            let piece = piece.get_mut(..take as usize).unwrap_or_default();
            self.read(cursor.page, cursor.at, piece)?;
            if done < len {
                sum.add(piece);
                copy(into, i64::from(done) - i64::from(skip), piece);
            } else {
                copy(&mut given, i64::from(done - len), piece);
            }
            (done, cursor.at) = (done + take, cursor.at + take);
        }
        cursor.at = cursor.at.next_multiple_of(Self::WORD);
        Ok(sum.end() == u32::from_le_bytes(given))
    }
}

/// What the checksum of an entry begins with: which page it is in, where, and its first word. So nothing that was left
/// over, or landed elsewhere, is taken for it.
pub(super) fn entry_sum(header: &Header, at: u32, word: u32) -> Sum {
    let mut sum = Sum::new();
    for number in [header.serial, header.epoch, at, word] {
        sum.add(&number.to_le_bytes());
    }
    sum
}

/// Copies what of `bytes`, which begin at `at` of `into`, lies within it.
fn copy(into: &mut [u8], at: i64, bytes: &[u8]) {
    let skip = usize::try_from(-at).unwrap_or_default();
    let at = usize::try_from(at).unwrap_or_default();
    into.iter_mut().skip(at).zip(bytes.iter().skip(skip)).for_each(|(to, from)| *to = *from);
}
