//! What a driver needs of a machine beyond [`Machine`]: bytes, a place for each record, and snapshots.
//!
//! A machine has no I/O, so a driver keeps its records and its snapshots. Records go to an append-only log, and
//! restart is replay. Snapshots lie beside the log; the machine holds only numbers about them. What it wants done
//! with one it says in an event, which [`Hosted::errand`] recognises; the driver does it and brings the
//! [`Errand`]'s result back through [`Hosted::finish`]. Errands are derived from state and come again until
//! they are answered, so a driver may drop one it cannot run now.

use crate::codec::{Full, Malformed, Sink};
use crate::{GroupId, Index, Instant, Machine, NodeId, Position, Term};
use core::fmt;

/// A snapshot: the state after the entry at `at` was applied, as `size` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SnapshotId {
    /// The log it goes with. Records and messages are of one log and do not say which: there it is the first.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub group: GroupId,
    /// The last entry it covers.
    pub at: Position,
    /// Its length in bytes.
    pub size: u64,
}

impl SnapshotId {
    /// A snapshot where there is one log.
    #[must_use]
    pub const fn new(at: Position, size: u64) -> Self {
        Self { group: GroupId::new(0), at, size }
    }

    /// The same snapshot, of that log.
    #[must_use]
    pub const fn in_group(self, group: GroupId) -> Self {
        Self { group, ..self }
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SnapshotId");
        if self.group != GroupId::default() {
            shown.field("group", &self.group);
        }
        shown.field("at", &self.at).field("size", &self.size).finish()
    }
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// At the end of the log.
    Log,
    /// At the end of the log; once it is durable, the records of its group before it are no longer needed, nor is any
    /// snapshot of its group but `keep`.
    Restart {
        /// The snapshot that the log goes on from.
        keep: Option<SnapshotId>,
    },
    /// Into a snapshot, beside the log. Durable like any record: with the sync that follows.
    Snapshot {
        /// The snapshot that is coming in.
        of: SnapshotId,
        /// Where the bytes belong. Never beyond what was placed before.
        offset: u64,
        /// A piece of it.
        bytes: &'a [u8],
    },
}

/// Records in order, shown one at a time, so a store needs room for one.
///
/// Any iterator of byte slices is such records.
pub trait Records {
    /// Shows each record, until one is refused.
    ///
    /// # Errors
    /// Why a record was refused.
    fn try_for_each_record(self, show: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault>;
}

impl<'r, I: Iterator<Item = &'r [u8]>> Records for I {
    fn try_for_each_record(mut self, show: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        self.try_for_each(show)
    }
}

/// What a store holds when a machine is restored from it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'s, R> {
    /// The records of the log since the last durable [`Place::Restart`], that one included, in order: [`Records`]. Where
    /// there are many groups, those of each since its own, all in the order they were written.
    pub records: R,
    /// The snapshots, each with how many of its bytes are there.
    pub snapshots: &'s [(SnapshotId, u64)],
}

/// A snapshot that can be written out.
pub trait Image {
    /// Writes the bytes of the snapshot.
    ///
    /// # Errors
    /// The sink is full.
    fn write(&self, sink: &mut dyn Sink) -> Result<(), Full>;
}

/// Something that a machine wants done with a snapshot.
#[derive(Clone, Copy)]
pub enum Errand<'e> {
    /// Write this image beside the log, make it durable, and answer [`Done::Written`]. A store that is busy with others
    /// answers [`Done::TurnedAway`] when it no longer is.
    Write {
        /// The log it goes with.
        group: GroupId,
        /// The last entry it covers.
        at: Position,
        /// The state.
        image: &'e dyn Image,
    },
    /// Read `len` bytes of a snapshot, for a peer, and answer [`Done::Read`].
    Read {
        /// The peer that they are for.
        to: NodeId,
        /// The snapshot.
        of: SnapshotId,
        /// From where.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// Hand in a whole snapshot with [`Done::Loaded`]: the application starts from it.
    Load {
        /// The snapshot.
        of: SnapshotId,
    },
}

