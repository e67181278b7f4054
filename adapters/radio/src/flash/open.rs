//! Finding out what counts, after whatever happened.
//!
//! The newest page of the log is where its last life got to. From there the log is followed back to the newest restart
//! that was written whole, and from that read forward to its end. Then this life begins a page of its own, which says
//! how far the log was right: what was torn behind that is never looked at again, so it does not matter that its bits may
//! read now so, now so.

use super::error::{Evidence, FlashError};
use super::format::{Found, HEADER_BYTES, Header, KEEP_BYTES, Kind, entry, take_keep};
use super::medium::{Mark, Medium, Result};
use super::snapshots::{INCOMING, KEPT, MADE, SLOTS};
use super::walk::Cursor;
use super::writer::Writer;
use embedded_storage::nor_flash::NorFlash;
use quorate::SnapshotId;

/// Where the log begins.
struct Base {
    /// Its first page.
    serial: u32,
    /// Behind the restart, if there is one.
    cursor: Cursor,
    keep: Option<SnapshotId>,
}

/// The newer of two pages.
fn newer(than: Option<(u32, Header)>, page: u32, header: Header) -> Option<(u32, Header)> {
    than.filter(|(_, than)| (than.epoch, than.serial) > (header.epoch, header.serial))
        .or(Some((page, header)))
}

impl<F: NorFlash> Writer<F> {
    /// Begins a life. A snapshot that comes in is let go if it has `snapshot_pages` already and is not whole.
    pub(super) fn open(medium: Medium<F>, snapshot_pages: u32) -> Result<Self, F> {
        let mut writer = Self::new(medium);
        let top = match writer.survey()? {
            Some(top) => top,
            None => writer.format()?,
        };
        let base = writer.find_base(top)?;
        writer.base = base.serial;
        let tail = writer.find_tail(base.cursor)?;
        let tails = writer.find_snapshots(base.keep, snapshot_pages)?;
        writer.clean(top.1.epoch)?;
        writer.epoch = top.1.epoch.checked_add(1).ok_or(FlashError::Full)?;
        writer.log_pages = tail.pages;
        writer.log = writer.resume(&tail, Kind::Log)?;
        for slot in [INCOMING, MADE] {
            let Some(tail) = tails.get(slot).and_then(Option::as_ref) else { continue };
            let head = writer.resume(tail, tail.header.kind)?;
            if let Some(Some(held)) = writer.held.get_mut(slot) {
                held.head = Some(head);
            }
        }
        Ok(writer)
    }

    /// Looks at all pages: whose they are, and which were begun last. The last one of the log, if any.
    fn survey(&mut self) -> Result<Option<(u32, Header)>, F> {
        let (mut top, mut latest) = (None, None);
        for page in 0..self.medium.pages {
            match self.medium.find(page)? {
                Found::Foreign => {
                    return Err(FlashError::Foreign);
                }
                Found::Version(version) => return Err(FlashError::Version(version)),
                Found::Ours(header) => {
                    latest = newer(latest, page, header);
                    if header.chain == 0 {
                        top = newer(top, page, header);
                    }
                }
                Found::Nothing => {}
            }
        }
        if let Some((page, header)) = latest {
            (self.latest, self.serial) = (page, header.serial.checked_add(1).ok_or(FlashError::Full)?);
        }
        Ok(top)
    }

    /// Erases what does not count and could be taken to count another time: what is torn may be read now so, now so.
    fn clean(&mut self, epoch: u32) -> Result<(), F> {
        for page in 0..self.medium.pages {
            let is_void = match self.medium.find(page)? {
                // A page of a life that never began would stand in the place of one that did.
                Found::Nothing => !self.medium.is_blank(page, 0, HEADER_BYTES as u32)?,
                Found::Ours(header) if header.serial >= self.serial && header.epoch >= epoch => true,
                // A snapshot that was not whole, or that another replaced.
                Found::Ours(header) => {
                    header.chain != 0 && header.serial > self.base && !self.is_live(&header)
                }
                Found::Foreign | Found::Version(_) => false,
            };
            if is_void {
                self.medium.erase(page)?;
            }
        }
        Ok(())
    }

