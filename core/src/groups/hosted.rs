//! Many groups for drivers that know nothing of them, and their messages and records as bytes.
//!
//! A message is a tag and its fields, the inner message last; a record the version, the number of its group, and the inner
//! record. Numbers are postcard's. `docs/wire.md` and `docs/storage.md` describe them.

use super::peer::Peer;
use super::{Group, Groups, InGroup, Member, Message};
use crate::codec::{Full, Malformed, Sink, VERSION, put_batch, put_numbers, take, take_batch, take_numbers};
use crate::rng::mix;
use crate::{
    Answering, Done, Errand, Fault, GroupId, Hosted, Instant, NodeId, Place, Records, SnapshotId, Stored,
};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// What is fixed for the life of a node.
#[derive(Clone, Debug)]
pub struct Settings<T> {
    /// The groups, in any order, each with what is fixed for it: who its nodes are above all. All are of this node.
    pub groups: Vec<(GroupId, T)>,
    /// Which node is to lead a group, of those that could: it is handed the lead when there is nothing to do. Other groups are
    /// led by whoever was elected. The same on each node.
    pub homes: Vec<(GroupId, NodeId)>,
    /// How often a node is heard that leads groups which rest. A third of the silence or less.
    pub beat: Duration,
    /// How long a node that leads groups which rest may be silent before the others stand for election in them, as soon as
    /// their timeouts are over.
    pub silence: Duration,
    /// How long there must be nothing to do in a group before it rests. The longest there is, for never.
    pub grace: Duration,
}

impl<T> Settings<T> {
    /// The defaults, which go with those of Raft.
    #[must_use]
    pub fn new(groups: impl IntoIterator<Item = (GroupId, T)>) -> Self {
        Self {
            groups: groups.into_iter().collect(),
            homes: Vec::new(),
            beat: Duration::from_millis(100),
            silence: Duration::from_millis(300),
            grace: Duration::from_millis(120),
        }
    }
}

/// The settings besides those of the groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) beat_micros: u64,
    pub(super) silence_micros: u64,
    pub(super) grace_micros: u64,
}

impl Limits {
    /// How long a node may leave what it is told unanswered before the others rest without it.
    pub(super) const fn absence_micros(&self) -> u64 {
        self.silence_micros.saturating_mul(2)
    }
}

/// Records, by their groups, in order. The places are of groups, and of bytes.
#[derive(Default)]
struct Sorted {
    bytes: Vec<u8>,
    places: Vec<(usize, core::ops::Range<usize>)>,
}

impl Sorted {
    fn of(&self, group: usize) -> impl Iterator<Item = &[u8]> {
        let first = self.places.partition_point(|&(at, _)| at < group);
        let places = self.places.iter().skip(first).take_while(move |&&(at, _)| at == group);
        places.filter_map(|(_, range)| self.bytes.get(range.clone()))
    }
}

impl<M: Member> Groups<M> {
    /// Whether the settings make sense.
    fn check(&self) -> Result<(), Fault> {
        let twins = |pair: &[Group<M>]| matches!(pair, [first, second] if first.id == second.id);
        let limits = self.limits;
        let rules = [
            (self.groups.is_empty(), "no groups"),
            (self.groups.windows(2).any(twins), "a group is named twice"),
            (self.groups.iter().any(|group| group.machine.node() != self.id), "groups of different nodes"),
            (limits.beat_micros == 0, "no time between beats"),
            (limits.silence_micros / 3 < limits.beat_micros, "a silence of less than three beats"),
        ];
        rules.into_iter().find(|rule| rule.0).map_or(Ok(()), |rule| Err(Fault::Settings(rule.1)))
    }

    /// Sorts records by their groups.
    fn sort(&self, records: impl Records) -> Result<Sorted, Fault> {
        let mut sorted = Sorted::default();
        records.try_for_each_record(|bytes| {
            let (group, record) = take_record(bytes)?;
            let group =
                self.place(group).ok_or(Fault::Settings("there are records of a group that is not named"))?;
            let start = sorted.bytes.len();
            sorted.bytes.extend_from_slice(record);
            sorted.places.push((group, start..sorted.bytes.len()));
            Ok(())
        })?;
        sorted.places.sort_by_key(|&(group, _)| group); // stable
        Ok(sorted)
    }
}

