//! Snapshots: the one that counts, one that comes in, and one that was made here.

use super::error::{Evidence, FlashError};
use super::format::{Header, KEEP_BYTES, Kind, entry, keep_bytes, take_keep};
use super::medium::{Medium, Result};
use super::walk::Cursor;
use super::writer::{Head, Writer};
use embedded_storage::nor_flash::NorFlash;
use quorate::codec::Sink;
use quorate::{Image, SnapshotId};

/// Snapshots that are held at a time.
pub(super) const SLOTS: usize = crate::SNAPSHOTS;

/// The one that the log goes on from.
pub(super) const KEPT: usize = 0;
/// The one that comes in.
pub(super) const INCOMING: usize = 1;
/// The one that was made here last.
pub(super) const MADE: usize = 2;

/// A snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) of: SnapshotId,
    /// Its pages, by the serial of the first.
    pub(super) chain: u32,
    /// How many of its bytes are there.
    pub(super) have: u32,
    pub(super) pages: u32,
    /// Where it goes on, if it does.
    pub(super) head: Option<Head>,
}

impl Held {
    pub(super) const fn is_whole(&self) -> bool {
        self.have as u64 == self.of.size
    }
}

/// A snapshot as it was found.
pub(super) struct Found {
    pub(super) held: Held,
    pub(super) tail: Cursor,
}

impl<F: NorFlash> Medium<F> {
    /// Reads a snapshot through from its first page. Damage shortens it.
    pub(super) fn snapshot(&mut self, page: u32, header: Header) -> Result<Option<Found>, F> {
        let mut tail = self.enter(page, header)?;
        let mut name = [0; KEEP_BYTES];
        let named = undamaged(self.entry(&mut tail, 0, &mut name))?;
        let of = named.filter(|named| named.kind == entry::NAME).and_then(|_| take_keep(&name));
        let Some(of) = of else { return Ok(None) };
        let mut have = 0_u32;
        while let Some(piece) = undamaged(self.entry(&mut tail, 0, &mut []))? {
            let end = have.saturating_add(piece.len);
            if piece.kind != entry::PIECE || u64::from(end) > of.size {
                return Ok(None);
            }
            have = end;
        }
        let held = Held { of, chain: header.chain, have, pages: tail.pages, head: None };
        Ok(Some(Found { held, tail }))
    }
}

/// What is damaged counts as what is not there.
fn undamaged<T, E>(
    read: core::result::Result<Option<T>, FlashError<E>>,
) -> core::result::Result<Option<T>, FlashError<E>> {
    match read {
        Err(FlashError::Corrupt { .. }) => Ok(None),
        read => read,
    }
}

impl<F: NorFlash> Writer<F> {
    /// The snapshot of this name, if any of it is here.
    pub(super) fn find_held(&self, of: SnapshotId) -> Option<&Held> {
        self.held.iter().flatten().find(|held| held.of == of)
    }

    /// Begins a snapshot in place of another that does not count.
    pub(super) fn begin_snapshot(&mut self, slot: usize, kind: Kind, of: SnapshotId) -> Result<(), F> {
        let chain = self.serial;
        if let Some(held) = self.held.get_mut(slot) {
            *held = Some(Held { of, chain, have: 0, pages: 0, head: None });
        }
        let head = self.begin_page(kind, chain, None)?;
        let name = keep_bytes(Some(of));
        let head = self.entry(head, entry::NAME, KEEP_BYTES as u32, &mut |sink| sink.put(&name))?;
        self.grow(slot, head, 0);
        Ok(())
    }

    fn grow(&mut self, slot: usize, head: Head, bytes: u32) {
        if let Some(Some(held)) = self.held.get_mut(slot) {
            held.head = Some(head);
            held.have += bytes;
        }
    }

    /// Adds bytes to the snapshot that comes in.
    pub(super) fn put_piece(&mut self, head: Head, bytes: &[u8]) -> Result<(), F> {
        let len = bytes.len() as u32;
        let head = self.entry(head, entry::PIECE, len, &mut |sink| sink.put(bytes))?;
        self.grow(INCOMING, head, len);
        Ok(())
    }

    /// Lets go of the snapshot that comes in, for good: without its first page the others are nothing.
    pub(super) fn drop_incoming(&mut self) -> Result<(), F> {
        let Some(held) = self.held.get_mut(INCOMING).and_then(Option::take) else { return Ok(()) };
        let first = self.medium.newest(&|page| page.chain == held.chain && page.serial == held.chain)?;
        first.map_or(Ok(()), |(page, _)| self.medium.erase(page))
    }

    /// Writes all of a snapshot.
    pub(super) fn put_image(&mut self, of: SnapshotId, len: u32, image: &dyn Image) -> Result<(), F> {
        self.begin_snapshot(MADE, Kind::Image, of)?;
        let head = self.held.get(MADE).copied().flatten().and_then(|held| held.head);
        let Some(head) = head else { return Err(FlashError::Poisoned) };
        let head = self.entry(head, entry::PIECE, len, &mut |sink| image.write(sink))?;
        self.grow(MADE, head, len);
        Ok(())
    }

    /// Reads a part of a snapshot.
    pub(super) fn read_snapshot(&mut self, chain: u32, offset: u32, into: &mut [u8]) -> Result<(), F> {
        let missing = FlashError::Corrupt { page: 0, evidence: Evidence::Snapshot };
        let first = self.medium.newest(&|page| page.chain == chain && page.serial == chain)?;
        let Some((page, header)) = first else { return Err(missing) };
        let mut cursor = self.medium.enter(page, header)?;
        let end = u64::from(offset) + into.len() as u64;
        let mut at = 0_u32;
        self.medium.entry(&mut cursor, 0, &mut [])?;
        while u64::from(at) < end {
            let skip = offset.saturating_sub(at);
            let rest = into.get_mut(at.saturating_sub(offset) as usize..).unwrap_or_default();
            let Some(piece) = self.medium.entry(&mut cursor, skip, rest)? else { return Err(missing) };
            at = at.saturating_add(piece.len);
            if piece.len == 0 {
                return Err(missing);
            }
        }
        Ok(())
    }
}
