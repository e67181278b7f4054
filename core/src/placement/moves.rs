//! What moves between two rings, or between one with a node and without it.

use super::Placed;
use super::ring::{Member, RANK};
use core::iter::Peekable;

/// A range of hashes that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move<N> {
    /// The first hash of the range.
    pub first: u64,
    /// The last hash of the range.
    pub last: u64,
    /// Who has it before.
    pub from: N,
    /// Who has it after.
    pub to: N,
}

impl<N> Move<N> {
    /// Whether what has this hash moves.
    ///
    /// ```
    /// use quorate::placement::{Ring, hash};
    /// use quorate::space::Fixed;
    ///
    /// let ring = Ring::<u64, Fixed<0, 0>, 2, 200>::of([(1, 100), (2, 100)])?;
    /// let moves = ring.leaving(2).any(|part| part.contains(hash(b"account:17")));
    /// assert_eq!(moves, ring.owner_of(b"account:17") == 2);
    /// # Ok::<(), quorate::placement::Refusal<u64>>(())
    /// ```
    #[must_use]
    pub const fn contains(&self, hash: u64) -> bool {
        self.first <= hash && hash <= self.last
    }
}

/// All that moves: ranges of hashes in their order, none of which overlap, and nothing else.
///
/// Neighbours that move alike are one. What goes on around the end of the hashes is two: the last and the first.
#[derive(Debug)]
pub struct Moves<'a, N: Placed> {
    parts: Peekable<Parts<'a, N>>,
}

impl<'a, N: Placed> Moves<'a, N> {
    pub(super) fn between(before: Side<'a, N>, after: Side<'a, N>) -> Self {
        Self { parts: Parts { before, after, start: Some(0) }.peekable() }
    }
}

impl<N: Placed> Iterator for Moves<'_, N> {
    type Item = Move<N>;

    fn next(&mut self) -> Option<Move<N>> {
        let mut whole = self.parts.find(|part| !same(part.from, part.to))?;
        while let Some(next) =
            self.parts.next_if(|next| same(next.from, whole.from) && same(next.to, whole.to))
        {
            whole.last = next.last;
        }
        Some(whole)
    }
}

/// One of the two rings, walked by both in step.
#[derive(Clone, Debug)]
pub(super) struct Side<'a, N> {
    /// The points that are not yet passed.
    points: &'a [u64],
    members: &'a [Member<N>],
    /// The rank of a node that is to be thought away.
    without: Option<usize>,
    /// To whom belongs what is after the last point. Nobody, if the only node is thought away: then nothing moves.
    first: Option<N>,
}

impl<'a, N: Placed> Side<'a, N> {
    pub(super) fn new(points: &'a [u64], members: &'a [Member<N>], without: Option<usize>) -> Self {
        let mut side = Self { points, members, without, first: None };
        side.first = side.head().map(|(_, node)| node);
        side
    }

    /// The next point and its node.
    fn head(&mut self) -> Option<(u64, N)> {
        while let Some((point, rest)) = self.points.split_first() {
            let rank = (point & RANK) as usize;
            if Some(rank) != self.without {
                return self.members.get(rank).map(|member| (point | RANK, member.node));
            }
            self.points = rest;
        }
        None
    }

    /// Passes all points up to this hash.
    fn pass(&mut self, last: u64) {
        while let Some((point, rest)) = self.points.split_first()
            && *point <= last
        {
            self.points = rest;
        }
    }
}

/// The ranges between any two neighbouring points of both sides, whether they move or not.
#[derive(Clone, Debug)]
struct Parts<'a, N> {
    before: Side<'a, N>,
    after: Side<'a, N>,
    /// The first hash after the last range.
    start: Option<u64>,
}

impl<N: Placed> Iterator for Parts<'_, N> {
    type Item = Move<N>;

    fn next(&mut self) -> Option<Move<N>> {
        let first = self.start?;
        let (before, after) = (self.before.head(), self.after.head());
        let ends = before.into_iter().chain(after).map(|(last, _)| last);
        let last = ends.min().unwrap_or(u64::MAX);
        let from = before.map(|(_, node)| node).or(self.before.first)?;
        let to = after.map(|(_, node)| node).or(self.after.first)?;
        self.before.pass(last);
        self.after.pass(last);
        self.start = last.checked_add(1);
        Some(Move { first, last, from, to })
    }
}

fn same<N: Placed>(one: N, other: N) -> bool {
    one.number() == other.number()
}
