//! Reading the log back.

use std::fmt;

use crate::error::Error;
use crate::format::{HEADER_BYTES, split_base, split_record};
use crate::log::Log;
use crate::segment::{Found, Segment};

/// The durable records of a log, each with its group, in the order they were appended: of each group from its newest
/// restart on.
///
/// One batch is in memory at a time. After an error the iterator ends.
pub struct Records<'a> {
    log: &'a Log,
    segment: Option<Segment>,
    /// The one to be opened after `segment`.
    next_segment: u64,
    position: u64,
    batch: u64,
    body: Vec<u8>,
    /// How much of `body` was looked at, and how many records of it.
    taken: usize,
    ordinal: u32,
}

impl<'a> Records<'a> {
    pub(crate) fn new(log: &'a Log) -> Self {
        let (next_segment, body) = (log.base, Vec::new());
        Self { log, segment: None, next_segment, position: 0, batch: 0, body, taken: 0, ordinal: 0 }
    }

    fn read_next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        // At most once for each record, each batch and each segment.
        loop {
            while self.taken == self.body.len() {
                let in_tail = self.next_segment > self.log.tail.header.number;
                if in_tail && self.position == self.log.end {
                    return Ok(None);
                }
                if !self.read_batch()? {
                    self.open_segment()?;
                }
            }
            let (version, rest) = (self.version(), &self.body[self.taken..]);
            let Some((entry, left)) = split_record(version, rest) else { return Err(self.changed()) };
            let (ordinal, group) = (self.ordinal, entry.owner.group);
            (self.ordinal, self.taken) = (ordinal + 1, self.body.len() - left.len());
            // The batch after this one is the next.
            if self.log.needs.needs(group, self.batch - 1, ordinal) {
                return Ok(Some((group, entry.record.to_vec())));
            }
        }
    }

    fn version(&self) -> u32 {
        self.segment.as_ref().unwrap_or(&self.log.tail).header.version
    }

    fn open_segment(&mut self) -> Result<(), Error> {
        let segment = Segment::open(&*self.log.directory, self.next_segment, self.log.identity)?;
        self.next_segment += 1;
        if self.segment.is_some() && segment.header.first_batch != self.batch {
            return Err(self.changed());
        }
        (self.position, self.batch) = (HEADER_BYTES, segment.header.first_batch);
        self.segment = Some(segment);
        Ok(())
    }

    /// Reads the next batch; false before the first segment, and where one that is not the last ends.
    fn read_batch(&mut self) -> Result<bool, Error> {
        let Some(segment) = &self.segment else { return Ok(false) };
        self.body.clear();
        (self.taken, self.ordinal) = (0, 0);
        match segment.read_batch(self.position, self.batch, &mut self.body)? {
            Found::Batch { end, .. } => {
                let Some((_, rest)) = split_base(segment.header.version, &self.body) else {
                    return Err(self.changed());
                };
                self.taken = self.body.len() - rest.len();
                self.position = end;
                self.batch += 1;
                Ok(true)
            }
            // Also what was cut where the next batch went to a segment of its own. That one says whether it follows.
            Found::Torn { .. } | Found::Nothing if segment.header.number < self.log.tail.header.number => {
                self.body.clear();
                Ok(false)
            }
            Found::Torn { .. } | Found::Nothing => Err(self.changed()),
        }
    }

    fn changed(&self) -> Error {
        let evidence = "a batch that was whole when the log was opened cannot be read any more";
        self.segment.as_ref().unwrap_or(&self.log.tail).corrupt(self.position, evidence)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(u64, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next();
        if next.is_err() {
            // Ends the iteration: nothing is left of the last segment.
            self.next_segment = self.log.tail.header.number + 1;
            (self.position, self.taken) = (self.log.end, self.body.len());
        }
        next.transpose()
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("batch", &self.batch)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
