//! The network: directed links with a weather of their own, partitions, and the frames under way.

use crate::chance::Chance;
use crate::faults::{Millionths, Weather};
use crate::queue::{Happening, Queue};
use crate::tally::{Fault, Tally};

/// A frame under way. Its buffer is reused once it has arrived.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) from: u8,
    /// The node it arrives at, which need not be the one it is addressed to.
    pub(crate) to: u8,
    link: u16,
    pub(crate) bytes: Vec<u8>,
    /// Whether bytes were changed on the way.
    pub(crate) damaged: bool,
}

#[derive(Debug)]
struct Link {
    weather: Weather,
    cut: bool,
    /// Frames held until the link is released; `None` when it is not clogged.
    held: Option<Vec<u32>>,
    under_way: u32,
    last_arrival: u64,
}

/// What becomes of a frame that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Arrives,
    Twice,
    TwiceLate,
    Damaged,
    Stray,
    Foreign,
}

/// All links, and the frames on them.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    links: Vec<Link>,
    frames: Vec<Frame>,
    free: Vec<u32>,
}

impl Network {
    /// A network of links that draw their share of the weather.
    pub(crate) fn new(nodes: usize, weather: &Weather, rng: &mut Chance) -> Self {
        let links = (0..nodes * nodes).map(|_| Link {
            weather: share(weather, rng),
            cut: false,
            held: None,
            under_way: 0,
            last_arrival: 0,
        });
        Self { nodes, links: links.collect(), frames: Vec::new(), free: Vec::new() }
    }

    const fn link(&self, from: usize, to: usize) -> usize {
        from * self.nodes + to
    }

    /// Decides what becomes of a frame, before it is encoded.
    pub(crate) fn fate(&self, from: usize, to: usize, rng: &mut Chance, tally: &mut Tally) -> Fate {
        let link = &self.links[self.link(from, to)];
        if link.cut {
            tally.hit(Fault::CutOff as usize);
            return Fate::Lost;
        }
        if link.under_way >= link.weather.capacity {
            tally.hit(Fault::Overflowed as usize);
            return Fate::Lost;
        }
        let fate = link.weather.draw(rng);
        match fate {
            Fate::Lost => tally.hit(Fault::Dropped as usize),
            Fate::Twice => tally.hit(Fault::Duplicated as usize),
            Fate::TwiceLate => tally.hit(Fault::DuplicatedLate as usize),
            Fate::Arrives | Fate::Damaged | Fate::Stray | Fate::Foreign => {}
        }
        fate
    }

