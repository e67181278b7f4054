//! What keeps records and snapshots.

use core::fmt::Debug;
use quorate::Blank;
use quorate::codec::Malformed;
use quorate::{Fault, Hosted, Image, Position, Records, SnapshotId, Stored};

/// Snapshots that a store holds at a time: the one that counts, one that comes in, and one that was made here.
pub const SNAPSHOTS: usize = 3;

/// The snapshots that a store holds, each with how many of its bytes are there.
pub type Snapshots = heapless::Vec<(SnapshotId, u64), SNAPSHOTS>;

/// Keeps the records and the snapshots of one machine. Whatever a call did is durable when it returns.
///
/// After an error the machine is dropped, the store opened anew, and the machine restored from it.
pub trait Store {
    /// Why it failed.
    type Error: Debug;

    /// Which life of this store this is. Grows each time it is opened, and is durable.
    fn epoch(&self) -> u32;

    /// Shows each record since the last restart, that one included, in order, until one is refused. Each is read into
    /// `scratch`.
    ///
    /// # Errors
    /// Why a record was refused; what is stored is damaged; a record does not fit `scratch`.
    fn replay(
        &mut self,
        scratch: &mut [u8],
        show: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), RestoreError<Self::Error>>;

    /// The snapshots that are there, each with how many of its bytes.
    fn snapshots(&self) -> Snapshots;

    /// Puts a record where it belongs ([`quorate::Place`]).
    ///
    /// # Errors
    /// There is no room, or the device failed.
    fn save<M: Hosted>(&mut self, record: &M::Record<'_>) -> Result<(), Self::Error>;

    /// Whether the log has grown so long that it should begin anew soon.
    fn is_tight(&self) -> bool;

    /// Writes a snapshot that is made here.
    ///
    /// # Errors
    /// There is no room, or the device failed.
    fn write(&mut self, at: Position, image: &dyn Image) -> Result<SnapshotId, Self::Error>;

    /// Reads a part of a snapshot: all of `into`. Tells whether it is there.
    ///
    /// # Errors
    /// The device failed, or what is stored is damaged.
    fn read(&mut self, of: SnapshotId, offset: u64, into: &mut [u8]) -> Result<bool, Self::Error>;

    /// Restores a machine in its place, where it stays. `scratch` takes the longest record.
    ///
    /// # Errors
    /// The store failed, or what it holds is not what the machine can go on from.
    fn restore<'p, M: Hosted>(
        &mut self,
        place: &'p mut Blank<M>,
        seed: u64,
        scratch: &mut [u8],
    ) -> Result<&'p mut M, RestoreError<Self::Error>>
    where
        Self: Sized,
    {
        let (snapshots, mut failed) = (self.snapshots(), None);
        let records = Replay { store: self, scratch, failed: &mut failed };
        let restored = place.restore(seed, Stored { records, snapshots: &snapshots });
        match (failed, restored) {
            (Some(failed), _) => Err(failed),
            (None, restored) => restored.map_err(RestoreError::Fault),
        }
    }
}

/// Why a machine was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError<E> {
    /// The store failed, or is damaged.
    Store(E),
    /// The records make no sense. The node must not run: refill it from the others, under a new id.
    Fault(Fault),
    /// A record is longer than the buffer it has to be read into: raise its size.
    Scratch {
        /// How long the record is.
        bytes: usize,
    },
}

/// The records of a store, and the error that ended them.
struct Replay<'r, S: Store> {
    store: &'r mut S,
    scratch: &'r mut [u8],
    failed: &'r mut Option<RestoreError<S::Error>>,
}

impl<S: Store> Records for Replay<'_, S> {
    fn try_for_each_record(self, mut show: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        match self.store.replay(self.scratch, &mut show) {
            Ok(()) => Ok(()),
            Err(RestoreError::Fault(fault)) => Err(fault),
            Err(error) => {
                *self.failed = Some(error);
                // Ends the replay; what is told is the error.
                Err(Fault::Malformed(Malformed::Checksum))
            }
        }
    }
}
