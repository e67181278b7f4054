//! Messages over frames that get lost.

use crate::frame::{self, Header, NoFrame};
use core::ops::Range;
use quorate::codec::Full;
use quorate::{Instant, NodeId};

mod air;
mod config;
mod counters;
mod heard;
mod outgoing;
mod partial;
mod sending;

pub use config::{Backoff, Duty, LinkConfig, Unsound};
pub use counters::{Counters, DroppedFrames};
pub use outgoing::Room;

use air::Air;
use config::micros;
pub(crate) use counters::Dropped;
use counters::one_more;
use heard::Nodes;
use outgoing::{HEAD, NoRoom, Outgoing, Waiting};
use partial::Partials;
use sending::Train;

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

/// Messages to and from the nodes around, over a [`Radio`](crate::Radio).
///
/// Remembers `PEERS` nodes that it hears, keeps up to `QUEUE` bytes of messages that wait, sends frames of up to
/// `FRAME` bytes, and puts together up to `PARTIAL` messages of up to `MESSAGE` bytes at a time.
///
/// # What it promises
///
/// A message comes whole and as it was sent, from the node that it says, in the life that this node is in, and not
/// twice; or not at all. It may come after one that was sent later. Two things are outside of that: noise that has the
/// right checksum (one frame of damage in 2^32; none to speak of with a key), and what this node heard before it was
/// started, or before it forgot a node that was silent for long, which it cannot know.
///
/// # Who waits, and who gives way
///
/// One frame is sent at a time, after a wait at random. Messages that fit a frame go before the pieces of those that do
/// not, but for a piece after every fourth of them. Nothing replaces a message that waits as long as there is room: a
/// link cannot know that a newer message says all that an older one said. Without room the oldest message of a
/// [`Kind::Peer`] goes, first one for the same node: machines say again what still matters. What a client asked and
/// what it is answered never gives way, and so is not taken up while such messages fill half of the room. A message that waits already, byte for byte, is not queued twice.
///
/// ```
/// use quorate::codec::Sink;
/// use quorate::{ClusterId, Instant, NodeId};
/// use quorate_radio::{Kind, Link, LinkConfig, Phy};
/// # use quorate_radio::{Radio, SendError};
/// # #[derive(Default)]
/// # struct Wire(Vec<Vec<u8>>);
/// # impl Radio for Wire {
/// #     type Error = ();
/// #     fn mtu(&self) -> usize { 127 }
/// #     fn send(&mut self, frame: &[u8]) -> Result<(), SendError<()>> { self.0.push(frame.to_vec()); Ok(()) }
/// #     fn receive(&mut self, _: &mut [u8]) -> Result<Option<usize>, ()> { Ok(None) }
/// # }
///
/// /// Four other nodes, half a kilobyte that waits, messages of up to 256 bytes.
/// type Lines = Link<4, 512, 256>;
///
/// let config = |id| LinkConfig::new(ClusterId::new(7), NodeId::new(id), 1, Phy::IEEE_802_15_4);
/// let (mut one, mut two) = (Lines::new(config(1), 11)?, Lines::new(config(2), 22)?);
///
/// let mut wire = Wire::default();
/// one.post(Instant::default(), NodeId::new(2), Kind::Peer, |room| room.put(b"hello"));
/// let now = one.deadline().expect("a message waits");
/// one.transmit(now, &mut wire).expect("this wire never fails");
///
/// let received = two.receive(now, &mut wire.0[0]).expect("it is whole, and for this node");
/// assert_eq!((received.from, received.message), (NodeId::new(1), &b"hello"[..]));
/// # Ok::<(), quorate_radio::Unsound>(())
/// ```
pub struct Link<
    const PEERS: usize,
    const QUEUE: usize,
    const MESSAGE: usize,
    const FRAME: usize = 127,
    const PARTIAL: usize = 2,
> {
    config: LinkConfig,
    air: Air,
    /// The number of the next frame of this life. Each is used once, whether the frame left or not.
    counter: u64,
    outgoing: Outgoing<QUEUE>,
    train: Train,
    nodes: Nodes<PEERS>,
    partials: Partials<MESSAGE, PARTIAL>,
    counters: Counters,
}

