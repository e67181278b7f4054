//! A sharded application for drivers that know nothing of it. Its messages and records are those of its groups.

use super::{Counters, Event, Group, Outcome, Sharded, Ticket, Transactional};
use crate::codec::{Full, Malformed, Sink};
use crate::groups::{self, Groups};
use crate::rng::mix;
use crate::{
    Age, Answering, Done, Errand, Fault, GroupId, Hosted, Instant, NodeId, Place, Records, Rng, Space,
    Stored, replicated,
};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is fixed for the life of a node.
pub type Settings<S> = groups::Settings<replicated::Settings<S>>;

/// Settings of groups 0 to `count`, which are alike but for where each belongs: one after the other to each node. When
/// there is nothing to do in a group, the lead of it is handed to the node where it belongs, also after that came back.
///
/// ```
/// use quorate::replicated::Settings;
/// use quorate::{NodeId, sharded, space::Heap};
///
/// let nodes = [1, 2, 3].map(NodeId::new);
/// let settings = sharded::spread(4, &Settings::<Heap<3, 64>>::new(nodes[1], &nodes));
/// let homes: Vec<_> = settings.homes.iter().map(|(_, home)| *home).collect();
/// assert_eq!(homes, [nodes[0], nodes[1], nodes[2], nodes[0]]);
/// ```
#[must_use]
pub fn spread<S: Space>(count: u64, of: &replicated::Settings<S>) -> Settings<S> {
    let groups = (0..count).map(GroupId::new);
    // The same on each node, in whatever order it names them.
    let mut nodes = of.raft.voters.to_vec();
    nodes.sort_unstable();
    let homes = groups.clone().zip(nodes.into_iter().cycle()).collect();
    Settings { homes, ..Settings::new(groups.map(|group| (group, of.clone()))) }
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Hosted for Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    type Settings = Settings<S>;

    fn blank(settings: &Settings<S>, now: Instant) -> Self {
        let id = settings.groups.first().map(|(_, settings)| settings.raft.id).unwrap_or_default();
        Self {
            groups: Groups::blank(settings, now),
            id,
            now,
            rng: Rng::new(0),
            latest: Age::default(),
            tasks_ever: 0,
            tasks: BTreeMap::new(),
            conducted: 0,
            waiting: BTreeSet::new(),
            steps: BTreeMap::new(),
            by_name: BTreeMap::new(),
            timers: BTreeSet::new(),
            ended: VecDeque::new(),
            over: BTreeMap::new(),
            forgetting: None,
            counters: Counters::default(),
        }
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        if self.id == NodeId::default() {
            // What waits in line has names of it.
            return Err(Fault::Settings("node 0 can conduct no transactions"));
        }
        self.groups.take_in(seed, stored)?;
        // Names of transactions are made of it: no two lives may make the same.
        self.rng = Rng::new(mix(self.groups.life() ^ mix(self.id.get())));
        Ok(())
    }

    fn restate(&mut self, now: Instant) {
        self.groups.restate(now);
    }

    fn restate_group(&mut self, now: Instant, group: GroupId) {
        self.groups.restate_group(now, group);
    }

    fn put_message(message: &Self::Message<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        Groups::<Group<A, S, SESSIONS, REPLIES>>::put_message(message, sink)
    }

    fn take_message(bytes: &[u8]) -> Result<Self::Message<'_>, Malformed> {
        Groups::<Group<A, S, SESSIONS, REPLIES>>::take_message(bytes)
    }

    fn put_record(record: &Self::Record<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        Groups::<Group<A, S, SESSIONS, REPLIES>>::put_record(record, sink)
    }

    fn place<'r>(record: &'r Self::Record<'_>) -> Place<'r> {
        Groups::<Group<A, S, SESSIONS, REPLIES>>::place(record)
    }

    fn group(record: &Self::Record<'_>) -> GroupId {
        Groups::<Group<A, S, SESSIONS, REPLIES>>::group(record)
    }

    fn errand<'e>(event: &'e Self::Event<'_>) -> Option<Errand<'e>> {
        match event {
            Event::InGroup(event) => Groups::<Group<A, S, SESSIONS, REPLIES>>::errand(event),
            Event::Ended { .. } | Event::Notice { .. } | Event::Contradicted { .. } => None,
        }
    }

    fn finish(&mut self, now: Instant, done: Done<'_>) -> Result<(), Fault> {
        self.groups.finish(now, done)
    }
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Answering for Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    type Outcome = Outcome<A>;

    fn outcome(event: Self::Event<'_>) -> Result<(Ticket, Outcome<A>), Self::Event<'_>> {
        match event {
            Event::Ended { ticket, outcome } => Ok((ticket, outcome)),
            other @ (Event::Notice { .. } | Event::Contradicted { .. } | Event::InGroup(_)) => Err(other),
        }
    }
}
