//! A snapshot that comes in from elsewhere, piece by piece.

use std::sync::Arc;

use crate::error::Error;
use crate::files::Directory;
use crate::names;
use crate::options::{Identity, SnapshotId};
use crate::sectors::Sectors;
use crate::snapshot::with_reserve;
use crate::spares::Spares;

/// The one snapshot that comes in, if any, beside those that are whole.
pub(crate) struct Incoming {
    directory: Arc<dyn Directory>,
    identity: Identity,
    partial: Option<Partial>,
}

pub(crate) struct Partial {
    pub(crate) of: SnapshotId,
    pub(crate) sectors: Sectors,
    pub(crate) durable_bytes: u64,
    /// The file was made since the last sync.
    pub(crate) new: bool,
}

impl Incoming {
    pub(crate) fn new(directory: Arc<dyn Directory>, identity: Identity, partial: Option<Partial>) -> Self {
        Self { directory, identity, partial }
    }

    pub(crate) fn write(
        &mut self,
        of: SnapshotId,
        offset: u64,
        bytes: &[u8],
        spares: &Spares,
    ) -> Result<(), Error> {
        let whole = self.is_whole(of);
        let next = match &self.partial {
            _ if whole => of.size,
            Some(partial) if partial.of == of => partial.sectors.bytes,
            Some(_) | None => 0,
        };
        let fits = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= of.size);
        if offset > next || !fits {
            return Err(Error::OutOfOrder { of, next, offset });
        }
        if whole {
            return Ok(());
        }
        if self.partial.as_ref().is_none_or(|partial| partial.of != of) {
            self.begin(of, spares)?;
        }
        let known = bytes.len().min((next - offset) as usize);
        let Some(partial) = &mut self.partial else { return Ok(()) };
        let written = with_reserve(spares, || partial.sectors.append(&bytes[known..]));
        written.map_err(|source| Error::io(&self.directory.path().join(names::partial(of)), source))
    }

    /// Makes durable what was written. A snapshot that is whole by now gets its name.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let Some(partial) = &mut self.partial else { return Ok(()) };
        let name = names::partial(partial.of);
        let io = |source| Error::io(&self.directory.path().join(&name), source);
        if partial.sectors.bytes > partial.durable_bytes || partial.new {
            if let Err(source) = partial.sectors.file.sync() {
                // Its pages count as clean now, whatever is on disk: nobody may resume from them.
                let _ = self.directory.remove(&name);
                return Err(io(source));
            }
            partial.durable_bytes = partial.sectors.bytes;
        }
        let whole = partial.durable_bytes == partial.of.size;
        if whole {
            self.directory.rename(&name, &names::snapshot(partial.of)).map_err(io)?;
        }
        if whole || partial.new {
            self.directory.sync().map_err(io)?;
            partial.new = false;
        }
        if whole {
            self.partial = None;
        }
        Ok(())
    }

    /// Deletes a snapshot that is not whole.
    pub(crate) fn remove(&mut self, of: SnapshotId) -> Result<(), Error> {
        let name = names::partial(of);
        let removed = self.directory.remove(&name);
        removed.map_err(|source| Error::io(&self.directory.path().join(name), source))?;
        // Only now: as long as its file is there, what was written of it has to become durable with the next sync.
        self.partial.take_if(|partial| partial.of == of);
        Ok(())
    }

    pub(crate) fn exists(&self, of: SnapshotId) -> bool {
        self.is_whole(of) || self.partial.as_ref().is_some_and(|partial| partial.of == of)
    }

    pub(crate) fn durable_bytes(&self, of: SnapshotId) -> u64 {
        match &self.partial {
            Some(partial) if partial.of == of && !self.is_whole(of) => partial.durable_bytes,
            Some(_) | None if self.is_whole(of) => of.size,
            Some(_) | None => 0,
        }
    }

    /// The file that holds a snapshot.
    pub(crate) fn name(&self, of: SnapshotId) -> String {
        match &self.partial {
            Some(partial) if partial.of == of && !self.is_whole(of) => names::partial(of),
            Some(_) | None => names::snapshot(of),
        }
    }

    /// Another thread may have finished it, so the directory is asked.
    fn is_whole(&self, of: SnapshotId) -> bool {
        self.directory.open(&names::snapshot(of)).is_ok()
    }

    /// Begins the file of another snapshot, in place of one that is not whole.
    fn begin(&mut self, of: SnapshotId, spares: &Spares) -> Result<(), Error> {
        if let Some(partial) = &self.partial {
            self.remove(partial.of)?;
        }
        let name = names::partial(of);
        let io = |source| Error::io(&self.directory.path().join(&name), source);
        let file = with_reserve(spares, || self.directory.create(&name)).map_err(io)?;
        let sectors = Sectors::new(file, self.identity, of.term, of.index);
        if let Err(source) = with_reserve(spares, || sectors.write_header(self.identity, of)) {
            // The next attempt begins the file again.
            self.directory.remove(&name).map_err(io)?;
            return Err(io(source));
        }
        self.partial = Some(Partial { of, sectors, durable_bytes: 0, new: true });
        Ok(())
    }
}
