//! Errands about snapshots, owned, on their way to storage and back.

use std::collections::VecDeque;

use quorate::codec::{Full, Sink};
use quorate::{Done, Errand, GroupId, Image, NodeId, Position, SnapshotId};

use crate::counters::Tally;

/// Errands under way at once. One that is dropped comes again, since machines derive them from state.
const LIMIT: usize = 64;

/// Bytes of images that may wait while another is written. One that is alone, or that was turned away before, may be
/// longer: an image may be as large as the whole state of its group.
const IMAGE_BYTES: usize = 8 << 20;

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
/// Images are written one at a time, and at most one of each group is on its way. Machines ask again only after long, so
/// short ones wait here for their turn.
#[derive(Debug, Default)]
pub struct Errands {
    /// Those to be handed to storage.
    pub ready: Vec<Task>,
    under_way: Vec<Subject>,
    /// Images that wait until the one before them is written.
    images: VecDeque<Task>,
    /// Whose image there was no room for: the next time there is.
    turned_away: Option<GroupId>,
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
        if self.under_way.len() == LIMIT {
            tally.errands_dropped.add(1);
            return Ok(());
        }
        if let Errand::Write { group, image, .. } = errand {
            return self.take_up_image(group, subject, image, tally);
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
        let images = || self.under_way.iter().filter_map(Subject::image_of);
        let (is_alone, has_another) = (images().count() == 0, images().any(|other| other == group));
        let waiting = self.images.iter().map(|task| task.image.len()).sum();
        let room = if is_alone || self.turned_away == Some(group) {
            usize::MAX
        } else {
            IMAGE_BYTES.saturating_sub(waiting)
        };
        let mut bytes = Bounded { bytes: Vec::new(), room };
        if has_another {
            tally.errands_dropped.add(1);
            return Ok(());
        }
        match state.write(&mut bytes) {
            Err(Full) if room < usize::MAX => {
                tally.errands_dropped.add(1);
                self.turned_away.get_or_insert(group);
                return Ok(());
            }
            written => written?,
        }
        self.turned_away.take_if(|turned_away| *turned_away == group);
        self.under_way.push(subject);
        let task = Task { subject, image: bytes.bytes };
        if is_alone {
            self.ready.push(task);
        } else {
            self.images.push_back(task);
        }
        Ok(())
    }

    /// Notes that an errand came back, and tells what the machine has to know of it.
    #[must_use]
    pub fn finish<'f>(&mut self, finished: &'f Finished, tally: &Tally) -> Option<Done<'f>> {
        self.under_way.retain(|subject| *subject != finished.subject);
        if finished.subject.image_of().is_some() {
            self.ready.extend(self.images.pop_front());
        }
        let done = finished.done();
        if done.is_some() {
            tally.errands.add(1)
        } else {
            tally.errands_dropped.add(1)
        }
        done
    }
}

/// Takes so many bytes, and is full then.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl Sink for Bounded {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.room = self.room.checked_sub(bytes.len()).ok_or(Full)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
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
        assert_eq!(errands.ready.len(), LIMIT);
        assert_eq!(tally.read().errands_dropped, 1 + 1000 - (LIMIT as u64 - 1));
    }

    #[test]
    fn images_of_several_groups_are_written_one_after_the_other() {
        let (mut errands, tally) = (Errands::default(), Tally::default());
        for group in [3, 1, 2] {
            write(&mut errands, group, 9, &Bytes(b"state"), &tally);
        }
        for group in [3, 1, 2] {
            assert_eq!(errands.ready.len(), 1, "one at a time");
            let of = GroupId::new(group);
            assert_eq!(written(&mut errands, &tally), Subject::Write { group: of, at: at(9) });
        }
        assert_eq!((errands.ready.len(), tally.read().errands_dropped), (0, 0));
    }

    #[test]
    fn a_large_image_that_was_turned_away_is_taken_up_the_next_time() {
        static LARGE: [u8; IMAGE_BYTES + 1] = [0; IMAGE_BYTES + 1];
        let (mut errands, tally) = (Errands::default(), Tally::default());
        write(&mut errands, 0, 1, &Bytes(b"small"), &tally);
        for group in [1, 2] {
            write(&mut errands, group, 1, &Bytes(&LARGE), &tally);
        }
        assert_eq!((errands.images.len(), tally.read().errands_dropped), (0, 2));
        // Others keep the disk busy, and it has its turn.
        written(&mut errands, &tally);
        write(&mut errands, 0, 2, &Bytes(b"small"), &tally);
        for group in [2, 1, 2] {
            write(&mut errands, group, 1, &Bytes(&LARGE), &tally);
        }
        written(&mut errands, &tally);
        let first = errands.ready[0].subject;
        assert_eq!(first, Subject::Write { group: GroupId::new(1), at: at(1) });
        // So has the other, which was turned away after it.
        write(&mut errands, 2, 1, &Bytes(&LARGE), &tally);
        assert_eq!(errands.images.len(), 1);
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
