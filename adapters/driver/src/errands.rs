//! Errands about snapshots, owned, on their way to storage and back.

use std::collections::VecDeque;

use quorate::codec::Full;
use quorate::{Done, Errand, GroupId, Image, NodeId, Position, SnapshotId};

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
///
/// Images are written one at a time. The groups of the others wait in line, without their images: each may be as large as
/// the whole state of its group, and would be old when its turn comes.
#[derive(Debug, Default)]
pub struct Errands {
    /// Those to be handed to storage.
    pub ready: Vec<Task>,
    /// Those under way, but for the image.
    under_way: Vec<Subject>,
    /// The image that is being written.
    image: Option<Subject>,
    /// Whose images are next, each once.
    line: VecDeque<GroupId>,
}

impl Errands {
    /// Takes an errand up, unless it is under way already or there are too many.
    ///
    /// # Errors
    /// The image cannot be encoded.
    pub fn take_up(&mut self, errand: Errand<'_>, tally: &Tally) -> Result<(), Full> {
        let subject = Subject::of(&errand);
        if let Errand::Write { group, image, .. } = errand {
            return self.take_up_image(group, subject, image, tally);
        }
        if self.under_way.contains(&subject) {
            return Ok(());
        }
        if self.under_way.len() == LIMIT {
            tally.errands_dropped.add(1);
            return Ok(());
        }
        self.under_way.push(subject);
        self.ready.push(Task { subject, image: Vec::new() });
        Ok(())
    }

    fn take_up_image(
        &mut self,
        group: GroupId,
        subject: Subject,
        state: &dyn Image,
        tally: &Tally,
    ) -> Result<(), Full> {
        if let Some(writing) = self.image {
            if writing.image_of() == Some(group) {
                // The machine hears of that one.
                tally.errands_dropped.add(1);
            } else if !self.line.contains(&group) {
                self.line.push_back(group); // each group once
            }
            return Ok(());
        }
        let mut image = Vec::new();
        state.write(&mut image)?;
        self.image = Some(subject);
        self.ready.push(Task { subject, image });
        Ok(())
    }

    /// The group whose image is next, if none is being written: it is to be told that it was turned away.
    pub fn next_in_line(&mut self) -> Option<GroupId> {
        if self.image.is_some() { None } else { self.line.pop_front() }
    }

    /// Notes that an errand came back, and tells what the machine has to know of it.
    #[must_use]
    pub fn finish<'f>(&mut self, finished: &'f Finished, tally: &Tally) -> Option<Done<'f>> {
        self.under_way.retain(|subject| *subject != finished.subject);
        self.image.take_if(|image| *image == finished.subject);
        let done = finished.done();
        if done.is_some() {
            tally.errands.add(1)
        } else {
            tally.errands_dropped.add(1)
        }
        done
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

    /// The group whose image it writes, if it does.
    const fn image_of(&self) -> Option<GroupId> {
        match *self {
            Self::Write { group, .. } => Some(group),
            Self::Read { .. } | Self::Load { .. } => None,
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
    use quorate::{Index, Term};

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

    fn write(errands: &mut Errands, group: u64, index: u64, image: &dyn Image, tally: &Tally) {
        let errand = Errand::Write { group: GroupId::new(group), at: at(index), image };
        errands.take_up(errand, tally).expect("it fits");
    }

    fn written(errands: &mut Errands, tally: &Tally) -> Subject {
        let Task { subject, image } = errands.ready.remove(0);
        let finished = Finished { subject, result: Outcome::Written { size: image.len() as u64 } };
        assert!(matches!(errands.finish(&finished, tally), Some(Done::Written(_))));
        subject
    }

    #[test]
    fn errands_are_bounded_and_each_group_has_one_image_under_way() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        let image = Bytes(b"state");
        for index in [1, 2] {
            write(&mut errands, 0, index, &image, &tally);
        }
        assert_eq!((errands.ready.len(), errands.ready[0].image.as_slice()), (1, &b"state"[..]));
        for offset in 0..1000 {
            errands.take_up(read(offset), &tally).expect("it fits");
        }
        assert_eq!(errands.ready.len(), 1 + LIMIT);
        assert_eq!(tally.read().errands_dropped, 1 + 1000 - LIMIT as u64);
    }

    #[test]
    fn an_image_is_written_however_much_is_read() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        (0..LIMIT as u64).for_each(|offset| errands.take_up(read(offset), &tally).expect("it fits"));
        write(&mut errands, 0, 1, &Bytes(b"state"), &tally);
        assert_eq!((errands.ready.len(), tally.read().errands_dropped), (LIMIT + 1, 0));
    }

    #[test]
    fn images_of_several_groups_are_written_one_after_the_other() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        let image = Bytes(b"state");
        for group in [3, 1, 2, 1] {
            write(&mut errands, group, 9, &image, &tally);
        }
        assert_eq!(written(&mut errands, &tally), Subject::Write { group: GroupId::new(3), at: at(9) });
        // The first in line has nothing to write any more.
        assert_eq!(errands.next_in_line(), Some(GroupId::new(1)));
        assert_eq!(errands.next_in_line(), Some(GroupId::new(2)));
        write(&mut errands, 2, 12, &image, &tally);
        write(&mut errands, 3, 12, &image, &tally);
        assert_eq!(errands.next_in_line(), None, "one at a time");
        assert_eq!(written(&mut errands, &tally), Subject::Write { group: GroupId::new(2), at: at(12) });
        assert_eq!([errands.next_in_line(), errands.next_in_line()], [Some(GroupId::new(3)), None]);
        assert_eq!((errands.ready.len(), tally.read().errands_dropped), (0, 0));
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
