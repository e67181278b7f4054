//! Frames that nobody should listen to.

use super::world::World;
use quorate::codec::Sink;
use quorate::{ClusterId, Instant, NodeId, Rng};
use quorate_radio::{Kind, Link, LinkConfig, Phy, Radio, SendError};
use std::convert::Infallible;
use std::time::Duration;

/// Puts noise on the air: random bytes, frames cut short, played again, with wrong bits, of another cluster, and longer
/// than fits; `rounds` of each.
pub fn babble(world: &mut World, rounds: u32, seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    let station = world.babbler();
    let mut sent = 0;
    for _ in 0..rounds {
        let mut overheard = || {
            let frames = world.hub.overheard();
            frames.get(rng.below(frames.len() as u64) as usize).cloned().unwrap_or_default()
        };
        let replayed = [overheard(), overheard(), overheard()];
        let mut cut = overheard();
        cut.truncate(cut.len() / 2);
        let mut flipped = overheard();
        if let Some(byte) = flipped.first_mut() {
            *byte ^= 0x20;
        }
        let noise: Vec<u8> = (0..rng.below(127)).map(|_| rng.next() as u8).collect();
        let oversized = vec![0x5A; 300];
        for frame in [noise, cut, flipped, foreign(&mut rng), oversized].into_iter().chain(replayed) {
            world.hub.send(station, frame);
            world.run_for(Duration::from_millis(15));
            sent += 1;
        }
    }
    sent
}

/// A frame as another cluster sends it to node 1: right in every way, but not for these boards.
fn foreign(rng: &mut Rng) -> Vec<u8> {
    let (stranger, node) = (NodeId::new(2), NodeId::new(1));
    let config = LinkConfig::new(ClusterId::new(8), stranger, 1, Phy::IEEE_802_15_4);
    let mut link = Link::<1, 256, 128>::new(config, rng.next()).expect("sound settings");
    link.post(Instant::default(), node, Kind::Peer, |room| room.put(&[7; 20]));
    let mut sent = Captured::default();
    if let Some(now) = link.deadline() {
        let Ok(()) = link.transmit(now, &mut sent);
    }
    sent.0
}

/// Keeps the last frame that was sent.
#[derive(Default)]
struct Captured(Vec<u8>);

impl Radio for Captured {
    type Error = Infallible;

    fn mtu(&self) -> usize {
        127
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<Infallible>> {
        self.0 = frame.to_vec();
        Ok(())
    }

    fn receive(&mut self, _: &mut [u8]) -> Result<Option<usize>, Infallible> {
        Ok(None)
    }
}
