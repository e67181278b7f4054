//! Opening a directory: what is durable, what is a torn tail, and what is damaged.
//!
//! A batch is written only after the sync of the one before it has returned. So a batch that cannot be read was
//! durable if there is a newer one, in this segment or as the start of the next, or if the mark vouches for it. Then it
//! is a fault. Otherwise it is the write that was in flight: nobody was told of it, and it is cut.

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::Error;
use crate::files::Directory;
use crate::format::{HEADER_BYTES, SegmentHeader};
use crate::incoming::{Incoming, Partial};
use crate::log::Log;
use crate::mark::Mark;
use crate::names::{self, Name};
use crate::options::{Identity, Options, SnapshotId};
use crate::sectors::Sectors;
use crate::segment::{Found, Segment, begin_segment};
use crate::snapshot;
use crate::spares::{Purpose, Spares};

/// What was found when the log was opened. The records themselves are read with [`Log::records`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How many records there are since the newest restart.
    pub records: u64,
    /// The snapshots, and how many bytes of each are durable: all of them, or where to resume.
    pub snapshots: Vec<(SnapshotId, u64)>,
    /// Length of the unfinished batch that was cut, if its header had been written. It was never acknowledged.
    pub cut: Option<u64>,
}

/// What the directory holds, by kind.
#[derive(Default)]
struct Contents {
    segments: Vec<u64>,
    spares: Vec<u64>,
    snapshots: Vec<SnapshotId>,
    partials: Vec<SnapshotId>,
    marked: bool,
    reserved: bool,
}

/// The readable part of the log.
struct Extent {
    tail: Segment,
    end: u64,
    next_batch: u64,
    records: u64,
    cut: Option<u64>,
    /// Where the last batch in the tail begins, if there is one.
    last: Option<u64>,
}

/// The snapshots, how much of each is durable, and the end of the one that is not whole.
struct Snapshots {
    durable: Vec<(SnapshotId, u64)>,
    partial: Option<Partial>,
}

pub(crate) fn open(
    directory: Arc<dyn Directory>,
    identity: Identity,
    options: Options,
) -> Result<(Log, Recovered), Error> {
    let mut contents = read_contents(&*directory)?;
    let (mark, vouched) = open_mark(&*directory, identity, &contents)?;
    contents.segments.sort_unstable();
    // Nothing is deleted before all that counts was read: a damaged directory stays as it is.
    let found = match contents.segments.last() {
        Some(last) => Some(read_log(&*directory, identity, *last, &contents.segments, vouched.unwrap_or(0))?),
        None if vouched.is_some() => {
            return Err(gone(&*directory, "the mark vouches for a log, and there is none"));
        }
        None => None,
    };
    let Snapshots { durable: snapshots, partial } = read_snapshots(&directory, identity, &contents)?;

    remove_leftovers(&*directory, &contents, found.as_ref(), partial.as_ref())?;
    let spares = Spares::new(Arc::clone(&directory), &options, &contents.spares, contents.reserved)?;
    let extent = match found {
        Some(extent) => extent,
        None => begin_log(&*directory, identity, &spares)?,
    };
    if vouched.is_none_or(|batch| batch < extent.next_batch - 1) {
        rewrite_last_batch(&extent)?;
    }
    let partial = go_on_with(&*directory, identity, partial)?;
    directory.sync().map_err(|source| Error::io(directory.path(), source))?;
    mark.write(extent.next_batch - 1)?;
    spares.refill();

    let recovered = Recovered { records: extent.records, snapshots, cut: extent.cut };
    let incoming = Incoming::new(Arc::clone(&directory), identity, partial);
    let (batch, Extent { tail, end, next_batch, .. }) = (Batch::new(options.max_batch_bytes()), extent);
    let poisoned = false;
    let log =
        Log { identity, options, directory, spares, mark, tail, end, next_batch, batch, incoming, poisoned };
    Ok((log, recovered))
}

fn read_contents(directory: &dyn Directory) -> Result<Contents, Error> {
    let mut contents = Contents::default();
    for name in directory.list().map_err(|source| Error::io(directory.path(), source))? {
        match Name::parse(&name) {
            Name::Segment(number) => contents.segments.push(number),
            Name::Spare(number) => contents.spares.push(number),
            Name::Snapshot(of) => contents.snapshots.push(of),
            Name::Partial(of) => contents.partials.push(of),
            Name::Mark => contents.marked = true,
            Name::Reserve => contents.reserved = true,
            Name::Unfinished | Name::Lock | Name::Other => {}
        }
    }
    Ok(contents)
}

