//! Commands and queries over keys of several groups: taken apart by group, and what comes of the parts put together.
//!
//! What is taken apart and put together comes to the same as what is left whole, as if all keys were in one group, but for two
//! things: each group's limits are its own, and an answer that is refused for its size may be another one.

use super::limits::{ANSWER_BYTES, Refused};
use super::{Answer, Blob, Change, Command, Objection, Part, Query, Reply, Step, Transaction, capped};
use crate::GroupId;
use alloc::vec::{self, Vec};
use core::mem;

/// Something that was taken apart, if it had to be.
///
/// ```
/// use quorate::GroupId;
/// use quorate::keyspace::{Answer, Change, Command, Reply, Split};
///
/// let group = |key: &[u8]| GroupId::new(key.len() as u64);
/// let delete = |keys: &[&str]| {
///     Command::Change(Change::Delete { keys: keys.iter().map(|&key| key.into()).collect() })
/// };
/// let (near, far) = (delete(&["a", "b"]), delete(&["a", "b", "long"]));
/// assert_eq!(near.clone().split(group), Ok(Split::Whole(GroupId::new(1), near)));
///
/// let Ok(Split::Parts(parts, merge)) = far.split(group) else { panic!("there are keys of two groups") };
/// assert_eq!(parts.iter().map(|(group, _)| group.get()).collect::<Vec<_>>(), [1, 4]);
///
/// // Once both groups have done their part:
/// let gains = vec![vec![Answer::Integer(2)], vec![Answer::Integer(1)]];
/// assert_eq!(merge.committed(gains), Some(Reply::Answer(Answer::Integer(3))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split<T> {
    /// All its keys are in this group. What names no key is the default group's.
    Whole(GroupId, T),
    /// The part of each group that has some of its keys, and how to put together what comes of them.
    Parts(Vec<(GroupId, Part)>, Merge),
}

/// How to put together what comes of the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    steps: Vec<Pieces>,
    /// Whether there was one step that was no transaction.
    is_alone: bool,
}

/// What became of a step: for each piece the part and the step of that, and for each key its piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pieces {
    places: Vec<(usize, usize)>,
    order: Vec<usize>,
}

impl Command {
    /// Takes the command apart, if its keys are in several groups. If they are not, nothing is allocated.
    ///
    /// A transaction that asks for [`Query::Stats`] is about all groups, and so is never whole.
    ///
    /// # Errors
    /// [`Refused::Spans`]: a step of a transaction is one of those that must be done by themselves.
    pub fn split(self, place: impl Fn(&[u8]) -> GroupId) -> Result<Split<Self>, Refused> {
        if let Self::Transaction(Transaction { steps, .. }) = &self
            && steps.iter().any(|step| matches!(step, Step::Query(Query::Stats)))
        {
            return Err(Refused::Spans);
        }
        let home = match only(|visit| self.keys(&mut |key, _| visit(key)), &place) {
            Ok(group) => return Ok(Split::Whole(group.unwrap_or_default(), self)),
            Err(first) => first,
        };
        let mut parts = Parts { place, home, parts: Vec::new() };
        let (steps, is_alone) = match self {
            Self::Change(change) => {
                // It is done in all its groups or in none.
                let all_met = matches!(change, Change::CompareExpire { .. } | Change::CreateAll { .. });
                let pieces = parts.spread_change(change);
                parts.parts.iter_mut().for_each(|(_, part)| part.all_met = all_met);
                (alloc::vec![pieces], true)
            }
            Self::Transaction(Transaction { watched, steps }) => {
                for (key, revision) in watched {
                    let part = parts.of(&key);
                    if let Some((_, part)) = parts.parts.get_mut(part) {
                        part.transaction.watched.push((key, revision));
                    }
                }
                let pieces = steps.into_iter().map(|step| parts.step(step));
                (pieces.collect::<Result<_, _>>()?, false)
            }
        };
        Ok(Split::Parts(parts.parts, Merge { steps, is_alone }))
    }
}

