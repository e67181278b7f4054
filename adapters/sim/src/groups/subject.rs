//! Clients that come in bursts, so that groups rest and wake up, and what must hold whether they do.

use super::count::{Ask, Count};
use super::promises::Promises;
use crate::chance::Chance;
use crate::raft::History;
use crate::replicated::{Histories, drawn};
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
use crate::tally::Tally;
use quorate::groups::{Groups, InGroup, Message, Refusal, Request, Settings};
use quorate::raft::{Config, Role, Status};
use quorate::replicated::{self, Event, Outcome, Stamped};
use quorate::space::Heap;
use quorate::{GroupId, Instant, NodeId, Replicated, Rng, raft};
use std::collections::BTreeMap;
use std::time::Duration;

type Space = Heap<16, 64, 64>;
type Member = Replicated<Count, Space, 10, 8>;
/// Some groups on each node.
pub type Machine = Groups<Member>;
type Ticket = <Machine as quorate::Machine>::Ticket;
type Record<'r> = InGroup<raft::Record<'r, Stamped<Ask>>>;

/// The timer of the clients of a group is its number.
const MOST_GROUPS: u64 = 4;
/// A group that no node hosts.
const NOBODY: GroupId = GroupId::new(77);
/// How long it must be quiet in the liveness phase.
const QUIET: u64 = 1_500_000;

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// A group had another leader.
        LeaderChanged = "groups: leader changed",
        /// A leader went to rest.
        LeaderRested = "groups: leader rested",
        /// A follower went to rest.
        FollowerRested = "groups: follower rested",
        /// All nodes of a group rested.
        AllRested = "groups: all nodes of a group rested",
        /// A leader rested while a node of its group was down.
        RestedWithout = "groups: rested while a node was down",
        /// A group that rested was asked for something.
        Woken = "groups: woken by a request",
        /// A follower that rested heard a later term.
        NewTerm = "groups: later term after a rest",
        /// A message reached a node that rested in its group.
        MessageToResting = "groups: message to one that rests",
        /// A Rest reached a node that did not go to rest.
        RestRefused = "groups: told to rest, and did not",
        /// A leader wanted another node to lead.
        Offered = "groups: lead offered to another node",
        /// Something was asked of a group that is not hosted.
        NotHosted = "groups: asked of a node that does not host it",
        /// A node started from a snapshot.
        Loaded = "groups: snapshot loaded",
        /// An outcome was told to be unknown.
        Unconfirmed = "groups: outcome unknown",
    }
}

/// One group, as its clients and the world see it.
#[derive(Debug)]
struct Seen {
    id: GroupId,
    nodes: Vec<NodeId>,
    home: Option<NodeId>,
    promises: Promises,
    /// By node, whether it rested after its last step, and in which term.
    resting: BTreeMap<NodeId, raft::Status>,
    /// Which nodes were told to rest since their last step.
    told_to_rest: Vec<NodeId>,
    /// When something was last sent.
    sent: u64,
    /// Of the liveness phase: how often something was asked and answered once the faults had stopped, and the rest since.
    answered: u64,
    /// What is asked in the liveness phase.
    probe: Option<u64>,
}

/// Clients of some groups: each adds and reads for a while, and then leaves its group alone.
#[derive(Debug)]
pub struct Bursts {
    seed: u64,
    nodes: Vec<NodeId>,
    groups: Vec<Seen>,
    histories: Histories,
    up: Vec<NodeId>,
    tickets: BTreeMap<(NodeId, Ticket), u64>,
    ids: u64,
    calm: Option<Calm>,
    tally: Tally,
}

/// The liveness phase: all is asked twice, and after each time all must come to rest.
#[derive(Debug)]
struct Calm {
    healthy: Vec<NodeId>,
    round: u64,
}

