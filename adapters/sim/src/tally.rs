//! Counting which faults and which rare paths were reached.

use std::fmt;

/// Declares a static set of paths, each with the name that a report gives it, to be counted by a [`Tally`].
///
/// ```
/// quorate_sim::paths! {
///     /// What my machine should run into now and then.
///     pub enum Path {
///         /// A value was overtaken.
///         Overtaken = "a value was overtaken",
///     }
/// }
///
/// let mut tally = quorate_sim::Tally::of(Path::NAMES);
/// assert_eq!(tally.never().count(), 1);
/// tally.hit(Path::Overtaken as usize);
/// assert_eq!(tally.never().count(), 0);
/// ```
#[macro_export]
macro_rules! paths {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$path_doc:meta])* $path:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$path_doc])* $path,)* }

        impl $name {
            /// The names, in the order of declaration.
            $vis const NAMES: &'static [&'static str] = &[$($text,)*];
        }
    };
}

/// How often each of a static set of paths was reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Tally {
    names: &'static [&'static str],
    counts: Vec<u64>,
}

impl Tally {
    /// None of these was reached so far.
    #[must_use]
    pub fn of(names: &'static [&'static str]) -> Self {
        Self { names, counts: vec![0; names.len()] }
    }

    /// Counts the path declared at `at`.
    pub fn hit(&mut self, at: usize) {
        self.counts[at] += 1;
    }

    /// How often the path declared at `at` was reached.
    #[must_use]
    pub fn count(&self, at: usize) -> u64 {
        self.counts[at]
    }

    /// Adds what another run reached.
    ///
    /// # Panics
    /// If the two count different paths.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.names == other.names, "tallies of different paths cannot be added");
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// Each name with its count, in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.names.iter().copied().zip(self.counts.iter().copied())
    }

    /// The names of what was never reached.
    pub fn never(&self) -> impl Iterator<Item = &'static str> {
        self.iter().filter(|&(_, count)| count == 0).map(|(name, _)| name)
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

paths! {
    /// What the world does to its nodes.
    pub enum Fault {
        /// A frame was dropped by a link.
        Dropped = "frame dropped",
        /// A frame arrived twice.
        Duplicated = "frame duplicated",
        /// A frame arrived again, much later.
        DuplicatedLate = "frame duplicated much later",
        /// A frame overtook one sent before it.
        Reordered = "frames reordered",
        /// All frames of a link were held, then released at once.
        Clogged = "link clogged and released",
        /// Bits of a frame were flipped.
        BitsFlipped = "bits flipped",
        /// A frame was cut short.
        Truncated = "frame truncated",
        /// Two frames arrived as one.
        Joined = "frames joined",
        /// A damaged frame was rejected by the frame codec.
        DamageRejected = "damaged frame rejected",
        /// A frame of another cluster arrived and was rejected.
        ForeignRejected = "frame of another cluster rejected",
        /// A frame for another node arrived and was rejected.
        StrayRejected = "frame for another node rejected",
        /// A bounded queue was full.
        Overflowed = "queue overflowed",
        /// A frame was lost in a partition.
        CutOff = "frame lost in a partition",
        /// The nodes were split in two.
        Split = "symmetric partition",
        /// A node could send but not hear, or hear but not send.
        OneWay = "one-way partition",
        /// Two groups that see each other through one node only.
        Bridge = "bridge partition",
        /// A partition that came and went faster than an election timeout.
        Flapping = "flapping partition",
        /// No group of nodes was a majority.
        QuorumLost = "loss of quorum",
        /// A node crashed with a record made but not issued to its disk.
        CrashBeforeWrite = "crash before a write was issued",
        /// A node crashed after a write and before it was durable.
        CrashBeforeDurable = "crash before a write was durable",
        /// A node crashed after a write was durable and before its receipt came back.
        CrashBeforeReceipt = "crash before a receipt came back",
        /// A node crashed after some of the outputs of a drain.
        CrashAmongOutputs = "crash among the outputs of a drain",
        /// A node crashed at any moment.
        Crash = "crash",
        /// Several nodes crashed and came back, again and again.
        RestartStorm = "restart storm",
        /// All nodes crashed at once.
        RestartAll = "all nodes restarted",
        /// On a crash some unsynced records survived and later ones did not.
        TornTail = "torn tail",
        /// A crash lost records.
        RecordsLost = "records lost in a crash",
        /// A node stood still, then went on with its old belief.
        Paused = "pause",
        /// A node took its time with each input.
        Slowed = "slow node",
        /// A sync took seconds.
        Stalled = "disk stalled",
        /// A sync failed, so the node was dropped and restored.
        SyncFailed = "sync error",
        /// One sync covered several writes.
        SyncBatched = "sync covered several writes",
        /// A second sync was issued while one was going on.
        SyncsOverlapped = "syncs overlapped",
        /// A receipt came late.
        ReceiptDelayed = "receipt delayed",
        /// A machine handled several inputs before it was polled.
        LazyPoll = "several inputs before a poll",
        /// A machine was not polled to the end.
        PartialDrain = "poll drained in part",
        /// A machine was woken early.
        WokenEarly = "woken early",
        /// A machine was woken late.
        WokenLate = "woken late",
        /// A clock jumped back.
        ClockJumped = "clock jumped back",
        /// A clock ran at a rate of its own.
        ClockDrifted = "clock drifted",
    }
}
