//! The log: what is appended, and when it is durable.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{Batch, Frame, Target, Turn};
use crate::error::Error;
use crate::files::{Directory, Files};
use crate::format::{HEADER_BYTES, LENGTH_BYTES, Owner, SegmentHeader, VERSION_2};
use crate::incoming::Incoming;
use crate::mark::Mark;
use crate::names;
use crate::needs::Needs;
use crate::options::{Identity, Options, SnapshotId};
use crate::records::Records;
use crate::recovery::{self, Recovered};
use crate::segment::{Segment, begin_segment};
use crate::shelf::Shelf;
use crate::snapshot::{self, SnapshotWriter};
use crate::spares::{Purpose, Spares};

/// A crash-safe log of the records of many groups in a directory, with snapshots beside it.
///
/// Each group's records begin anew with its own restart; a segment goes when no group needs any of it. Where there is
/// one group, it is 0. Records are appended to a buffer, and a sync makes them durable with one write. After a write or a sync that failed
/// the log is poisoned: it refuses all further writes, because nobody knows what is on disk until it is opened anew.
/// What was synced before can still be read.
///
/// ```
/// use quorate_disk::{Identity, Log, Options};
///
/// # let directory = tempfile::tempdir()?;
/// # let options = Options { segment_bytes: 1 << 16, max_record_bytes: 1 << 10, reserve_bytes: 0, ..Options::default() };
/// let identity = Identity { cluster: 1, node: 1 };
/// let (mut log, recovered) = Log::open(directory.path(), identity, options)?;
/// assert_eq!(recovered.records, 0);
/// log.append(0, b"promised")?;
/// log.append(7, b"of another group")?;
/// log.restart(0, b"all that was promised", None)?;
/// log.sync()?;
/// drop(log);
///
/// let (log, recovered) = Log::open(directory.path(), identity, options)?;
/// assert_eq!(recovered.records, 2);
/// let records = log.records().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(records, [(7, b"of another group".to_vec()), (0, b"all that was promised".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Log {
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) spares: Arc<Spares>,
    pub(crate) mark: Mark,
    /// The oldest segment that is there.
    pub(crate) base: u64,
    pub(crate) needs: Needs,
    pub(crate) shelf: Arc<Shelf>,
    /// The segment that is written to.
    pub(crate) tail: Segment,
    /// Where in it the next batch begins.
    pub(crate) end: u64,
    pub(crate) next_batch: u64,
    pub(crate) batch: Batch,
    pub(crate) incoming: Incoming,
    /// Snapshots that go with the next sync, because of restarts.
    pub(crate) doomed: BTreeSet<SnapshotId>,
    pub(crate) poisoned: bool,
}

impl Log {
    /// Opens the log in `directory`, or makes one, and locks it for as long as the log or a writer of it lives.
    ///
    /// Fails with [`Error::Locked`] if it is open elsewhere, with [`Error::Foreign`] if it belongs to another identity,
    /// and with [`Error::Corrupt`] if anything that was durable cannot be read.
    pub fn open(directory: &Path, identity: Identity, options: Options) -> Result<(Self, Recovered), Error> {
        options.check()?;
        recovery::open(Arc::new(Files::open(directory, options.max_bytes)?), identity, options)
    }

    /// Appends a record of a group to the current batch. Nothing is durable before [`sync`](Self::sync).
    ///
    /// Refuses with [`Error::Full`] when there is no room; then nothing changed, and what was appended before can be
    /// synced.
    pub fn append(&mut self, group: u64, record: &[u8]) -> Result<(), Error> {
        self.append_with(group, |buffer| buffer.extend_from_slice(record))
    }

    /// Like [`append`](Self::append), for a record that `encode` writes to the end of the buffer it is given.
    ///
    /// # Panics
    ///
    /// If `encode` makes the buffer shorter than it was.
    pub fn append_with(&mut self, group: u64, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.assert_sound()?;
        self.take_up(Owner { group, restart: false }, encode)
    }