impl Bursts {
    /// A workload that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: Vec::new(),
            groups: Vec::new(),
            histories: Histories::default(),
            up: Vec::new(),
            tickets: BTreeMap::new(),
            ids: 0,
            calm: None,
            tally: Tally::of(Path::NAMES),
        }
    }

    fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    /// The groups that a seed stands for, each with its nodes, and with the one where it belongs: the first is on all.
    fn layout(&self, nodes: &[NodeId]) -> Vec<(GroupId, Vec<NodeId>, Option<NodeId>)> {
        let mut rng = Chance::seeded(self.seed ^ 0x6C0B);
        let count = 1 + rng.below(MOST_GROUPS);
        let group = |number| {
            let mut nodes = nodes.to_vec();
            if number > 0 && nodes.len() > 3 && rng.below(2) == 0 {
                while nodes.len() > 3 {
                    nodes.remove(rng.below(nodes.len() as u64) as usize);
                }
            }
            let home = (rng.below(2) == 0).then(|| nodes[rng.below(nodes.len() as u64) as usize]);
            (GroupId::new(number), nodes, home)
        };
        (0..count).map(group).collect()
    }

    fn seen(&mut self, group: GroupId) -> &mut Seen {
        &mut self.groups[group.get() as usize]
    }

    /// Asks a node of a group for something; now and then one that has nothing to do with it.
    fn ask(&mut self, at: usize, desk: &mut Desk<Machine>) -> u64 {
        let anyone = self.calm.is_none() && desk.rng.below(20) == 0;
        let of = if anyone && desk.rng.below(2) == 0 { NOBODY } else { self.groups[at].id };
        let among = if anyone { &self.nodes } else { &self.groups[at].nodes };
        let healthy = |node: &&NodeId| self.calm.as_ref().is_none_or(|calm| calm.healthy.contains(node));
        let among: Vec<NodeId> = among.iter().filter(healthy).copied().collect();
        let node = among[desk.rng.below(among.len() as u64) as usize];
        self.ids += 1;
        let id = self.ids;
        let (adds, request) = match desk.rng.below(20) {
            0..12 => (true, replicated::Request::Command(Ask::Add)),
            12 if self.calm.is_none() => {
                let span = Duration::from_millis(desk.rng.below(1_000));
                (true, replicated::Request::Command(Ask::Alarm(span)))
            }
            _ => (false, replicated::Request::Query(())),
        };
        let group = &mut self.groups[at];
        group.promises.on_asked(id, adds);
        desk.ask(node, id, Request { group: of, request });
        id
    }

    /// The group of an id that is under way.
    fn lose(&mut self, id: u64) {
        for group in &mut self.groups {
            group.promises.on_lost(id);
            group.probe.take_if(|probe| *probe == id);
        }
    }

    fn on_ended(&mut self, group: GroupId, id: u64, outcome: &Outcome<Count>) -> Check {
        let total = match outcome {
            Outcome::Replied { reply, .. } => *reply,
            Outcome::Answered(total) => *total,
            Outcome::Failed(_) => {
                self.hit(Path::Unconfirmed);
                self.lose(id);
                return Ok(());
            }
            Outcome::Opened(_) | Outcome::Closed => {
                return Err(Broken::new("an outcome is of what was asked", format!("{group}: {outcome:?}")));
            }
        };
        let seen = self.seen(group);
        seen.answered += u64::from(seen.probe.take_if(|probe| *probe == id).is_some());
        seen.promises.on_told(group, id, total)
    }

    /// What a group rests in, on a node that has just been polled.
    fn look(&mut self, at: At, group: usize, machine: &Machine, status: Status) -> Check {
        let up = self.up.len();
        let seen = &mut self.groups[group];
        let before = seen.resting.get(&at.node).copied();
        let told = seen.told_to_rest.iter().position(|node| *node == at.node);
        let told = told.map(|at| seen.told_to_rest.swap_remove(at)).is_some();
        if !machine.is_resting(seen.id) {
            seen.resting.remove(&at.node);
            if before.is_some_and(|before| before.term < status.term) {
                self.hit(Path::NewTerm);
            }
            if told {
                self.hit(Path::RestRefused);
            }
            return Ok(());
        }
        holds(status.leader.is_some(), "who rests knows its leader", || format!("{status:?}"))?;
        let done = status.applied == status.last && status.commit == status.last;
        holds(done, "who rests has nothing to do", || format!("{status:?}"))?;
        seen.resting.insert(at.node, status);
        if before.is_some() {
            return Ok(());
        }
        let all = seen.resting.len() == seen.nodes.len();
        let down = up < self.nodes.len();
        self.hit(if status.role == Role::Leader { Path::LeaderRested } else { Path::FollowerRested });
        if all {
            self.hit(Path::AllRested);
        }
        if status.role == Role::Leader && down {
            self.hit(Path::RestedWithout);
        }
        Ok(())
    }

    /// What is still missing in a group once the faults have stopped.
    fn missing(&self, now: Instant, seen: &Seen, machines: &[(NodeId, &Machine)]) -> Option<String> {
        let Calm { round, .. } = self.calm.as_ref()?;
        let here: Vec<_> = machines
            .iter()
            .filter(|(node, _)| seen.nodes.contains(node))
            .filter_map(|(node, machine)| Some((*node, machine.is_resting(seen.id), machine.get(seen.id)?)))
            .collect();
        // Without a quorum nothing can be asked of it.
        if here.len() * 2 <= seen.nodes.len() {
            return None;
        }
        let leads = |(_, _, member): &&(NodeId, bool, &Member)| member.status().role == Role::Leader;
        let leaders = here.iter().filter(leads).count();
        let away = seen.home.is_some_and(|home| {
            let is_home = |(node, _, _): &&(NodeId, bool, &Member)| *node == home;
            // A leader votes for nobody: the others have to be a majority.
            let can = (here.len() - 1) * 2 > seen.nodes.len();
            can && here.iter().filter(is_home).any(|member| !leads(&member))
        });
        let resting = here.iter().filter(|(_, resting, _)| *resting).count();
        let total = here.first().map_or(0, |(_, _, member)| member.application().total);
        let alike = here.iter().all(|(_, _, member)| member.application().total == total);
        let sound = (seen.promises.floor()..=seen.promises.asked).contains(&total);
        let quiet = now.as_micros().saturating_sub(seen.sent);
        let answered = seen.answered > *round;
        let done =
            leaders == 1 && !away && resting == here.len() && alike && sound && answered && quiet >= QUIET;
        (!done).then(|| {
            format!(
                "{} in round {round}: {leaders} leaders, away from home: {away}, {resting} of {} rest, quiet for {quiet} us, alike: {alike}, \
                 sound: {sound}, answered: {answered}",
                seen.id,
                here.len()
            )
        })
    }

    /// Asks once in each round of the liveness phase, until it is answered.
    fn probe(&mut self, at: usize, desk: &mut Desk<Machine>) {
        let Some(Calm { healthy, round }) = &self.calm else { return };
        let seen = &self.groups[at];
        let can = seen.nodes.iter().filter(|node| healthy.contains(node)).count() * 2 > seen.nodes.len();
        if can && seen.probe.is_none() && seen.answered <= *round {
            let id = self.ask(at, desk);
            self.groups[at].probe = Some(id);
        }
    }
}

