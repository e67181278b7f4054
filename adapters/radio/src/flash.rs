//! Records and snapshots in NOR flash.
//!
//! Pages are used in turn, so all wear alike. A *chain* of them is the log or a snapshot, and holds *entries*: one for
//! each record or piece, with a checksum, and a word that is written last and says that the entry is whole. So an entry
//! that a power cut tore is told from one that was acknowledged and is damaged: the first is dropped, the second is an
//! error. Each life begins a page of its own, which says how far the log was right when it began. `docs/storage.md` has
//! the bytes and the reasons.

mod error;
mod format;
mod medium;
mod open;
mod snapshots;
mod walk;
mod writer;

pub use error::{Evidence, FlashError, Unfit};

use crate::store::{RestoreError, Snapshots, Store};
use embedded_storage::nor_flash::NorFlash;
use format::{Identity, KEEP_BYTES, Kind, entry, keep_bytes};
use medium::{Medium, Result};
use quorate::codec::{Full, Sink};
use quorate::{ClusterId, Fault, Hosted, Image, NodeId, Place, Position, SnapshotId};
use snapshots::{Held, INCOMING, KEPT};
use writer::{Writer, entry_bytes};

/// Whose store it is, where it lies, and what it has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashOptions {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Where the region begins, in bytes: the first of a page.
    pub from: u32,
    /// How many pages it has.
    pub pages: u32,
    /// The longest record, in bytes. A restart holds the whole window.
    pub record_bytes: u32,
    /// The longest snapshot, in bytes. It may come in in pieces of 64 bytes, not less.
    pub snapshot_bytes: u32,
}

impl FlashOptions {
    /// How many pages of flash `F` these need at least. More make it wear less.
    #[must_use]
    pub const fn pages_needed<F: NorFlash>(&self) -> u32 {
        3 * self.record_pages::<F>() + 3 * self.snapshot_pages::<F>() + 4
    }

    const fn record_pages<F: NorFlash>(&self) -> u32 {
        pages::<F>(entry_bytes::<F>(self.record_bytes.saturating_add(KEEP_BYTES as u32)))
    }

    /// A snapshot that comes in takes more room than one that is made here: each piece is an entry, and each life that
    /// it comes in begins a page.
    const fn snapshot_pages<F: NorFlash>(&self) -> u32 {
        let half_more = entry_bytes::<F>(self.snapshot_bytes.saturating_add(self.snapshot_bytes / 2));
        // Where words are long the heads of pieces take more than that; and the last words of a page stay empty.
        let pieces = self.snapshot_bytes.div_ceil(LEAST_PIECE).saturating_mul(entry_bytes::<F>(LEAST_PIECE));
        let pieces = pieces.saturating_add(pieces / 16);
        2 + pages::<F>(if half_more > pieces { half_more } else { pieces })
    }

    /// How many pages the log may take together with a restart.
    const fn log_pages<F: NorFlash>(&self) -> u32 {
        // One page is for the next life, and one for the life after it, should that restart be cut short.
        self.pages.saturating_sub(3 * self.snapshot_pages::<F>()).saturating_sub(2)
    }
}

/// Snapshots come in pieces of so many bytes, or longer ones.
const LEAST_PIECE: u32 = 64;

const fn pages<F: NorFlash>(bytes: u32) -> u32 {
    bytes.div_ceil(Medium::<F>::END - Medium::<F>::BODY)
}

/// A [`Store`] in NOR flash.
///
/// Takes a few hundred bytes of memory, whatever it holds. Words are written once between erases, but for one case: a
/// word of zeros may be written again over one that a power cut tore.
pub struct Flash<F: NorFlash> {
    writer: Writer<F>,
    options: FlashOptions,
}

impl<F: NorFlash> Flash<F> {
    /// Opens the store, and begins a life of it. Blank flash becomes an empty store.
    ///
    /// # Errors
    /// The options make no sense; the flash is another node's, of another format, or no store; what was durable is
    /// damaged; the device failed.
    pub fn open(flash: F, options: FlashOptions) -> Result<Self, F> {
        let identity = Identity { cluster: options.cluster, node: options.node };
        let medium = Medium { flash, from: options.from, pages: options.pages, identity };
        medium.check()?;
        if options.record_bytes.max(options.snapshot_bytes) > 1 << 22 {
            return Err(FlashError::Options(Unfit::Limits));
        }
        let needed = options.pages_needed::<F>();
        if options.pages < needed {
            return Err(FlashError::TooSmall { pages: needed });
        }
        let writer = Writer::open(medium, options.snapshot_pages::<F>())?;
        Ok(Self { writer, options })
    }