    /// Appends a record that restates everything of its group: all its records before that, and all its snapshots but
    /// `keep`, are no longer needed.
    ///
    /// They count until the next [`sync`](Self::sync) makes the record durable; then they are deleted: the snapshots that are
    /// there now, and the segments that no group needs any more. A crash at any point leaves either all of the old or the
    /// new. Room for a segment of restarts is kept even on a full disk.
    pub fn restart(&mut self, group: u64, record: &[u8], keep: Option<SnapshotId>) -> Result<(), Error> {
        self.assert_sound()?;
        if let Some(of) = keep.filter(|of| of.group != group || !self.incoming.exists(*of)) {
            return Err(Error::NoSnapshot(of));
        }
        self.take_up(Owner { group, restart: true }, |buffer| buffer.extend_from_slice(record))?;
        let others = self.shelf.of_group(group).into_iter().chain(self.incoming.of_group(group));
        self.doomed.extend(others);
        if let Some(of) = keep {
            self.doomed.remove(&of);
        }
        Ok(())
    }

    /// Groups that hold the log back: their restart would free its oldest segment. Told once the log is longer than four
    /// segments and twice what is needed of it; some at a time, and no others before these have restarted, or the log has
    /// grown by a segment.
    pub fn laggards(&mut self) -> Vec<u64> {
        let room = self.options.segment_bytes - HEADER_BYTES;
        self.needs.laggards(self.tail.header.number, room)
    }

