//! The ways to the peers: over TCP, as `docs/wire.md` has it, or through a hub.
//!
//! Each node dials every peer, and what it sends to a peer goes over the connection it dialled; nothing but the
//! answer to the handshake comes back on it.

pub(crate) mod accept;
pub(crate) mod dial;
pub(crate) mod network;
pub(crate) mod stream;

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quorate::NodeId;
use quorate_driver::sync::{Arc, Mutex, lock};
use quorate_driver::{Bell, Departure, Link, Tally, Unsent};

use crate::hub::Hub;
use stream::Piece;

/// How what waits in a link gets on its way.
#[derive(Debug)]
pub(crate) enum Way {
    /// A thread writes it to a socket, when the bell rings.
    Socket(Bell),
    /// It is handed to the peer's mailbox at once.
    Hub(Passage),
}

/// A way through a hub.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) hub: Hub,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) tally: Arc<Tally>,
    /// What the peer had no room for. It goes before all that is said later.
    pub(crate) held: Mutex<Option<Piece>>,
}

impl Departure for Way {
    fn depart(&self, link: &Link<Self>) {
        match self {
            Self::Socket(_) if link.is_empty() => {}
            Self::Socket(bell) => bell.ring(),
            Self::Hub(passage) => passage.pass(link),
        }
    }
}

impl Passage {
    fn pass(&self, link: &Link<Way>) {
        let mut held = lock(&self.held);
        // What was held, and then what waits in the link.
        for _ in 0..2 {
            let mut frames = Vec::new();
            let piece = match held.take() {
                Some(piece) => piece,
                None if link.take(&mut frames, &self.tally) => {
                    Piece { from: self.from, frames, connection: None }
                }
                None => return,
            };
            match self.hub.pass(self.to, piece) {
                Ok(()) => {}
                // The peer is busy: what waits is passed on with what is said next, and bounded by the link.
                Err(Unsent::Full(piece)) => return *held = Some(piece),
                Err(Unsent::Closed(_)) => self.tally.dropped_unreachable.add(1),
            }
        }
    }
}

/// What every connection between nodes is set to. None of it is worth failing for.
fn tune(stream: &TcpStream, silence: Duration) {
    let _ = stream.set_nodelay(true);
    // A partition that drops packets would otherwise outlast itself by the retransmission back-off of TCP, which
    // grows to minutes.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(silence));
    #[cfg(not(target_os = "linux"))]
    let _ = silence;
}

/// Reads as many bytes as there is room for, all of them until then: a peer that sends one now and then holds nobody.
fn read_exact_until(mut stream: &TcpStream, bytes: &mut [u8], until: Instant) -> io::Result<()> {
    let mut read = 0;
    // Bounded by the bytes, and by the time.
    while read < bytes.len() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes[read..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an error says that there was no answer in time.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Waits for threads to end. One that panicked has ended as well, and holds nothing any more.
pub(crate) fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::ClusterId;
    use quorate::codec::Header;
    use quorate_driver::{Limits, Receiver, mailbox};

    /// A way through a hub to a mailbox with this much room.
    fn passage(room: usize) -> (Link<Way>, Receiver<Piece>, Arc<Tally>) {
        let (hub, tally) = (Hub::default(), Arc::new(Tally::default()));
        let (from, to) = (NodeId::new(1), NodeId::new(2));
        let (sender, pieces) = mailbox(room, Arc::new(Bell::default()));
        hub.enter(to, sender);
        let (held, counted) = (Mutex::default(), Arc::clone(&tally));
        let link = Link::new(Way::Hub(Passage { hub, from, to, tally: counted, held }));
        link.set_connected(true);
        (link, pieces, tally)
    }

    fn say(link: &Link<Way>, byte: u8, tally: &Tally) {
        let header = Header { cluster: ClusterId::new(7), from: NodeId::new(1), to: NodeId::new(2) };
        link.post(header, &Limits::default(), tally, |buffer| {
            buffer.push(byte);
            Ok(())
        });
        link.flush();
    }

    fn said(taken: &[Piece]) -> Vec<u8> {
        taken.iter().map(|piece| piece.frames[4 + 25]).collect()
    }

    #[test]
    fn what_a_busy_peer_has_no_room_for_is_passed_on_later_and_in_order() {
        let (link, pieces, tally) = passage(1);
        (0..3).for_each(|byte| say(&link, byte, &tally));
        let mut taken = Vec::new();
        for _ in 0..3 {
            pieces.take(&mut taken, 1);
            link.flush();
        }
        assert_eq!((said(&taken), tally.read().frames_out), (vec![0, 1, 2], 3));
    }

    #[test]
    fn what_is_said_to_a_peer_that_was_busy_does_not_stay_behind_what_it_had_no_room_for() {
        let (link, pieces, tally) = passage(2);
        (0..3).for_each(|byte| say(&link, byte, &tally));
        let mut taken = Vec::new();
        pieces.take(&mut taken, 2);
        say(&link, 3, &tally);
        pieces.take(&mut taken, 2);
        assert_eq!(said(&taken), [0, 1, 2, 3]);
    }
}