    /// Begins a store where there was none. A power cut here leaves a part of one header, and nothing else.
    fn format(&mut self) -> Result<(u32, Header), F> {
        for page in 0..self.medium.pages {
            let at = if page == 0 { HEADER_BYTES as u32 } else { 0 };
            if !self.medium.is_blank(page, at, F::ERASE_SIZE as u32)? {
                return Err(FlashError::NotEmpty { page });
            }
        }
        self.latest = self.medium.pages - 1;
        let head = self.begin_page(Kind::Log, 0, None)?;
        Ok((head.page, head.header))
    }

    /// Where the log begins, behind the newest restart or on the first page of all; and the snapshot it goes on from.
    ///
    /// What is torn may be read now so, now so: each entry that decides something is read once.
    fn find_base(&mut self, top: (u32, Header)) -> Result<Base, F> {
        let (mut page, mut header) = top;
        for _ in 0..self.medium.pages {
            let mut cursor = self.medium.enter(page, header)?;
            if header.kind == Kind::Restart {
                let mut keep = [0; KEEP_BYTES];
                let found = self.medium.entry(&mut cursor, 0, &mut keep)?;
                if found.is_some_and(|found| found.kind == entry::RESTART) {
                    return Ok(Base { serial: header.serial, cursor, keep: take_keep(&keep) });
                }
            } else if header.prev == 0 {
                return Ok(Base { serial: header.serial, cursor, keep: None });
            }
            let wanted =
                |page: &Header| page.chain == 0 && page.serial == header.prev && page.epoch <= header.epoch;
            let earlier = self.medium.newest(&wanted)?;
            let gone = FlashError::Corrupt { page, evidence: Evidence::Page };
            (page, header) = earlier.ok_or(gone)?;
        }
        Err(FlashError::Corrupt { page: 0, evidence: Evidence::Log })
    }

    /// Where the log ends.
    fn find_tail(&mut self, mut cursor: Cursor) -> Result<Cursor, F> {
        while let Some(found) = self.medium.entry(&mut cursor, 0, &mut [])? {
            if found.kind != entry::RECORD {
                return Err(FlashError::Corrupt { page: cursor.page, evidence: Evidence::Entry });
            }
        }
        let follower = self.medium.newest(&|page| page.follows(&cursor.header))?;
        let mark = self.medium.find_mark(cursor.page, Medium::<F>::END)?;
        if follower.is_none() && mark != Mark::Absent {
            return Err(FlashError::Corrupt { page: cursor.page, evidence: Evidence::Page });
        }
        Ok(cursor)
    }

    /// Finds the snapshot to keep, and the newest of those that were begun since; and where they go on. One that comes in
    /// and could not be ended for want of room is let go.
    fn find_snapshots(
        &mut self,
        keep: Option<SnapshotId>,
        snapshot_pages: u32,
    ) -> Result<[Option<Cursor>; SLOTS], F> {
        let mut tails = [None; SLOTS];
        for page in 0..self.medium.pages {
            let Found::Ours(header) = self.medium.find(page)? else { continue };
            if header.chain == 0 || header.chain != header.serial {
                continue;
            }
            let Some(found) = self.medium.snapshot(page, header)? else { continue };
            let held = found.held;
            let slot = match header.kind {
                _ if keep == Some(held.of) && held.is_whole() => KEPT,
                Kind::Incoming if header.serial > self.base => INCOMING,
                Kind::Image if header.serial > self.base && held.is_whole() => MADE,
                Kind::Log | Kind::Restart | Kind::Incoming | Kind::Image => continue,
            };
            if let (Some(place), Some(tail)) = (self.held.get_mut(slot), tails.get_mut(slot))
                && place.is_none_or(|other| other.chain < held.chain)
            {
                (*place, *tail) = (Some(held), Some(found.tail));
            }
        }
        let ([kept, incoming, _], [_, tail, _]) = (&mut self.held, &mut tails);
        if keep.is_some() && kept.is_none() {
            return Err(FlashError::Corrupt { page: 0, evidence: Evidence::Snapshot });
        }
        let used = |tail: &Cursor| tail.pages - u32::from(Medium::<F>::is_idle(tail));
        if tail
            .take_if(|tail| used(tail) >= snapshot_pages && incoming.is_some_and(|it| !it.is_whole()))
            .is_some()
        {
            *incoming = None;
        }
        Ok(tails)
    }
}
