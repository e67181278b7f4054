//! Where a machine keeps what it holds. Bounds are parameters; placement is a detail.
//!
//! [`Fixed`] is inline and needs no allocator, [`Heap`] (feature `alloc`) allocates as it fills. Both have the same
//! limits and behave alike: the same seeds give the same outputs in both.

use crate::NodeId;
use core::fmt::Debug;
use core::ops::{Deref, DerefMut};

/// A family of bounded collections.
///
/// The constants are the limits: `PEERS` nodes in a cluster, `WINDOW` entries in flight, `CHUNK` bytes of a snapshot
/// at a time, `CALLS` requests under way on one node.
pub trait Space: Copy + Debug + 'static {
    /// Nodes of a cluster, this one included. At most 64, or 32 where a word has 32 bits.
    const PEERS: usize;
    /// Log entries held in memory.
    const WINDOW: usize;
    /// Bytes of a snapshot in one message.
    const CHUNK: usize;
    /// Requests of each kind that one node has under way, with one place kept for the node itself: at least 2.
    const CALLS: usize;

    /// One item per peer.
    type Table<T: Debug>: List<T>;
    /// The log.
    type Window<T: Debug>: Window<T>;
    /// Requests under way.
    type Calls<T: Debug>: Window<T>;
    /// Requests under way, each in its place.
    type Places<T: Debug>: List<T>;
    /// The nodes of a cluster.
    type Nodes: List<NodeId> + Clone;
    /// A piece of a snapshot.
    type Chunk: List<u8> + Clone;
    /// Up to `N` items, for applications.
    type Items<T: Debug, const N: usize>: List<T>;
    /// Up to `N` items, in a queue.
    type Queue<T: Debug, const N: usize>: Window<T>;
}

/// A bounded list; derefs to a slice.
pub trait List<T>: Default + Debug + Deref<Target = [T]> + DerefMut {
    /// How many items fit.
    const CAPACITY: usize;

    /// Adds an item at the end.
    ///
    /// # Errors
    /// Hands the item back when the list is full.
    fn push(&mut self, item: T) -> Result<(), T>;

    /// Puts an item before the one at `at`, or at the end if there is none.
    ///
    /// # Errors
    /// Hands the item back when the list is full.
    fn insert(&mut self, at: usize, item: T) -> Result<(), T> {
        let at = at.min(self.len());
        self.push(item)?;
        if let Some(tail) = self.get_mut(at..) {
            tail.rotate_right(1);
        }
        Ok(())
    }

    /// Takes the item at `at` out, if there is one; the ones after it move up.
    fn remove(&mut self, at: usize) -> Option<T>;

    /// Forgets everything.
    fn clear(&mut self);

    /// Gives back the memory that it holds and does not use, if it can.
    fn shrink(&mut self) {}

    /// An empty list that will soon hold this many items.
    fn with_room(_: usize) -> Self {
        Self::default()
    }

    /// A list of as many of the items as fit.
    fn of(items: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self::default();
        let _ = items.into_iter().try_for_each(|item| list.push(item));
        list
    }
}

/// Keeps the items that `keep` says, in their order, in one pass however many go.
pub(crate) fn retain<T>(list: &mut impl List<T>, mut keep: impl FnMut(&mut T) -> bool) {
    let mut kept = 0;
    for at in 0..list.len() {
        if list.get_mut(at).is_some_and(&mut keep) {
            if let Some((front, back)) = list.split_at_mut_checked(at)
                && let (Some(hole), Some(item)) = (front.get_mut(kept), back.first_mut())
            {
                core::mem::swap(hole, item);
            }
            kept += 1;
        }
    }
    for at in (kept..list.len()).rev() {
        let _ = list.remove(at);
    }
}