impl Query {
    /// Takes the query apart, if its keys are in several groups. If they are not, nothing is allocated.
    pub fn split(self, place: impl Fn(&[u8]) -> GroupId) -> Split<Self> {
        match only(|visit| self.keys(visit), &place) {
            Ok(group) => Split::Whole(group.unwrap_or_default(), self),
            Err(home) => {
                let mut parts = Parts { place, home, parts: Vec::new() };
                let steps = alloc::vec![parts.spread_query(self)];
                Split::Parts(parts.parts, Merge { steps, is_alone: true })
            }
        }
    }
}

impl Merge {
    /// What comes of it all, when all parts were committed: `gains` are theirs, in the order of the parts. `None` if they are
    /// not what such parts gain.
    pub fn committed(self, mut gains: Vec<Vec<Answer>>) -> Option<Reply> {
        let mut room = ANSWER_BYTES;
        let mut answers = Vec::with_capacity(self.steps.len());
        for Pieces { places, order } in self.steps {
            let taken = places.into_iter().map(|(part, step)| {
                let answer = gains.get_mut(part)?.get_mut(step)?;
                Some(mem::replace(answer, Answer::Unmet))
            });
            let answer = joined(taken.collect::<Option<_>>()?, &order)?;
            answers.push(capped(answer, &mut room));
        }
        if self.is_alone { answers.pop().map(Reply::Answer) } else { Some(Reply::Answers(answers)) }
    }

    /// What comes of it all, when it was aborted since one part objected.
    #[must_use]
    pub fn aborted(self, objection: Objection) -> Reply {
        match objection {
            Objection::Conflict => Reply::Conflict,
            Objection::Unmet(answer) => Reply::Answer(answer),
            Objection::Refused(refused) => Reply::Answer(Answer::Refused(refused)),
        }
    }
}