impl Subject<Machine> for Bursts {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> Settings<replicated::Settings<Space>> {
        let mut rng = Rng::new(self.seed ^ 0x5E77);
        let (mut groups, mut homes) = (Vec::new(), Vec::new());
        for (group, nodes, home) in self.layout(nodes) {
            homes.extend(home.map(|home| (group, home)));
            let mut config = Config::new(node, &nodes);
            // The others stand for election later.
            if rng.below(2) == 0 && node != nodes[group.get() as usize % nodes.len()] {
                config.election_timeout *= 2;
            }
            let settings = drawn(config, &mut rng);
            if nodes.contains(&node) {
                groups.push((group, settings));
            }
        }
        let beat = 20 + rng.below(150);
        Settings {
            beat: Duration::from_millis(beat),
            silence: Duration::from_millis(beat * (3 + rng.below(4))),
            grace: Duration::from_millis(rng.below(300)),
            homes,
            ..Settings::new(groups)
        }
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
        let layout = self.layout(nodes);
        let history = |(_, group, _): &(GroupId, Vec<NodeId>, _)| History::of(nodes).among(group.len());
        self.histories = Histories::of(layout.iter().map(history));
        let seen = |(id, group, home): (GroupId, Vec<NodeId>, _)| Seen {
            home,
            id,
            nodes: group,
            promises: Promises::default(),
            resting: BTreeMap::new(),
            told_to_rest: Vec::new(),
            sent: 0,
            answered: 0,
            probe: None,
        };
        self.groups = layout.into_iter().map(seen).collect();
    }

    fn on_work(&mut self, desk: &mut Desk<Machine>) {
        (0..self.groups.len() as u64).for_each(|group| desk.after(Duration::from_millis(100), group));
    }

