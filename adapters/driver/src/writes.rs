//! Records on their way to storage, with the claim that hangs on them.

use quorate::codec::Full;
use quorate::{Hosted, Pending, Place, Receipt, SnapshotId, Write};

use crate::counters::Tally;
use crate::storage::queue::Batch;
use crate::storage::{Storage, StorageError};

/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 4 << 20;

/// Records that become durable together.
///
/// The claims that come with the records stay in here, and [`commit`](Self::commit) is the one way to the receipt:
/// a driver can neither acknowledge a record that it did not write nor forget the sync.
#[derive(Debug, Default)]
#[must_use = "what these records gate is never sent until they are committed"]
pub struct Writes {
    bytes: Vec<u8>,
    placed: Vec<Placed>,
    claim: Option<Pending>,
}

/// Which record ends where in the buffer.
#[derive(Debug)]
struct Placed {
    place: Target,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Log,
    Restart { keep: Option<SnapshotId> },
    Piece { of: SnapshotId, offset: u64 },
}

impl Writes {
    /// Takes up a write: encodes its record, and keeps its claim.
    ///
    /// # Errors
    /// The record cannot be encoded.
    pub fn add<M: Hosted>(&mut self, write: Write<M::Record<'_>>) -> Result<(), Full> {
        let (record, claim) = write.split();
        let place = match M::place(&record) {
            Place::Log => {
                M::put_record(&record, &mut self.bytes)?;
                Target::Log
            }
            Place::Restart { keep } => {
                M::put_record(&record, &mut self.bytes)?;
                Target::Restart { keep }
            }
            Place::Snapshot { of, offset, bytes } => {
                self.bytes.extend_from_slice(bytes);
                Target::Piece { of, offset }
            }
        };
        self.placed.push(Placed { place, end: self.bytes.len() });
        self.keep(claim);
        Ok(())
    }

    /// Writes all records, syncs once, and returns the receipt that stands for all of them; `None` if there were
    /// none. An error drops the claim, so nothing of this is ever acknowledged.
    ///
    /// # Errors
    /// Storage failed.
    pub fn commit(
        &mut self,
        storage: &mut dyn Storage,
        tally: &Tally,
    ) -> Result<Option<Receipt>, StorageError> {
        let Some(claim) = self.claim.take() else { return Ok(None) };
        let mut start = 0;
        for Placed { place, end } in &self.placed {
            let bytes = &self.bytes[start..*end];
            match *place {
                Target::Log => storage.append(bytes)?,
                Target::Restart { keep } => storage.restart(bytes, keep)?,
                Target::Piece { of, offset } => storage.put_piece(of, offset, bytes)?,
            }
            start = *end;
        }
        storage.sync()?;
        tally.syncs.add(1);
        tally.records.add(self.placed.len());
        tally.record_bytes.add(self.bytes.len());
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.placed.clear();
        Ok(Some(claim.assert_durable()))
    }

    fn keep(&mut self, claim: Pending) {
        self.claim = Some(match self.claim.take() {
            Some(earlier) => earlier.merge(claim),
            None => claim,
        });
    }
}

impl Batch for Writes {
    fn take_from(&mut self, later: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, later);
            return;
        }
        let offset = self.bytes.len();
        self.bytes.append(&mut later.bytes);
        self.placed
            .extend(later.placed.drain(..).map(|Placed { place, end }| Placed { place, end: end + offset }));
        if let Some(claim) = later.claim.take() {
            self.keep(claim);
        }
    }

    fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }
}