    /// Erases a region, whatever it holds.
    ///
    /// # Errors
    /// The device failed.
    pub fn erase(flash: F, options: FlashOptions) -> Result<(), F> {
        let identity = Identity { cluster: options.cluster, node: options.node };
        let mut medium = Medium { flash, from: options.from, pages: options.pages, identity };
        medium.check()?;
        (0..options.pages).try_for_each(|page| medium.erase(page))
    }

    /// The device, when the store is not needed any more.
    pub fn into_inner(self) -> F {
        self.writer.medium.flash
    }

    /// Begins a write: until it ended well, no other is begun.
    fn writing<T>(&mut self, write: impl FnOnce(&mut Writer<F>) -> Result<T, F>) -> Result<T, F> {
        if core::mem::replace(&mut self.writer.poisoned, true) {
            return Err(FlashError::Poisoned);
        }
        let written = write(&mut self.writer)?;
        self.writer.poisoned = false;
        Ok(written)
    }

    fn check_len(bytes: u64, limit: u32) -> Result<u32, F> {
        let len = u32::try_from(bytes).ok().filter(|len| *len <= limit);
        len.ok_or(FlashError::TooLong { limit })
    }

    fn append(
        &mut self,
        put: &mut dyn FnMut(&mut Writer<F>) -> core::result::Result<(), Full>,
    ) -> Result<(), F> {
        let len = Self::check_len(self.writer.measure(put)?.into(), self.options.record_bytes)?;
        // What a restart takes is left to it, so that there is always a way out.
        let limit = self.options.log_pages::<F>().saturating_sub(self.options.record_pages::<F>());
        if self.writer.log_pages + Writer::<F>::more_pages(&self.writer.log, len) > limit {
            return Err(FlashError::Full);
        }
        self.writing(|writer| {
            writer.log = writer.entry(writer.log, entry::RECORD, len, put)?;
            Ok(())
        })
    }

    fn restart(
        &mut self,
        keep: Option<SnapshotId>,
        put: &mut dyn FnMut(&mut Writer<F>) -> core::result::Result<(), Full>,
    ) -> Result<(), F> {
        let len = Self::check_len(self.writer.measure(put)?.into(), self.options.record_bytes)?;
        let len = len + KEEP_BYTES as u32;
        if self.writer.log_pages + pages::<F>(entry_bytes::<F>(len)) > self.options.log_pages::<F>() + 1 {
            return Err(FlashError::Full);
        }
        let whole = |held: &Held| keep == Some(held.of) && held.is_whole();
        let kept = self.writer.held.iter().copied().flatten().find(whole);
        if keep.is_some() && kept.is_none() {
            return Err(FlashError::NoSnapshot);
        }
        self.writing(|writer| {
            let before = writer.log_pages;
            let head = writer.begin_page(Kind::Restart, 0, Some(&{ writer.log }))?;
            let prefix = keep_bytes(keep);
            writer.log = writer.entry(head, entry::RESTART, len, &mut |sink| {
                sink.put(&prefix)?;
                put(sink)
            })?;
            // It is durable: all before it may go.
            writer.base = head.header.serial;
            writer.log_pages -= before;
            writer.held = [kept, None, None];
            Ok(())
        })
    }

