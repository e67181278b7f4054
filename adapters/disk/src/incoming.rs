//! Snapshots that come in from elsewhere, piece by piece.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::names;
use crate::options::{Identity, SnapshotId};
use crate::sectors::{self, Sectors};
use crate::shelf::Shelf;
use crate::snapshot::with_reserve;
use crate::spares::Spares;

/// Files that are open until the next sync, at most: beyond, what they hold is made durable at once.
const OPEN: usize = 64;

/// The one snapshot of each group that comes in, if any, beside those that are whole.
pub(crate) struct Incoming {
    directory: Arc<dyn Directory>,
    identity: Identity,
    shelf: Arc<Shelf>,
    partials: BTreeMap<u64, Partial>,
    /// The groups of those that were written to since the last sync.
    open: BTreeSet<u64>,
}

pub(crate) struct Partial {
    pub(crate) of: SnapshotId,
    pub(crate) sectors: Sectors,
    /// Open from the first write until the sync.
    pub(crate) file: Option<Arc<dyn DataFile>>,
    pub(crate) durable_bytes: u64,
    /// The file was made since the last sync.
    pub(crate) new: bool,
}

impl Incoming {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        identity: Identity,
        shelf: Arc<Shelf>,
        partials: Vec<Partial>,
    ) -> Self {
        let partials = partials.into_iter().map(|partial| (partial.of.group, partial)).collect();
        Self { directory, identity, shelf, partials, open: BTreeSet::new() }
    }

    pub(crate) fn write(
        &mut self,
        of: SnapshotId,
        offset: u64,
        bytes: &[u8],
        spares: &Spares,
    ) -> Result<(), Error> {
        let whole = self.shelf.contains(of);
        let next = match self.partial(of) {
            _ if whole => of.size,
            Some(partial) => partial.sectors.bytes,
            None => 0,
        };
        let fits = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= of.size);
        if offset > next || !fits {
            return Err(Error::OutOfOrder { of, next, offset });
        }
        if whole {
            return Ok(());
        }
        if self.open.len() >= OPEN && !self.open.contains(&of.group) {
            self.sync()?;
        }
        if self.partial(of).is_none() {
            self.begin(of, spares)?;
        }
        let known = bytes.len().min((next - offset) as usize);
        let name = names::partial(of);
        let io = |source| Error::io(&self.directory.path().join(&name), source);
        let Some(partial) = self.partials.get_mut(&of.group) else { return Ok(()) };
        let file = match partial.file.take() {
            Some(file) => file,
            None => self.directory.open(&name).map_err(io)?,
        };
        self.open.insert(of.group);
        let file = &**partial.file.insert(file);
        with_reserve(spares, || partial.sectors.append(file, &bytes[known..])).map_err(io)
    }

    /// Makes durable what was written. A snapshot that is whole by now gets its name.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let mut renamed = false;
        let mut whole = Vec::new();
        for group in std::mem::take(&mut self.open) {
            let Some(partial) = self.partials.get_mut(&group) else { continue };
            let name = names::partial(partial.of);
            let io = |source| Error::io(&self.directory.path().join(&name), source);
            if let Some(file) = partial.file.take()
                && let Err(source) = file.sync()
            {
                // Its pages count as clean now, whatever is on disk: nobody may resume from them.
                let _ = self.directory.remove(&name);
                return Err(io(source));
            }
            partial.durable_bytes = partial.sectors.bytes;
            renamed |= std::mem::take(&mut partial.new);
            if partial.durable_bytes == partial.of.size {
                self.directory.rename(&name, &names::snapshot(partial.of)).map_err(io)?;
                whole.push(partial.of);
            }
        }
        if renamed || !whole.is_empty() {
            self.directory.sync().map_err(|source| Error::io(self.directory.path(), source))?;
        }
        for of in whole {
            self.partials.remove(&of.group);
            self.shelf.add(of);
        }
        Ok(())
    }

    /// What comes in of a group.
    pub(crate) fn of_group(&self, group: u64) -> Option<SnapshotId> {
        self.partials.get(&group).map(|partial| partial.of)
    }

    /// How many files are open.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.partials.values().filter(|partial| partial.file.is_some()).count()
    }

    pub(crate) fn exists(&self, of: SnapshotId) -> bool {
        self.shelf.contains(of) || self.partial(of).is_some()
    }

    pub(crate) fn durable_bytes(&self, of: SnapshotId) -> u64 {
        if self.shelf.contains(of) {
            return of.size;
        }
        self.partial(of).map_or(0, |partial| partial.durable_bytes)
    }

    /// The file that holds a snapshot.
    pub(crate) fn name(&self, of: SnapshotId) -> String {
        if self.partial(of).is_some() && !self.shelf.contains(of) {
            names::partial(of)
        } else {
            names::snapshot(of)
        }
    }

    fn partial(&self, of: SnapshotId) -> Option<&Partial> {
        self.partials.get(&of.group).filter(|partial| partial.of == of)
    }

    /// Deletes a snapshot that is not whole, if it is there.
    pub(crate) fn remove(&mut self, of: SnapshotId) -> Result<(), Error> {
        if self.partial(of).is_none() {
            return Ok(());
        }
        let name = names::partial(of);
        let removed = self.directory.remove(&name);
        removed.map_err(|source| Error::io(&self.directory.path().join(name), source))?;
        // Only now: as long as its file is there, what was written of it has to become durable with the next sync.
        self.partials.remove(&of.group);
        self.open.remove(&of.group);
        Ok(())
    }

    /// Begins the file of another snapshot, in place of one of its group that is not whole.
    fn begin(&mut self, of: SnapshotId, spares: &Spares) -> Result<(), Error> {
        if let Some(other) = self.of_group(of.group) {
            self.remove(other)?;
        }
        let name = names::partial(of);
        let io = |source| Error::io(&self.directory.path().join(&name), source);
        let file = with_reserve(spares, || self.directory.create(&name)).map_err(io)?;
        if let Err(source) = with_reserve(spares, || sectors::write_header(&*file, self.identity, of)) {
            // The next attempt begins the file again.
            self.directory.remove(&name).map_err(io)?;
            return Err(io(source));
        }
        let sectors = Sectors::new(self.identity, of.group, of.term, of.index);
        let partial = Partial { of, sectors, file: Some(file), durable_bytes: 0, new: true };
        self.partials.insert(of.group, partial);
        self.open.insert(of.group);
        Ok(())
    }
}
