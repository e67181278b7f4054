//! Opening a directory: what is durable, what is a torn tail, and what is damaged.
//!
//! A batch is written only after the sync of the one before it has returned. So a batch that cannot be read was
//! durable if there is a newer one, in this segment or as the start of the next, or if the mark vouches for it. Then it
//! is a fault. Otherwise it is the write that was in flight: nobody was told of it, and it is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::{Batch, Turn};
use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::format::{HEADER_BYTES, SegmentHeader, VERSION_2, split_base, split_record};
use crate::incoming::{Incoming, Partial};
use crate::log::Log;
use crate::mark::Mark;
use crate::names::{self, Name};
use crate::needs::Needs;
use crate::options::{Identity, Options, SnapshotId};
use crate::sectors::Sectors;
use crate::segment::{Found, Segment, begin_segment};
use crate::shelf::Shelf;
use crate::snapshot;
use crate::spares::{Purpose, Spares};

/// What was found when the log was opened. The records themselves are read with [`Log::records`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// How many records there are, of each group since its newest restart.
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
    /// The oldest segment that is needed.
    base: u64,
    needs: Needs,
    tail: Segment,
    end: u64,
    next_batch: u64,
    cut: Option<u64>,
    /// Where the last batch in the tail begins, if there is one.
    last: Option<u64>,
}

/// The snapshots, how much of each is durable, and the ends of those that are not whole.
struct Snapshots {
    durable: Vec<(SnapshotId, u64)>,
    partials: Vec<Partial>,
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
    let Snapshots { durable: snapshots, partials } = read_snapshots(&*directory, identity, &contents)?;

    // The last batch says where the log begins: it has to be durable before what is older goes.
    if let Some(extent) = &found
        && vouched.is_none_or(|batch| batch < extent.next_batch - 1)
    {
        rewrite_last_batch(extent)?;
    }
    remove_leftovers(&*directory, &contents, found.as_ref(), &partials)?;
    let spares = Spares::new(Arc::clone(&directory), &options, &contents.spares, contents.reserved)?;
    let extent = match found {
        Some(extent) => extent,
        None => begin_log(&*directory, identity, &spares)?,
    };
    let partials = go_on_with(&*directory, identity, partials)?;
    directory.sync().map_err(|source| Error::io(directory.path(), source))?;
    mark.write(extent.next_batch - 1)?;
    spares.refill();