    fn put_piece(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), F> {
        let size = Self::check_len(of.size, self.options.snapshot_bytes)?;
        if self.writer.held.iter().flatten().any(|held| held.of == of && held.is_whole()) {
            return Ok(());
        }
        let known = self.writer.held.get(INCOMING).copied().flatten().filter(|held| held.of == of);
        let have = known.map_or(0, |held| held.have);
        let next = u64::from(have);
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= u64::from(size));
        if offset > next || end.is_none() {
            return Err(FlashError::OutOfOrder { next: have });
        }
        // What is here already may come again.
        let new =
            usize::try_from(next - offset).ok().and_then(|known| bytes.get(known..)).unwrap_or_default();
        if known.is_none() {
            self.writing(|writer| writer.begin_snapshot(INCOMING, Kind::Incoming, of))?;
        }
        let held = self.writer.held.get(INCOMING).copied().flatten();
        let Some((held, head)) = held.and_then(|held| Some((held, held.head?))) else {
            return Err(FlashError::Poisoned);
        };
        if new.is_empty() {
            return Ok(());
        }
        let more = Writer::<F>::more_pages(&head, new.len() as u32);
        if held.pages + more > self.options.snapshot_pages::<F>() {
            // Each life that it came in took a page. The next must not find it, or it would end here as well.
            self.writing(Writer::drop_incoming)?;
            return Err(FlashError::Full);
        }
        self.writing(|writer| writer.put_piece(head, new))
    }
}

impl<F: NorFlash> Store for Flash<F> {
    type Error = FlashError<F::Error>;

    fn epoch(&self) -> u32 {
        self.writer.epoch
    }

    fn replay(
        &mut self,
        scratch: &mut [u8],
        show: &mut dyn FnMut(&[u8]) -> core::result::Result<(), Fault>,
    ) -> core::result::Result<(), RestoreError<Self::Error>> {
        let writer = &mut self.writer;
        let gone = RestoreError::Store(FlashError::Corrupt { page: 0, evidence: Evidence::Log });
        let base = writer.base;
        let first = writer.medium.newest(&|page| page.chain == 0 && page.serial == base);
        let Some((page, header)) = first.map_err(RestoreError::Store)? else { return Err(gone) };
        let mut cursor = writer.medium.enter(page, header).map_err(RestoreError::Store)?;
        let mut skip = if header.kind == Kind::Restart { KEEP_BYTES } else { 0 };
        while let Some(entry) =
            writer.medium.entry(&mut cursor, skip as u32, scratch).map_err(RestoreError::Store)?
        {
            let bytes = (entry.len as usize).saturating_sub(skip);
            skip = 0;
            show(scratch.get(..bytes).ok_or(RestoreError::Scratch { bytes })?)
                .map_err(RestoreError::Fault)?;
        }
        if (cursor.page, cursor.at) == (writer.log.page, writer.log.at) { Ok(()) } else { Err(gone) }
    }

    fn snapshots(&self) -> Snapshots {
        let mut snapshots = Snapshots::new();
        for held in self.writer.held.iter().flatten() {
            let _ = snapshots.push((held.of, u64::from(held.have)));
        }
        snapshots
    }

    fn save<M: Hosted>(&mut self, record: &M::Record<'_>) -> Result<(), F> {
        match M::place(record) {
            Place::Log => self.append(&mut |sink| M::put_record(record, sink)),
            Place::Restart { keep } => self.restart(keep, &mut |sink| M::put_record(record, sink)),
            Place::Snapshot { of, offset, bytes } => self.put_piece(of, offset, bytes),
        }
    }

    fn is_tight(&self) -> bool {
        let room = self.options.log_pages::<F>().saturating_sub(2 * self.options.record_pages::<F>());
        self.writer.log_pages >= room
    }

    fn write(&mut self, at: Position, image: &dyn Image) -> Result<SnapshotId, F> {
        let size = self.writer.measure(&mut |sink| image.write(sink))?;
        let len = Self::check_len(size.into(), self.options.snapshot_bytes)?;
        let of = SnapshotId::new(at, size.into());
        if !self.writer.held.iter().flatten().any(|held| held.of == of && held.is_whole()) {
            self.writing(|writer| writer.put_image(of, len, image))?;
        }
        Ok(of)
    }

    fn read(&mut self, of: SnapshotId, offset: u64, into: &mut [u8]) -> Result<bool, F> {
        let Some(held) = self.writer.find_held(of).copied() else { return Ok(false) };
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= u64::from(held.have));
        let (Some(_), Ok(offset)) = (end, u32::try_from(offset)) else { return Ok(false) };
        self.writer.read_snapshot(held.chain, offset, into)?;
        Ok(true)
    }
}

const _: () = assert!(KEPT == 0, "a restart leaves what it keeps in the first place");
