//! Clients of a bank: they move money, look, give commands to single groups, lose patience and go elsewhere.

use super::accounts::{Bank, Work};
use super::calm::Calm;
use super::deed::{Ask, Branches, Deed, End};
use super::force::{Doubt, Force};
use super::ledger::Ledger;
use super::stages::Stages;
use crate::chance::Chance;
use crate::raft::History;
use crate::replicated::{Histories, drawn};
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
use crate::tally::Tally;
use crate::trace::Trace;
use quorate::groups::{InGroup, Message};
use quorate::raft::{Config, Content, Record};
use quorate::replicated::{self, Stamped};
use quorate::sharded::{self, Command, Counters, Event, Outcome, Request, Sharded, Ticket};
use quorate::space::Heap;
use quorate::{GroupId, Image, Index, Instant, NodeId, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Space = Heap<16, 64, 64>;
/// A bank that is spread over groups.
pub type Machine = Sharded<Bank, Space, 10, 8>;
type Entry = Stamped<Command<Work, Work>>;

/// How long a client waits for an answer before it goes elsewhere.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// What an operator asks bears such a number.
const BY_HAND: u64 = 1 << 40;
/// The timer of the operator.
const OPERATOR: u64 = 1_000;

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// A group had another leader.
        LeaderChanged = "bank: leader changed",
        /// A client went elsewhere before it was answered.
        WentElsewhere = "bank: client went elsewhere",
        /// A group objected.
        Aborted = "bank: refused by a group",
        /// Others had the keys for too long.
        TimedOut = "bank: timed out",
        /// An outcome was told to be unknown.
        Unconfirmed = "bank: outcome unknown",
        /// A part waited for its keys.
        Waited = "bank: part waited for its keys",
        /// A command waited in line.
        LinedUp = "bank: command waited in line",
        /// A query waited in line.
        Looked = "bank: query waited in line",
        /// Something lost its place in line.
        LostTurn = "bank: turn lost",
        /// A transaction was in the way of an older one.
        Wounded = "bank: wounded and tried again",
        /// A home refused to decide.
        TooLate = "bank: decided too late",
        /// A home was asked by who had promised.
        Resolved = "bank: home asked",
        /// Nobody had decided.
        Presumed = "bank: presumed to be given up",
        /// Somebody had.
        Rescued = "bank: rescued, and done",
        /// A home told once more.
        Swept = "bank: swept by the home",
        /// A step had to be taken again.
        PutOff = "bank: step put off",
        /// A node started from a snapshot in which something was promised.
        LoadedPromise = "bank: snapshot with promises loaded",
        /// A node started from a snapshot.
        Loaded = "bank: snapshot loaded",
        /// The home was led by another when it decided than when it promised.
        HomeMoved = "bank: home's leader changed between promise and decision",
        /// A conductor crashed before all had promised.
        CrashPreparing = "bank: conductor crashed before the decision",
        /// A conductor crashed when the decision was written.
        CrashDeciding = "bank: conductor crashed at the decision",
        /// A conductor crashed before all had finished.
        CrashEnding = "bank: conductor crashed before all had finished",
        /// An operator settled something.
        Forced = "bank: settled by hand",
        /// It turned out different.
        Contradicted = "bank: settled otherwise than decided",
        /// All nodes of a group rested while faults went on.
        Rested = "bank: group at rest",
    }
}

/// A client, and what it waits for.
#[derive(Debug)]
struct Client {
    node: NodeId,
    waits_for: Vec<u64>,
    since: Instant,
    /// How many things it asks for before it has an answer.
    most: usize,
}

/// The clients of a bank of some groups.
#[derive(Debug)]
pub struct Clients {
    seed: u64,
    nodes: Vec<NodeId>,
    pub(super) branches: Branches,
    histories: Histories,
    /// How far each node's state was looked at.
    applied: BTreeMap<(NodeId, GroupId), Index>,
    hashes: BTreeMap<(GroupId, Index), u64>,
    clients: Vec<Client>,
    pub(super) deeds: BTreeMap<u64, Deed>,
    pub(super) tickets: BTreeMap<(NodeId, Ticket), u64>,
    /// What concerns one group, by the life of a node that was asked, in order.
    pub(super) lines: BTreeMap<(NodeId, u64), Vec<u64>>,
    lives: BTreeMap<NodeId, u64>,
    pub(super) ledger: Ledger,
    pub(super) force: Force,
    stages: Stages,
    counters: BTreeMap<NodeId, Counters>,
    loaded: BTreeSet<(NodeId, GroupId)>,
    pub(super) calm: Option<Calm>,
    pub(super) tags: u64,
    tally: Tally,
}