fn open_mark(
    directory: &dyn Directory,
    identity: Identity,
    contents: &Contents,
) -> Result<(Mark, Option<u64>), Error> {
    if contents.marked {
        Mark::open(directory, identity)
    } else {
        Ok((Mark::create(directory, identity)?, None))
    }
}

/// Reads all segments since the newest restart.
fn read_log(
    directory: &dyn Directory,
    identity: Identity,
    last: u64,
    segments: &[u64],
    vouched: u64,
) -> Result<Extent, Error> {
    let base = Segment::open(directory, last, identity)?.header.base;
    let (mut body, mut records) = (Vec::new(), 0);
    let mut next_batch = None;
    for number in base..=last {
        if segments.binary_search(&number).is_err() {
            return Err(gone(
                directory,
                "a segment between the newest restart and the end of the log is gone",
            ));
        }
        let tail = Segment::open(directory, number, identity)?;
        let first_batch = tail.header.first_batch;
        if tail.header.base != base || next_batch.is_some_and(|next| next != first_batch) {
            return Err(tail.corrupt(0, "the segment does not continue the one before it"));
        }
        let mut extent =
            Extent { tail, end: HEADER_BYTES, next_batch: first_batch, records, cut: None, last: None };
        let stopped = read_segment(&mut extent, &mut body)?;
        let next_first =
            if number < last { Some(first_batch_of(directory, number + 1, identity)?) } else { None };
        judge_end(&extent, next_first, vouched)?;
        if number == last {
            extent.cut = stopped;
            return Ok(extent);
        }
        (records, next_batch) = (extent.records, Some(extent.next_batch));
    }
    Err(gone(directory, "the newest segment says that it begins after itself"))
}

fn first_batch_of(directory: &dyn Directory, number: u64, identity: Identity) -> Result<u64, Error> {
    Ok(Segment::open(directory, number, identity)?.header.first_batch)
}

/// Reads batches until there is none; returns the length of a torn one.
fn read_segment(extent: &mut Extent, body: &mut Vec<u8>) -> Result<Option<u64>, Error> {
    loop {
        match extent.tail.read_batch(extent.end, extent.next_batch, body)? {
            Found::Batch { end, records } => {
                extent.last = Some(extent.end);
                extent.end = end;
                extent.next_batch += 1;
                extent.records += u64::from(records);
            }
            Found::Torn { bytes } => return Ok(Some(bytes)),
            Found::Nothing => return Ok(None),
        }
    }
}

/// Tells a torn tail from damage, by all the evidence there is that the next batch was once durable.
fn judge_end(extent: &Extent, next_first: Option<u64>, vouched: u64) -> Result<(), Error> {
    let Extent { tail, end, next_batch, .. } = extent;
    match next_first {
        Some(first) if first == *next_batch => return Ok(()),
        Some(_) => {
            return Err(tail.corrupt(*end, "a batch cannot be read, and the next segment comes after it"));
        }
        None => {}
    }
    if *next_batch <= vouched {
        return Err(tail.corrupt(*end, "a batch cannot be read, and the mark says that it was durable"));
    }
    // The first segment of all is made before there is a batch.
    if extent.last.is_none() && tail.header.number > 1 {
        return Err(
            tail.corrupt(*end, "a segment gets its name when its first batch is durable, and it is damaged")
        );
    }
    if tail.find_newer_batch(*end, *next_batch)?.is_some() {
        return Err(tail.corrupt(*end, "a batch cannot be read, and there is a newer one behind it"));
    }
    Ok(())
}