    fn on_timer(&mut self, _: Instant, group: u64, desk: &mut Desk<Machine>) -> Check {
        // A burst, and then a rest in which most groups have something from their clients to do no more.
        let next =
            if desk.rng.below(8) == 0 { 500_000 + desk.rng.below(2_500_000) } else { desk.rng.below(30_000) };
        desk.after(Duration::from_micros(1_000 + next), group);
        if self.calm.is_some() {
            self.probe(group as usize, desk);
        } else {
            self.ask(group as usize, desk);
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, id: u64, answer: Answer<Machine>, _: &mut Desk<Machine>) -> Check {
        match answer {
            Answer::Taken(ticket) => {
                if self.seen(ticket.0).resting.contains_key(&at.node) {
                    self.hit(Path::Woken);
                }
                self.tickets.insert((at.node, ticket), id);
            }
            Answer::Refused(Refusal::NotHosted(_)) => {
                self.hit(Path::NotHosted);
                self.lose(id);
            }
            Answer::Refused(Refusal::InGroup { .. }) | Answer::Unreachable => self.lose(id),
        }
        Ok(())
    }

    fn on_sent(&mut self, at: At, to: NodeId, message: &Message<'_, replicated::Message<'_, Ask>>) -> Check {
        if let Message::Rest { groups, .. } = message {
            groups.for_each(|resting| {
                if resting.heir.is_some() {
                    self.hit(Path::Offered);
                }
            });
        }
        let Message::Group { group, message } = message else { return Ok(()) };
        self.seen(*group).sent = at.now.as_micros();
        let replicated::Message::Raft(message) = message else { return Ok(()) };
        if self.histories.on_sent(at, to, *group, message)? {
            self.hit(Path::LeaderChanged);
        }
        Ok(())
    }

    fn on_delivered(
        &mut self,
        at: At,
        _: NodeId,
        message: &Message<'_, replicated::Message<'_, Ask>>,
    ) -> Check {
        match message {
            Message::Group { group, .. } => {
                let known =
                    self.groups.iter().any(|seen| seen.id == *group && seen.resting.contains_key(&at.node));
                if known {
                    self.hit(Path::MessageToResting);
                }
            }
            Message::Beat { .. } => {}
            Message::Rest { groups, .. } => {
                groups.for_each(|resting| self.seen(resting.group).told_to_rest.push(at.node));
            }
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &Record<'_>) -> Check {
        self.histories.on_record(at, record)
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.histories.on_durable(at, count)
    }

    fn on_event(
        &mut self,
        at: At,
        event: InGroup<Event<'_, Count, Space, 10, 8>>,
        _: &mut Desk<Machine>,
    ) -> Check {
        match event.inner {
            Event::Ended { ticket, outcome } => {
                let id = self.tickets.remove(&(at.node, (event.group, ticket)));
                let id = id.ok_or_else(|| Broken::new("a ticket ends once", format!("{ticket:?}")))?;
                self.on_ended(event.group, id, &outcome)
            }
            Event::Loaded { .. } => {
                self.hit(Path::Loaded);
                Ok(())
            }
            Event::Notice(_)
            | Event::Snapshot { .. }
            | Event::Status(_)
            | Event::Load { .. }
            | Event::Read { .. } => Ok(()),
        }
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Machine>) -> Check {
        self.up.retain(|node| *node != at.node);
        self.histories.on_crash(at);
        for seen in &mut self.groups {
            seen.resting.remove(&at.node);
            seen.told_to_rest.retain(|node| *node != at.node);
        }
        let lost: Vec<_> = self.tickets.keys().filter(|(node, _)| *node == at.node).copied().collect();
        for ticket in lost {
            if let Some(id) = self.tickets.remove(&ticket) {
                self.lose(id);
            }
        }
        Ok(())
    }

    fn on_restored(&mut self, at: At, machine: &Machine) -> Check {
        self.up.push(at.node);
        self.histories.on_restored(at, machine.iter().map(|(group, member)| (group, member.status())))
    }

    fn after_step(&mut self, at: At, machine: &Machine) -> Check {
        for (group, member) in machine.iter() {
            let status = member.status();
            self.histories.group(group).after_step(at, &status)?;
            self.look(at, group.get() as usize, machine, status)?;
        }
        Ok(())
    }

    fn favourite(&self) -> Option<NodeId> {
        self.histories.leader()
    }

    fn on_calm(&mut self, _: Instant, healthy: &[NodeId], _: &mut Desk<Machine>) {
        self.calm = Some(Calm { healthy: healthy.to_vec(), round: 0 });
        for seen in &mut self.groups {
            seen.answered = 0;
        }
    }

    fn waits_for(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        let missing = self.groups.iter().find_map(|seen| self.missing(now, seen, machines));
        if missing.is_some() {
            return Ok(missing);
        }
        // All rest. Asked once more, they wake up, answer, and come to rest again.
        let Some(calm) = self.calm.as_mut().filter(|calm| calm.round == 0) else { return Ok(None) };
        calm.round = 1;
        (0..self.groups.len()).for_each(|group| self.probe(group, desk));
        Ok(Some("a second rest".into()))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Machine>) -> String {
        told.in_full()
    }
}
