//! What a world may do to its nodes, and how much of it a seed draws.

use crate::chance::Chance;
use std::time::Duration;

/// A span of time in microseconds, drawn evenly from a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub least: u64,
    /// The longest.
    pub most: u64,
}

impl Span {
    /// From `least` to `most` microseconds.
    #[must_use]
    pub const fn micros(least: u64, most: u64) -> Self {
        Self { least, most }
    }

    pub(crate) fn draw(self, rng: &mut Chance) -> u64 {
        self.least + rng.below(self.most.saturating_sub(self.least) + 1)
    }
}

/// How likely something is, in millionths.
pub type Millionths = u32;

/// What a directed link does to each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// How long a frame takes.
    pub latency: Span,
    /// Whether frames may overtake each other.
    pub reorder: bool,
    /// The frame is lost.
    pub drop: Millionths,
    /// The frame arrives twice.
    pub duplicate: Millionths,
    /// The frame arrives again, seconds later.
    pub duplicate_late: Millionths,
    /// Bits are flipped, the end is cut off, or two frames arrive as one.
    pub corrupt: Millionths,
    /// The frame arrives at another node too.
    pub stray: Millionths,
    /// A frame of another cluster arrives in its place.
    pub foreign: Millionths,
    /// How many frames can be under way; more are dropped.
    pub capacity: u32,
}

impl Weather {
    /// Every frame arrives once, unharmed, in order, after a millisecond.
    pub const CALM: Self = Self {
        latency: Span::micros(1_000, 1_000),
        reorder: false,
        drop: 0,
        duplicate: 0,
        duplicate_late: 0,
        corrupt: 0,
        stray: 0,
        foreign: 0,
        capacity: 10_000,
    };
}

/// How a node's disk behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How long a sync takes.
    pub sync: Span,
    /// How much later the receipt comes back.
    pub receipt: Span,
    /// A sync covers what is written while it goes on, not only what was written before.
    pub batched: bool,
    /// A sync begins while another goes on.
    pub overlapped: bool,
    /// How likely a sync fails.
    pub fail: Millionths,
    /// In a crash some of what was not synced survives: a prefix of any length. Otherwise all of it is lost.
    pub torn: bool,
    /// The disk says that it synced and did not: what it holds is lost in a crash. Outside of every promise, so it
    /// is never drawn; tests use it to show that the world is not blind.
    pub lies: bool,
}

impl Disk {
    /// Every sync takes a fifth of a millisecond.
    pub const CALM: Self = Self {
        sync: Span::micros(200, 200),
        receipt: Span::micros(0, 0),
        batched: false,
        overlapped: false,
        fail: 0,
        torn: false,
        lies: false,
    };
}

/// Trouble that comes at moments of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A node crashes, at a persistence point, among the outputs of a drain, or at any moment, and comes back.
    Crash,
    /// Nodes crash and come back, again and again.
    RestartStorm,
    /// All nodes crash at once and come back.
    RestartAll,
    /// A node stands still, then goes on with its old belief.
    Pause,
    /// A node takes its time with each input for a while.
    Slow,
    /// A disk does nothing for seconds.
    Stall,
    /// The nodes fall into two groups.
    Split,
    /// A node cannot send, or cannot hear.
    OneWay,
    /// Two groups see each other through one node only.
    Bridge,
    /// A partition comes and goes faster than an election timeout.
    Flapping,
    /// No group of nodes is a majority.
    QuorumLoss,
    /// All frames of a link are held, then released at once.
    Clog,
    /// A clock jumps back.
    ClockJump,
}

impl Trouble {
    const ALL: [Self; 13] = [
        Self::Crash,
        Self::RestartStorm,
        Self::RestartAll,
        Self::Pause,
        Self::Slow,
        Self::Stall,
        Self::Split,
        Self::OneWay,
        Self::Bridge,
        Self::Flapping,
        Self::QuorumLoss,
        Self::Clog,
        Self::ClockJump,
    ];
}