    let shelf = Arc::new(Shelf::default());
    for (of, _) in snapshots.iter().filter(|(of, bytes)| of.size == *bytes) {
        shelf.add(*of);
    }
    let recovered = Recovered { records: extent.needs.records(), snapshots, cut: extent.cut };
    let incoming = Incoming::new(Arc::clone(&directory), identity, Arc::clone(&shelf), partials);
    let Extent { base, needs, tail, end, next_batch, .. } = extent;
    let log = Log {
        identity,
        options,
        directory,
        spares,
        mark,
        base,
        needs,
        shelf,
        tail,
        end,
        next_batch,
        batch: Batch::new(options.max_batch_bytes()),
        incoming,
        doomed: BTreeSet::new(),
        poisoned: false,
    };
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

/// Reads all segments that are needed.
fn read_log(
    directory: &dyn Directory,
    identity: Identity,
    last: u64,
    segments: &[u64],
    vouched: u64,
) -> Result<Extent, Error> {
    let base = read_base(&Segment::open(directory, last, identity)?, vouched)?;
    let (mut body, mut needs) = (Vec::new(), Needs::default());
    let mut before = None;
    for number in base..=last {
        if segments.binary_search(&number).is_err() {
            return Err(gone(
                directory,
                "a segment between the oldest that is needed and the newest is gone",
            ));
        }
        let tail = Segment::open(directory, number, identity)?;
        let SegmentHeader { first_batch, base: begins, .. } = tail.header;
        if before.is_some_and(|(next, earlier)| next != first_batch || earlier > begins) {
            return Err(tail.corrupt(0, "the segment does not continue the one before it"));
        }
        let (end, cut, next_batch) = (HEADER_BYTES, None, first_batch);
        let mut extent = Extent { base, needs, tail, end, next_batch, cut, last: None };
        let stopped = read_segment(&mut extent, &mut body)?;
        if number == last {
            extent.cut = stopped;
            return Ok(extent);
        }
        let next_first = first_batch_of(directory, number + 1, identity)?;
        judge_end(&extent.tail, extent.end, extent.next_batch, Some(next_first), vouched)?;
        (needs, before) = (extent.needs, Some((extent.next_batch, begins)));
    }
    Err(gone(directory, "the newest segment says that it begins after itself"))
}

/// The oldest segment that is needed: the last batch says it. That one is durable before what it makes needless goes.
fn read_base(newest: &Segment, vouched: u64) -> Result<u64, Error> {
    let SegmentHeader { mut base, first_batch: mut batch, .. } = newest.header;
    let (mut position, mut body) = (HEADER_BYTES, Vec::new());
    while let Found::Batch { end, base: needed } = newest.read_batch(position, batch, &mut body)? {
        (base, batch, position) = (needed, batch + 1, end);
    }
    judge_end(newest, position, batch, None, vouched)?;
    Ok(base)
}

fn first_batch_of(directory: &dyn Directory, number: u64, identity: Identity) -> Result<u64, Error> {
    Ok(Segment::open(directory, number, identity)?.header.first_batch)
}

/// Reads batches until there is none; returns the length of a torn one.
fn read_segment(extent: &mut Extent, body: &mut Vec<u8>) -> Result<Option<u64>, Error> {
    loop {
        match extent.tail.read_batch(extent.end, extent.next_batch, body)? {
            Found::Batch { end, .. } => {
                note_records(extent, body);
                extent.last = Some(extent.end);
                extent.end = end;
                extent.next_batch += 1;
            }
            Found::Torn { bytes } => return Ok(Some(bytes)),
            Found::Nothing => return Ok(None),
        }
    }
}

/// Notes what each group needs of a batch.
fn note_records(extent: &mut Extent, body: &[u8]) {
    let SegmentHeader { version, number, .. } = extent.tail.header;
    let mut rest = split_base(version, body).map_or(body, |(_, rest)| rest);
    let (mut turns, mut ordinal) = (Vec::new(), 0);
    while let Some((entry, left)) = split_record(version, rest) {
        if extent.needs.take_up(entry.owner, rest.len() - left.len()) {
            turns.push(Turn { owner: entry.owner, ordinal });
        }
        (rest, ordinal) = (left, ordinal + 1);
    }
    extent.needs.begin(&turns, number);
    extent.needs.settle(&turns, extent.next_batch);
}

/// Tells a torn tail from damage, by all the evidence there is that the next batch was once durable.
fn judge_end(
    tail: &Segment,
    end: u64,
    next_batch: u64,
    next_first: Option<u64>,
    vouched: u64,
) -> Result<(), Error> {
    match next_first {
        Some(first) if first == next_batch => return Ok(()),
        Some(_) => {
            return Err(tail.corrupt(end, "a batch cannot be read, and the next segment comes after it"));
        }
        None => {}
    }
    if next_batch <= vouched {
        return Err(tail.corrupt(end, "a batch cannot be read, and the mark says that it was durable"));
    }
    // The first segment of all is made before there is a batch.
    if end == HEADER_BYTES && tail.header.number > 1 {
        return Err(
            tail.corrupt(end, "a segment gets its name when its first batch is durable, and it is damaged")
        );
    }
    if tail.find_newer_batch(end, next_batch)?.is_some() {
        return Err(tail.corrupt(end, "a batch cannot be read, and there is a newer one behind it"));
    }
    Ok(())
}

/// Reads every byte of the snapshots that are whole, and finds where those that are not can be resumed: the newest of
/// each group.
fn read_snapshots(
    directory: &dyn Directory,
    identity: Identity,
    contents: &Contents,
) -> Result<Snapshots, Error> {
    let mut found = Snapshots { durable: Vec::new(), partials: Vec::new() };
    for of in &contents.snapshots {
        let name = names::snapshot(*of);
        let whole = resume(directory, &name, identity, *of)?;
        if whole.as_ref().is_none_or(|(sectors, _)| sectors.bytes != of.size) {
            let (file, offset) = (directory.path().join(name), whole.map_or(0, |(sectors, _)| sectors.bytes));
            let evidence = "a snapshot gets its name when all of it is durable, and it is damaged";
            return Err(Error::Corrupt { file, offset, evidence });
        }
        found.durable.push((*of, of.size));
    }
    let mut newest = BTreeMap::<u64, SnapshotId>::new();
    for of in &contents.partials {
        let other = newest.entry(of.group).or_insert(*of);
        *other = (*other).max(*of);
    }
    for of in newest.into_values().filter(|of| !contents.snapshots.contains(of)) {
        // One whose header did not get to disk was never acknowledged.
        let Some((sectors, file)) = resume(directory, &names::partial(of), identity, of)? else { continue };
        let durable_bytes = sectors.bytes;
        found.durable.push((of, durable_bytes));
        found.partials.push(Partial { of, sectors, file: Some(file), durable_bytes, new: false });
    }
    Ok(found)
}

type Resumed = (Sectors, Arc<dyn DataFile>);

fn resume(
    directory: &dyn Directory,
    name: &str,
    identity: Identity,
    of: SnapshotId,
) -> Result<Option<Resumed>, Error> {
    let path = directory.path().join(name);
    let io = |source| Error::io(&path, source);
    let file = directory.open(name).map_err(io)?;
    if snapshot::check_header(&path, &*file, identity, of)?.is_none() {
        return Ok(None);
    }
    let sectors = Sectors::resume(&*file, identity, of).map_err(io)?;
    Ok(Some((sectors, file)))
}

/// Makes durable what there is of the snapshots that are coming in. Those that are all there get their names.
fn go_on_with(
    directory: &dyn Directory,
    identity: Identity,
    partials: Vec<Partial>,
) -> Result<Vec<Partial>, Error> {
    let mut left = Vec::new();
    for mut partial in partials {
        let (of, name) = (partial.of, names::partial(partial.of));
        let io = |source| Error::io(&directory.path().join(&name), source);
        if let Some(file) = partial.file.take() {
            partial.sectors.rewrite(&*file, identity, of).map_err(io)?;
        }
        if partial.durable_bytes < of.size {
            left.push(partial);
        } else {
            directory.rename(&name, &names::snapshot(of)).map_err(io)?;
        }
    }
    Ok(left)
}

/// Removes what a crash left behind: files in the making, and what a durable restart made obsolete.
fn remove_leftovers(
    directory: &dyn Directory,
    contents: &Contents,
    log: Option<&Extent>,
    partials: &[Partial],
) -> Result<(), Error> {
    let io = |source| Error::io(directory.path(), source);
    let base = log.map_or(0, |extent| extent.base);
    for number in contents.segments.iter().filter(|number| **number < base) {
        directory.remove(&names::segment(*number)).map_err(io)?;
    }
    for of in contents.partials.iter().filter(|of| partials.iter().all(|partial| partial.of != **of)) {
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
    let header = SegmentHeader {
        version: VERSION_2,
        identity,
        number: 1,
        base: 1,
        first_batch: 1,
        salt: directory.random(),
    };
    let tail = begin_segment(directory, &spare, header, &[])?;
    let (needs, end) = (Needs::default(), HEADER_BYTES);
    Ok(Extent { base: 1, needs, tail, end, next_batch: 1, cut: None, last: None })
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
