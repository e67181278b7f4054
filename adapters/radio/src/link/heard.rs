//! Who was heard: which life, and which of its frames.

use super::counters::Dropped;
use quorate::NodeId;

/// What is remembered of a node.
struct Heard {
    id: NodeId,
    epoch: u32,
    window: Window,
    /// When it was heard last, in microseconds.
    last: u64,
}

/// The nodes that were heard.
pub(crate) struct Nodes<const PEERS: usize> {
    heard: heapless::Vec<Heard, PEERS>,
    /// How long a node may be silent before another may take its place.
    forget: u64,
}

/// What a frame means for what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// The sender is in the life that is known.
    Same,
    /// It has begun a new one, or was not known.
    New {
        /// Who has to be forgotten for it.
        instead: Option<NodeId>,
    },
}

impl<const PEERS: usize> Nodes<PEERS> {
    pub const fn new(forget: u64) -> Self {
        Self { heard: heapless::Vec::new(), forget }
    }

    /// What a frame would mean. Nothing changes: the frame may turn out to be forged.
    pub fn look(&self, now: u64, from: NodeId, epoch: u32, counter: u64) -> Result<Life, Dropped> {
        let Some(heard) = self.heard.iter().find(|heard| heard.id == from) else {
            return self.place(now).map(|instead| Life::New { instead });
        };
        if epoch < heard.epoch {
            return Err(Dropped::FormerLife);
        }
        if epoch > heard.epoch {
            return Ok(Life::New { instead: None });
        }
        if heard.window.has(counter) { Err(Dropped::Repeated) } else { Ok(Life::Same) }
    }

    /// Who makes room for another.
    fn place(&self, now: u64) -> Result<Option<NodeId>, Dropped> {
        if !self.heard.is_full() {
            return Ok(None);
        }
        let silent = self.heard.iter().min_by_key(|heard| heard.last).ok_or(Dropped::Stranger)?;
        if now.saturating_sub(silent.last) < self.forget {
            return Err(Dropped::Stranger);
        }
        Ok(Some(silent.id))
    }

    /// Takes in that a frame came, of which [`look`](Self::look) said what it means.
    pub fn enter(&mut self, now: u64, life: Life, from: NodeId, epoch: u32, counter: u64) {
        let window = Window { highest: counter, seen: 1 };
        let new = Heard { id: from, epoch, window, last: now };
        match life {
            Life::New { instead } => {
                let id = instead.unwrap_or(from);
                if let Some(heard) = self.heard.iter_mut().find(|heard| heard.id == id) {
                    *heard = new;
                } else {
                    // There is room: `look` saw to it.
                    let _ = self.heard.push(new);
                }
            }
            Life::Same => {
                if let Some(heard) = self.heard.iter_mut().find(|heard| heard.id == from) {
                    heard.window.mark(counter);
                    heard.last = now;
                }
            }
        }
    }
}

/// Which frames of a life came: the newest, and which of the 64 up to it (RFC 4303, 3.4.3).
#[derive(Clone, Copy)]
struct Window {
    highest: u64,
    /// Bit n is the frame n before the highest.
    seen: u64,
}

impl Window {
    /// Whether the frame came, or is too old to tell.
    fn has(&self, counter: u64) -> bool {
        match self.highest.checked_sub(counter) {
            None => false,
            Some(back @ 0..64) => self.seen >> back & 1 != 0,
            Some(_) => true,
        }
    }

    fn mark(&mut self, counter: u64) {
        if let Some(ahead) = counter.checked_sub(self.highest).filter(|&ahead| ahead > 0) {
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = counter;
        } else {
            let back = u32::try_from(self.highest.saturating_sub(counter)).unwrap_or(u32::MAX);
            self.seen |= 1_u64.checked_shl(back).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const NODE: NodeId = NodeId::new(1);

    fn hear(nodes: &mut Nodes<2>, now: u64, from: NodeId, epoch: u32, counter: u64) -> Result<Life, Dropped> {
        let life = nodes.look(now, from, epoch, counter)?;
        nodes.enter(now, life, from, epoch, counter);
        Ok(life)
    }

    #[test]
    fn no_frame_counts_twice_and_all_of_the_last_64_count_once() {
        fn property(counters: Vec<u8>, base: u64) -> bool {
            let base = base >> 1;
            let mut nodes = Nodes::<2>::new(0);
            let (mut seen, mut highest) = (BTreeSet::new(), None);
            counters.into_iter().all(|counter| {
                let counter = base + u64::from(counter);
                let old = highest.is_some_and(|highest| counter + 64 <= highest);
                let taken = hear(&mut nodes, 0, NODE, 1, counter).is_ok();
                highest = highest.max(Some(counter));
                taken == (!old && seen.insert(counter))
            })
        }
        quickcheck(property as fn(Vec<u8>, u64) -> bool);
    }

    #[test]
    fn a_former_life_is_not_heard_once_a_newer_one_was() {
        let mut nodes = Nodes::<2>::new(0);
        assert!(hear(&mut nodes, 0, NODE, 5, 100).is_ok());
        assert_eq!(hear(&mut nodes, 0, NODE, 6, 0), Ok(Life::New { instead: None }));
        assert_eq!(hear(&mut nodes, 0, NODE, 5, 101), Err(Dropped::FormerLife));
        assert_eq!(hear(&mut nodes, 0, NODE, 6, 1), Ok(Life::Same));
    }

    #[test]
    fn a_stranger_takes_only_the_place_of_one_that_was_silent_for_long() {
        let mut nodes = Nodes::<2>::new(100);
        let [two, three] = [2, 3].map(NodeId::new);
        assert!(hear(&mut nodes, 0, NODE, 1, 0).is_ok());
        assert!(hear(&mut nodes, 50, two, 1, 0).is_ok());
        assert_eq!(hear(&mut nodes, 99, three, 1, 0), Err(Dropped::Stranger));
        assert!(hear(&mut nodes, 99, NODE, 1, 1).is_ok());
        assert_eq!(hear(&mut nodes, 149, three, 1, 0), Err(Dropped::Stranger));
        assert_eq!(hear(&mut nodes, 150, three, 1, 0), Ok(Life::New { instead: Some(two) }));
        assert_eq!(hear(&mut nodes, 151, NODE, 1, 1), Err(Dropped::Repeated));
    }
}
