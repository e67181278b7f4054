//! One segment file: a header, then batches back to back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::format::{
    ALIGNMENT, BadHeader, FRAME_BYTES, FrameHeader, HEADER_BYTES, SEGMENT_FIELDS, SegmentHeader, VERSION_2,
    header_bytes, split_base, split_record, u64_at,
};
use crate::names;
use crate::options::Identity;

/// Bytes read at once when looking for a batch; batches begin at multiples of [`ALIGNMENT`] in it.
const SCAN_BYTES: usize = 1 << 16;

/// A segment that is under its own name: its header and its first batch are durable.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DataFile>,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) seed: u32,
}

/// What is where a batch should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Batch {
        /// Where the next one begins.
        end: u64,
        /// The oldest segment that is needed once this batch is durable.
        base: u64,
    },
    /// The header of the batch, but not what it announces.
    Torn {
        /// Length of the batch, header included.
        bytes: u64,
    },
    Nothing,
}

impl Segment {
    pub(crate) fn open(directory: &dyn Directory, number: u64, identity: Identity) -> Result<Self, Error> {
        let name = names::segment(number);
        let path = directory.path().join(&name);
        let io = |source| Error::io(&path, source);
        let file = directory.open(&name).map_err(io)?;
        let mut bytes = [0; header_bytes(SEGMENT_FIELDS)];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        let corrupt = |evidence| Error::Corrupt { file: path.clone(), offset: 0, evidence };
        let header = match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) => header,
            Err(BadHeader::Version(found)) => return Err(Error::Version { file: path, found }),
            Err(BadHeader::Damaged) => {
                return Err(corrupt(
                    "a segment gets its name when its header is durable, and this header is damaged",
                ));
            }
        };
        if header.identity != identity {
            return Err(Error::Foreign { file: path, found: header.identity, expected: identity });
        }
        if header.number != number || header.base > number {
            return Err(corrupt("the header is that of another segment"));
        }
        let bytes = file.len().map_err(io)?;
        Ok(Self { seed: header.seed(), header, path, file, bytes })
    }

    /// Judges what is at `position`, where batch `batch` should be, and leaves its body in `body`.
    pub(crate) fn read_batch(&self, position: u64, batch: u64, body: &mut Vec<u8>) -> Result<Found, Error> {
        let Some(header) = self.read_header(position)?.filter(|header| header.batch == batch) else {
            return Ok(Found::Nothing);
        };
        let end = position + header.frame_bytes();
        // Our own checksum says that we wrote this length, so it is no more than the caller's own limits allowed.
        body.resize(header.body_bytes as usize, 0);
        let read = self.file.read_at(body, position + FRAME_BYTES).map_err(|source| self.io(source))?;
        let whole = read == body.len() && crc32fast::hash(body) == header.body_checksum;
        let base = self.check_body(body, header.records);
        match base.filter(|_| whole && end <= self.bytes) {
            Some(base) => Ok(Found::Batch { end, base }),
            None => Ok(Found::Torn { bytes: header.frame_bytes() }),
        }
    }

    /// The oldest segment that a body says is needed; `None` if it is not made of so many whole records.
    fn check_body(&self, body: &[u8], records: u32) -> Option<u64> {
        let version = self.header.version;
        let (base, mut rest) = split_base(version, body)?;
        for _ in 0..records {
            (_, rest) = split_record(version, rest)?;
        }
        rest.is_empty().then_some(base.unwrap_or(self.header.base))
    }

    /// What is left of it behind `end`. A segment of an older version is not gone on with.
    pub(crate) fn room(&self, end: u64) -> u64 {
        if self.header.version == VERSION_2 { self.bytes.saturating_sub(end) } else { 0 }
    }

    /// Looks from `position` on for the header of a batch that is newer than `batch`.
    pub(crate) fn find_newer_batch(&self, position: u64, batch: u64) -> Result<Option<u64>, Error> {
        let mut chunk = vec![0; SCAN_BYTES];
        let mut start = position;
        while start < self.bytes {
            let read = self.file.read_at(&mut chunk, start).map_err(|source| self.io(source))?;
            for at in (0..read.saturating_sub(FRAME_BYTES as usize - 1)).step_by(ALIGNMENT as usize) {
                // Cheap to tell first: a batch that this segment can hold. Zeros and old lives fail here.
                let ahead = u64_at(&chunk, at + 16).wrapping_sub(batch);
                if ahead == 0 || ahead > self.bytes / FRAME_BYTES {
                    continue;
                }
                let found = start + at as u64;
                if FrameHeader::decode(&chunk[at..read], self.seed, found).is_some() {
                    return Ok(Some(found));
                }
            }
            // The header that straddles the end of this chunk is whole in the next.
            start += SCAN_BYTES as u64 - FRAME_BYTES;
        }
        Ok(None)
    }

    pub(crate) fn corrupt(&self, offset: u64, evidence: &'static str) -> Error {
        Error::Corrupt { file: self.path.clone(), offset, evidence }
    }

    pub(crate) fn io(&self, source: io::Error) -> Error {
        Error::io(&self.path, source)
    }

    fn read_header(&self, position: u64) -> Result<Option<FrameHeader>, Error> {
        let mut bytes = [0; FRAME_BYTES as usize];
        let read = self.file.read_at(&mut bytes, position).map_err(|source| self.io(source))?;
        Ok(FrameHeader::decode(&bytes[..read], self.seed, position))
    }
}

/// Fills a spare file with a header and, if there is one, a first batch, and gives it its name when both are durable.
pub(crate) fn begin_segment(
    directory: &dyn Directory,
    spare: &str,
    header: SegmentHeader,
    first_batch: &[u8],
) -> Result<Segment, Error> {
    let name = names::segment(header.number);
    let path = directory.path().join(&name);
    let io = |source| Error::io(&path, source);
    let file = directory.open(spare).map_err(io)?;
    let mut block = header.encode();
    block.resize(HEADER_BYTES as usize, 0);
    file.write_at(&block, 0).map_err(io)?;
    file.write_at(first_batch, HEADER_BYTES).map_err(io)?;
    file.sync().map_err(io)?;
    directory.rename(spare, &name).map_err(io)?;
    directory.sync().map_err(io)?;
    let bytes = file.len().map_err(io)?;
    Ok(Segment { seed: header.seed(), header, path, file, bytes })
}