    /// A frame to fill, with a buffer that is empty.
    pub(crate) fn fresh(&mut self, from: usize, to: usize) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.frames.push(Frame::default());
            self.frames.len() as u32 - 1
        });
        let link = self.link(from, to) as u16;
        let frame = &mut self.frames[slot as usize];
        (frame.from, frame.to, frame.link, frame.damaged) = (from as u8, to as u8, link, false);
        frame.bytes.clear();
        slot
    }

    pub(crate) fn frame(&mut self, slot: u32) -> &mut Frame {
        &mut self.frames[slot as usize]
    }

    /// Sends a frame that was filled on its way.
    pub(crate) fn dispatch(
        &mut self,
        slot: u32,
        fate: Fate,
        queue: &mut Queue,
        rng: &mut Chance,
        tally: &mut Tally,
    ) {
        match fate {
            Fate::Lost | Fate::Arrives | Fate::Foreign => {}
            Fate::Twice => {
                let copy = self.copy(slot);
                self.schedule(copy, 0, queue, rng, tally);
            }
            Fate::TwiceLate => {
                let copy = self.copy(slot);
                let later = 100_000 + rng.below(4_000_000);
                self.schedule(copy, later, queue, rng, tally);
            }
            Fate::Damaged => self.damage(slot, rng, tally),
            Fate::Stray => {
                let copy = self.copy(slot);
                let to = rng.below(self.nodes as u64) as u8;
                self.frames[copy as usize].to = to;
                self.schedule(copy, 0, queue, rng, tally);
            }
        }
        self.schedule(slot, 0, queue, rng, tally);
    }

    fn schedule(&mut self, slot: u32, later: u64, queue: &mut Queue, rng: &mut Chance, tally: &mut Tally) {
        let link = &mut self.links[usize::from(self.frames[slot as usize].link)];
        link.under_way += 1;
        if let Some(held) = &mut link.held {
            held.push(slot);
            return;
        }
        let mut at = queue.now() + link.weather.latency.draw(rng) + later;
        if later == 0 {
            if at < link.last_arrival {
                if link.weather.reorder {
                    tally.hit(Fault::Reordered as usize);
                } else {
                    at = link.last_arrival;
                }
            }
            link.last_arrival = link.last_arrival.max(at);
        }
        queue.at(at, Happening::Arrival { frame: slot });
    }

    fn copy(&mut self, slot: u32) -> u32 {
        let (from, to) = (self.frames[slot as usize].from, self.frames[slot as usize].to);
        let copy = self.fresh(from.into(), to.into());
        let mut bytes = std::mem::take(&mut self.frames[copy as usize].bytes);
        bytes.extend_from_slice(&self.frames[slot as usize].bytes);
        self.frames[copy as usize].bytes = bytes;
        copy
    }

    fn damage(&mut self, slot: u32, rng: &mut Chance, tally: &mut Tally) {
        let frame = &mut self.frames[slot as usize];
        frame.damaged = true;
        let len = frame.bytes.len();
        match rng.below(4) {
            0 => {
                frame.bytes.truncate(rng.below(len as u64) as usize);
                tally.hit(Fault::Truncated as usize);
            }
            1 => {
                frame.bytes.extend_from_within(..);
                tally.hit(Fault::Joined as usize);
            }
            _ => {
                // Up to three flips are always told by a checksum of 32 bits at these lengths.
                let first = rng.below(len as u64 * 8) as usize;
                let flips = 1 + rng.below(3) as usize;
                (first..len * 8).take(flips).for_each(|bit| frame.bytes[bit / 8] ^= 1 << (bit % 8));
                tally.hit(Fault::BitsFlipped as usize);
            }
        }
    }

    /// The bytes of a frame that arrived, to be handed back with [`reuse`](Self::reuse).
    pub(crate) fn arrive(&mut self, slot: u32) -> Frame {
        let frame = std::mem::take(&mut self.frames[slot as usize]);
        self.links[usize::from(frame.link)].under_way -= 1;
        frame
    }

    pub(crate) fn reuse(&mut self, slot: u32, frame: Frame) {
        self.frames[slot as usize] = frame;
        self.free.push(slot);
    }

    /// Cuts the links for which `cut` holds and mends the others.
    pub(crate) fn partition(&mut self, cut: impl Fn(usize, usize) -> bool) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                let link = self.link(from, to);
                self.links[link].cut = cut(from, to);
            }
        }
    }

    pub(crate) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        let link = self.link(from, to);
        self.links[link].cut = cut;
    }

    /// Holds all frames of a link from now on.
    pub(crate) fn clog(&mut self, from: usize, to: usize) -> u16 {
        let link = self.link(from, to);
        self.links[link].held.get_or_insert_default();
        link as u16
    }

    /// Releases all frames of a link at once.
    pub(crate) fn unclog(&mut self, link: u16, queue: &mut Queue) {
        for frame in self.links[usize::from(link)].held.take().unwrap_or_default() {
            queue.after(1, Happening::Arrival { frame });
        }
    }

    /// Mends everything; from now on the weather is calm.
    pub(crate) fn calm(&mut self, queue: &mut Queue) {
        for link in 0..self.links.len() {
            self.unclog(link as u16, queue);
            let link = &mut self.links[link];
            link.cut = false;
            link.weather = Weather { latency: link.weather.latency, ..Weather::CALM };
        }
    }
}

/// One link's share of the weather.
fn share(weather: &Weather, rng: &mut Chance) -> Weather {
    let mut part = |most: Millionths| rng.below(u64::from(most) + 1) as Millionths;
    Weather {
        drop: part(weather.drop),
        duplicate: part(weather.duplicate),
        duplicate_late: part(weather.duplicate_late),
        corrupt: part(weather.corrupt),
        stray: part(weather.stray),
        foreign: part(weather.foreign),
        ..*weather
    }
}

impl Weather {
    fn draw(&self, rng: &mut Chance) -> Fate {
        let mut rest = rng.below(1_000_000) as Millionths;
        let chances = [
            (self.drop, Fate::Lost),
            (self.duplicate, Fate::Twice),
            (self.duplicate_late, Fate::TwiceLate),
            (self.corrupt, Fate::Damaged),
            (self.stray, Fate::Stray),
            (self.foreign, Fate::Foreign),
        ];
        for (chance, fate) in chances {
            match rest.checked_sub(chance) {
                Some(left) => rest = left,
                None => return fate,
            }
        }
        Fate::Arrives
    }
}