/// All that goes wrong in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How long faults go on before the liveness phase.
    pub duration: Duration,
    /// The weather of the best link; each link draws its own share of the bad weather.
    pub weather: Weather,
    /// How disks behave.
    pub disk: Disk,
    /// The kinds of trouble that come.
    pub troubles: Vec<Trouble>,
    /// How long it is from one trouble to the next.
    pub pause: Span,
    /// How likely a driver puts polling off, or stops before a poll is drained.
    pub lazy: Millionths,
    /// How much faster or slower than the world's time a clock runs at most, in millionths.
    pub drift: u32,
    /// How much too late a machine is woken at most, in microseconds.
    pub late_wakes: u64,
    /// How likely a machine is woken before its deadline.
    pub early_wakes: Millionths,
    /// Whether a minority of nodes stays down in the liveness phase.
    pub minority_stays_down: bool,
}

impl Faults {
    /// None at all: a network with a latency of a millisecond, honest disks, good clocks. For scenarios.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            duration: Duration::ZERO,
            weather: Weather::CALM,
            disk: Disk::CALM,
            troubles: Vec::new(),
            pause: Span::micros(1_000_000, 1_000_000),
            lazy: 0,
            drift: 0,
            late_wakes: 0,
            early_wakes: 0,
            minority_stays_down: false,
        }
    }

    /// The subset and the strengths that a seed stands for. In half of the runs most faults are off: what hides
    /// behind constant trouble shows when there is little of it (swarm testing).
    #[must_use]
    pub fn drawn(rng: &mut Chance) -> Self {
        let most = if rng.below(2) == 0 { 7 } else { 2 };
        let mut on = |rng: &mut Chance| rng.below(10) < most;
        Self {
            duration: Duration::from_millis(2_000 + rng.below(8_000)),
            weather: Self::weather(rng, &mut on),
            disk: Self::disk(rng, &mut on),
            troubles: Trouble::ALL.into_iter().filter(|_| on(rng)).collect(),
            pause: if on(rng) { Span::micros(10_000, 400_000) } else { Span::micros(200_000, 2_000_000) },
            lazy: if on(rng) { rng.below(500_000) as u32 } else { 0 },
            drift: if on(rng) { rng.below(2_000) as u32 } else { 0 },
            late_wakes: if on(rng) { rng.below(30_000) } else { 0 },
            early_wakes: if on(rng) { 200_000 } else { 0 },
            minority_stays_down: on(rng),
        }
    }

    fn weather(rng: &mut Chance, on: &mut impl FnMut(&mut Chance) -> bool) -> Weather {
        let mut share = |rng: &mut Chance, most: u64| if on(rng) { rng.below(most) as u32 } else { 0 };
        let (drop, duplicate, duplicate_late) =
            (share(rng, 300_000), share(rng, 100_000), share(rng, 30_000));
        let (corrupt, stray, foreign) = (share(rng, 50_000), share(rng, 20_000), share(rng, 20_000));
        let (reorder, slow, narrow) = (on(rng), on(rng), on(rng));
        let least = 50 + rng.below(1_000);
        let most = least + rng.below(if slow { 50_000 } else { 3_000 });
        let capacity = if narrow { 2 + rng.below(30) as u32 } else { 1_000 };
        let latency = Span::micros(least, most);
        Weather { latency, reorder, drop, duplicate, duplicate_late, corrupt, stray, foreign, capacity }
    }

    fn disk(rng: &mut Chance, on: &mut impl FnMut(&mut Chance) -> bool) -> Disk {
        let slow = on(rng);
        let least = 50 + rng.below(500);
        Disk {
            sync: Span::micros(least, least + rng.below(if slow { 40_000 } else { 1_000 })),
            receipt: if on(rng) { Span::micros(0, rng.below(20_000)) } else { Span::micros(0, 0) },
            batched: on(rng),
            overlapped: on(rng),
            fail: if on(rng) { rng.below(2_000) as u32 } else { 0 },
            torn: rng.below(4) > 0,
            lies: false,
        }
    }
}
