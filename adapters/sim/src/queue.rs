//! What happens next: a heap ordered by time, then by the order in which it was scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What can happen in a world. Nodes are slots; `life` tells a happening of an earlier life, which is void.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// A frame arrives.
    Arrival { frame: u32 },
    /// A machine's deadline has come.
    Wake { node: u8 },
    /// A driver that put polling off gets round to it.
    Poll { node: u8, life: u32 },
    /// A sync ends; it covers all writes up to this number.
    Synced { node: u8, life: u32, upto: u64 },
    /// A receipt comes back.
    Receipt { node: u8, life: u32 },
    /// An errand ends.
    Errand { node: u8, life: u32 },
    /// A pause ends, or a slow node is done with an input.
    Resume { node: u8, life: u32 },
    /// A crashed node comes back.
    Restart { node: u8 },
    /// Another crash of a restart storm.
    Storm { left: u8 },
    /// The subject's own timer.
    Timer { timer: u64 },
    /// Trouble.
    Nemesis,
    /// A partition ends, or changes if it flaps.
    Partition { generation: u32, flaps: u8 },
    /// A clogged link is released.
    Unclog { link: u16 },
    /// After the faults have stopped: is all well?
    Check,
}

#[derive(Debug)]
struct Scheduled {
    at: u64,
    sequence: u64,
    what: Happening,
}

impl Scheduled {
    const fn key(&self) -> (u64, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// Earliest first out of a heap that gives its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// The queue, and the simulated time that it has reached, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Scheduled>,
    sequence: u64,
    now: u64,
}

impl Queue {
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// Schedules something; what would be in the past happens now.
    pub(crate) fn at(&mut self, at: u64, what: Happening) {
        self.sequence += 1;
        self.heap.push(Scheduled { at: at.max(self.now), sequence: self.sequence, what });
    }

    pub(crate) fn after(&mut self, micros: u64, what: Happening) {
        self.at(self.now + micros, what);
    }

    /// The next happening not after `limit`; time moves on to it, or to the limit.
    pub(crate) fn next(&mut self, limit: u64) -> Option<Happening> {
        if self.heap.peek().is_none_or(|next| next.at > limit) {
            self.now = self.now.max(limit);
            return None;
        }
        let next = self.heap.pop()?;
        self.now = next.at;
        Some(next.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_the_same_time_happens_in_the_order_of_scheduling() {
        let mut queue = Queue::default();
        for (at, timer) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            queue.at(at, Happening::Timer { timer });
        }
        let order: Vec<u64> = std::iter::from_fn(|| match queue.next(u64::MAX) {
            Some(Happening::Timer { timer }) => Some(timer),
            _ => None,
        })
        .collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[test]
    fn time_stops_at_the_limit() {
        let mut queue = Queue::default();
        queue.at(9, Happening::Nemesis);
        assert!(queue.next(8).is_none());
        assert_eq!(queue.now(), 8);
        assert!(queue.next(9).is_some());
    }
}