impl<M: Member + Hosted> Hosted for Groups<M> {
    type Settings = Settings<M::Settings>;

    fn blank(settings: &Self::Settings, now: Instant) -> Self {
        let &Settings { beat, silence, grace, .. } = settings;
        let of = |(id, settings): &(GroupId, M::Settings)| Group::new(*id, M::blank(settings, now));
        let mut groups: Vec<_> = settings.groups.iter().map(of).collect();
        groups.sort_by_key(|group| group.id);
        for &(id, home) in &settings.homes {
            let place = groups.binary_search_by_key(&id, |group| group.id).ok();
            if let Some(group) = place.and_then(|at| groups.get_mut(at)) {
                group.home = Some(home);
            }
        }
        let id = groups.first().map(|group| group.machine.node()).unwrap_or_default();
        let nodes: BTreeSet<NodeId> =
            groups.iter().flat_map(|group| group.machine.voters()).copied().collect();
        let limits = Limits {
            beat_micros: crate::time::micros(beat),
            silence_micros: crate::time::micros(silence),
            grace_micros: crate::time::micros(grace),
        };
        Self {
            id,
            now,
            limits,
            life: 0,
            groups,
            lives: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            peers: nodes.into_iter().filter(|&node| node != id).map(|node| Peer::new(node, now)).collect(),
            resting: 0,
            beat: now,
            words: false,
            turn: 0,
            saying: Vec::new(),
            counters: Default::default(),
        }
    }

