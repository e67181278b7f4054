//! What holds keys in a group, or waits for them.

use super::HELD_BYTES;
use super::transactional::Transactional;
use crate::{Age, Command, GroupId, Timestamp, TxId};
use alloc::collections::BTreeMap;
use core::ops::Deref;

/// A transaction that holds something here, or waits.
#[derive(Debug)]
pub(super) enum Row<A: Transactional> {
    /// A part.
    Part(Part<A>),
    /// Something that waits in line for itself.
    Line { item: Item<A>, is_turn: bool, due: Timestamp },
}

#[derive(Debug)]
pub(super) struct Part<A: Transactional> {
    pub(super) age: Age,
    pub(super) home: GroupId,
    pub(super) until: Timestamp,
    pub(super) since: Timestamp,
    /// When to look whether it is over.
    pub(super) due: Timestamp,
    pub(super) work: A::Work,
    pub(super) stage: Stage<A::Gain, A::Objection>,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stage<G, O> {
    /// It waits for its keys.
    Waiting,
    /// It is promised.
    Promised(G),
    /// It waited, and then could not be done.
    Objecting(O),
    /// An operator settled it. What was decided is still to be heard.
    Forced(bool),
}

/// What waits in line.
#[derive(Debug)]
pub(super) enum Item<A: Transactional> {
    Command(A::Command),
    Work(A::Work),
    Look,
}

impl<A: Transactional> Row<A> {
    pub(super) const fn due(&self) -> Timestamp {
        match self {
            Self::Part(Part { due, .. }) | Self::Line { due, .. } => *due,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Part(part) => part.work.weight(),
            Self::Line { item, .. } => item.weight(),
        }
    }
}

impl<A: Transactional> Item<A> {
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Command(command) => command.weight(),
            Self::Work(work) => work.weight(),
            // Its keys are with the locks.
            Self::Look => 0,
        }
    }
}

/// All that holds keys or waits for them, by name, with what it weighs together.
#[derive(Debug)]
pub(super) struct Rows<A: Transactional> {
    rows: BTreeMap<TxId, Row<A>>,
    bytes: usize,
}

impl<A: Transactional> Default for Rows<A> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), bytes: 0 }
    }
}

impl<A: Transactional> Rows<A> {
    /// Whether there is room for one more, of this weight.
    pub(super) const fn has_room(&self, weight: usize) -> bool {
        self.bytes.saturating_add(weight) <= HELD_BYTES
    }

    /// Puts a row in its place, and returns the one that was there.
    pub(super) fn insert(&mut self, tx: TxId, row: Row<A>) -> Option<Row<A>> {
        self.bytes = self.bytes.saturating_add(row.weight());
        let before = self.rows.insert(tx, row);
        self.bytes -= before.as_ref().map_or(0, Row::weight);
        before
    }

    pub(super) fn remove(&mut self, tx: TxId) -> Option<Row<A>> {
        let row = self.rows.remove(&tx);
        self.bytes -= row.as_ref().map_or(0, Row::weight);
        row
    }

    /// What happens to it leaves its weight as it is.
    pub(super) fn get_mut(&mut self, tx: TxId) -> Option<&mut Row<A>> {
        self.rows.get_mut(&tx)
    }
}

impl<A: Transactional> Deref for Rows<A> {
    type Target = BTreeMap<TxId, Row<A>>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}