impl<const PEERS: usize, const QUEUE: usize, const MESSAGE: usize, const FRAME: usize, const PARTIAL: usize>
    Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>
{
    /// A link that has heard nobody.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn new(config: LinkConfig, seed: u64) -> Result<Self, Unsound> {
        const {
            assert!(PEERS > 0, "a link without peers");
            assert!(MESSAGE <= u16::MAX as usize, "messages of 64 kB are not for radios");
            assert!(MESSAGE + HEAD <= QUEUE, "the longest message has to fit into the queue, with its head");
        }
        config.check::<FRAME>()?;
        Ok(Self {
            air: Air::new(&config, seed),
            counter: 0,
            outgoing: Outgoing::new(),
            train: Train::default(),
            nodes: Nodes::new(micros(config.forget)),
            partials: Partials::new(micros(config.patience)),
            counters: Counters::default(),
            config,
        })
    }

    /// Queues a message. `put` writes it, and is called again where room has to be made first.
    ///
    /// Returns whether it was taken up; what was not is counted.
    pub fn post(
        &mut self,
        now: Instant,
        to: NodeId,
        kind: Kind,
        put: impl Fn(&mut Room<'_>) -> Result<(), Full>,
    ) -> bool {
        let now = now.as_micros();
        self.drop_expired(now);
        let idle = self.outgoing.is_empty();
        let taken = to != self.config.id && self.add(now, to, kind, put);
        if !taken {
            one_more(&mut self.counters.refused);
        } else if idle {
            self.air.on_first(now);
        }
        taken
    }

    fn add(
        &mut self,
        now: u64,
        to: NodeId,
        kind: Kind,
        put: impl Fn(&mut Room<'_>) -> Result<(), Full>,
    ) -> bool {
        if kind != Kind::Peer && self.outgoing.of_clients() >= QUEUE / 2 {
            return false;
        }
        for _ in 0..=Outgoing::<QUEUE>::MOST {
            match self.outgoing.add((to, kind, now), MESSAGE, &put) {
                Ok(added) => {
                    if self.outgoing.has_another(&added) {
                        self.outgoing.remove(&added);
                    }
                    return true;
                }
                Err(NoRoom::Ever) => return false,
                Err(NoRoom::Now) => {
                    if !self.make_room(to) {
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Drops the oldest message of a peer that has not begun to leave, first one for `to`.
    fn make_room(&mut self, to: NodeId) -> bool {
        let may_go = |waiting: &Waiting| waiting.kind == Kind::Peer && !waiting.begun;
        let same = self.outgoing.iter().find(|waiting| may_go(waiting) && waiting.to == to);
        let Some(oldest) = same.or_else(|| self.outgoing.iter().find(may_go)) else { return false };
        self.outgoing.remove(&oldest);
        one_more(&mut self.counters.displaced);
        true
    }

    /// Takes a frame in. Returns the message that it holds or completes; whatever is dropped is counted.
    ///
    /// The frame is decrypted where it is.
    pub fn receive<'a>(&'a mut self, now: Instant, frame: &'a mut [u8]) -> Option<Received<'a>> {
        one_more(&mut self.counters.frames_heard);
        let now = now.as_micros();
        let (header, message) = match self.open(now, frame) {
            Ok(opened) => opened,
            Err(why) => {
                self.counters.dropped.count(why);
                return None;
            }
        };
        let bytes = frame.get(message).unwrap_or_default();
        let message = match header.piece {
            None => bytes,
            Some(piece) => {
                let incomplete = &mut self.counters.incomplete;
                match self.partials.take(now, &header, piece, bytes, incomplete) {
                    Ok(message) => message?,
                    Err(why) => {
                        self.counters.dropped.count(why);
                        return None;
                    }
                }
            }
        };
        one_more(&mut self.counters.messages_heard);
        Some(Received { from: header.from, kind: header.kind, message })
    }

    /// Whether a frame is to be heard; if so, that is remembered. Where in it the message is.
    fn open(&mut self, now: u64, frame: &mut [u8]) -> Result<(Header, Range<usize>), Dropped> {
        let says_sealed = frame::says_sealed(frame);
        let content = if says_sealed { &*frame } else { frame::open(frame).ok_or(Dropped::Damaged)? };
        let mut rest = content;
        let header = Header::take(&mut rest).map_err(|why| match why {
            NoFrame::Damaged => Dropped::Damaged,
            NoFrame::Version => Dropped::Version,
        })?;
        let start = content.len().saturating_sub(rest.len());
        let end = content.len();
        self.is_for_us(&header)?;
        let life = self.nodes.look(now, header.from, header.epoch, header.counter)?;
        let message = if says_sealed { self.unseal(&header, start, frame)? } else { start..end };
        // Only now, since a forged frame must change nothing.
        if let heard::Life::New { instead } = life {
            self.partials.forget(instead.unwrap_or(header.from), &mut self.counters.incomplete);
        }
        self.nodes.enter(now, life, header.from, header.epoch, header.counter);
        Ok((header, message))
    }

    fn is_for_us(&self, header: &Header) -> Result<(), Dropped> {
        if header.cluster != self.config.cluster {
            return Err(Dropped::Foreign);
        }
        if header.from == self.config.id {
            return Err(Dropped::Own);
        }
        if header.to != self.config.id {
            return Err(Dropped::Overheard);
        }
        if !header.sealed && self.config.seals() {
            return Err(Dropped::Plain);
        }
        Ok(())
    }

    #[cfg(feature = "auth")]
    fn unseal(&self, header: &Header, start: usize, frame: &mut [u8]) -> Result<Range<usize>, Dropped> {
        let key = self.config.key.as_ref().ok_or(Dropped::OtherKey)?;
        key.unseal(header, start, frame)
    }

    #[cfg(not(feature = "auth"))]
    fn unseal(&self, _: &Header, _: usize, _: &mut [u8]) -> Result<Range<usize>, Dropped> {
        Err(Dropped::OtherKey)
    }

    /// When to call [`transmit`](Self::transmit) again; `None` when nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!self.outgoing.is_empty()).then(|| Instant::from_micros(self.air.next()))
    }

    /// What was sent, received and dropped so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
