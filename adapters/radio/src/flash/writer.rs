//! Writing entries: through a small buffer straight to flash, so that no record is ever held in memory as a whole.

use super::error::FlashError;
use super::format::{Found, Header, Kind, Sum};
use super::medium::{Mark, Medium, PIECE, Result};
use super::snapshots::{Held, SLOTS};
use super::walk::{Cursor, entry_sum};
use embedded_storage::nor_flash::NorFlash;
use quorate::codec::{Full, Sink};

/// Where a chain goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) page: u32,
    pub(super) header: Header,
    pub(super) at: u32,
}

/// What is stored where, and the entry that is being written.
pub(super) struct Writer<F: NorFlash> {
    pub(super) medium: Medium<F>,
    pub(super) epoch: u32,
    /// The serial of the next page that is begun.
    pub(super) serial: u32,
    /// The page that was begun last: the next is looked for from here on, so all wear alike.
    pub(super) latest: u32,
    /// The page in which the log begins, by its serial.
    pub(super) base: u32,
    pub(super) log: Head,
    pub(super) log_pages: u32,
    pub(super) held: [Option<Held>; SLOTS],
    /// A write was begun and did not end well.
    pub(super) poisoned: bool,
    pen: Pen<F>,
}

/// The entry that is being written.
struct Pen<F: NorFlash> {
    mode: Mode,
    head: Head,
    /// Where the mark of the entry goes.
    mark: (u32, u32),
    sum: Sum,
    buffer: [u8; PIECE],
    used: usize,
    /// Bytes that were put, or are still to be put.
    count: u32,
    failed: Option<FlashError<F::Error>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Bytes are counted, to know whether there is room.
    Counting,
    /// Bytes are written.
    Writing,
}

impl<F: NorFlash> Writer<F> {
    pub(super) const fn new(medium: Medium<F>) -> Self {
        let header = Header { kind: Kind::Log, epoch: 0, serial: 0, prev: 0, prev_end: 0, chain: 0 };
        let head = Head { page: 0, header, at: 0 };
        let pen = Pen {
            mode: Mode::Counting,
            head,
            mark: (0, 0),
            sum: Sum::new(),
            buffer: [0xFF; PIECE],
            used: 0,
            count: 0,
            failed: None,
        };
        Self {
            medium,
            epoch: 0,
            serial: 1,
            latest: 0,
            base: 0,
            log: head,
            log_pages: 0,
            held: [const { None }; SLOTS],
            poisoned: false,
            pen,
        }
    }

    /// How long an entry is that `put` writes.
    pub(super) fn measure(
        &mut self,
        put: &mut dyn FnMut(&mut Self) -> core::result::Result<(), Full>,
    ) -> Result<u32, F> {
        (self.pen.mode, self.pen.count) = (Mode::Counting, 0);
        put(self).map_err(|Full| FlashError::Unsteady)?;
        Ok(self.pen.count)
    }

    /// How many pages more a chain takes with an entry of `len` bytes.
    pub(super) fn more_pages(head: &Head, len: u32) -> u32 {
        let room = Medium::<F>::END.saturating_sub(head.at);
        let room = if room < 3 * Medium::<F>::WORD { 0 } else { room };
        entry_bytes::<F>(len).saturating_sub(room).div_ceil(Medium::<F>::END - Medium::<F>::BODY)
    }

    /// Writes an entry of `len` bytes at the end of a chain, and returns where it ends. It is durable then.
    pub(super) fn entry(
        &mut self,
        head: Head,
        kind: u8,
        len: u32,
        put: &mut dyn FnMut(&mut Self) -> core::result::Result<(), Full>,
    ) -> Result<Head, F> {
        self.begin(head, kind, len)?;
        let told = put(self);
        if let Some(failed) = self.pen.failed.take() {
            return Err(failed);
        }
        if told.is_err() || self.pen.count != 0 {
            return Err(FlashError::Unsteady);
        }
        self.end()
    }

