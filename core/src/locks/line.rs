//! The lines: who wants one key, the oldest first.

use super::Mode;
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

/// Whether something is in the way of the one at `at`: an older one, holding or waiting, that conflicts with it, or a younger
/// one that holds what conflicts with it.
pub(super) fn is_blocked<K>(line: &[Row<K>], at: usize, holds: impl Fn(TxId) -> bool) -> bool {
    let Some((mine, older)) = line.get(..=at).and_then(<[_]>::split_last) else { return false };
    let younger = line.get(at + 1..).unwrap_or_default();
    older.iter().any(|row| row.mode.conflicts(mine.mode))
        || younger.iter().any(|row| row.mode.conflicts(mine.mode) && holds(row.rank.tx))
}