impl Clients {
    /// A workload that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Chance::seeded(seed ^ 0xBA4C);
        let branches = Branches { groups: 2 + rng.below(4), accounts: 2 + rng.below(3) as u8 };
        let count = 1 + rng.below(8);
        let client = |rng: &mut Chance| Client {
            node: NodeId::new(1),
            waits_for: Vec::new(),
            since: Instant::default(),
            most: if rng.below(4) == 0 { 2 + rng.below(6) as usize } else { 1 },
        };
        Self {
            seed,
            nodes: Vec::new(),
            branches,
            histories: Histories::default(),
            applied: BTreeMap::new(),
            hashes: BTreeMap::new(),
            clients: (0..count).map(|_| client(&mut rng)).collect(),
            deeds: BTreeMap::new(),
            tickets: BTreeMap::new(),
            lines: BTreeMap::new(),
            lives: BTreeMap::new(),
            ledger: Ledger::default(),
            force: Force::new(rng.below(10) == 0),
            stages: Stages::default(),
            counters: BTreeMap::new(),
            loaded: BTreeSet::new(),
            calm: None,
            tags: 0,
            tally: Tally::of(Path::NAMES),
        }
    }

    pub(super) fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    /// Asks a node for something, under the next tag.
    pub(super) fn ask(
        &mut self,
        client: usize,
        node: NodeId,
        now: Instant,
        ask: Ask,
        desk: &mut Desk<Machine>,
    ) -> u64 {
        self.tags += 1;
        let tag = self.tags;
        let deed = Deed { tag, client, ask, called: now, told: None, end: End::Open };
        desk.ask(node, tag, deed.request());
        self.deeds.insert(tag, deed);
        tag
    }

    /// A client's turn.
    fn act(&mut self, at: usize, now: Instant, desk: &mut Desk<Machine>) {
        let anywhere = self.nodes[desk.rng.below(self.nodes.len() as u64) as usize];
        let client = &mut self.clients[at];
        if !client.waits_for.is_empty() && now.since(client.since) > PATIENCE {
            client.waits_for.clear();
            client.node = anywhere;
            self.hit(Path::WentElsewhere);
        }
        let client = &mut self.clients[at];
        if desk.rng.below(20) == 0 && client.waits_for.is_empty() {
            client.node = anywhere;
        }
        let (node, room) = (client.node, client.most - client.waits_for.len());
        if room > 0 {
            client.since = now;
        }
        let branches = self.branches;
        for _ in 0..room.min(1 + desk.rng.below(3) as usize) {
            // Who asks for several things at once wants to see them done in order.
            let alike = if room > 1 { desk.rng.below(3) > 0 } else { false };
            let mut ask = branches.draw(self.tags + 1, &mut desk.rng);
            while alike && !matches!(ask, Ask::Command(..)) {
                ask = branches.draw(self.tags + 1, &mut desk.rng);
            }
            let tag = self.ask(at, node, now, ask, desk);
            self.clients[at].waits_for.push(tag);
        }
    }

    /// Whoever waits for a deed waits no more.
    fn let_go(&mut self, tag: u64) {
        if let Some(deed) = self.deeds.get(&tag) {
            self.clients[deed.client].waits_for.retain(|other| *other != tag);
        }
    }

    fn end(&mut self, tag: u64, end: End) {
        self.let_go(tag);
        if let Some(deed) = self.deeds.get_mut(&tag) {
            deed.end = end;
        }
    }

    /// Looks at the state of a group on a node, if it has changed.
    fn look(&mut self, at: At, group: GroupId, machine: &Machine) -> Check {
        let Some(member) = machine.groups().get(group) else { return Ok(()) };
        let status = member.status();
        self.histories.group(group).after_step(at, &status)?;
        let before = self.applied.insert((at.node, group), status.applied);
        if before == Some(status.applied) {
            return Ok(());
        }
        if status.applied.get().is_multiple_of(16) {
            self.on_state(at, group, status.applied, hash(&member.freeze()))?;
        }
        let bank = member.application().application();
        let Self { deeds, ledger, force, .. } = self;
        for (number, account) in &bank.accounts {
            let amount = |tag: u64| {
                let by_hand = force.touched(tag);
                let deed = deeds.get(&tag).filter(|deed| deed.end != End::Never || by_hand)?;
                let (.., amount) = deed.moves().find(|(of, to, _)| (*of, to) == (group, number))?;
                Some((amount, !by_hand))
            };
            ledger.see((group, *number), account, amount)?;
        }
        if force.is_on {
            for doubt in machine.in_doubt().filter(|doubt| doubt.group == group && doubt.forced.is_none()) {
                if let Some(tag) = bank.promised(doubt.tx) {
                    force.see(Doubt { node: at.node, group, tx: doubt.tx, tag });
                }
            }
        }
        if self.loaded.remove(&(at.node, group)) && machine.in_doubt().any(|doubt| doubt.group == group) {
            self.hit(Path::LoadedPromise);
        }
        Ok(())
    }

    /// All replicas of a group are alike after the same entries.
    fn on_state(&mut self, at: At, group: GroupId, applied: Index, hash: u64) -> Check {
        let known = *self.hashes.entry((group, applied)).or_insert(hash);
        holds(known == hash, "states after the same entries are the same", || {
            format!("{group} on {} at {applied}", at.node)
        })
    }

    fn count(&mut self, node: NodeId, now: Counters) {
        let before = self.counters.insert(node, now).unwrap_or_default();
        if before == now {
            return;
        }
        let pairs = [
            (before.waited, now.waited, Path::Waited),
            (before.lined_up, now.lined_up, Path::LinedUp),
            (before.looked, now.looked, Path::Looked),
            (before.lost_turns, now.lost_turns, Path::LostTurn),
            (before.wounded, now.wounded, Path::Wounded),
            (before.too_late, now.too_late, Path::TooLate),
            (before.resolved, now.resolved, Path::Resolved),
            (before.presumed, now.presumed, Path::Presumed),
            (before.rescued, now.rescued, Path::Rescued),
            (before.swept, now.swept, Path::Swept),
            (before.put_off, now.put_off, Path::PutOff),
        ];
        pairs.into_iter().filter(|(before, now, _)| now > before).for_each(|(.., path)| self.hit(path));
    }
}

