//! Commands and queries over keys of several groups, taken apart and put together.

use quorate::GroupId;
use quorate::keyspace::{Answer, Blob, Change, Command, Query, Refused, Reply, Step, Transaction};
use std::slice::from_ref;

/// One group's part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What to look at and to do.
    pub transaction: Transaction,
    /// Whether a condition that is not met is an objection.
    pub all_met: bool,
}

/// Why a part cannot be done, and so none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Something that was watched has changed.
    Conflict,
    /// A condition is not met; the answer says which way.
    Unmet(Answer),
    /// It is beyond a limit.
    Refused(Refused),
}

/// Something that was taken apart, if that had to be.
#[derive(Debug)]
pub(crate) enum Split<T> {
    /// All its keys are in this group.
    Whole(GroupId, T),
    /// Its parts, and how to put together what comes of them.
    Parts(Vec<(GroupId, Part)>, Merge),
}

/// How to put together what comes of the parts.
#[derive(Debug)]
pub(crate) struct Merge {
    steps: Vec<Pieces>,
    /// There is but one step, which was no transaction.
    is_alone: bool,
}

/// The pieces of a step, each by its part and its place in that, and which piece has the first key, the second, ...
#[derive(Debug, Default)]
struct Pieces {
    places: Vec<(usize, usize)>,
    order: Vec<usize>,
}

/// Takes a command apart.
///
/// # Errors
/// A step is of a kind that cannot be.
pub(crate) fn command(command: Command, place: impl Fn(&[u8]) -> GroupId) -> Result<Split<Command>, Refused> {
    if let Some(group) = only(&keys_of(&command), &place) {
        return Ok(Split::Whole(group, command));
    }
    let mut drafts = Drafts { place, parts: Vec::new() };
    let (steps, is_alone) = match &command {
        Command::Change(change) => (vec![drafts.change(change, true)], true),
        Command::Transaction(Transaction { watched, steps }) => {
            for (key, revision) in watched {
                let part = drafts.part(key);
                drafts.parts[part].1.transaction.watched.push((key.clone(), *revision));
            }
            let taken = steps.iter().map(|step| match step {
                Step::Change(change) => drafts.change(change, false),
                Step::Query(query) => drafts.query(query),
            });
            (taken.collect(), false)
        }
    };
    Ok(Split::Parts(drafts.parts, Merge { steps, is_alone }))
}

/// Takes a query apart.
pub(crate) fn query(query: Query, place: impl Fn(&[u8]) -> GroupId) -> Split<Query> {
    if let Some(group) = only(&keys_of_query(&query), &place) {
        return Split::Whole(group, query);
    }
    let mut drafts = Drafts { place, parts: Vec::new() };
    let steps = vec![drafts.query(&query)];
    Split::Parts(drafts.parts, Merge { steps, is_alone: true })
}

impl Merge {
    /// What comes of it when all parts were carried out.
    pub(crate) fn committed(self, gains: Vec<Vec<Answer>>) -> Reply {
        let answer = |pieces: &Pieces| {
            let of = |(part, step): &(usize, usize)| {
                gains.get(*part).and_then(|gain| gain.get(*step)).cloned().unwrap_or(Answer::Unmet)
            };
            joined(pieces.places.iter().map(of).collect(), &pieces.order)
        };
        let mut answers = self.steps.iter().map(answer).collect::<Vec<_>>();
        match answers.pop() {
            Some(answer) if self.is_alone => Reply::Answer(answer),
            last => Reply::Answers(answers.into_iter().chain(last).collect()),
        }
    }

    /// What comes of it when none was.
    pub(crate) fn aborted(self, objection: Objection) -> Reply {
        match objection {
            Objection::Conflict => Reply::Conflict,
            Objection::Unmet(answer) => Reply::Answer(answer),
            Objection::Refused(refused) => Reply::Answer(Answer::Refused(refused)),
        }
    }
}

/// Makes a change of some of its keys.
type Make<'c> = Box<dyn Fn(Vec<Blob>) -> Change + 'c>;

struct Drafts<P> {
    place: P,
    parts: Vec<(GroupId, Part)>,
}

impl<P: Fn(&[u8]) -> GroupId> Drafts<P> {
    fn part(&mut self, key: &Blob) -> usize {
        let group = (self.place)(key);
        self.parts.iter().position(|(of, _)| *of == group).unwrap_or_else(|| {
            let part = Part { transaction: Transaction::default(), all_met: false };
            self.parts.push((group, part));
            self.parts.len() - 1
        })
    }

