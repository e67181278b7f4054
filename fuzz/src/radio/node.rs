//! A node on a radio, whose peers say anything in frames that are sound, or not.

use super::{Air, put_forged};
use crate::Tape;
use crate::frame::Locks;
use crate::live::Subject;
use crate::store::Store;
use quorate::Blank;
use quorate::codec::Sink;
use quorate::{ClusterId, Fault, GroupId, Hosted, Image, Instant, NodeId, Position, SnapshotId};
use quorate_radio::{Kind, Link, LinkConfig, Phy, RestoreError, Snapshots, Stopped};
use std::convert::Infallible;

const MOST_STEPS: usize = 200;

/// What flash keeps, in memory.
#[derive(Default)]
struct Memory {
    store: Store,
    epoch: u32,
}

impl quorate_radio::Store for Memory {
    type Error = Infallible;

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn replay(
        &mut self,
        _: &mut [u8],
        show: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), RestoreError<Infallible>> {
        self.store.records.iter().try_for_each(|record| show(record)).map_err(RestoreError::Fault)
    }

    fn snapshots(&self) -> Snapshots {
        // The newest three: a transfer that was given up is let go of.
        self.store.snapshots.iter().rev().take(3).map(|(of, bytes)| (*of, bytes.len() as u64)).collect()
    }

    fn save<M: Hosted>(&mut self, record: &M::Record<'_>) -> Result<(), Infallible> {
        self.store.place::<M>(record);
        Ok(())
    }

    fn is_tight(&self) -> bool {
        self.store.records.len() > 40
    }

    fn write(&mut self, at: Position, image: &dyn Image) -> Result<SnapshotId, Infallible> {
        let mut bytes = Vec::new();
        image.write(&mut bytes).expect("a vector is never full");
        Ok(self.store.write(GroupId::default(), at, bytes))
    }

    fn read(&mut self, of: SnapshotId, offset: u64, into: &mut [u8]) -> Result<bool, Infallible> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = self.store.bytes(of).and_then(|all| all.get(from..from.checked_add(into.len())?));
        if let Some(part) = part {
            into.copy_from_slice(part);
        }
        Ok(part.is_some())
    }
}

type Lines = Link<4, 1024, 400>;

fn config(id: u64) -> LinkConfig {
    LinkConfig::new(ClusterId::new(7), NodeId::new(id), 1, Phy::IEEE_802_15_4)
}

pub fn run(mut tape: Tape<'_>) {
    let mut now = 0;
    let (mut link, mut scratch) = (Lines::new(config(1), 1).expect("sound settings"), [0; 4096]);
    let mut place = Blank::<Locks>::new(&Locks::settings(), Instant::default());
    let mut node = quorate_radio::Node::new(&mut link, Air::default(), Memory::default(), &mut scratch);
    node.start(&mut place, 1).expect("sound settings");
    let mut peers = [2, 3].map(|id| Lines::new(config(id), id).expect("sound settings"));
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            return;
        }
        let what = tape.byte();
        match what % 8 {
            0..=3 => {
                let mut message = Vec::new();
                node.machine().expect("it runs").put_peer(&mut tape, &mut message);
                let peer = &mut peers[usize::from(what >> 7)];
                let mut air = Air::default();
                peer.post(Instant::from_micros(now), NodeId::new(1), Kind::Peer, |room| room.put(&message));
                for _ in 0..8 {
                    now = peer.deadline().map_or(now, Instant::as_micros).max(now);
                    peer.transmit(Instant::from_micros(now), &mut air).expect("this radio does not fail");
                }
                node.radio().heard.extend(air.sent);
            }
            4 => {
                let mut frame = Vec::new();
                put_forged(&mut tape, &mut frame);
                node.radio().heard.push_back(frame);
            }
            5 => {
                let request = Locks::request_of(&mut tape);
                let _ = node.request(Instant::from_micros(now), request).expect("it runs");
            }
            6 => now += 10_000 * u64::from(tape.byte()),
            _ => {
                // What was said is heard by nobody; so it may be said again.
                node.radio().sent.clear();
            }
        }
        match node.turn(Instant::from_micros(now), |_| {}) {
            Ok(next) => {
                if what & 64 != 0 {
                    now = next.map_or(now, Instant::as_micros).max(now);
                }
            }
            // A snapshot of a peer that lies cannot be read, or is too long for a chip.
            Err(Stopped::Fault(_) | Stopped::Scratch { .. }) => return,
            Err(Stopped::Store(never)) => match never {},
            Err(stopped @ (Stopped::Radio(()) | Stopped::Idle)) => panic!("{stopped:?}"),
        }
        node.machine().expect("it runs").assert_sound();
    }
}
