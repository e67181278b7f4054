//! Messages over frames that get lost.

use crate::Radio;
use quorate::codec::Full;
use quorate::{Instant, NodeId};

mod config;
mod counters;
mod outgoing;

pub use config::{Backoff, Duty, LinkConfig, Unsound};
pub use counters::Counters;
pub use outgoing::Room;

/// Who a message is for, at the node that it is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of the machine, from a peer.
    Peer,
    /// A remote client asks.
    Ask,
    /// A node answers a remote client.
    Answer,
}

/// A whole message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Who sent it.
    pub from: NodeId,
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub message: &'a [u8],
}

/// Messages to and from the nodes around, over a [`Radio`].
///
/// Remembers `PEERS` nodes that it hears, keeps up to `QUEUE` bytes of messages that wait, sends frames of up to
/// `FRAME` bytes, and puts together up to `PARTIAL` messages of up to `MESSAGE` bytes at a time.
pub struct Link<
    const PEERS: usize,
    const QUEUE: usize,
    const MESSAGE: usize,
    const FRAME: usize = 127,
    const PARTIAL: usize = 2,
> {
    #[expect(dead_code)]
    config: LinkConfig,
    counters: Counters,
}

impl<const PEERS: usize, const QUEUE: usize, const MESSAGE: usize, const FRAME: usize, const PARTIAL: usize>
    Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>
{
    /// A link that has heard nobody.
    ///
    /// # Errors
    /// The configuration makes no sense.
    pub fn new(config: LinkConfig, _seed: u64, _now: Instant) -> Result<Self, Unsound> {
        Ok(Self { config, counters: Counters::default() })
    }

    /// Queues a message. `put` writes it, and is called again where room has to be made first.
    ///
    /// Returns whether it was taken up; what was not is counted.
    pub fn post(
        &mut self,
        _now: Instant,
        _to: NodeId,
        _kind: Kind,
        _put: impl Fn(&mut Room<'_>) -> Result<(), Full>,
    ) -> bool {
        false
    }

    /// Sends a frame if one may be sent now.
    ///
    /// # Errors
    /// The radio failed.
    pub fn transmit<R: Radio>(&mut self, _now: Instant, _radio: &mut R) -> Result<(), R::Error> {
        Ok(())
    }

    /// Takes a frame in. Returns the message that it holds or completes; whatever is dropped is counted.
    pub fn receive<'a>(&'a mut self, _now: Instant, _frame: &'a mut [u8]) -> Option<Received<'a>> {
        None
    }

    /// When to call [`transmit`](Self::transmit) again; `None` when nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What was sent, received and dropped so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