impl fmt::Debug for Errand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { group, at, .. } => write!(f, "Write({group}, {at})"),
            Self::Read { to, of, offset, len } => write!(f, "Read({to}, {of:?}, {offset}, {len})"),
            Self::Load { of } => write!(f, "Load({of:?})"),
        }
    }
}

/// An errand's result.
#[derive(Clone, Copy, Debug)]
pub enum Done<'d> {
    /// The image is durable.
    Written(SnapshotId),
    /// The image that this group wanted written was not, for others were; it can be now, as the state is by now.
    TurnedAway(GroupId),
    /// Bytes of a snapshot for a peer.
    Read {
        /// The peer that they are for.
        to: NodeId,
        /// The snapshot.
        of: SnapshotId,
        /// From where.
        offset: u64,
        /// The bytes, as many as were asked.
        bytes: &'d [u8],
    },
    /// A whole snapshot.
    Loaded {
        /// The snapshot.
        of: SnapshotId,
        /// All of its bytes.
        bytes: &'d [u8],
    },
}

/// A machine that can be run by a driver that knows nothing of its protocol.
pub trait Hosted: Machine + Sized {
    /// What is fixed for the life of a node: who it is, who its peers are, limits, timing.
    type Settings: Clone;

    /// A machine that has not been told what its store holds. [`restore`](Self::restore) and [`Blank`] see to it that it
    /// is told, once, before anything else.
    fn blank(settings: &Self::Settings, now: Instant) -> Self;

    /// Goes on from what the store holds; from nothing, as a new machine. `seed` must differ from life to life.
    ///
    /// # Errors
    /// The settings make no sense, or the records contradict each other or them. The node must not run: refill it from
    /// the others.
    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault>;

    /// A machine from what its store holds; from nothing, a new one. `seed` must differ from life to life.
    ///
    /// # Errors
    /// As [`take_in`](Self::take_in).
    fn restore(
        settings: &Self::Settings,
        seed: u64,
        now: Instant,
        stored: Stored<'_, impl Records>,
    ) -> Result<Self, Fault> {
        let mut machine = Self::blank(settings, now);
        machine.take_in(seed, stored)?;
        Ok(machine)
    }

    /// The store's log has grown long: hand out all there is with the next record, as a [`Place::Restart`]. Nothing else
    /// changes. For stores that cannot let their log grow until the machine does so by itself. While an image is being
    /// written nothing is restated: once it is, the machine does so by itself.
    fn restate(&mut self, now: Instant) {
        let _ = now;
    }

    /// [`restate`](Self::restate) of one group, where one machine keeps many logs. A group that is not there has nothing
    /// to restate.
    fn restate_group(&mut self, now: Instant, group: GroupId) {
        let _ = group;
        self.restate(now);
    }