/// A bounded queue that can be looked into: items come in at the back and leave at either end.
pub trait Window<T>: Default + Debug {
    /// How many items there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The item `at` places from the front.
    fn get(&self, at: usize) -> Option<&T>;
    /// The item `at` places from the front.
    fn get_mut(&mut self, at: usize) -> Option<&mut T>;
    /// Adds an item at the back.
    ///
    /// # Errors
    /// Hands the item back when the window is full.
    fn push_back(&mut self, item: T) -> Result<(), T>;
    /// Takes the front item out.
    fn pop_front(&mut self) -> Option<T>;
    /// Keeps the first `len` items.
    fn truncate(&mut self, len: usize);
    /// Gives back the memory that it holds and does not use, if it can.
    fn shrink(&mut self) {}
    /// All items, front first, in two parts.
    fn as_slices(&self) -> (&[T], &[T]);

    /// The items from `from` to before `to`, in two parts; what does not exist is left out.
    fn range(&self, from: usize, to: usize) -> (&[T], &[T]) {
        if from >= to {
            return (&[], &[]);
        }
        let (a, b) = self.as_slices();
        if let Some(part) = a.get(from..to) {
            return (part, &[]);
        }
        let split = |at: usize| (at.min(a.len()), at.saturating_sub(a.len()).min(b.len()));
        let ((a0, b0), (a1, b1)) = (split(from), split(to));
        (a.get(a0..a1).unwrap_or_default(), b.get(b0..b1).unwrap_or_default())
    }

    /// How many of the items from `from` to before `to` come before the first that `is` does not hold for. It must hold
    /// for none after that.
    fn count_while(&self, from: usize, to: usize, is: &dyn Fn(&T) -> bool) -> usize {
        let (front, back) = self.range(from, to);
        let count = front.partition_point(is);
        if count < front.len() { count } else { count + back.partition_point(is) }
    }
}

/// Inline, without an allocator.
///
/// ```
/// use quorate::{Raft, Space, space::Fixed};
///
/// type Small = Fixed<4, 64>;
/// assert_eq!(Small::WINDOW, 64);
/// assert!(core::mem::size_of::<Raft<u32, Small>>() < 4096);
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Fixed<const PEERS: usize, const WINDOW: usize, const CHUNK: usize = 64, const CALLS: usize = WINDOW>
{}

impl<const PEERS: usize, const WINDOW: usize, const CHUNK: usize, const CALLS: usize> Space
    for Fixed<PEERS, WINDOW, CHUNK, CALLS>
{
    const PEERS: usize = PEERS;
    const WINDOW: usize = WINDOW;
    const CHUNK: usize = CHUNK;
    const CALLS: usize = CALLS;
    type Table<T: Debug> = heapless::Vec<T, PEERS>;
    type Window<T: Debug> = heapless::Deque<T, WINDOW>;
    type Calls<T: Debug> = heapless::Deque<T, CALLS>;
    type Places<T: Debug> = heapless::Vec<T, CALLS>;
    type Nodes = heapless::Vec<NodeId, PEERS>;
    type Chunk = heapless::Vec<u8, CHUNK>;
    type Items<T: Debug, const N: usize> = heapless::Vec<T, N>;
    type Queue<T: Debug, const N: usize> = heapless::Deque<T, N>;
}

impl<T: Debug, const N: usize> List<T> for heapless::Vec<T, N> {
    const CAPACITY: usize = N;

    fn push(&mut self, item: T) -> Result<(), T> {
        Self::push(self, item)
    }

    // Small lists: an item after the other takes less code than moving memory.

    fn insert(&mut self, at: usize, mut item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        self.iter_mut().skip(at).for_each(|place| core::mem::swap(place, &mut item));
        self.push(item)
    }

    fn remove(&mut self, at: usize) -> Option<T> {
        let mut item = if at < self.len() { self.pop()? } else { return None };
        self.iter_mut().skip(at).rev().for_each(|place| core::mem::swap(place, &mut item));
        Some(item)
    }

    fn clear(&mut self) {
        Self::clear(self);
    }
}

impl<T: Debug, const N: usize> Window<T> for heapless::Deque<T, N> {
    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<&T> {
        self.get(at)
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.get_mut(at)
    }

    fn push_back(&mut self, item: T) -> Result<(), T> {
        self.push_back(item)
    }