    /// Holds all records in memory while it does, since each group takes in its own at once.
    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        self.check()?;
        let records = self.sort(stored.records)?;
        let mut snapshots = stored.snapshots.to_vec();
        snapshots.sort_by_key(|(of, _)| of.group);
        if snapshots.iter().any(|(of, _)| self.place(of.group).is_none()) {
            return Err(Fault::Settings("there are snapshots of a group that is not named"));
        }
        let numbers = [self.id.get(), records.places.len() as u64, self.now.as_micros()];
        self.life = numbers.into_iter().fold(mix(!seed), |life, number| mix(life.rotate_left(21) ^ number));
        for (at, group) in self.groups.iter_mut().enumerate() {
            let first = snapshots.partition_point(|(of, _)| of.group < group.id);
            let own = snapshots.iter().skip(first).take_while(|(of, _)| of.group == group.id);
            let own: Vec<_> = own.map(|&(of, have)| (alone(of), have)).collect();
            let stored = Stored { records: records.of(at), snapshots: &own };
            group.machine.take_in(mix(seed ^ mix(group.id.get().wrapping_add(1))), stored)?;
            let twin = self.lives.insert(group.machine.life(), at);
            // Two of 64 bits each, well mixed.
            assert!(twin.is_none(), "each group has a life of its own");
        }
        (0..self.groups.len()).for_each(|at| self.queue(at));
        Ok(())
    }

    fn restate(&mut self, now: Instant) {
        self.tell_time(now);
        (0..self.groups.len()).for_each(|at| self.restate_at(at));
    }

    fn restate_group(&mut self, now: Instant, group: GroupId) {
        self.tell_time(now);
        if let Some(at) = self.place(group) {
            self.restate_at(at);
        }
    }

    fn put_message(message: &Self::Message<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        match message {
            Message::Group { group, message } => {
                put_numbers(&[0, group.get()], sink)?;
                M::put_message(message, sink)
            }
            Message::Beat { life, resting } => put_numbers(&[1, *life, *resting], sink),
            Message::Rest { life, groups } => {
                put_numbers(&[2, *life], sink)?;
                put_batch(groups, sink)
            }
        }
    }

    fn take_message(mut bytes: &[u8]) -> Result<Self::Message<'_>, Malformed> {
        let input = &mut bytes;
        let message = match take::<u8>(input)? {
            0 => {
                let group = take(input)?;
                return Ok(Message::Group { group, message: M::take_message(bytes)? });
            }
            1 => {
                let [life, resting] = take_numbers(input)?;
                Message::Beat { life, resting }
            }
            2 => Message::Rest { life: take(input)?, groups: take_batch(input)? },
            _ => return Err(Malformed::Content),
        };
        if bytes.is_empty() { Ok(message) } else { Err(Malformed::Trailing) }
    }

    fn put_record(record: &Self::Record<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        sink.put(&[VERSION])?;
        put_numbers(&[record.group.get()], sink)?;
        M::put_record(&record.inner, sink)
    }

    fn place<'r>(record: &'r Self::Record<'_>) -> Place<'r> {
        let group = record.group;
        match M::place(&record.inner) {
            Place::Log => Place::Log,
            Place::Restart { keep } => Place::Restart { keep: keep.map(|of| of.in_group(group)) },
            Place::Snapshot { of, offset, bytes } => {
                Place::Snapshot { of: of.in_group(group), offset, bytes }
            }
        }
    }

    fn group(record: &Self::Record<'_>) -> GroupId {
        record.group
    }

    fn errand<'e>(event: &'e Self::Event<'_>) -> Option<Errand<'e>> {
        let group = event.group;
        M::errand(&event.inner).map(|errand| match errand {
            Errand::Write { at, image, .. } => Errand::Write { group, at, image },
            Errand::Read { to, of, offset, len } => Errand::Read { to, of: of.in_group(group), offset, len },
            Errand::Load { of } => Errand::Load { of: of.in_group(group) },
        })
    }

    fn finish(&mut self, now: Instant, done: Done<'_>) -> Result<(), Fault> {
        self.tell_time(now);
        let (group, done) = match done {
            Done::Written(of) => (of.group, Done::Written(alone(of))),
            Done::TurnedAway(group) => (group, Done::TurnedAway(GroupId::default())),
            Done::Read { to, of, offset, bytes } => {
                (of.group, Done::Read { to, of: alone(of), offset, bytes })
            }
            Done::Loaded { of, bytes } => (of.group, Done::Loaded { of: alone(of), bytes }),
        };
        if let Done::Read { .. } = done
            && self.is_resting(group)
        {
            // It is for a node without which the group rests, and is asked for again when it wakes up.
            return Ok(());
        }
        match self.place(group).and_then(|at| self.rouse(at)) {
            Some((machine, now)) => machine.finish(now, done),
            None => {
                self.counters.not_hosted += 1;
                Ok(())
            }
        }
    }
}

impl<M: Member + Answering> Answering for Groups<M> {
    type Outcome = M::Outcome;

    fn at_once(ticket: &Self::Ticket) -> Option<M::Outcome> {
        M::at_once(&ticket.1)
    }

    fn outcome(event: Self::Event<'_>) -> Result<(Self::Ticket, Self::Outcome), Self::Event<'_>> {
        let InGroup { group, inner } = event;
        match M::outcome(inner) {
            Ok((ticket, outcome)) => Ok(((group, ticket), outcome)),
            Err(inner) => Err(InGroup { group, inner }),
        }
    }
}

impl<M: Member + Hosted> Groups<M> {
    /// A group says again all there is. To do so, and to hear that it is durable, it need not wake up.
    fn restate_at(&mut self, at: usize) {
        self.queue(at);
        let now = self.now;
        if let Some(group) = self.groups.get_mut(at) {
            group.machine.restate(group.time(now));
        }
    }
}

/// A snapshot as its group knows it, which does not know that there are others.
const fn alone(of: SnapshotId) -> SnapshotId {
    of.in_group(GroupId::new(0))
}

/// The group of a record, and the record as the group knows it.
fn take_record(mut bytes: &[u8]) -> Result<(GroupId, &[u8]), Malformed> {
    let version = take::<u8>(&mut bytes)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    Ok((take(&mut bytes)?, bytes))
}
