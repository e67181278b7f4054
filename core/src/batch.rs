//! Several items, lent: out of a window, out of a slice, or out of the bytes of a frame.

use crate::durable::Mark;
use core::fmt;

/// What a log replicates. Cheap to clone: a number, an `Arc`, a few bytes inline.
///
/// ```
/// #[derive(Clone, Debug)]
/// struct Add(u32);
/// impl quorate::Command for Add {}
/// ```
pub trait Command: Clone + fmt::Debug + 'static {
    /// About how many bytes it takes in a frame. The byte limits of windows and batches count these.
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

impl Command for u32 {}
impl Command for u64 {}
impl<const N: usize> Command for heapless::Vec<u8, N> {
    fn weight(&self) -> usize {
        self.len() + 2
    }
}
#[cfg(feature = "alloc")]
impl Command for alloc::sync::Arc<[u8]> {
    fn weight(&self) -> usize {
        self.len() + 2
    }
}

/// An item of a window: with the epoch in which it was staged, and where it ends in the weight of all before it.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) item: T,
    pub(crate) mark: Mark,
    pub(crate) end: u64,
}

/// A view of some items, in order.
///
/// What came in a frame was checked as a whole when it was decoded, and is decoded again, item by item, as it is
/// walked: so nothing is copied that is not kept.
pub struct Batch<'a, T>(Form<'a, T>);

enum Form<'a, T> {
    Window(&'a [Held<T>], &'a [Held<T>]),
    Slice(&'a [T]),
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "made by the codec"))]
    Encoded {
        bytes: &'a [u8],
        len: usize,
        next: fn(&mut &[u8]) -> Option<T>,
    },
}

impl<'a, T> Batch<'a, T> {
    /// A view of a slice.
    #[must_use]
    pub const fn of(items: &'a [T]) -> Self {
        Self(Form::Slice(items))
    }

    /// Nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Form::Slice(&[]))
    }

    pub(crate) const fn lent((front, back): (&'a [Held<T>], &'a [Held<T>])) -> Self {
        Self(Form::Window(front, back))
    }

    /// A view of `len` encoded items, which were all seen to decode.
    #[cfg(feature = "serde")]
    pub(crate) const fn encoded(bytes: &'a [u8], len: usize, next: fn(&mut &[u8]) -> Option<T>) -> Self {
        Self(Form::Encoded { bytes, len, next })
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Form::Window(front, back) => front.len() + back.len(),
            Form::Slice(items) => items.len(),
            Form::Encoded { len, .. } => len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first item, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<T>
    where
        T: Clone,
    {
        match self.0 {
            Form::Window(front, back) => front.first().or(back.first()).map(|held| held.item.clone()),
            Form::Slice(items) => items.first().cloned(),
            Form::Encoded { mut bytes, len, next } => (len > 0).then(|| next(&mut bytes)).flatten(),
        }
    }

    /// Shows each item in turn, until one says to stop.
    ///
    /// # Errors
    /// What `visit` said to stop.
    pub fn try_for_each<E>(&self, mut visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        match self.0 {
            Form::Window(front, back) => {
                front.iter().try_for_each(|held| visit(&held.item))?;
                back.iter().try_for_each(|held| visit(&held.item))
            }
            Form::Slice(items) => items.iter().try_for_each(visit),
            Form::Encoded { mut bytes, len, next } => {
                (0..len).map_while(|_| next(&mut bytes)).try_for_each(|item| visit(&item))
            }
        }
    }

    /// Shows each item in turn.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) {
        let Ok(()) = self.try_for_each(|item| {
            visit(item);
            Ok::<(), core::convert::Infallible>(())
        });
    }

    /// Hands out each item in turn, owned, until one is not wanted any more.
    ///
    /// # Errors
    /// What `take` said to stop.
    pub fn try_take<E>(&self, mut take: impl FnMut(T) -> Result<(), E>) -> Result<(), E>
    where
        T: Clone,
    {
        match self.0 {
            Form::Window(front, back) => {
                front.iter().try_for_each(|held| take(held.item.clone()))?;
                back.iter().try_for_each(|held| take(held.item.clone()))
            }
            Form::Slice(items) => items.iter().try_for_each(|item| take(item.clone())),
            Form::Encoded { mut bytes, len, next } => {
                (0..len).map_while(|_| next(&mut bytes)).try_for_each(take)
            }
        }
    }
}

impl<T> Clone for Batch<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Batch<'_, T> {}

impl<T> Clone for Form<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<'_, T> {}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({})", self.len())
    }
}