    fn pop_front(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn as_slices(&self) -> (&[T], &[T]) {
        self.as_slices()
    }
}

#[cfg(feature = "alloc")]
pub use self::heap::{BoundedDeque, BoundedVec, Heap};

#[cfg(feature = "alloc")]
mod heap {
    use super::{Debug, Deref, DerefMut, List, NodeId, Space, Window};
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    /// Allocated as it fills, with the limits of [`Fixed`](super::Fixed).
    #[derive(Clone, Copy, Debug)]
    pub enum Heap<
        const PEERS: usize,
        const WINDOW: usize,
        const CHUNK: usize = 65_536,
        const CALLS: usize = WINDOW,
    > {}

    impl<const PEERS: usize, const WINDOW: usize, const CHUNK: usize, const CALLS: usize> Space
        for Heap<PEERS, WINDOW, CHUNK, CALLS>
    {
        const PEERS: usize = PEERS;
        const WINDOW: usize = WINDOW;
        const CHUNK: usize = CHUNK;
        const CALLS: usize = CALLS;
        type Table<T: Debug> = BoundedVec<T, PEERS>;
        type Window<T: Debug> = BoundedDeque<T, WINDOW>;
        type Calls<T: Debug> = BoundedDeque<T, CALLS>;
        type Places<T: Debug> = BoundedVec<T, CALLS>;
        type Nodes = BoundedVec<NodeId, PEERS>;
        type Chunk = BoundedVec<u8, CHUNK>;
        type Items<T: Debug, const N: usize> = BoundedVec<T, N>;
        type Queue<T: Debug, const N: usize> = BoundedDeque<T, N>;
    }

    /// A vector of at most `N` items.
    #[derive(Clone, Debug)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
    pub struct BoundedVec<T, const N: usize>(Vec<T>);

    impl<T, const N: usize> Default for BoundedVec<T, N> {
        fn default() -> Self {
            Self(Vec::new())
        }
    }

    impl<T, const N: usize> Deref for BoundedVec<T, N> {
        type Target = [T];
        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T, const N: usize> DerefMut for BoundedVec<T, N> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }

    impl<T: Debug, const N: usize> List<T> for BoundedVec<T, N> {
        const CAPACITY: usize = N;

        fn with_room(items: usize) -> Self {
            Self(Vec::with_capacity(items.min(N)))
        }

        fn push(&mut self, item: T) -> Result<(), T> {
            if self.0.len() == N {
                return Err(item);
            }
            self.0.push(item);
            Ok(())
        }

        fn remove(&mut self, at: usize) -> Option<T> {
            (at < self.0.len()).then(|| self.0.remove(at))
        }

        fn clear(&mut self) {
            self.0.clear();
        }

        fn shrink(&mut self) {
            self.0.shrink_to_fit();
        }
    }

    /// A double-ended queue of at most `N` items.
    #[derive(Clone, Debug)]
    pub struct BoundedDeque<T, const N: usize>(VecDeque<T>);

    impl<T, const N: usize> Default for BoundedDeque<T, N> {
        fn default() -> Self {
            Self(VecDeque::new())
        }
    }

    impl<T: Debug, const N: usize> Window<T> for BoundedDeque<T, N> {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn get(&self, at: usize) -> Option<&T> {
            self.0.get(at)
        }

        fn get_mut(&mut self, at: usize) -> Option<&mut T> {
            self.0.get_mut(at)
        }

        fn push_back(&mut self, item: T) -> Result<(), T> {
            if self.0.len() == N {
                return Err(item);
            }
            self.0.push_back(item);
            Ok(())
        }

        fn pop_front(&mut self) -> Option<T> {
            self.0.pop_front()
        }

        fn shrink(&mut self) {
            self.0.shrink_to_fit();
        }

        fn truncate(&mut self, len: usize) {
            self.0.truncate(len);
        }

        fn as_slices(&self) -> (&[T], &[T]) {
            self.0.as_slices()
        }
    }
}