    fn begin(&mut self, mut head: Head, kind: u8, len: u32) -> Result<(), F> {
        if Medium::<F>::END - head.at < 3 * Medium::<F>::WORD {
            head = self.next_page(&head)?;
        }
        let word = u32::from(kind) << 24 | len;
        let mut first = [0xFF; PIECE];
        first.iter_mut().zip(word.to_le_bytes()).for_each(|(to, from)| *to = from);
        let first = first.get(..Medium::<F>::WORD as usize).unwrap_or_default();
        self.medium.program(head.page, head.at, first)?;
        self.pen.sum = entry_sum(&head.header, head.at, word);
        self.pen.mark = (head.page, head.at + Medium::<F>::WORD);
        head.at += 2 * Medium::<F>::WORD;
        (self.pen.head, self.pen.used, self.pen.count) = (head, 0, len);
        (self.pen.mode, self.pen.failed) = (Mode::Writing, None);
        Ok(())
    }

    fn end(&mut self) -> Result<Head, F> {
        self.pen.mode = Mode::Counting;
        let sum = core::mem::replace(&mut self.pen.sum, Sum::new()).end();
        self.push(&sum.to_le_bytes())?;
        self.flush()?;
        // All of the entry is in place before the mark says so: a torn entry is told from a damaged one.
        let (page, at) = self.pen.mark;
        self.medium.mark(page, at)?;
        Ok(self.pen.head)
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), F> {
        while let Some((now, later)) = bytes.split_at_checked(self.room().min(bytes.len())) {
            if bytes.is_empty() {
                break;
            }
            let buffer = self.pen.buffer.iter_mut().skip(self.pen.used);
            buffer.zip(now).for_each(|(to, from)| *to = *from);
            self.pen.used += now.len();
            bytes = later;
            if self.room() == 0 {
                self.flush()?;
                if self.pen.head.at >= Medium::<F>::END && !bytes.is_empty() {
                    self.pen.head = self.next_page(&{ self.pen.head })?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes the buffer takes before it has to be written.
    fn room(&self) -> usize {
        let page = (Medium::<F>::END - self.pen.head.at) as usize;
        page.min(PIECE) - self.pen.used
    }

    fn flush(&mut self) -> Result<(), F> {
        let whole = self.pen.used.next_multiple_of(Medium::<F>::WORD as usize);
        let Some(words) = self.pen.buffer.get(..whole).filter(|words| !words.is_empty()) else {
            return Ok(());
        };
        self.medium.program(self.pen.head.page, self.pen.head.at, words)?;
        self.pen.head.at += whole as u32;
        self.pen.buffer.fill(0xFF);
        self.pen.used = 0;
        Ok(())
    }

    /// Begins the page that goes on with a chain.
    fn next_page(&mut self, head: &Head) -> Result<Head, F> {
        let kind = if head.header.chain == 0 { Kind::Log } else { head.header.kind };
        self.begin_page(kind, head.header.chain, Some(head))
    }

    /// Begins a page behind another of its chain, or the first one of a chain.
    pub(super) fn begin_page(&mut self, kind: Kind, chain: u32, after: Option<&Head>) -> Result<Head, F> {
        let page = self.free_page()?;
        let (prev, prev_end) = after.map_or((0, 0), |head| (head.header.serial, head.at));
        let header = Header { kind, epoch: self.epoch, serial: self.serial, prev, prev_end, chain };
        // An erase that was cut short may look done, so a page is erased by the life that uses it.
        self.medium.erase(page)?;
        let mut bytes = [0xFF; PIECE];
        bytes.iter_mut().zip(header.bytes(self.medium.identity)).for_each(|(to, from)| *to = from);
        self.medium.program(page, 0, bytes.get(..Medium::<F>::BODY as usize).unwrap_or_default())?;
        (self.latest, self.serial) = (page, self.serial.saturating_add(1));
        match self.held.iter_mut().flatten().find(|held| held.chain == chain) {
            Some(held) => held.pages += 1,
            None => self.log_pages += 1,
        }
        if let Some(after) = after {
            self.close(after.page)?;
        }
        Ok(Head { page, header, at: Medium::<F>::BODY })
    }

    /// Notes in a page that another follows, so that one that is missing is missed. The word may have been begun by a
    /// life that was cut short: zeros may be written over it.
    fn close(&mut self, page: u32) -> Result<(), F> {
        if self.medium.find_mark(page, Medium::<F>::END)? == Mark::Whole {
            return Ok(());
        }
        self.medium.mark(page, Medium::<F>::END)
    }

    /// The next page that holds nothing of use.
    fn free_page(&mut self) -> Result<u32, F> {
        for step in 1..=self.medium.pages {
            let Some(page) = self.latest.saturating_add(step).checked_rem(self.medium.pages) else { break };
            match self.medium.find(page)? {
                Found::Ours(header) if self.is_live(&header) => {}
                Found::Ours(_) | Found::Foreign | Found::Version(_) | Found::Nothing => return Ok(page),
            }
        }
        Err(FlashError::Full)
    }

    pub(super) fn is_live(&self, header: &Header) -> bool {
        if header.chain == 0 {
            return header.serial >= self.base;
        }
        self.held.iter().flatten().any(|held| held.chain == header.chain)
    }

    /// Begins this life's page of a chain. It vouches for what was found in the chain, so that what was torn is never
    /// looked at again. A page that holds nothing is not built upon, or boards that boot again and again would fill
    /// the flash.
    pub(super) fn resume(&mut self, tail: &Cursor, kind: Kind) -> Result<Head, F> {
        let mut after = Head { page: tail.page, header: tail.header, at: tail.at };
        let chain = tail.header.chain;
        if Medium::<F>::is_idle(tail) {
            let header = tail.header;
            let earlier = |page: &Header| {
                page.chain == chain && page.serial == header.prev && page.epoch <= header.epoch
            };
            if let Some((page, header)) = self.medium.newest(&earlier)? {
                after = Head { page, header, at: tail.header.prev_end };
                self.forget_page(chain);
            }
        }
        let head = self.begin_page(kind, chain, Some(&after))?;
        self.sweep(&after.header, head.page)?;
        Ok(head)
    }

    fn forget_page(&mut self, chain: u32) {
        match self.held.iter_mut().flatten().find(|held| held.chain == chain) {
            Some(held) => held.pages = held.pages.saturating_sub(1),
            None => self.log_pages = self.log_pages.saturating_sub(1),
        }
    }

    /// Erases the pages that an earlier life put after `last`, and that do not count: should `now` be lost, they would
    /// stand in its place.
    fn sweep(&mut self, last: &Header, now: u32) -> Result<(), F> {
        for page in 0..self.medium.pages {
            if let Found::Ours(header) = self.medium.find(page)?
                && header.chain == last.chain
                && header.serial > last.serial
                && page != now
            {
                self.medium.erase(page)?;
            }
        }
        Ok(())
    }
}

impl<F: NorFlash> Sink for Writer<F> {
    fn put(&mut self, bytes: &[u8]) -> core::result::Result<(), Full> {
        let len = u32::try_from(bytes.len()).map_err(|_| Full)?;
        match self.pen.mode {
            Mode::Counting => self.pen.count = self.pen.count.checked_add(len).ok_or(Full)?,
            Mode::Writing => {
                self.pen.count = self.pen.count.checked_sub(len).ok_or(Full)?;
                self.pen.sum.add(bytes);
                self.push(bytes).map_err(|error| {
                    self.pen.failed = Some(error);
                    Full
                })?;
            }
        }
        Ok(())
    }
}

/// What an entry of `len` bytes takes in flash.
pub(super) const fn entry_bytes<F: NorFlash>(len: u32) -> u32 {
    let word = Medium::<F>::WORD;
    len.saturating_add(4 + word - 1) / word * word + 2 * word
}