    /// Makes durable all that was appended, and all pieces of snapshots; returns the bytes written to the log.
    ///
    /// One write and one sync, but for batches over 1 MiB and the first one in a segment. Any failure poisons the log.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.assert_sound()?;
        let synced = self.sync_all();
        self.poisoned |= synced.is_err();
        synced
    }

    /// The durable records, in the order they were appended: of each group from its newest restart on.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// Takes a piece of a snapshot that comes in from elsewhere. It becomes durable with the next [`sync`](Self::sync),
    /// before the records of that sync.
    ///
    /// Pieces come in order. What is there already is not written again; a piece that would leave a gap is refused with
    /// [`Error::OutOfOrder`]. The first piece of another snapshot of the same group replaces one that is not whole, also if
    /// there turns out to be no room for it.
    pub fn snapshot_write(&mut self, of: SnapshotId, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.assert_sound()?;
        let written = self.incoming.write(of, offset, bytes, &self.spares);
        self.poisoned |= matches!(written, Err(Error::Io { .. }));
        written
    }

    /// Reads up to `bytes` bytes of a snapshot at `offset`; less where its durable part ends. Every byte is verified.
    pub fn snapshot_read(&self, of: SnapshotId, offset: u64, bytes: usize) -> Result<Vec<u8>, Error> {
        let durable = self.snapshot_len(of);
        let name = self.incoming.name(of);
        snapshot::read(&*self.directory, &name, self.identity, of, offset..durable, bytes)
    }

    /// How much of a snapshot is durable, in bytes; 0 if there is none.
    pub fn snapshot_len(&self, of: SnapshotId) -> u64 {
        self.incoming.durable_bytes(of)
    }

    /// Begins a snapshot of a group that is made here, on any thread, while the log goes on.
    pub fn snapshot_writer(&self, group: u64, term: u64, index: u64) -> Result<SnapshotWriter, Error> {
        self.assert_sound()?;
        let (directory, spares) = (Arc::clone(&self.directory), Arc::clone(&self.spares));
        let of = SnapshotId { group, term, index, size: 0 };
        SnapshotWriter::create(directory, spares, Arc::clone(&self.shelf), self.identity, of)
    }

    fn take_up(&mut self, owner: Owner, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let (buffer, start) = self.batch.begin_record(self.tail.room(self.end), owner);
        let begin = buffer.len();
        encode(buffer);
        assert!(buffer.len() >= begin, "the encoder took away what was not its own");
        let bytes = buffer.len() - begin;
        self.batch.end_record(start);
        let placed = if bytes > self.options.max_record_bytes as usize {
            Err(Error::TooLong { bytes, limit: self.options.max_record_bytes })
        } else {
            self.place_record(start, if owner.restart { Purpose::Restart } else { Purpose::Append })
        };
        if placed.is_err() {
            self.batch.drop_record(start);
        } else if self.needs.take_up(owner, bytes + LENGTH_BYTES as usize) {
            self.batch.turn(owner);
        }
        placed
    }

    /// Puts the record that begins at `start` where there is room for it.
    fn place_record(&mut self, start: usize, purpose: Purpose) -> Result<(), Error> {
        if self.batch.fits() {
            return Ok(());
        }
        let target = if self.batch.has_room_behind(start) {
            Target::Same
        } else {
            Target::Rotated { spare: self.spares.take(purpose)? }
        };
        self.batch.split(start, target, self.options.segment_bytes);
        Ok(())
    }

    fn sync_all(&mut self) -> Result<u64, Error> {
        // A record may speak of a snapshot, so the snapshot comes first.
        self.incoming.sync()?;
        if self.batch.is_empty() {
            return Ok(0);
        }
        let mut written = 0;
        for mut frame in std::mem::take(&mut self.batch.frames) {
            written += self.write_frame(&mut frame)?;
            self.batch.reuse(frame);
        }
        self.drop_doomed()?;
        self.mark.write(self.next_batch - 1)?;
        Ok(written)
    }

    /// Makes one frame durable. No frame is written before the one before it is durable: recovery relies on it.
    fn write_frame(&mut self, frame: &mut Frame) -> Result<u64, Error> {
        let (target, turns) =
            (std::mem::replace(&mut frame.target, Target::Same), std::mem::take(&mut frame.turns));
        let (batch, newest) = (self.next_batch, self.tail.header.number);
        let number = if matches!(target, Target::Same) { newest } else { newest + 1 };
        self.needs.begin(&turns, number);
        // What this frame makes needless is so once it is durable, and it says so itself.
        let base = self.needs.oldest().unwrap_or(number);
        let written = match target {
            Target::Same => {
                let bytes = frame.seal(self.tail.seed, self.end, batch, base);
                self.tail.file.write_at(bytes, self.end).map_err(|source| self.tail.io(source))?;
                self.tail.file.sync().map_err(|source| self.tail.io(source))?;
                let written = bytes.len() as u64;
                self.end += written;
                written
            }
            Target::Rotated { spare } => self.write_first_frame(frame, &spare, number, base)?,
        };
        self.next_batch += 1;
        self.needs.settle(&turns, batch);
        self.let_go(base, &turns)?;
        Ok(written)
    }

    fn write_first_frame(
        &mut self,
        frame: &mut Frame,
        spare: &str,
        number: u64,
        base: u64,
    ) -> Result<u64, Error> {
        let (identity, salt) = (self.identity, self.directory.random());
        let first_batch = self.next_batch;
        let header = SegmentHeader { version: VERSION_2, identity, number, base, first_batch, salt };
        let bytes = frame.seal(header.seed(), HEADER_BYTES, first_batch, base);
        self.tail = begin_segment(&*self.directory, spare, header, bytes)?;
        self.end = HEADER_BYTES + bytes.len() as u64;
        Ok(self.end)
    }

    /// Deletes the segments that a durable frame made needless. The order does not matter: the frame says where the log
    /// begins.
    fn let_go(&mut self, base: u64, turns: &[Turn]) -> Result<(), Error> {
        for number in self.base..base {
            let name = names::segment(number);
            self.spares.recycle(&name).map_err(|source| Error::io(self.directory.path(), source))?;
        }
        self.base = self.base.max(base);
        if turns.iter().any(|turn| turn.owner.restart) {
            self.spares.on_restart();
        }
        Ok(())
    }

    /// Deletes the snapshots that durable restarts do not keep.
    fn drop_doomed(&mut self) -> Result<(), Error> {
        for of in std::mem::take(&mut self.doomed) {
            if self.shelf.contains(of) {
                let removed = self.directory.remove(&names::snapshot(of));
                removed.map_err(|source| Error::io(self.directory.path(), source))?;
                self.shelf.remove(of);
            } else {
                self.incoming.remove(of)?;
            }
        }
        Ok(())
    }

    fn assert_sound(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.path();
        f.debug_struct("Log")
            .field("directory", &directory)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.spares.close();
        if !self.poisoned {
            // Only evidence against rot: nothing is lost if it does not get to disk.
            let _ = self.mark.sync();
        }
    }
}
