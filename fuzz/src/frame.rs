//! Frames of any bytes, and messages of any kind in frames that are sound, into machines that are up.

use crate::Tape;
use crate::live::{Bytes, Live, Subject};
use quorate::codec::{self, Header};
use quorate::keyspace::Keyspace;
use quorate::space::Heap;
use quorate::{Both, ClusterId, NodeId, Raft, Replicated, lock};

/// Three nodes, with so little room that it runs out.
type Space = Heap<3, 16, 48>;
type Table = lock::Table<Space, 4, 3, 4>;
/// Raft alone.
pub type Plain = Raft<Bytes, Space>;
/// The lock service.
pub type Locks = Replicated<Table, Space, 4, 4>;
/// What the server replicates, but smaller.
pub type Service = Replicated<Both<Keyspace<2_000>, Table>, Space, 4, 4>;

const HEADER: Header = Header { cluster: ClusterId::new(7), from: NodeId::new(2), to: NodeId::new(1) };

/// A byte for the machine and for what the rest is: a frame, the body of one, or what happens to a node.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let what = tape.byte();
    match what % 3 {
        0 => of::<Plain>(what / 3, tape),
        1 => of::<Locks>(what / 3, tape),
        _ => of::<Service>(what / 3, tape),
    }
}

fn of<M: Subject>(what: u8, mut tape: Tape<'_>) {
    match what % 4 {
        0 => open::<M>(tape.rest()),
        1 => {
            let body = tape.rest();
            let mut frame = Vec::new();
            codec::seal(&mut frame, HEADER, |frame| codec::Sink::put(frame, body))
                .expect("a vector is never full");
            assert_eq!(codec::open(&frame, HEADER.cluster, HEADER.to), Ok((HEADER.from, body)));
            open::<M>(&frame);
        }
        _ => _ = Live::<M>::new().run(&mut tape),
    }
}

/// A frame from the wire, into a new node.
fn open<M: Subject>(frame: &[u8]) {
    let Ok((from, body)) = codec::open(frame, HEADER.cluster, HEADER.to) else { return };
    if M::take_message(body).is_ok() {
        let mut live = Live::<M>::new();
        live.deliver(from, body);
        live.drain();
    }
}
