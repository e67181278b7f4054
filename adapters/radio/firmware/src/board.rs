//! A board, switched on: who it is, and what it has.

use crate::arguments::Arguments;
use crate::clock::Clock;
use crate::exit::{Reason, stop};
use crate::flash::HostFlash;
use crate::uart::Line;
use quorate::{ClusterId, Instant, NodeId};
use quorate_radio::{LinkConfig, Phy, Serial};

/// The radio: a serial line to a process that plays the air.
pub type Modem = Serial<Line>;

/// Most voters.
pub const VOTERS: usize = 7;

/// A board that was switched on, and what the command line says of it.
#[derive(Debug)]
pub struct Board {
    /// Its number on the air.
    pub id: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The resource.
    pub resource: NodeId,
    /// Whether a client believes that it holds a lock until it is told otherwise, whatever its clock says.
    pub careless: bool,
    /// Time.
    pub clock: Clock,
    voters: u64,
    seed: u64,
    /// Seconds after which it switches itself off: nobody is left behind by a run that was cut short.
    life: u64,
}

impl Board {
    /// Looks at the command line, opens the flash and starts the clock. To be called once.
    // Not a part of its caller, which never ends: the command line needs no room when this is done.
    #[inline(never)]
    #[must_use]
    pub fn switch_on() -> (Self, HostFlash) {
        let Some(arguments) = Arguments::read() else { stop(Reason::Arguments, "too-long") };
        let Some(chip) = cortex_m::Peripherals::take() else { stop(Reason::Panicked, "switched-on-twice") };
        let number = |key| arguments.number(key).unwrap_or_else(|| stop(Reason::Arguments, key));
        let voters = number("voters");
        if !(1..=VOTERS as u64).contains(&voters) {
            stop(Reason::Arguments, "voters");
        }
        let board = Self {
            id: NodeId::new(number("id")),
            cluster: ClusterId::new(number("cluster")),
            resource: NodeId::new(number("resource")),
            careless: arguments.number("careless").is_some(),
            clock: Clock::start(chip.SYST),
            voters,
            seed: number("seed"),
            life: number("life"),
        };
        let flash = arguments.text("flash").and_then(HostFlash::open);
        let Some(flash) = flash else { stop(Reason::NoFlash, "not-there-or-no-whole-pages") };
        (board, flash)
    }

    /// The voters: boards 1 to as many as the command line says.
    #[must_use]
    pub fn voters(&self) -> heapless::Vec<NodeId, VOTERS> {
        (1..=self.voters).map(NodeId::new).collect()
    }

    /// Settings of its link in a life.
    #[must_use]
    pub fn link(&self, life: u32) -> LinkConfig {
        LinkConfig::new(self.cluster, self.id, life, Phy::IEEE_802_15_4)
    }

    /// A number that differs from board to board and from life to life.
    #[must_use]
    pub fn seed(&self, life: u32) -> u64 {
        quorate::Rng::new(self.seed ^ self.id.get() << 32 ^ u64::from(life)).next()
    }

    /// Switches the board off when its time is over.
    pub fn check_life(&self, now: Instant) {
        if now.as_micros() >= self.life.saturating_mul(1_000_000) {
            stop(Reason::Over, "its-time-is-over");
        }
    }
}
