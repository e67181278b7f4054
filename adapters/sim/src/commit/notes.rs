//! What the records of each node say, and which of it is durable.

use crate::subject::{At, Check, holds};
use quorate::two_phase::{Message, Promise, Record, Side, Vote};
use quorate::{NodeId, TxId};
use std::collections::{HashSet, VecDeque};

/// What a record says that messages depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Note {
    Promised(TxId, Promise),
    Committed(TxId),
    /// It did something: at once, or as was decided.
    Over(TxId),
    /// It did all up to this.
    Past(TxId),
    /// An operator decided.
    Forced(TxId, bool),
}

#[derive(Debug, Default)]
struct Disk {
    unsynced: VecDeque<Vec<Note>>,
    durable: HashSet<Note>,
}

/// The disks of all nodes.
#[derive(Debug, Default)]
pub(super) struct Notes {
    disks: Vec<Disk>,
}

impl Notes {
    pub(super) fn of(nodes: usize) -> Self {
        Self { disks: (0..nodes).map(|_| Disk::default()).collect() }
    }

    fn disk(&mut self, node: NodeId) -> &mut Disk {
        &mut self.disks[node.get() as usize - 1]
    }

    pub(super) fn on_record<W>(&mut self, node: NodeId, record: &Side<Record<'_, W>, Record<'_, W>>) {
        let mut notes = Vec::new();
        match record {
            Side::Coordinator(record) => note(record, &mut notes),
            Side::Participant(record) => note(record, &mut notes),
        }
        self.disk(node).unsynced.push_back(notes);
    }

    pub(super) fn on_durable(&mut self, node: NodeId, count: usize) {
        let disk = self.disk(node);
        disk.durable.extend(disk.unsynced.drain(..count).flatten());
    }

    pub(super) fn on_crash(&mut self, node: NodeId) {
        self.disk(node).unsynced.clear();
    }

    /// What an operator decided at a node, if that is durable.
    pub(super) fn forced(&self, node: NodeId, tx: TxId) -> Option<bool> {
        let disk = &self.disks[node.get() as usize - 1];
        [false, true].into_iter().find(|&commit| disk.durable.contains(&Note::Forced(tx, commit)))
    }

    /// Whether it is durable at a node that a transaction is over.
    pub(super) fn is_over(&self, node: NodeId, tx: TxId) -> bool {
        let durable = &self.disks[node.get() as usize - 1].durable;
        let reaches = |past: &TxId| past.coordinator == tx.coordinator && past.number >= tx.number;
        durable.contains(&Note::Over(tx))
            || durable.iter().any(|note| matches!(note, Note::Past(past) if reaches(past)))
    }

    /// Whether it is durable at its coordinator that all do it.
    pub(super) fn is_decided(&self, tx: TxId) -> bool {
        self.disks[tx.coordinator.get() as usize - 1].durable.contains(&Note::Committed(tx))
    }

    /// Nothing is said before it is durable, by one that writes or only reads.
    pub(super) fn on_sent<W>(&self, at: At, writes: bool, message: &Message<'_, W>) -> Check {
        let has = |note| self.disks[at.node.get() as usize - 1].durable.contains(&note);
        let is_over = |tx| self.is_over(at.node, tx);
        let is_durable = match *message {
            Message::Vote { tx, vote: Vote::Yes(promise), .. } => has(Note::Promised(tx, promise)),
            Message::Vote { tx, vote: Vote::ReadOnly, .. } => {
                has(Note::Promised(tx, Promise::default())) || is_over(tx)
            }
            // Of who only read nothing is recorded.
            Message::Decision { tx, commit: true, of } if of != Promise::default() => self.is_decided(tx),
            Message::Done { tx, .. } => !writes || is_over(tx),
            Message::Vote { .. }
            | Message::Decision { .. }
            | Message::Prepare { .. }
            | Message::Ask { .. }
            | Message::Wound { .. } => true,
        };
        holds(is_durable, "what is said is durable", || format!("{} speaks of {}", at.node, message.tx()))
    }
}

fn note<W>(record: &Record<'_, W>, notes: &mut Vec<Note>) {
    match *record {
        Record::Promised { tx, promise, .. } => notes.push(Note::Promised(tx, promise)),
        Record::Committed { tx, .. } => notes.push(Note::Committed(tx)),
        Record::Ended { tx } | Record::Kept { tx } => notes.push(Note::Over(tx)),
        Record::Restart(ref records) => records.for_each(&mut |record| note(&record, notes)),
        Record::Past { coordinator, number } => notes.push(Note::Past(TxId { coordinator, number })),
        Record::Forced { tx, commit } => notes.push(Note::Forced(tx, commit)),
        Record::Numbered { .. } | Record::Refused { .. } => {}
    }
}
