//! Finding out what counts, after whatever happened.
//!
//! The newest page of the log is where its last life got to. From there the log is followed back to the newest restart
//! that was written whole, and from that read forward to its end. Then this life begins a page of its own, which says
//! how far the log was right: what was torn behind that is never looked at again, so it does not matter that its bits may
//! read now so, now so.

use super::error::FlashError;
use super::format::{Found, HEADER_BYTES, Header, KEEP_BYTES, Kind, entry, take_keep};
use super::medium::{Medium, Result};
use super::snapshots::{INCOMING, KEPT, MADE, SLOTS};
use super::walk::Cursor;
use super::writer::Writer;
use embedded_storage::nor_flash::NorFlash;
use quorate::SnapshotId;

impl<F: NorFlash> Writer<F> {
    /// Begins a life. A snapshot that comes in is given up if it has `snapshot_pages` already and is not whole.
    pub(super) fn open(medium: Medium<F>, snapshot_pages: u32) -> Result<Self, F> {
        let mut writer = Self::new(medium);
        let top = match writer.survey()? {
            Some(top) => top,
            None => writer.format()?,
        };
        let base = writer.find_base(top.1)?;
        let (tail, keep) = writer.find_tail(base, top.1.epoch)?;
        writer.base = base.1.serial;
        writer.find_snapshots(keep, snapshot_pages)?;
        writer.epoch = top.1.epoch.checked_add(1).ok_or(FlashError::Full)?;
        writer.log_pages = tail.pages;
        writer.log = writer.resume(&tail, Kind::Log)?;
        for slot in [INCOMING, MADE] {
            writer.resume_snapshot(slot)?;
        }
        Ok(writer)
    }

    /// Looks at all pages: whose they are, and which were begun last. The last one of the log, if any.
    fn survey(&mut self) -> Result<Option<(u32, Header)>, F> {
        for page in 0..self.medium.pages {
            match self.medium.find(page)? {
                Found::Foreign(theirs) => {
                    return Err(FlashError::Foreign { cluster: theirs.cluster, node: theirs.node });
                }
                Found::Version(version) => return Err(FlashError::Version(version)),
                Found::Ours(_) | Found::Nothing => {}
            }
        }
        if let Some((page, header)) = self.medium.newest(&|_| true)? {
            (self.latest, self.serial) = (page, header.serial.checked_add(1).ok_or(FlashError::Full)?);
        }
        self.medium.newest(&|header| header.chain == 0)
    }

    /// Begins a store where there was none. A power cut here leaves a part of one header, and nothing else.
    fn format(&mut self) -> Result<(u32, Header), F> {
        for page in 0..self.medium.pages {
            let at = if page == 0 { HEADER_BYTES as u32 } else { 0 };
            if !self.medium.is_blank(page, at)? {
                return Err(FlashError::NotEmpty { page });
            }
        }
        self.latest = self.medium.pages - 1;
        let head = self.begin_page(Kind::Log, 0, None)?;
        Ok((head.page, head.header))
    }

    /// The page in which the log begins: that of the newest restart, or the first of all.
    fn find_base(&mut self, top: Header) -> Result<(u32, Header), F> {
        let (mut serial, mut epoch) = (top.serial, top.epoch);
        for _ in 0..self.medium.pages {
            let wanted = |page: &Header| page.chain == 0 && page.serial == serial && page.epoch <= epoch;
            let Some((page, header)) = self.medium.newest(&wanted)? else {
                return Err(FlashError::Corrupt { page: 0, evidence: "a page of the log is gone" });
            };
            if header.prev == 0 {
                return Ok((page, header));
            }
            if header.kind == Kind::Restart {
                let mut cursor = self.medium.enter(page, header, top.epoch)?;
                let found = self.medium.entry(&mut cursor, 0, &mut [])?;
                if found.is_some_and(|found| found.kind == entry::RESTART) {
                    return Ok((page, header));
                }
            }
            (serial, epoch) = (header.prev, header.epoch);
        }
        Err(FlashError::Corrupt { page: 0, evidence: "the log has no beginning" })
    }

    /// Where the log ends, and the snapshot that it goes on from.
    fn find_tail(&mut self, base: (u32, Header), newest: u32) -> Result<(Cursor, Option<SnapshotId>), F> {
        let mut cursor = self.medium.enter(base.0, base.1, newest)?;
        let mut keep = [0; KEEP_BYTES];
        if base.1.kind == Kind::Restart {
            self.medium.entry(&mut cursor, 0, &mut keep)?;
        }
        while let Some(found) = self.medium.entry(&mut cursor, 0, &mut [])? {
            if found.kind != entry::RECORD {
                return Err(FlashError::Corrupt { page: cursor.page, evidence: "an entry is none of a log" });
            }
        }
        if cursor.next.is_none() && self.medium.is_marked(cursor.page, Medium::<F>::END)? {
            return Err(FlashError::Corrupt { page: cursor.page, evidence: "the page behind it is gone" });
        }
        Ok((cursor, take_keep(&keep)))
    }

    /// Finds the snapshot to keep, and those that were begun since.
    fn find_snapshots(&mut self, keep: Option<SnapshotId>, snapshot_pages: u32) -> Result<(), F> {
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
            // One that cannot be ended for want of room begins anew.
            let fits = held.is_whole() || held.pages < snapshot_pages;
            if let Some(place) = self.held.get_mut(slot).filter(|_| fits)
                && place.is_none_or(|other| other.chain < held.chain)
            {
                *place = Some(held);
            }
        }
        let [kept, ..]: &[_; SLOTS] = &self.held;
        if keep.is_some() && kept.is_none() {
            return Err(FlashError::Corrupt {
                page: 0,
                evidence: "the snapshot that counts is damaged or gone",
            });
        }
        Ok(())
    }

    /// Gives what was found of a snapshot this life's page, as for the log.
    fn resume_snapshot(&mut self, slot: usize) -> Result<(), F> {
        let Some(held) = self.held.get(slot).copied().flatten() else { return Ok(()) };
        let first = self.medium.newest(&|page| page.serial == held.chain && page.chain == held.chain)?;
        let Some((page, header)) = first else { return Ok(()) };
        let Some(found) = self.medium.snapshot(page, header)? else { return Ok(()) };
        let head = self.resume(&found.tail, header.kind)?;
        if let Some(Some(held)) = self.held.get_mut(slot) {
            held.head = Some(head);
        }
        Ok(())
    }
}
