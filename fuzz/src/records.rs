//! Records as a machine could have written them, and what becomes of them on a bad day.

use crate::Tape;
use crate::live::Subject;
use crate::peer;
use crate::store::Store;
use quorate::codec::{VERSION, put};
use quorate::raft::{Role, Status};
use quorate::{Index, NodeId, Position, SnapshotId, Term};

/// What a log says, and where it ends.
pub struct Story {
    pub store: Store,
    pub term: u64,
    pub base: u64,
    /// The terms of the entries after the base.
    pub terms: Vec<u64>,
    base_term: u64,
    /// The most entries that there were at a time.
    pub longest: usize,
}

impl Story {
    /// A story that holds together, as the tape tells it.
    pub fn of<M: Subject>(tape: &mut Tape<'_>) -> Self {
        let mut story =
            Self { store: Store::default(), term: 0, base: 0, terms: Vec::new(), base_term: 0, longest: 0 };
        for _ in 0..tape.below(24) {
            let mut record = vec![VERSION];
            match tape.below(8) {
                0 | 1 => {
                    story.term += tape.below(3) as u64;
                    record.push(0);
                    put_all(&mut record, &(story.term, tape.flag().then_some(1 + tape.below(3) as u64)));
                }
                2 => story.put_restart::<M>(tape, &mut record),
                3 => {
                    // Its place is beside the log; in the log it says nothing.
                    let of = SnapshotId::new(Position::ORIGIN, 3);
                    record.push(3);
                    put_all(&mut record, &(of, 0_u64));
                    record.extend(b"\x03abc");
                }
                _ => story.put_append::<M>(tape, &mut record),
            }
            story.store.records.push(record);
        }
        story
    }

    pub fn last(&self) -> u64 {
        self.base + self.terms.len() as u64
    }

    fn last_term(&self) -> u64 {
        self.terms.last().copied().unwrap_or(self.base_term)
    }

    fn put_append<M: Subject>(&mut self, tape: &mut Tape<'_>, record: &mut Vec<u8>) {
        self.terms.truncate(self.terms.len() - tape.below(4).min(self.terms.len()));
        record.push(1);
        put_all(record, &self.last());
        self.put_entries::<M>(tape, record);
    }

    fn put_restart<M: Subject>(&mut self, tape: &mut Tape<'_>, record: &mut Vec<u8>) {
        record.push(2);
        let snapshot = tape.flag().then(|| {
            let at = Position { term: Term::new(self.last_term()), index: Index::new(self.last()) };
            let bytes = tape.slice().to_vec();
            let of = SnapshotId::new(at, bytes.len() as u64);
            self.store.snapshots = vec![(of, bytes)];
            of
        });
        if snapshot.is_none() {
            self.store.snapshots.clear();
        }
        self.base = snapshot.map_or(0, |of| of.at.index.get());
        self.base_term = snapshot.map_or(0, |of| of.at.term.get());
        self.terms.clear();
        put_all(record, &(self.term, tape.flag().then_some(2_u64), snapshot));
        self.put_entries::<M>(tape, record);
    }

    /// A few entries of the current term.
    fn put_entries<M: Subject>(&mut self, tape: &mut Tape<'_>, record: &mut Vec<u8>) {
        let count = tape.below(5) as u64;
        put_all(record, &count);
        for _ in 0..count {
            put_all(record, &self.term);
            if tape.byte() < 64 {
                record.push(0);
            } else {
                record.push(1);
                M::put_command(tape, record);
            }
            self.terms.push(self.term);
        }
        self.longest = self.longest.max(self.terms.len());
    }
}

fn put_all(record: &mut Vec<u8>, what: &impl serde::Serialize) {
    put(what, record).expect("a vector is never full");
}

/// Records that need not fit each other, each well-formed.
pub fn put_any<M: Subject>(tape: &mut Tape<'_>, record: &mut Vec<u8>) {
    let status = Status {
        id: NodeId::new(1),
        role: Role::Follower,
        term: Term::new(3),
        leader: None,
        commit: Index::new(2),
        applied: Index::new(1),
        last: Index::new(5),
    };
    let tag = tape.below(3) as u8;
    record.extend([VERSION, tag]);
    match tag {
        0 => return put_all(record, &(tape.near(&[3]), Some(tape.near(&[1, 2])))),
        1 => put_all(record, &tape.near(&[0, 2, 5])),
        _ => {
            let snapshot = tape.flag().then(|| ((tape.near(&[3]), tape.near(&[0, 5])), tape.near(&[40])));
            put_all(record, &(tape.near(&[3]), Some(2_u64), snapshot));
        }
    }
    peer::put_entries(tape, &status, record, &mut M::put_command);
}

/// What becomes of records: flipped, cut, lost, doubled, swapped. Tells whether anything did.
pub fn damage(tape: &mut Tape<'_>, records: &mut Vec<Vec<u8>>) -> bool {
    let mut done = false;
    for _ in 0..tape.below(5) {
        if records.is_empty() {
            break;
        }
        done = true;
        let (what, which, at) = (tape.byte(), tape.below(records.len()), usize::from(tape.byte()));
        match what % 5 {
            0 => {
                let record = &mut records[which];
                let at = at % record.len().max(1);
                if let Some(byte) = record.get_mut(at) {
                    *byte ^= 1 << (what >> 5);
                }
            }
            1 => records[which].truncate(at),
            2 => _ = records.remove(which),
            3 => {
                let twin = records[which].clone();
                records.insert(at % (records.len() + 1), twin);
            }
            _ => {
                let other = at % records.len();
                records.swap(which, other);
            }
        }
    }
    done
}
