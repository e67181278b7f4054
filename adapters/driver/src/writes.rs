//! Records on their way to storage, with the claims that hang on them.

use std::collections::BTreeMap;

use quorate::codec::Full;
use quorate::{GroupId, Hosted, Pending, Place, Receipt, SnapshotId, Write};

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
    /// One of each group, which is a machine of its own.
    claims: BTreeMap<GroupId, Pending>,
}

/// Which record ends where in the buffer.
#[derive(Debug)]
struct Placed {
    group: GroupId,
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
        let group = M::group(&record);
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
        self.placed.push(Placed { group, place, end: self.bytes.len() });
        self.keep(group, claim);
        Ok(())
    }

    /// Writes all records, syncs once, and returns the receipts that stand for all of them, one for each group. An error
    /// drops the claims, so nothing of this is ever acknowledged.
    ///
    /// # Errors
    /// Storage failed.
    pub fn commit(&mut self, storage: &mut dyn Storage, tally: &Tally) -> Result<Vec<Receipt>, StorageError> {
        let claims = std::mem::take(&mut self.claims);
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let mut start = 0;
        for Placed { group, place, end } in &self.placed {
            let bytes = &self.bytes[start..*end];
            match *place {
                Target::Log => storage.append(*group, bytes)?,
                Target::Restart { keep } => storage.restart(*group, bytes, keep)?,
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
        Ok(claims.into_values().map(Pending::assert_durable).collect())
    }

    fn keep(&mut self, group: GroupId, claim: Pending) {
        let claim = match self.claims.remove(&group) {
            Some(earlier) => earlier.merge(claim),
            None => claim,
        };
        self.claims.insert(group, claim);
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
        let moved = later.placed.drain(..).map(|placed| Placed { end: placed.end + offset, ..placed });
        self.placed.extend(moved);
        for (group, claim) in std::mem::take(&mut later.claims) {
            self.keep(group, claim);
        }
    }

    fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::storage::MemoryDisk;
    use quorate::codec::{Malformed, Sink};
    use quorate::durable::Ledger;
    use quorate::{Done, Errand, Fault, Input, Instant, Machine, NodeId, Output, Records, Stored};

    /// A machine that says nothing; its records are of the group that is their first byte, and restart at `!`.
    struct Silent;

    impl Machine for Silent {
        type Request = ();
        type Ticket = ();
        type Refusal = ();
        type Message<'a> = ();
        type Record<'a> = &'a [u8];
        type Event<'a> = ();

        fn request(&mut self, _: Instant, (): ()) -> Result<(), ()> {
            Err(())
        }
        fn handle(&mut self, _: Instant, _: Input<()>) {}
        fn poll(&mut self) -> Option<Output<(), &[u8], ()>> {
            None
        }
        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    impl Hosted for Silent {
        type Settings = NodeId;

        fn blank(_: &NodeId, _: Instant) -> Self {
            Self
        }
        fn take_in(&mut self, _: u64, _: Stored<'_, impl Records>) -> Result<(), Fault> {
            Ok(())
        }
        fn put_message((): &(), _: &mut impl Sink) -> Result<(), Full> {
            Ok(())
        }
        fn take_message(_: &[u8]) -> Result<(), Malformed> {
            Ok(())
        }
        fn put_record(record: &&[u8], sink: &mut impl Sink) -> Result<(), Full> {
            sink.put(record)
        }
        fn place<'r>(record: &'r &[u8]) -> Place<'r> {
            if record.ends_with(b"!") { Place::Restart { keep: None } } else { Place::Log }
        }
        fn group(record: &&[u8]) -> GroupId {
            GroupId::new(record[0].into())
        }
        fn errand<'e>((): &'e ()) -> Option<Errand<'e>> {
            None
        }
        fn finish(&mut self, _: Instant, _: Done<'_>) -> Result<(), Fault> {
            Ok(())
        }
    }

    #[test]
    fn machines_share_a_sync_and_each_gets_the_receipt_of_its_own() {
        let (mut left, mut right) = (Ledger::new(1), Ledger::new(2));
        let (mut writes, mut later) = (Writes::default(), Writes::default());
        let add = |writes: &mut Writes, ledger: &mut Ledger, record: &'static [u8]| {
            ledger.stage();
            writes.add::<Silent>(ledger.write(record, true)).expect("it fits");
        };
        add(&mut writes, &mut left, b"l1");
        add(&mut writes, &mut right, b"r1");
        add(&mut later, &mut right, b"r2");
        add(&mut later, &mut left, b"l!");
        writes.take_from(&mut later);
        assert!(later.is_empty() && later.claims.is_empty());
        let (disk, tally) = (MemoryDisk::default(), Tally::default());
        let receipts = writes.commit(&mut disk.open(), &tally).expect("it works");
        assert_eq!((receipts.len(), tally.read().syncs), (2, 1));
        for (ledger, receipt) in [&mut left, &mut right].into_iter().zip(receipts) {
            assert!(ledger.accept(receipt), "in the order of the groups");
            assert!(ledger.is_durable(ledger.mark()), "the last claim stands for all before it");
        }
        assert_eq!(disk.contents().records, [&b"r1"[..], b"r2", b"l!"], "a restart is of its group only");
        assert!(writes.commit(&mut disk.open(), &tally).expect("it works").is_empty());
    }
}