/// The group of all the keys, if there are any; or that of the first, if there are several.
fn only<'k>(
    keys: impl FnOnce(&mut dyn FnMut(&'k Blob)),
    place: &impl Fn(&[u8]) -> GroupId,
) -> Result<Option<GroupId>, GroupId> {
    let (mut home, mut several) = (None, false);
    keys(&mut |key| {
        let group = place(key);
        several |= *home.get_or_insert(group) != group;
    });
    home.filter(|_| several).map_or(Ok(home), Err)
}

/// The parts as they come about.
struct Parts<P> {
    place: P,
    /// Where steps without keys go.
    home: GroupId,
    parts: Vec<(GroupId, Part)>,
}

impl<P: Fn(&[u8]) -> GroupId> Parts<P> {
    fn step(&mut self, step: Step) -> Result<Pieces, Refused> {
        match only(|visit| step.keys(&mut |key, _| visit(key)), &self.place) {
            Ok(group) => Ok(self.whole(group.unwrap_or(self.home), step)),
            Err(_) => match step {
                Step::Change(Change::CompareExpire { .. } | Change::CreateAll { .. }) => Err(Refused::Spans),
                Step::Change(change) => Ok(self.spread_change(change)),
                Step::Query(query) => Ok(self.spread_query(query)),
            },
        }
    }

    fn whole(&mut self, group: GroupId, step: Step) -> Pieces {
        let part = self.of_group(group);
        Pieces { places: alloc::vec![self.push(part, step)], order: Vec::new() }
    }

    fn spread_change(&mut self, change: Change) -> Pieces {
        match change {
            Change::Delete { keys } => self.spread(keys, itself, |keys| Change::Delete { keys }.into()),
            Change::CompareDelete { keys, value } => self.spread(keys, itself, |keys| {
                Change::CompareDelete { keys, value: value.clone() }.into() //
            }),
            Change::CompareExpire { keys, value, millis, extension } => self.spread(keys, itself, |keys| {
                Change::CompareExpire { keys, value: value.clone(), millis, extension }.into()
            }),
            Change::CreateAll { keys, value, millis } => self.spread(keys, itself, |keys| {
                Change::CreateAll { keys, value: value.clone(), millis }.into() //
            }),
            Change::SetAll { items } => {
                self.spread(items, |(key, _)| key, |items| Change::SetAll { items }.into())
            }
            Change::Set { .. }
            | Change::Add { .. }
            | Change::Expire { .. }
            | Change::Persist { .. }
            // Of one key.
            | Change::CompareOrCreate { .. } => self.whole(self.home, change.into()),
        }
    }

    fn spread_query(&mut self, query: Query) -> Pieces {
        match query {
            Query::GetAll { keys } => self.spread(keys, itself, |keys| Query::GetAll { keys }.into()),
            Query::Exists { keys } => self.spread(keys, itself, |keys| Query::Exists { keys }.into()),
            Query::Get { .. }
            | Query::Remaining { .. }
            | Query::Held { .. }
            | Query::Revision { .. }
            | Query::Fence { .. }
            // Of one key, or of none.
            | Query::Stats => self.whole(self.home, query.into()),
        }
    }

    /// Makes a step for each group that has some of the items.
    fn spread<T>(
        &mut self,
        items: Vec<T>,
        key: impl Fn(&T) -> &Blob,
        step: impl Fn(Vec<T>) -> Step,
    ) -> Pieces {
        let (mut pieces, mut order) = (Vec::<(usize, Vec<T>)>::new(), Vec::with_capacity(items.len()));
        for item in items {
            let part = self.of(key(&item));
            let known = pieces.iter().position(|(of, _)| *of == part);
            order.push(known.unwrap_or(pieces.len()));
            match known.and_then(|piece| pieces.get_mut(piece)) {
                Some((_, items)) => items.push(item),
                None => pieces.push((part, alloc::vec![item])),
            }
        }
        let places = pieces.into_iter().map(|(part, items)| self.push(part, step(items)));
        Pieces { places: places.collect(), order }
    }

    /// The part of the group that has the key.
    fn of(&mut self, key: &Blob) -> usize {
        self.of_group((self.place)(key))
    }

    fn of_group(&mut self, group: GroupId) -> usize {
        self.parts.iter().position(|(of, _)| *of == group).unwrap_or_else(|| {
            self.parts.push((group, Part { transaction: Transaction::default(), all_met: false }));
            self.parts.len() - 1
        })
    }

    /// Adds a step to a part. Says where it is.
    fn push(&mut self, part: usize, step: Step) -> (usize, usize) {
        let steps = self.parts.get_mut(part).map(|(_, part)| &mut part.transaction.steps);
        let at = steps.map_or(0, |steps| {
            steps.push(step);
            steps.len() - 1
        });
        (part, at)
    }
}

const fn itself(key: &Blob) -> &Blob {
    key
}

/// The answer to a step, of those to its pieces.
fn joined(answers: Vec<Answer>, order: &[usize]) -> Option<Answer> {
    if let Some(Answer::Refused(refused)) = answers.iter().find(|answer| matches!(answer, Answer::Refused(_)))
    {
        return Some(Answer::Refused(*refused));
    }
    if let [Answer::Values(_), _, ..] = &answers[..] {
        return in_order(answers, order);
    }
    let mut answers = answers.into_iter();
    let first = answers.next()?;
    answers.try_fold(first, |sum, answer| match (sum, answer) {
        (Answer::Done, Answer::Done) => Some(Answer::Done),
        (Answer::Integer(sum), Answer::Integer(more)) => Some(Answer::Integer(sum.saturating_add(more))),
        (Answer::Compared { equal, absent }, Answer::Compared { equal: more, absent: gone }) => {
            let (equal, absent) = (equal.saturating_add(more), absent.saturating_add(gone));
            Some(Answer::Compared { equal, absent })
        }
        (_, _) => None,
    })
}

/// The values of the pieces, each where its key was.
fn in_order(answers: Vec<Answer>, order: &[usize]) -> Option<Answer> {
    let values = |answer| if let Answer::Values(values) = answer { Some(values.into_iter()) } else { None };
    let mut pieces: Vec<vec::IntoIter<_>> = answers.into_iter().map(values).collect::<Option<_>>()?;
    let merged = order.iter().map(|&piece| pieces.get_mut(piece)?.next());
    merged.collect::<Option<_>>().map(Answer::Values)
}