pub(super) fn hash(image: &(impl Image + ?Sized)) -> u64 {
    let (mut bytes, mut hash) = (Vec::new(), Trace::default());
    image.write(&mut bytes).expect("a vector is never full");
    hash.note_bytes(&bytes);
    hash.digest()
}

impl Subject<Machine> for Clients {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> sharded::Settings<Space> {
        let mut rng = Rng::new(self.seed ^ 0x5E77);
        sharded::spread(self.branches.groups, &drawn(Config::new(node, nodes), &mut rng))
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
        self.histories = Histories::of((0..self.branches.groups).map(|_| History::of(nodes)));
    }

    fn on_work(&mut self, desk: &mut Desk<Machine>) {
        (0..self.clients.len() as u64).for_each(|client| desk.after(Duration::from_millis(100), client));
        if self.force.is_on {
            desk.after(Duration::from_millis(500), OPERATOR);
        }
    }

    fn on_timer(&mut self, now: Instant, timer: u64, desk: &mut Desk<Machine>) -> Check {
        if self.calm.is_some() {
            return Ok(());
        }
        if timer != OPERATOR {
            let next = Duration::from_micros(1_000 + desk.rng.below(60_000));
            desk.after(next, timer);
            self.act(timer as usize, now, desk);
            return Ok(());
        }
        let next = Duration::from_micros(1_000 + desk.rng.below(500_000));
        desk.after(next, timer);
        self.tags += 1;
        let number = BY_HAND + self.tags;
        if let Some((Doubt { node, group, tx, .. }, commit)) = self.force.draw(number, &mut desk.rng) {
            desk.ask(node, number, Request::Force { group, tx, commit });
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, tag: u64, answer: Answer<Machine>, _: &mut Desk<Machine>) -> Check {
        match answer {
            Answer::Taken(ticket) => {
                self.tickets.insert((at.node, ticket), tag);
                if self.deeds.get(&tag).is_some_and(Deed::is_single) {
                    let life = self.lives.get(&at.node).copied().unwrap_or_default();
                    self.lines.entry((at.node, life)).or_default().push(tag);
                }
            }
            Answer::Refused(_) | Answer::Unreachable => self.end(tag, End::Never),
        }
        Ok(())
    }

    fn on_sent(
        &mut self,
        at: At,
        to: NodeId,
        message: &Message<'_, replicated::Message<'_, Command<Work, Work>>>,
    ) -> Check {
        let Message::Group { group, message: replicated::Message::Raft(message) } = message else {
            return Ok(());
        };
        if self.histories.on_sent(at, to, *group, message)? {
            self.hit(Path::LeaderChanged);
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &InGroup<Record<'_, Entry>>) -> Check {
        if let Record::Append { entries, .. } = &record.inner {
            let Self { stages, tally, .. } = self;
            entries.for_each(|entry| {
                if let Content::Command(Stamped { operation, .. }) = &entry.content
                    && let replicated::Operation::Call { command: Some(command), .. } = operation
                    && stages.on_entry(record.group, entry.term, command)
                {
                    tally.hit(Path::HomeMoved as usize);
                }
            });
        }
        self.histories.on_record(at, record)
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.histories.on_durable(at, count)
    }

    fn on_event(&mut self, at: At, event: Event<'_, Bank, Space, 10, 8>, _: &mut Desk<Machine>) -> Check {
        match event {
            Event::Ended { ticket, outcome } => {
                let tag = self.tickets.remove(&(at.node, ticket));
                let tag = tag.ok_or_else(|| Broken::new("a ticket ends once", format!("{ticket:?}")))?;
                self.let_go(tag);
                match outcome {
                    Outcome::Forced(settled) => {
                        if self.force.on_told(tag, settled)? {
                            self.hit(Path::Forced);
                        }
                        Ok(())
                    }
                    Outcome::Failed(_) if tag >= BY_HAND => Ok(()),
                    outcome => self.on_told(at, tag, outcome),
                }
            }
            Event::Contradicted { group, tx, forced } => {
                self.hit(Path::Contradicted);
                self.force.on_contradicted(group, tx, forced)
            }
            Event::InGroup(InGroup { group, inner: replicated::Event::Loaded { .. } }) => {
                self.hit(Path::Loaded);
                self.loaded.insert((at.node, group));
                Ok(())
            }
            Event::InGroup(InGroup { group, inner: replicated::Event::Snapshot { at: of, image } }) => {
                self.on_state(at, group, of.index, hash(&image))
            }
            Event::Notice { .. } | Event::InGroup(_) => Ok(()),
        }
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Machine>) -> Check {
        *self.lives.entry(at.node).or_default() += 1;
        self.counters.remove(&at.node);
        self.applied.retain(|(node, _), _| *node != at.node);
        self.loaded.retain(|(node, _)| *node != at.node);
        self.histories.on_crash(at);
        for path in self.stages.on_crash(at.node) {
            self.hit(path);
        }
        let lost: Vec<_> = self.tickets.keys().filter(|(node, _)| *node == at.node).copied().collect();
        for ticket in lost {
            if let Some(tag) = self.tickets.remove(&ticket) {
                self.end(tag, End::Unknown);
            }
        }
        Ok(())
    }

    fn on_restored(&mut self, at: At, machine: &Machine) -> Check {
        let members = machine.groups().iter().map(|(group, member)| (group, member.status()));
        self.histories.on_restored(at, members)
    }

    fn after_step(&mut self, at: At, machine: &Machine) -> Check {
        for number in 0..self.branches.groups {
            self.look(at, GroupId::new(number), machine)?;
        }
        if self.calm.is_none() && machine.groups().resting() > 0 {
            self.hit(Path::Rested);
        }
        self.count(at.node, machine.counters());
        Ok(())
    }

    fn favourite(&self) -> Option<NodeId> {
        self.histories.leader()
    }

    fn on_calm(&mut self, _: Instant, healthy: &[NodeId], _: &mut Desk<Machine>) {
        self.nodes = healthy.to_vec();
        self.calm = Some(Calm::default());
    }

    fn waits_for(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        self.waits(now, machines, desk)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Machine>) -> String {
        told.in_full()
    }
}
