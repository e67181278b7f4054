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

/// A board that was switched on.
#[derive(Debug)]
pub struct Board {
    /// The command line.
    pub arguments: Arguments,
    /// Its number on the air.
    pub id: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Time.
    pub clock: Clock,
}

impl Board {
    /// Looks at the command line and starts the clock. To be called once.
    #[must_use]
    pub fn switch_on() -> (Self, Modem) {
        let line = Line::open();
        let Some(arguments) = Arguments::read() else { stop(Reason::Arguments, "too-long") };
        let Some(id) = arguments.number("id") else { stop(Reason::Arguments, "id") };
        let Some(cluster) = arguments.number("cluster") else { stop(Reason::Arguments, "cluster") };
        let Some(chip) = cortex_m::Peripherals::take() else { stop(Reason::Panicked, "switched-on-twice") };
        let clock = Clock::start(chip.SYST);
        let board = Self { arguments, id: NodeId::new(id), cluster: ClusterId::new(cluster), clock };
        (board, Modem::new(line))
    }

    /// The flash that the command line names.
    #[must_use]
    pub fn flash(&self) -> HostFlash {
        let flash = self.arguments.text("flash").and_then(HostFlash::open);
        flash.unwrap_or_else(|| stop(Reason::NoFlash, "not-there-or-no-whole-pages"))
    }

    /// The voters: boards 1 to as many as the command line says.
    #[must_use]
    pub fn voters(&self) -> heapless::Vec<NodeId, VOTERS> {
        let count = self.arguments.number("voters").filter(|&count| (1..=VOTERS as u64).contains(&count));
        let Some(count) = count else { stop(Reason::Arguments, "voters") };
        (1..=count).map(NodeId::new).collect()
    }

    /// Settings of its link in a life.
    #[must_use]
    pub fn link(&self, life: u32) -> LinkConfig {
        LinkConfig::new(self.cluster, self.id, life, Phy::IEEE_802_15_4)
    }

    /// A number that differs from board to board and from life to life.
    #[must_use]
    pub fn seed(&self, life: u32) -> u64 {
        let chance = self.arguments.number("seed").unwrap_or_default();
        quorate::Rng::new(chance ^ self.id.get() << 32 ^ u64::from(life)).next()
    }

    /// Switches the board off when its time is over: nobody is left behind by a run that was cut short.
    pub fn check_life(&self, now: Instant) {
        let life = self.arguments.number("life").unwrap_or(u64::MAX);
        if now.as_micros() / 1_000_000 >= life {
            stop(Reason::Over, "its-time-is-over");
        }
    }
}
