//! Frames of any kind, in any order, into a link and into a node: what comes out was sent, whole, by who it says, and
//! once.

mod node;

use crate::Tape;
use quorate::codec::Sink;
use quorate::{ClusterId, Instant, NodeId};
use quorate_radio::{Key, Kind, Link, LinkConfig, Phy, Radio, SendError};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const CLUSTER: ClusterId = ClusterId::new(7);
/// More steps than tell anything new.
const MOST_STEPS: usize = 300;
/// Frames that are kept, to be heard now or later or again.
const MOST_FRAMES: usize = 64;

type Lines = Link<4, 1024, 400>;

/// A radio whose air is two queues.
#[derive(Debug, Default)]
pub struct Air {
    pub heard: VecDeque<Vec<u8>>,
    pub sent: Vec<Vec<u8>>,
}

impl Radio for Air {
    type Error = ();

    fn mtu(&self) -> usize {
        127
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<()>> {
        assert!(frame.len() <= self.mtu(), "a frame fits the radio");
        self.sent.push(frame.to_vec());
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ()> {
        let Some(frame) = self.heard.pop_front() else { return Ok(None) };
        let Some(into) = buffer.get_mut(..frame.len()) else { return Ok(None) };
        into.copy_from_slice(&frame);
        Ok(Some(frame.len()))
    }
}

/// A byte for what hears the frames and whether they are authenticated, and the rest for the frames.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.byte() % 3 {
        0 => links(tape, false),
        1 => links(tape, true),
        _ => node::run(tape),
    }
}

fn config(cluster: ClusterId, id: u64, epoch: u32, sealed: bool) -> LinkConfig {
    let mut config = LinkConfig::new(cluster, NodeId::new(id), epoch, Phy::IEEE_802_15_4);
    // Nobody is forgotten, and nothing is dropped because it waited.
    (config.lifetime, config.forget) = (Duration::from_secs(36_000), Duration::from_secs(36_000));
    if sealed { config.sealed(Key::new([7; 32])) } else { config }
}

fn link(id: u64, epoch: u32, sealed: bool) -> Lines {
    Lines::new(config(CLUSTER, id, epoch, sealed), id ^ u64::from(epoch)).expect("sound settings")
}

/// Appends a frame of any content that has the right checksum, of a header that is to the point.
pub fn put_forged(tape: &mut Tape<'_>, frame: &mut Vec<u8>) {
    let put = |number: u64, frame: &mut Vec<u8>| {
        quorate::codec::put(&number, frame).expect("a vector is never full")
    };
    let what = tape.byte();
    frame.push(what & 0xF0 | 1);
    put(tape.near(&[7]), frame);
    put(tape.near(&[1, 3]), frame);
    put(tape.near(&[2]), frame);
    put(tape.near(&[1, 2, u32::MAX.into()]), frame);
    put(tape.near(&[0, 5, 64, 128]), frame);
    if what & 0x40 != 0 {
        put(tape.near(&[0, 1, 2]), frame);
        frame.push(tape.byte());
    }
    frame.extend(tape.slice());
    let sum = checksum(frame);
    frame.extend(sum.to_le_bytes());
}

/// CRC-32/ISO-HDLC, as a frame of TCP has it: the link's own is not to be asked.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// Two nodes and a stranger send to a third; on the way anything becomes of their frames.
fn links(mut tape: Tape<'_>, sealed: bool) {
    let mut two = link(2, 1, sealed);
    let mut senders = [(1, 1, link(1, 1, sealed)), (3, 1, link(3, 1, sealed))];
    let mut stranger = Lines::new(config(ClusterId::new(8), 1, 9, false), 4).expect("sound settings");
    let (mut pool, mut sent) = (VecDeque::<Vec<u8>>::new(), BTreeMap::<Vec<u8>, u64>::new());
    let (mut newest, mut number, mut now, mut is_forged) = (BTreeMap::<u64, u8>::new(), 0_u32, 0, false);
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            break;
        }
        let what = tape.byte();
        let (id, epoch, sender) = &mut senders[usize::from(what >> 7)];
        let mut heard = None;
        match what % 16 {
            0..=2 => {
                number += 1;
                let mut message = vec![*id as u8, *epoch as u8];
                message.extend(number.to_le_bytes());
                message.extend((0..tape.byte()).map(|at| at.wrapping_mul(number as u8)));
                if sender
                    .post(Instant::from_micros(now), NodeId::new(2), Kind::Peer, |room| room.put(&message))
                {
                    sent.insert(message, *id);
                }
            }
            3 | 4 => {
                let mut air = Air::default();
                for _ in 0..1 + tape.below(8) {
                    now = sender.deadline().map_or(now, Instant::as_micros).max(now);
                    sender.transmit(Instant::from_micros(now), &mut air).expect("this radio does not fail");
                }
                pool.extend(air.sent);
            }
            5..=7 => heard = pool.pop_front(),
            8 | 9 => heard = pool.get(usize::from(tape.byte()) % pool.len().max(1)).cloned(),
            10 => {
                heard = pool.get(usize::from(tape.byte()) % pool.len().max(1)).cloned();
                let at = usize::from(tape.byte());
                if let Some(frame) = &mut heard {
                    let bit = at % (frame.len() * 8);
                    frame[bit / 8] ^= 1 << (bit % 8);
                }
            }
            11 => {
                heard = pool.get(usize::from(tape.byte()) % pool.len().max(1)).cloned();
                let cut = usize::from(tape.byte());
                heard.iter_mut().for_each(|frame| frame.truncate(cut % frame.len().max(1)));
            }
            12 => {
                let mut frame = Vec::new();
                put_forged(&mut tape, &mut frame);
                // Without a key nobody can tell.
                is_forged |= !sealed;
                heard = Some(frame);
            }
            13 => heard = Some(tape.slice().to_vec()),
            // A life is told by one byte of a message.
            14 if *epoch < 255 => {
                *epoch += 1;
                *sender = link(*id, *epoch, sealed);
            }
            _ => {
                let mut air = Air::default();
                stranger
                    .post(Instant::from_micros(now), NodeId::new(2), Kind::Peer, |room| room.put(b"strange"));
                now = stranger.deadline().map_or(now, Instant::as_micros).max(now);
                stranger.transmit(Instant::from_micros(now), &mut air).expect("this radio does not fail");
                pool.extend(air.sent);
            }
        }
        pool.truncate(MOST_FRAMES);
        let Some(mut frame) = heard else { continue };
        let Some(received) = two.receive(Instant::from_micros(now), &mut frame) else { continue };
        if is_forged {
            continue;
        }
        let from = received.from.get();
        assert_eq!(sent.remove(received.message), Some(from), "a message comes from who sent it, once");
        let life = received.message[1];
        let before = newest.insert(from, life);
        assert!(before.is_none_or(|before| before <= life), "a former life is not heard");
    }
    let counters = two.counters();
    assert!(counters.frames_heard >= counters.messages_heard + counters.dropped.total(), "{counters:?}");
}
