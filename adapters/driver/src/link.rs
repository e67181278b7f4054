//! What waits to be sent to one peer.

use quorate::codec::{self, Full, Header};

use crate::counters::Tally;
use crate::frames::LENGTH_BYTES;
use crate::limits::Limits;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, lock};

/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 1 << 20;

/// How what waits in a link gets on its way: a connection is woken, or what waits is passed on at once.
pub trait Departure: Sized + Send + Sync + 'static {
    /// Something may wait in `link`, whose departure this is.
    fn depart(&self, link: &Link<Self>);
}

/// The outgoing buffer of one peer: the machine puts frames in, the connection takes all of them out.
#[derive(Debug, Default)]
pub struct Link<D> {
    outgoing: Mutex<Outgoing>,
    cut: AtomicBool,
    departure: D,
}

#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    frames: usize,
    connected: bool,
}

impl<D: Departure> Link<D> {
    /// A link to a peer that is not connected yet.
    #[must_use]
    pub fn new(departure: D) -> Self {
        Self { outgoing: Mutex::default(), cut: AtomicBool::new(false), departure }
    }

    /// How what waits departs.
    pub const fn departure(&self) -> &D {
        &self.departure
    }

    /// Encodes a message behind those that wait, or drops it and counts why: the network may lose messages, and
    /// the machine says again what still matters.
    pub fn post(
        &self,
        header: Header,
        limits: &Limits,
        tally: &Tally,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), Full>,
    ) {
        let mut outgoing = lock(&self.outgoing);
        if !outgoing.connected || self.is_cut() {
            return tally.dropped_unreachable.add(1);
        }
        if outgoing.bytes.len() >= limits.outgoing_bytes {
            return tally.dropped_full.add(1);
        }
        let start = outgoing.bytes.len();
        let frame = start + LENGTH_BYTES;
        outgoing.bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        let sealed = codec::seal(&mut outgoing.bytes, header, body);
        let len = outgoing.bytes.len() - frame;
        match u32::try_from(len) {
            Ok(number) if sealed.is_ok() && len <= limits.frame_bytes => {
                outgoing.bytes[start..frame].copy_from_slice(&number.to_le_bytes());
                outgoing.frames += 1;
            }
            Ok(_) | Err(_) => {
                outgoing.bytes.truncate(start);
                tally.dropped_oversize.add(1);
            }
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.outgoing).bytes.is_empty()
    }

    /// Sees to it that what waits departs.
    pub fn flush(&self) {
        self.departure.depart(self);
    }

    /// Takes all frames that wait, in exchange for an empty buffer; `false` if there are none.
    pub fn take(&self, buffer: &mut Vec<u8>, tally: &Tally) -> bool {
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES);
        let mut outgoing = lock(&self.outgoing);
        if outgoing.bytes.is_empty() {
            return false;
        }
        std::mem::swap(&mut outgoing.bytes, buffer);
        tally.frames_out.add(std::mem::take(&mut outgoing.frames));
        tally.bytes_out.add(buffer.len());
        true
    }

    /// From now on messages are kept for the connection, or not any more. What was said before is stale.
    pub fn set_connected(&self, connected: bool) {
        let mut outgoing = lock(&self.outgoing);
        outgoing.connected = connected;
        outgoing.bytes.clear();
        outgoing.frames = 0;
    }

    /// Cuts the peer off, or lets it be heard again: messages are dropped in both directions, silently, as a
    /// network does it.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// Whether the peer is cut off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use quorate::{ClusterId, NodeId};

    const HEADER: Header = Header { cluster: ClusterId::new(7), from: NodeId::new(1), to: NodeId::new(2) };

    impl Departure for () {
        fn depart(&self, _: &Link<Self>) {}
    }

    fn post(link: &Link<()>, limits: &Limits, tally: &Tally, body: usize) {
        link.post(HEADER, limits, tally, |buffer| {
            buffer.resize(buffer.len() + body, 0);
            Ok(())
        });
    }

    #[test]
    fn a_full_buffer_drops_messages_and_counts_them() {
        let (link, tally) = (Link::new(()), Tally::default());
        let limits = Limits { outgoing_bytes: 300, ..Limits::default() };
        link.set_connected(true);
        for _ in 0..100 {
            post(&link, &limits, &tally, 100);
        }
        assert_eq!(tally.read().dropped_full, 97);
        assert!(lock(&link.outgoing).bytes.len() < 300 + 200);
    }

    #[test]
    fn a_message_over_the_limit_leaves_no_trace_in_the_stream() {
        let (link, tally) = (Link::new(()), Tally::default());
        let limits = Limits { frame_bytes: 200, ..Limits::default() };
        link.set_connected(true);
        post(&link, &limits, &tally, 10);
        let before = lock(&link.outgoing).bytes.clone();
        post(&link, &limits, &tally, 300);
        assert_eq!((lock(&link.outgoing).bytes.clone(), tally.read().dropped_oversize), (before, 1));
    }

    #[test]
    fn nothing_is_kept_for_a_peer_that_is_not_connected() {
        let (link, tally) = (Link::new(()), Tally::default());
        post(&link, &Limits::default(), &tally, 10);
        assert_eq!((lock(&link.outgoing).bytes.len(), tally.read().dropped_unreachable), (0, 1));
    }

    #[test]
    fn what_was_said_before_a_connection_is_not_sent_over_the_next() {
        let (link, tally) = (Link::new(()), Tally::default());
        link.set_connected(true);
        post(&link, &Limits::default(), &tally, 10);
        assert!(!lock(&link.outgoing).bytes.is_empty());
        link.set_connected(false);
        link.set_connected(true);
        assert!(lock(&link.outgoing).bytes.is_empty());
    }
}