    fn change(&mut self, change: &Change, is_alone: bool) -> Pieces {
        if let Change::SetAll { items } = change {
            let keys: Vec<_> = items.iter().map(|(key, _)| key.clone()).collect();
            let of = |keys: Vec<Blob>| items.iter().filter(|(key, _)| keys.contains(key)).cloned().collect();
            return self.deal(&keys, is_alone, &|keys| Step::Change(Change::SetAll { items: of(keys) }));
        }
        let (keys, make): (&[Blob], Make<'_>) = match change {
            Change::SetAll { .. } => (&[], Box::new(|_| change.clone())),
            Change::Delete { keys } => (keys, Box::new(|keys| Change::Delete { keys })),
            Change::CompareDelete { keys, value } => {
                (keys, Box::new(|keys| Change::CompareDelete { keys, value: value.clone() }))
            }
            Change::CompareExpire { keys, value, millis, extension } => (
                keys,
                Box::new(|keys| Change::CompareExpire {
                    keys,
                    value: value.clone(),
                    millis: *millis,
                    extension: *extension,
                }),
            ),
            Change::CreateAll { keys, value, millis } => {
                (keys, Box::new(|keys| Change::CreateAll { keys, value: value.clone(), millis: *millis }))
            }
            Change::Set { key, .. }
            | Change::Add { key, .. }
            | Change::Expire { key, .. }
            | Change::Persist { key }
            | Change::CompareOrCreate { key, .. } => (from_ref(key), Box::new(|_| change.clone())),
        };
        let all_met = is_alone && matches!(change, Change::CompareExpire { .. } | Change::CreateAll { .. });
        self.deal(keys, all_met, &|keys| Step::Change(make(keys)))
    }

    fn query(&mut self, query: &Query) -> Pieces {
        match query {
            Query::GetAll { keys } => self.deal(keys, false, &|keys| Step::Query(Query::GetAll { keys })),
            Query::Exists { keys } => self.deal(keys, false, &|keys| Step::Query(Query::Exists { keys })),
            Query::Get { key }
            | Query::Remaining { key }
            | Query::Held { key, .. }
            | Query::Revision { key }
            | Query::Fence { key } => self.deal(from_ref(key), false, &|_| Step::Query(query.clone())),
            Query::Stats => Pieces::default(),
        }
    }

    fn deal(&mut self, keys: &[Blob], all_met: bool, make: &dyn Fn(Vec<Blob>) -> Step) -> Pieces {
        let (mut dealt, mut order) = (Vec::<(usize, Vec<Blob>)>::new(), Vec::new());
        for key in keys {
            let part = self.part(key);
            let piece = dealt.iter().position(|(of, _)| *of == part).unwrap_or_else(|| {
                dealt.push((part, Vec::new()));
                dealt.len() - 1
            });
            dealt[piece].1.push(key.clone());
            order.push(piece);
        }
        let places = dealt.into_iter().map(|(at, keys)| {
            let (_, part) = &mut self.parts[at];
            part.all_met |= all_met;
            part.transaction.steps.push(make(keys));
            (at, part.transaction.steps.len() - 1)
        });
        Pieces { places: places.collect(), order }
    }
}

fn joined(pieces: Vec<Answer>, order: &[usize]) -> Answer {
    if let Some(refused) = pieces.iter().find(|piece| matches!(piece, Answer::Refused(_))) {
        return refused.clone();
    }
    let mut pieces = pieces.into_iter();
    let Some(first) = pieces.next() else { return Answer::Unmet };
    match first {
        Answer::Integer(number) => Answer::Integer(pieces.fold(number, |sum, piece| match piece {
            Answer::Integer(number) => sum + number,
            _ => sum,
        })),
        Answer::Compared { equal, absent } => {
            let (equal, absent) = pieces.fold((equal, absent), |sum, piece| match piece {
                Answer::Compared { equal, absent } => (sum.0 + equal, sum.1 + absent),
                _ => sum,
            });
            Answer::Compared { equal, absent }
        }
        Answer::Values(values) => {
            let rest = pieces.map(|piece| match piece {
                Answer::Values(values) => values.into_iter(),
                _ => Vec::new().into_iter(),
            });
            let mut dealt: Vec<_> = [values.into_iter()].into_iter().chain(rest).collect();
            Answer::Values(order.iter().map(|piece| dealt[*piece].next().flatten()).collect())
        }
        answer => answer,
    }
}

/// The one group that all keys are in; the first, of no keys.
fn only(keys: &[&Blob], place: impl Fn(&[u8]) -> GroupId) -> Option<GroupId> {
    let mut groups = keys.iter().map(|key| place(key));
    let first = groups.next().unwrap_or_default();
    groups.all(|group| group == first).then_some(first)
}

fn keys_of(command: &Command) -> Vec<&Blob> {
    match command {
        Command::Change(change) => keys_of_change(change),
        Command::Transaction(Transaction { watched, steps }) => {
            let stepped = steps.iter().flat_map(|step| match step {
                Step::Change(change) => keys_of_change(change),
                Step::Query(query) => keys_of_query(query),
            });
            watched.iter().map(|(key, _)| key).chain(stepped).collect()
        }
    }
}

fn keys_of_change(change: &Change) -> Vec<&Blob> {
    match change {
        Change::Set { key, .. }
        | Change::Add { key, .. }
        | Change::Expire { key, .. }
        | Change::Persist { key }
        | Change::CompareOrCreate { key, .. } => vec![key],
        Change::Delete { keys }
        | Change::CompareDelete { keys, .. }
        | Change::CompareExpire { keys, .. }
        | Change::CreateAll { keys, .. } => keys.iter().collect(),
        Change::SetAll { items } => items.iter().map(|(key, _)| key).collect(),
    }
}

fn keys_of_query(query: &Query) -> Vec<&Blob> {
    match query {
        Query::Get { key }
        | Query::Remaining { key }
        | Query::Held { key, .. }
        | Query::Revision { key }
        | Query::Fence { key } => vec![key],
        Query::GetAll { keys } | Query::Exists { keys } => keys.iter().collect(),
        Query::Stats => Vec::new(),
    }
}
