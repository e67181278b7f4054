//! The lines: who wants one key, the oldest first.

use super::Mode;
use crate::space::List;
use crate::{Age, TxId};
use core::borrow::Borrow;

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) age: Age,
    pub(super) tx: TxId,
}

/// What one transaction wants of one key, or holds.
#[derive(Debug)]
pub(super) struct Row<K> {
    pub(super) key: K,
    pub(super) rank: Rank,
    pub(super) mode: Mode,
}

/// Where the line for a key begins, and the line.
pub(super) fn find<'r, K: Borrow<Q>, Q: Ord + ?Sized>(rows: &'r [Row<K>], key: &Q) -> (usize, &'r [Row<K>]) {
    let first = rows.partition_point(|row| row.key.borrow() < key);
    let rest = rows.get(first..).unwrap_or_default();
    // Most lines are short.
    let len = rest.iter().take_while(|row| row.key.borrow() == key).count();
    (first, rest.get(..len).unwrap_or_default())
}

/// The lines for keys that more than one transaction wants.
pub(super) fn contended<K: Ord>(rows: &[Row<K>]) -> impl Iterator<Item = &[Row<K>]> {
    rows.chunk_by(|one, next| one.key == next.key).filter(|line| line.len() > 1)
}

/// Whether something is in the way of one that is in line, or is to be: an older one, holding or waiting, that conflicts with
/// it, or a younger one that holds what conflicts with it.
pub(super) fn is_blocked<K>(line: &[Row<K>], mine: &Row<K>, holds: impl Fn(TxId) -> bool) -> bool {
    let others = line.iter().filter(|row| row.rank != mine.rank && row.mode.conflicts(mine.mode));
    others.into_iter().any(|row| row.rank < mine.rank || holds(row.rank.tx))
}

/// Puts the rows from `first` on, which are of one transaction, in the order of their keys. Of several of one key, one is left,
/// the strictest.
pub(super) fn unite<K: Ord>(rows: &mut impl List<Row<K>>, first: usize) {
    let Some(own) = rows.get_mut(first..) else { return };
    own.sort_unstable_by(|one, next| (&one.key, next.mode).cmp(&(&next.key, one.mode)));
    let mut kept = 0;
    for at in 1..own.len() {
        let is_same = matches!((own.get(kept), own.get(at)), (Some(one), Some(next)) if one.key == next.key);
        if !is_same {
            kept += 1;
            own.swap(kept, at);
        }
    }
    let len = (first + kept + 1).min(rows.len());
    while rows.len() > len {
        let _ = rows.remove(rows.len() - 1);
    }
}

/// Merges two runs of rows that are each in order, the second of which begins at `second`, where they lie (Kim and Kutzner,
/// *Stable minimum storage merging by symmetric comparisons*, 2004, in short). As deep as the second can be halved.
pub(super) fn merge<K: Ord>(rows: &mut [Row<K>], second: usize) {
    let middle = second + (rows.len() - second) / 2;
    let (Some(first), Some(pivot)) = (rows.get(..second), rows.get(middle)) else { return };
    let place = first.partition_point(|row| (&row.key, row.rank) < (&pivot.key, pivot.rank));
    let left = second - place;
    if let Some(between) = rows.get_mut(place..=middle) {
        between.rotate_left(left);
    }
    let (before, after) = rows.split_at_mut(middle - left);
    merge(before, place);
    if let Some((_, after)) = after.split_first_mut() {
        merge(after, left);
    }
}
