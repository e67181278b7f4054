//! A machine that is nothing but records, to show them to a store.

use quorate::codec::{Full, Malformed, Sink};
use quorate::{
    Done, Errand, Fault, Hosted, Image, Index, Input, Instant, Machine, Output, Place, Position, Records,
    SnapshotId, Stored, Term,
};

/// What is written to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Append(Vec<u8>),
    Restart { keep: Option<SnapshotId>, record: Vec<u8> },
    Piece { of: SnapshotId, offset: u64, len: usize },
    Image(SnapshotId),
}

/// The machine.
#[derive(Debug)]
pub struct Scribe;

impl Machine for Scribe {
    type Request = ();
    type Ticket = ();
    type Refusal = ();
    type Message<'a> = ();
    type Record<'a> = &'a Deed;
    type Event<'a> = ();

    fn request(&mut self, _now: Instant, _request: ()) -> Result<(), ()> {
        Err(())
    }

    fn handle(&mut self, _now: Instant, _input: Input<()>) {}

    fn poll(&mut self) -> Option<Output<(), &Deed, ()>> {
        None
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl Hosted for Scribe {
    type Settings = ();

    fn blank(_settings: &(), _now: Instant) -> Self {
        Self
    }

    fn take_in(&mut self, _seed: u64, _stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        Ok(())
    }

    fn put_message(_message: &(), _sink: &mut impl Sink) -> Result<(), Full> {
        Ok(())
    }

    fn take_message(_bytes: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }

    fn put_record(record: &&Deed, sink: &mut impl Sink) -> Result<(), Full> {
        match record {
            Deed::Append(bytes) | Deed::Restart { record: bytes, .. } => {
                // In odd pieces, as an encoder would.
                bytes.chunks(5).try_for_each(|piece| sink.put(piece))
            }
            Deed::Piece { .. } | Deed::Image(_) => Ok(()),
        }
    }

    fn place<'r>(record: &'r &Deed) -> Place<'r> {
        match record {
            Deed::Append(_) | Deed::Image(_) => Place::Log,
            Deed::Restart { keep, .. } => Place::Restart { keep: *keep },
            Deed::Piece { of, offset, len } => {
                // Lent, so it has to live somewhere: what a test leaks is little.
                let bytes = Content(*of).bytes(*offset, *len).leak();
                Place::Snapshot { of: *of, offset: *offset, bytes }
            }
        }
    }

    fn errand<'e>(_event: &'e ()) -> Option<Errand<'e>> {
        None
    }

    fn finish(&mut self, _now: Instant, _done: Done<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// The bytes of a snapshot, which follow from its name.
#[derive(Clone, Copy, Debug)]
pub struct Content(pub SnapshotId);

impl Content {
    pub fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let salt = self.0.at.index.get().wrapping_mul(31) ^ self.0.size;
        (offset..offset + len as u64).map(|at| (at.wrapping_mul(7) ^ salt ^ (at >> 6)) as u8).collect()
    }
}

impl Image for Content {
    fn write(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        self.bytes(0, self.0.size as usize).chunks(11).try_for_each(|piece| sink.put(piece))
    }
}

/// A snapshot's name.
pub fn snapshot(index: u64, size: u64) -> SnapshotId {
    SnapshotId::new(Position { term: Term::new(1), index: Index::new(index) }, size)
}
