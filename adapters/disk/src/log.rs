//! The log: what is appended, and when it is durable.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{Batch, Frame, Target};
use crate::error::Error;
use crate::files::{Directory, Files};
use crate::format::{HEADER_BYTES, SegmentHeader};
use crate::incoming::Incoming;
use crate::mark::Mark;
use crate::names::Name;
use crate::options::{Identity, Options, SnapshotId};
use crate::records::Records;
use crate::recovery::{self, Recovered};
use crate::segment::{Segment, begin_segment};
use crate::snapshot::{self, SnapshotWriter};
use crate::spares::{Purpose, Spares};

/// A crash-safe log of records in a directory, with snapshots beside it.
///
/// Records are appended to a buffer, and a sync makes them durable with one write. After a write or a sync that failed
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
/// log.append(b"promised")?;
/// log.sync()?;
/// drop(log);
///
/// let (log, recovered) = Log::open(directory.path(), identity, options)?;
/// assert_eq!(recovered.records, 1);
/// let records = log.records().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(records, [b"promised"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Log {
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) spares: Arc<Spares>,
    pub(crate) mark: Mark,
    /// The segment that is written to.
    pub(crate) tail: Segment,
    /// Where in it the next batch begins.
    pub(crate) end: u64,
    pub(crate) next_batch: u64,
    pub(crate) batch: Batch,
    pub(crate) incoming: Incoming,
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

    /// Appends a record to the current batch. Nothing is durable before [`sync`](Self::sync).
    ///
    /// Refuses with [`Error::Full`] when there is no room; then nothing changed, and what was appended before can be
    /// synced.
    pub fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        self.append_with(|buffer| buffer.extend_from_slice(record))
    }

    /// Like [`append`](Self::append), for a record that `encode` writes to the end of the buffer it is given.
    ///
    /// # Panics
    ///
    /// If `encode` makes the buffer shorter than it was.
    pub fn append_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.assert_sound()?;
        let (buffer, start) = self.batch.begin_record(self.tail.bytes - self.end);
        encode(buffer);
        let bytes = self.batch.end_record(start);
        let placed = if bytes > self.options.max_record_bytes as usize {
            Err(Error::TooLong { bytes, limit: self.options.max_record_bytes })
        } else {
            self.place_record(start)
        };
        if placed.is_err() {
            self.batch.drop_record(start);
        }
        placed
    }

    /// Replaces all records by one that restates everything, and all snapshots by `keep`.
    ///
    /// What was appended and not yet synced is dropped. With the next [`sync`](Self::sync) the record becomes durable,
    /// at the start of a new segment; then the older segments and all snapshots but `keep` are deleted. A crash
    /// at any point leaves either all of the old or the new. Room for a restart is kept even on a full disk.
    pub fn restart(&mut self, record: &[u8], keep: Option<SnapshotId>) -> Result<(), Error> {
        self.assert_sound()?;
        if record.len() > self.options.max_record_bytes as usize {
            return Err(Error::TooLong { bytes: record.len(), limit: self.options.max_record_bytes });
        }
        if let Some(of) = keep.filter(|of| !self.incoming.exists(*of)) {
            return Err(Error::NoSnapshot(of));
        }
        let mut spares = self.batch.take_spares();
        let spare = match spares.pop() {
            Some(spare) => spare,
            None => self.spares.take(Purpose::Restart)?,
        };
        for unused in spares {
            self.spares.give_back(unused);
        }
        self.batch.restart(record, Target::Restarted { spare, keep }, self.options.segment_bytes);
        Ok(())
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

    /// The durable records, from the newest restart on.
    pub fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// Takes a piece of a snapshot that comes in from elsewhere. It becomes durable with the next [`sync`](Self::sync),
    /// before the records of that sync.
    ///
    /// Pieces come in order. What is there already is not written again; a piece that would leave a gap is refused with
    /// [`Error::OutOfOrder`]. The first piece of another snapshot replaces one that is not whole, also if there turns out
    /// to be no room for it.
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

    /// Begins a snapshot that is made here, on any thread, while the log goes on.
    pub fn snapshot_writer(&self, term: u64, index: u64) -> Result<SnapshotWriter, Error> {
        self.assert_sound()?;
        let (directory, spares) = (Arc::clone(&self.directory), Arc::clone(&self.spares));
        SnapshotWriter::create(directory, spares, self.identity, term, index)
    }

    /// Puts the record that begins at `start` where there is room for it.
    fn place_record(&mut self, start: usize) -> Result<(), Error> {
        if self.batch.fits() {
            return Ok(());
        }
        let target = if self.batch.has_room_behind(start) {
            Target::Same
        } else {
            Target::Rotated { spare: self.spares.take(Purpose::Append)? }
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
        self.mark.write(self.next_batch - 1)?;
        Ok(written)
    }

    /// Makes one frame durable. No frame is written before the one before it is durable: recovery relies on it.
    fn write_frame(&mut self, frame: &mut Frame) -> Result<u64, Error> {
        let target = std::mem::replace(&mut frame.target, Target::Same);
        let number = self.tail.header.number + 1;
        match target {
            Target::Same => {
                let bytes = frame.seal(self.tail.seed, self.end, self.next_batch);
                self.tail.file.write_at(bytes, self.end).map_err(|source| self.tail.io(source))?;
                self.tail.file.sync().map_err(|source| self.tail.io(source))?;
                let written = bytes.len() as u64;
                self.end += written;
                self.next_batch += 1;
                Ok(written)
            }
            Target::Rotated { spare } => self.write_first_frame(frame, &spare, number, self.tail.header.base),
            Target::Restarted { spare, keep } => {
                let written = self.write_first_frame(frame, &spare, number, number)?;
                self.delete_before(number, keep)?;
                Ok(written)
            }
        }
    }

    fn write_first_frame(
        &mut self,
        frame: &mut Frame,
        spare: &str,
        number: u64,
        base: u64,
    ) -> Result<u64, Error> {
        let salt = self.directory.random();
        let header =
            SegmentHeader { identity: self.identity, number, base, first_batch: self.next_batch, salt };
        let bytes = frame.seal(header.seed(), HEADER_BYTES, self.next_batch);
        self.tail = begin_segment(&*self.directory, spare, header, bytes)?;
        self.end = HEADER_BYTES + bytes.len() as u64;
        self.next_batch += 1;
        Ok(self.end)
    }

    /// Deletes what a durable restart made obsolete. The order does not matter: the restart says where to begin.
    fn delete_before(&mut self, base: u64, keep: Option<SnapshotId>) -> Result<(), Error> {
        let io = |source| Error::io(self.directory.path(), source);
        for name in self.directory.list().map_err(io)? {
            match Name::parse(&name) {
                Name::Segment(number) if number < base => self.spares.recycle(&name).map_err(io)?,
                Name::Snapshot(of) if keep != Some(of) => self.directory.remove(&name).map_err(io)?,
                Name::Partial(of) if keep != Some(of) => self.incoming.remove(of)?,
                Name::Segment(_)
                | Name::Snapshot(_)
                | Name::Partial(_)
                | Name::Spare(_)
                | Name::Unfinished
                | Name::Mark
                | Name::Reserve
                | Name::Lock
                | Name::Other => {}
            }
        }
        self.spares.refill();
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
