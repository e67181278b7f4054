//! Errands about snapshots, owned, on their way to storage and back.

use quorate::codec::Full;
use quorate::{Done, Errand, GroupId, NodeId, Position, SnapshotId};

use crate::counters::Tally;

/// Errands under way at once. One that is dropped comes again, since machines derive them from state.
const LIMIT: usize = 64;

/// What an errand is about. Two that are equal are the same errand, asked for twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Writing the state out.
    Write {
        /// The log it goes with.
        group: GroupId,
        /// The last entry it covers.
        at: Position,
    },
    /// Reading a piece of a snapshot, for a peer.
    Read {
        /// The peer that it is for.
        to: NodeId,
        /// The snapshot.
        of: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
    /// Reading a whole snapshot.
    Load {
        /// The snapshot.
        of: SnapshotId,
    },
}

/// An errand for the storage thread.
#[derive(Debug)]
pub struct Task {
    /// What it is about.
    pub subject: Subject,
    /// What to write; empty for the others.
    pub image: Vec<u8>,
}

/// An errand that came back.
#[derive(Debug)]
pub struct Finished {
    /// What it was about.
    pub subject: Subject,
    /// How it ended.
    pub result: Outcome,
}

/// How an errand ended, if storage did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// The image is durable.
    Written {
        /// Its length in bytes.
        size: u64,
    },
    /// What was read.
    Bytes(Vec<u8>),
    /// There is no such snapshot any more.
    Missing,
}

/// The errands of one machine: those to be handed to storage, and those under way.
#[derive(Debug, Default)]
pub struct Errands {
    /// Those to be handed to storage.
    pub ready: Vec<Task>,
    under_way: Vec<Subject>,
}

impl Errands {
    /// Takes an errand up, unless it is under way already or there are too many.
    ///
    /// # Errors
    /// The image cannot be encoded.
    pub fn take_up(&mut self, errand: Errand<'_>, tally: &Tally) -> Result<(), Full> {
        let subject = Subject::of(&errand);
        if self.under_way.contains(&subject) {
            return Ok(());
        }
        if self.under_way.len() == LIMIT || self.has_another_image(&subject) {
            tally.errands_dropped.add(1);
            return Ok(());
        }
        let mut image = Vec::new();
        if let Errand::Write { image: state, .. } = errand {
            state.write(&mut image)?;
        }
        self.under_way.push(subject);
        self.ready.push(Task { subject, image });
        Ok(())
    }

    /// Notes that an errand came back, and tells what the machine has to know of it.
    #[must_use]
    pub fn finish<'f>(&mut self, finished: &'f Finished, tally: &Tally) -> Option<Done<'f>> {
        self.under_way.retain(|subject| *subject != finished.subject);
        let done = finished.done();
        if done.is_some() {
            tally.errands.add(1)
        } else {
            tally.errands_dropped.add(1)
        }
        done
    }

    /// An image may be as large as the whole state, so there is one at a time.
    fn has_another_image(&self, subject: &Subject) -> bool {
        let is_write = |subject: &Subject| matches!(subject, Subject::Write { .. });
        is_write(subject) && self.under_way.iter().any(is_write)
    }
}

impl Subject {
    fn of(errand: &Errand<'_>) -> Self {
        match *errand {
            Errand::Write { group, at, .. } => Self::Write { group, at },
            Errand::Read { to, of, offset, len } => Self::Read { to, of, offset, len },
            Errand::Load { of } => Self::Load { of },
        }
    }
}

impl Finished {
    fn done(&self) -> Option<Done<'_>> {
        match (self.subject, &self.result) {
            (_, Outcome::Missing) => None,
            (Subject::Write { group, at }, Outcome::Written { size }) => {
                Some(Done::Written(SnapshotId { group, at, size: *size }))
            }
            (Subject::Read { to, of, offset, len }, Outcome::Bytes(bytes)) if bytes.len() == len => {
                Some(Done::Read { to, of, offset, bytes })
            }
            (Subject::Load { of }, Outcome::Bytes(bytes)) if bytes.len() as u64 == of.size => {
                Some(Done::Loaded { of, bytes })
            }
            (Subject::Write { .. }, Outcome::Bytes(_))
            | (Subject::Read { .. } | Subject::Load { .. }, Outcome::Written { .. } | Outcome::Bytes(_)) => {
                None
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use quorate::codec::Sink;
    use quorate::{Image, Index, Term};

    struct Bytes(&'static [u8]);

    impl Image for Bytes {
        fn write(&self, sink: &mut dyn Sink) -> Result<(), Full> {
            sink.put(self.0)
        }
    }

    fn at(index: u64) -> Position {
        Position { term: Term::new(1), index: Index::new(index) }
    }

    fn read(offset: u64) -> Errand<'static> {
        let of = SnapshotId::new(at(9), 1000);
        Errand::Read { to: NodeId::new(2), of, offset, len: 4 }
    }

    #[test]
    fn an_errand_that_comes_again_is_under_way_once_until_it_is_answered() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        for _ in 0..3 {
            errands.take_up(read(0), &tally).expect("it fits");
        }
        assert_eq!(errands.ready.len(), 1);
        let task = errands.ready.remove(0);
        let finished = Finished { subject: task.subject, result: Outcome::Bytes(vec![0; 4]) };
        assert!(matches!(errands.finish(&finished, &tally), Some(Done::Read { bytes: [0, 0, 0, 0], .. })));
        errands.take_up(read(0), &tally).expect("it fits");
        assert_eq!(errands.ready.len(), 1);
    }

    #[test]
    fn errands_are_bounded_and_images_come_one_at_a_time() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        let image = Bytes(b"state");
        for index in [1, 2] {
            errands
                .take_up(Errand::Write { group: GroupId::default(), at: at(index), image: &image }, &tally)
                .expect("it fits");
        }
        assert_eq!((errands.ready.len(), errands.ready[0].image.as_slice()), (1, &b"state"[..]));
        for offset in 0..1000 {
            errands.take_up(read(offset), &tally).expect("it fits");
        }
        assert_eq!(errands.ready.len(), LIMIT);
        assert_eq!(tally.read().errands_dropped, 1 + 1000 - (LIMIT as u64 - 1));
    }

    #[test]
    fn what_storage_no_longer_has_is_not_told_to_the_machine() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        for result in [Outcome::Missing, Outcome::Bytes(vec![0; 3])] {
            errands.take_up(read(0), &tally).expect("it fits");
            let finished = Finished { subject: errands.ready.remove(0).subject, result };
            assert!(errands.finish(&finished, &tally).is_none(), "three bytes are not the four asked for");
        }
    }
}
