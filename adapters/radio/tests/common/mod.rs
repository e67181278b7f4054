//! Links without a radio between them: what one sends is at hand.

#![allow(dead_code, reason = "each test uses a part of it")]

use core::time::Duration;
use quorate::codec::Sink;
use quorate::{ClusterId, Instant, NodeId};
use quorate_radio::{Kind, Link, LinkConfig, Phy, Radio, SendError};

pub const CLUSTER: ClusterId = ClusterId::new(7);

pub type Lines = Link<4, 1024, 600, 300>;

/// A radio that keeps what is sent.
#[derive(Debug)]
pub struct Kept {
    pub mtu: usize,
    pub busy: bool,
    pub sent: Vec<Vec<u8>>,
}

impl Kept {
    pub const fn new(mtu: usize) -> Self {
        Self { mtu, busy: false, sent: Vec::new() }
    }
}

impl Radio for Kept {
    type Error = ();

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<()>> {
        assert!(frame.len() <= self.mtu, "{} bytes in a frame of {}", frame.len(), self.mtu);
        if self.busy {
            return Err(SendError::Busy);
        }
        self.sent.push(frame.to_vec());
        Ok(())
    }

    fn receive(&mut self, _: &mut [u8]) -> Result<Option<usize>, ()> {
        Ok(None)
    }
}

pub fn node(id: u64) -> NodeId {
    NodeId::new(id)
}

pub fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

pub fn config(id: u64, epoch: u32) -> LinkConfig {
    let mut config = LinkConfig::new(CLUSTER, node(id), epoch, Phy::IEEE_802_15_4);
    config.lifetime = Duration::from_secs(3600);
    config
}

pub fn link(id: u64, epoch: u32) -> Lines {
    Lines::new(config(id, epoch), id).expect("sound settings")
}

pub fn post(link: &mut Lines, to: u64, message: &[u8]) -> bool {
    post_at(link, 0, to, Kind::Peer, message)
}

pub fn post_at(link: &mut Lines, now: u64, to: u64, kind: Kind, message: &[u8]) -> bool {
    link.post(at(now), node(to), kind, |room| room.put(message))
}

/// Sends all that waits; returns the frames, and when the last one left.
pub fn drain(link: &mut Lines, mtu: usize) -> (Vec<Vec<u8>>, u64) {
    let (mut radio, mut last) = (Kept::new(mtu), 0);
    for _ in 0..10_000 {
        let Some(now) = link.deadline() else { return (radio.sent, last) };
        last = now.as_micros();
        link.transmit(now, &mut radio).expect("this radio never fails");
    }
    panic!("more than 10,000 frames");
}

/// The frames of one message.
pub fn frames(link: &mut Lines, to: u64, message: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    assert!(post(link, to, message));
    drain(link, mtu).0
}

/// What becomes of a frame.
pub fn hear(link: &mut Lines, frame: &[u8]) -> Option<(u64, Kind, Vec<u8>)> {
    hear_at(link, 0, frame)
}

pub fn hear_at(link: &mut Lines, now: u64, frame: &[u8]) -> Option<(u64, Kind, Vec<u8>)> {
    let mut frame = frame.to_vec();
    let received = link.receive(at(now), &mut frame)?;
    Some((received.from.get(), received.kind, received.message.to_vec()))
}

/// Appends a number as frames and messages have it.
pub fn put_number(bytes: &mut Vec<u8>, number: u64) {
    let mut encoded = heapless::Vec::<u8, 10>::new();
    quorate::codec::put(&number, &mut encoded).expect("no number is longer");
    bytes.extend(encoded);
}

/// A heartbeat of Raft in a replicated application, after years: term, position before, commit, round, whether to
/// answer, how many entries.
pub fn heartbeat() -> Vec<u8> {
    raft_message(2, &[5_000, 5_000, 3_000_000, 3_000_000, 9_000_000, 1, 0])
}

/// Its answer: term, how far the logs agree, round.
pub fn heartbeat_answer() -> Vec<u8> {
    raft_message(3, &[5_000, 3_000_000, 9_000_000])
}

fn raft_message(tag: u8, numbers: &[u64]) -> Vec<u8> {
    type Node = quorate::Raft<u32, quorate::space::Fixed<3, 8>>;
    let mut message = vec![0, tag];
    numbers.iter().for_each(|&number| put_number(&mut message, number));
    <Node as quorate::Hosted>::take_message(&message[1..]).expect("a message of Raft");
    message
}
