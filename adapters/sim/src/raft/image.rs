//! What the records of one node say, replayed as they are written and again as they become durable.

use crate::trace::Trace;
use quorate::codec;
use quorate::raft::{Entry, Record};
use quorate::{Index, NodeId, Position, SnapshotId, Term};
use serde::Serialize;
use std::collections::VecDeque;

/// An entry, as far as it matters: two that have the same are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) term: Term,
    /// A hash of what it holds.
    pub(super) print: u64,
}

/// Turns entries into slots.
#[derive(Debug, Default)]
pub(super) struct Printer(Vec<u8>);

impl Printer {
    pub(super) fn slot<C: Serialize>(&mut self, entry: &Entry<C>) -> Slot {
        self.0.clear();
        codec::put(&entry.content, &mut self.0).expect("a vector is never full");
        let mut hash = Trace::default();
        hash.note_bytes(&self.0);
        Slot { term: entry.term, print: hash.digest() }
    }
}

/// A record, in numbers; its slots lie beside it.
#[derive(Clone, Copy, Debug)]
enum Effect {
    State { term: Term, vote: Option<NodeId> },
    Append { after: Index, count: usize },
    Restart { term: Term, vote: Option<NodeId>, base: Position, count: usize },
    Chunk { of: SnapshotId, end: u64 },
}

/// Term, vote and log of a node.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) term: Term,
    pub(super) vote: Option<NodeId>,
    base: Position,
    slots: VecDeque<Slot>,
    /// A snapshot that is coming in, and how much of it there is.
    incoming: Option<(SnapshotId, u64)>,
    /// Whether one came in whole since the last restart. It may be there still when another, or the same again, comes in.
    pub(super) was_whole: bool,
}

impl Image {
    pub(super) fn last(&self) -> Position {
        let index = Index::new(self.base.index.get() + self.slots.len() as u64);
        Position { term: self.slots.back().map_or(self.base.term, |slot| slot.term), index }
    }

    /// The last entry that is in a snapshot, be it one that the log goes on from or one that just came in whole.
    pub(super) fn snapshot(&self) -> Index {
        self.base.index.max(self.whole_snapshot().unwrap_or_default())
    }

    /// How far the node gets from what is here, snapshots included.
    pub(super) fn reach(&self) -> Index {
        self.last().index.max(self.snapshot())
    }

    pub(super) fn slot(&self, index: Index) -> Option<Slot> {
        let place = index.get().checked_sub(self.base.index.get() + 1)?;
        self.slots.get(place as usize).copied()
    }

    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index { Some(self.base.term) } else { self.slot(index).map(|slot| slot.term) }
    }

    /// Whether the entry at this position is in the log, or in a snapshot that it goes on from.
    pub(super) fn covers(&self, at: Position) -> bool {
        at.index <= self.snapshot() || self.term_at(at.index) == Some(at.term)
    }

    /// The last entry of a snapshot that came in and is whole: the node will go on from there, whatever happens.
    pub(super) fn whole_snapshot(&self) -> Option<Index> {
        self.incoming.filter(|(of, end)| of.size == *end).map(|(of, _)| of.at.index)
    }

    fn apply(&mut self, effect: Effect, slots: impl Iterator<Item = Slot>) {
        match effect {
            Effect::State { term, vote } => (self.term, self.vote) = (term, vote),
            Effect::Append { after, .. } => {
                self.slots.truncate(after.get().saturating_sub(self.base.index.get()) as usize);
                self.slots.extend(slots);
                self.term = self.term.max(self.last().term);
            }
            Effect::Restart { term, vote, base, .. } => {
                (self.term, self.vote, self.base, self.incoming) = (term, vote, base, None);
                self.was_whole = false;
                self.slots.clear();
                self.slots.extend(slots);
            }
            Effect::Chunk { of, end } => {
                self.incoming = Some((of, end));
                self.was_whole |= of.size == end;
            }
        }
    }
}

/// The records of a node: what was written, what of it is durable, and what lies between.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) written: Image,
    pub(super) durable: Image,
    pending: VecDeque<Effect>,
    slots: VecDeque<Slot>,
}

impl Disk {
    /// A record is written.
    pub(super) fn write<C: Serialize>(&mut self, record: &Record<'_, C>, printer: &mut Printer) {
        let before = self.slots.len();
        let effect = match *record {
            Record::State { term, vote } => Effect::State { term, vote },
            Record::Append { after, entries } => {
                entries.for_each(|entry| self.slots.push_back(printer.slot(entry)));
                Effect::Append { after, count: entries.len() }
            }
            Record::Restart { term, vote, snapshot, entries } => {
                entries.for_each(|entry| self.slots.push_back(printer.slot(entry)));
                let base = snapshot.map_or(Position::ORIGIN, |of| of.at);
                Effect::Restart { term, vote, base, count: entries.len() }
            }
            Record::Chunk { of, offset, bytes } => Effect::Chunk { of, end: offset + bytes.len() as u64 },
        };
        self.pending.push_back(effect);
        self.written.apply(effect, self.slots.range(before..).copied());
    }

    /// The oldest record that is not durable becomes so.
    pub(super) fn settle(&mut self) {
        let Some(effect) = self.pending.pop_front() else { return };
        let count = match effect {
            Effect::Append { count, .. } | Effect::Restart { count, .. } => count,
            Effect::State { .. } | Effect::Chunk { .. } => 0,
        };
        self.durable.apply(effect, self.slots.drain(..count));
    }

    /// What is not durable is lost.
    pub(super) fn crash(&mut self) {
        self.pending.clear();
        self.slots.clear();
        let Image { term, vote, base, ref slots, incoming, was_whole } = self.durable;
        (self.written.term, self.written.vote) = (term, vote);
        (self.written.base, self.written.incoming, self.written.was_whole) = (base, incoming, was_whole);
        self.written.slots.clone_from(slots);
    }
}