    /// Encodes a message.
    ///
    /// # Errors
    /// The sink is full.
    fn put_message(message: &Self::Message<'_>, sink: &mut impl Sink) -> Result<(), Full>;

    /// Decodes a message that is all of `bytes`, and checks it whole.
    ///
    /// # Errors
    /// It is no message.
    fn take_message(bytes: &[u8]) -> Result<Self::Message<'_>, Malformed>;

    /// Encodes a record whose place is in the log.
    ///
    /// # Errors
    /// The sink is full.
    fn put_record(record: &Self::Record<'_>, sink: &mut impl Sink) -> Result<(), Full>;

    /// Where a record goes.
    fn place<'r>(record: &'r Self::Record<'_>) -> Place<'r>;

    /// The log that a record belongs to, where one machine keeps many.
    fn group(record: &Self::Record<'_>) -> GroupId {
        let _ = record;
        GroupId::default()
    }

    /// What an event wants done with a snapshot, if anything.
    fn errand<'e>(event: &'e Self::Event<'_>) -> Option<Errand<'e>>;

    /// Takes the result of an errand in. One that is no longer wanted is dropped.
    ///
    /// # Errors
    /// A snapshot that cannot be read: the node must not go on.
    fn finish(&mut self, now: Instant, done: Done<'_>) -> Result<(), Fault>;
}

/// A machine in its place, that has not been told yet what its store holds. One that takes most of a chip's memory is
/// restored where it lies, for there is no room to move it.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use quorate::{Blank, Instant, Machine, NodeId, Raft, Stored, raft::Config, space::Fixed};
///
/// let id = NodeId::new(1);
/// let mut place = Blank::<Raft<u32, Fixed<3, 64>>>::new(&Config::new(id, &[id]), Instant::default());
/// let node = place.restore(7, Stored { records: core::iter::empty(), snapshots: &[] })?;
/// assert!(node.deadline().is_some());
/// # }
/// # Ok::<(), quorate::Fault>(())
/// ```
#[derive(Debug)]
pub struct Blank<M> {
    machine: M,
    is_blank: bool,
}

impl<M: Hosted> Blank<M> {
    /// A place with a machine in it.
    pub fn new(settings: &M::Settings, now: Instant) -> Self {
        Self { machine: M::blank(settings, now), is_blank: true }
    }

    /// The machine, once it is told what its store holds: [`Hosted::take_in`].
    ///
    /// # Errors
    /// As [`Hosted::take_in`].
    ///
    /// # Panics
    /// If it was told before.
    pub fn restore(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<&mut M, Fault> {
        assert!(core::mem::take(&mut self.is_blank), "a machine is restored once");
        self.machine.take_in(seed, stored)?;
        Ok(&mut self.machine)
    }
}

/// A machine that tells the outcome of each request it took up.
pub trait Answering: Hosted<Ticket: Copy + Eq + core::hash::Hash + fmt::Debug> {
    /// How a request ended.
    type Outcome: fmt::Debug + 'static;

    /// How a request ended that was over as soon as it was taken up: no event tells of it. Its ticket may be another's too.
    fn at_once(ticket: &Self::Ticket) -> Option<Self::Outcome> {
        let _ = ticket;
        None
    }

    /// The request that an event ends, and how; or the event back. A ticket ends once.
    ///
    /// # Errors
    /// The event, when it ends no request.
    fn outcome(event: Self::Event<'_>) -> Result<(Self::Ticket, Self::Outcome), Self::Event<'_>>;
}

/// Why a node must not run. It has to be refilled from the others, as a new node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A record or a snapshot is not what the format says, though its checksum matched.
    Malformed(Malformed),
    /// Log entries are missing between two records.
    Gap {
        /// The last entry before the gap.
        after: Index,
        /// The first one after it.
        found: Index,
    },
    /// A record is of an earlier term than one before it.
    TermWentBack {
        /// The later term.
        from: Term,
        /// The earlier term that came after it.
        to: Term,
    },
    /// The log goes on from a snapshot that is not there, or not whole.
    SnapshotMissing(SnapshotId),
    /// The log holds more than the window.
    TooLong {
        /// How many entries fit.
        window: usize,
    },
    /// The settings make no sense.
    Settings(&'static str),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "a stored record is damaged ({malformed})")?,
            Self::Gap { after, found } => write!(f, "log entries are missing between {after} and {found}")?,
            Self::TermWentBack { from, to } => write!(f, "a record of term {to} follows one of term {from}")?,
            Self::SnapshotMissing(id) => write!(f, "the snapshot at {} is missing or incomplete", id.at)?,
            Self::TooLong { window } => {
                return write!(f, "the log holds more than the window of {window} entries: raise it");
            }
            Self::Settings(why) => return write!(f, "the settings make no sense: {why}"),
        }
        f.write_str(": start this node with an empty store and a new id")
    }
}

impl core::error::Error for Fault {}