/// Reads every byte of the snapshots that are whole, and finds where the one that is not can be resumed.
fn read_snapshots(
    directory: &Arc<dyn Directory>,
    identity: Identity,
    contents: &Contents,
) -> Result<Snapshots, Error> {
    let mut found = Snapshots { durable: Vec::new(), partial: None };
    for of in &contents.snapshots {
        let name = names::snapshot(*of);
        let whole = resume(&**directory, &name, identity, *of)?;
        if whole.as_ref().is_none_or(|sectors| sectors.bytes != of.size) {
            let (file, offset) = (directory.path().join(name), whole.map_or(0, |sectors| sectors.bytes));
            let evidence = "a snapshot gets its name when all of it is durable, and it is damaged";
            return Err(Error::Corrupt { file, offset, evidence });
        }
        found.durable.push((*of, of.size));
    }
    let Some(of) = contents.partials.iter().max().filter(|of| !contents.snapshots.contains(of)) else {
        return Ok(found);
    };
    let name = names::partial(*of);
    // One whose header did not get to disk was never acknowledged.
    let Some(sectors) = resume(&**directory, &name, identity, *of)? else { return Ok(found) };
    let durable_bytes = sectors.bytes;
    found.durable.push((*of, durable_bytes));
    found.partial = Some(Partial { of: *of, sectors, durable_bytes, new: false });
    Ok(found)
}

fn resume(
    directory: &dyn Directory,
    name: &str,
    identity: Identity,
    of: SnapshotId,
) -> Result<Option<Sectors>, Error> {
    let path = directory.path().join(name);
    let io = |source| Error::io(&path, source);
    let file = directory.open(name).map_err(io)?;
    if snapshot::check_header(&path, &*file, identity, of)?.is_none() {
        return Ok(None);
    }
    Sectors::resume(file, identity, of).map(Some).map_err(io)
}

/// Makes durable what there is of a snapshot that is coming in. One that is all there gets its name.
fn go_on_with(
    directory: &dyn Directory,
    identity: Identity,
    partial: Option<Partial>,
) -> Result<Option<Partial>, Error> {
    let Some(partial) = partial else { return Ok(None) };
    let (of, name) = (partial.of, names::partial(partial.of));
    let io = |source| Error::io(&directory.path().join(&name), source);
    partial.sectors.rewrite(identity, of).map_err(io)?;
    if partial.durable_bytes < of.size {
        return Ok(Some(partial));
    }
    directory.rename(&name, &names::snapshot(of)).map_err(io)?;
    Ok(None)
}

/// Removes what a crash left behind: files in the making, and what a durable restart made obsolete.
fn remove_leftovers(
    directory: &dyn Directory,
    contents: &Contents,
    log: Option<&Extent>,
    partial: Option<&Partial>,
) -> Result<(), Error> {
    let io = |source| Error::io(directory.path(), source);
    let base = log.map_or(0, |extent| extent.tail.header.base);
    for number in contents.segments.iter().filter(|number| **number < base) {
        directory.remove(&names::segment(*number)).map_err(io)?;
    }
    for of in contents.partials.iter().filter(|of| partial.is_none_or(|partial| partial.of != **of)) {
        directory.remove(&names::partial(*of)).map_err(io)?;
    }
    for name in directory.list().map_err(io)? {
        if Name::parse(&name) == Name::Unfinished {
            directory.remove(&name).map_err(io)?;
        }
    }
    Ok(())
}

/// Makes the first segment of a new log.
fn begin_log(directory: &dyn Directory, identity: Identity, spares: &Arc<Spares>) -> Result<Extent, Error> {
    let spare = spares.take(Purpose::Restart)?;
    let header = SegmentHeader { identity, number: 1, base: 1, first_batch: 1, salt: directory.random() };
    let tail = begin_segment(directory, &spare, header, &[])?;
    Ok(Extent { tail, end: HEADER_BYTES, next_batch: 1, records: 0, cut: None, last: None })
}

/// Writes the last batch once more. Its sync may have failed, and then the operating system takes it for clean
/// although it is not on disk; to sync it without writing it would do nothing.
fn rewrite_last_batch(extent: &Extent) -> Result<(), Error> {
    let Extent { tail, end, .. } = extent;
    if let Some(last) = extent.last {
        let mut bytes = vec![0; (end - last) as usize];
        let read = tail.file.read_at(&mut bytes, last).map_err(|source| tail.io(source))?;
        tail.file.write_at(&bytes[..read], last).map_err(|source| tail.io(source))?;
    }
    tail.file.sync().map_err(|source| tail.io(source))
}

fn gone(directory: &dyn Directory, evidence: &'static str) -> Error {
    Error::Corrupt { file: directory.path().into(), offset: 0, evidence }
}
