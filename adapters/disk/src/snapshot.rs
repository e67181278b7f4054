//! Snapshots beside the log: reading them, and making one while the log goes on.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::format::BadHeader;
use crate::names;
use crate::options::{Identity, SnapshotId};
use crate::sectors::{self, Sectors};
use crate::shelf::Shelf;
use crate::spares::Spares;

/// Bytes gathered before they are written.
const GATHERED_BYTES: usize = 1 << 16;

/// Checks that a file is what its name says; `None` if its header is damaged.
pub(crate) fn check_header(
    path: &Path,
    file: &dyn DataFile,
    identity: Identity,
    of: SnapshotId,
) -> Result<Option<()>, Error> {
    match sectors::read_header(file).map_err(|source| Error::io(path, source))? {
        Ok((found, _)) if found != identity => {
            Err(Error::Foreign { file: path.into(), found, expected: identity })
        }
        Ok((_, found)) => Ok((found == of).then_some(())),
        Err(BadHeader::Version(found)) => Err(Error::Version { file: path.into(), found }),
        Err(BadHeader::Damaged) => Ok(None),
    }
}

/// Reads up to `bytes` bytes from the start of `range`, and not beyond its end.
pub(crate) fn read(
    directory: &dyn Directory,
    name: &str,
    identity: Identity,
    of: SnapshotId,
    range: Range<u64>,
    bytes: usize,
) -> Result<Vec<u8>, Error> {
    let path = directory.path().join(name);
    let file = directory.open(name).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::NoSnapshot(of),
        _ => Error::io(&path, source),
    })?;
    let corrupt = |offset, evidence| Error::Corrupt { file: path.clone(), offset, evidence };
    check_header(&path, &*file, identity, of)?
        .ok_or_else(|| corrupt(0, "the header of the snapshot is damaged"))?;
    let bytes = range.end.saturating_sub(range.start).min(bytes as u64) as usize;
    let found =
        sectors::read(&*file, identity, of, range.start, bytes).map_err(|source| Error::io(&path, source))?;
    found.map_err(|offset| corrupt(offset, "a sector of the snapshot is damaged"))
}

/// Does what may find the disk full once more, if there is a reserve that can be freed for it.
pub(crate) fn with_reserve<T>(spares: &Spares, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match write() {
        Err(error) if error.kind() == io::ErrorKind::StorageFull && spares.release_reserve() => write(),
        written => written,
    }
}

/// A snapshot in the making. Write its bytes, then [`finish`](Self::finish) it; dropped before, it leaves nothing.
///
/// It can be sent to another thread. A failure is not the log's: the log goes on, and the snapshot can be made again.
/// The directory stays locked until the writer is gone.
pub struct SnapshotWriter {
    directory: Arc<dyn Directory>,
    spares: Arc<Spares>,
    shelf: Arc<Shelf>,
    identity: Identity,
    /// Its size is known when it is finished.
    of: SnapshotId,
    /// The name until it is finished.
    name: String,
    file: Arc<dyn DataFile>,
    sectors: Sectors,
    gathered: Vec<u8>,
}

impl SnapshotWriter {
    pub(crate) fn create(
        directory: Arc<dyn Directory>,
        spares: Arc<Spares>,
        shelf: Arc<Shelf>,
        identity: Identity,
        of: SnapshotId,
    ) -> Result<Self, Error> {
        let name = names::unfinished("snapshot", directory.random());
        let file = with_reserve(&spares, || directory.create(&name));
        let file = file.map_err(|source| Error::io(&directory.path().join(&name), source))?;
        let sectors = Sectors::new(identity, of.group, of.term, of.index);
        Ok(Self { directory, spares, shelf, identity, of, name, file, sectors, gathered: Vec::new() })
    }

    /// Makes the snapshot durable, under the id that it is read by from then on.
    pub fn finish(mut self) -> Result<SnapshotId, Error> {
        let finished = self.finish_file();
        finished.map_err(|source| Error::io(&self.directory.path().join(&self.name), source))
    }

    fn finish_file(&mut self) -> io::Result<SnapshotId> {
        self.flush()?;
        let of = SnapshotId { size: self.sectors.bytes, ..self.of };
        with_reserve(&self.spares, || sectors::write_header(&*self.file, self.identity, of))?;
        self.file.sync()?;
        let name = names::snapshot(of);
        // A snapshot of the same point is as good, and may be in use.
        if self.directory.open(&name).is_err() {
            self.directory.rename(&self.name, &name)?;
        }
        self.directory.sync()?;
        self.shelf.add(of);
        Ok(of)
    }
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() >= GATHERED_BYTES {
            self.flush()?;
        }
        // At most what one write to the file takes.
        let taken = &bytes[..bytes.len().min(GATHERED_BYTES)];
        self.gathered.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        with_reserve(&self.spares, || self.sectors.append(&*self.file, &self.gathered))?;
        self.gathered.clear();
        Ok(())
    }
}

impl fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter")
            .field("group", &self.of.group)
            .field("term", &self.of.term)
            .field("index", &self.of.index)
            .finish_non_exhaustive()
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // Gone already if it was finished; what cannot be removed now, the next `open` removes.
        let _ = self.directory.remove(&self.name);
    }
}
