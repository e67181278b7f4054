//! Who begins transactions, what the applications say, and how the world is told of them.

use super::bank::{Bank, PLACES, RESERVED, Seen, Step, Work};
use super::notes::Notes;
use super::path::Path;
use super::story::{Tale, check_order, check_sums};
use crate::chance::Chance;
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
use crate::tally::Tally;
use quorate::space::Heap;
use quorate::two_phase::coordinator::{self, Outcome};
use quorate::two_phase::participant::{self, Request};
use quorate::two_phase::{Config, Message, Node, Record, Side, Vote};
use quorate::{Age, Hosted, Instant, NodeId, TxId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Space = Heap<9, 16, 64, PLACES>;
/// Two-phase commit with tables that fill.
pub type Machine = Node<Work, Space>;
type Wish = <Machine as quorate::Machine>::Request;
type Told_<'a> = <Machine as quorate::Machine>::Event<'a>;

/// The timers.
pub(super) const BEGIN: u64 = 0;
pub(super) const OPERATOR: u64 = 1;
const FIRST_TASK: u64 = 10;

/// What was asked of a node, by its tag.
#[derive(Debug)]
pub(super) enum Asked {
    Begin(BTreeMap<NodeId, Work>, Option<Age>),
    Cancel,
    /// By an application in one of its lives.
    Say(u64, Request, Vec<Seen>),
}

/// What an application has put off.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Answer(TxId),
    GiveUp(TxId),
    Say(Request, Vec<Seen>),
    Do(TxId, Work),
}

/// Transfers between accounts of several nodes, and audits.
#[derive(Debug)]
pub struct Transfers {
    pub(super) seed: u64,
    pub(super) gap: u64,
    pub(super) slowness: u64,
    pub(super) has_operator: bool,
    pub(super) nodes: Vec<NodeId>,
    /// Those that stay up once the faults have stopped.
    pub(super) healthy: Vec<NodeId>,
    pub(super) is_calm: bool,
    pub(super) banks: Vec<Bank>,
    pub(super) notes: Notes,
    pub(super) tales: BTreeMap<TxId, Tale>,
    /// Since when each part is promised that was not told how it ended.
    pub(super) promised: BTreeMap<(NodeId, TxId), Instant>,
    /// The coordinators of an earlier life had decided these.
    pub(super) earlier: BTreeSet<TxId>,
    pub(super) retry: Vec<(BTreeMap<NodeId, Work>, Age)>,
    pub(super) aged: BTreeSet<TxId>,
    pub(super) dones: BTreeMap<(NodeId, TxId), u32>,
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) tasks: BTreeMap<u64, (NodeId, u64, Task)>,
    pub(super) numbers: u64,
    /// The transaction that has to get through in the end.
    pub(super) last: Option<TxId>,
    pub(super) is_last_through: bool,
    pub(super) tally: Tally,
}

pub(super) const fn slot(node: NodeId) -> usize {
    node.get() as usize - 1
}

impl Transfers {
    /// A workload that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Chance::seeded(seed ^ 0x2FC);
        Self {
            seed,
            gap: 1_000 + rng.below(40_000),
            slowness: if rng.below(2) == 0 { 0 } else { rng.below(60_000) },
            has_operator: rng.below(8) == 0,
            nodes: Vec::new(),
            healthy: Vec::new(),
            is_calm: false,
            banks: Vec::new(),
            notes: Notes::default(),
            tales: BTreeMap::new(),
            promised: BTreeMap::new(),
            earlier: BTreeSet::new(),
            retry: Vec::new(),
            aged: BTreeSet::new(),
            dones: BTreeMap::new(),
            asked: BTreeMap::new(),
            tasks: BTreeMap::new(),
            numbers: FIRST_TASK,
            last: None,
            is_last_through: false,
            tally: Tally::of(Path::NAMES),
        }
    }

    pub(super) fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    pub(super) fn bank(&mut self, node: NodeId) -> &mut Bank {
        &mut self.banks[slot(node)]
    }

    pub(super) fn tale(&mut self, tx: TxId) -> &mut Tale {
        self.tales.entry(tx).or_default()
    }

    pub(super) fn ask(&mut self, node: NodeId, asked: Asked, wish: Wish, desk: &mut Desk<Machine>) {
        self.numbers += 1;
        self.asked.insert(self.numbers, asked);
        desk.ask(node, self.numbers, wish);
    }

    /// What is still missing once the faults have stopped: of all transactions whose nodes are all well nothing is left.
    fn missing(&self, machines: &[(NodeId, &Machine)]) -> Option<String> {
        let is_well = |tx: TxId| {
            let parts = self.tales.get(&tx).map(|tale| tale.parts.keys());
            let mut nodes = parts.into_iter().flatten().copied().chain([tx.coordinator]);
            nodes.all(|node| self.healthy.contains(&node))
        };
        let mut left = Vec::new();
        for &(node, machine) in machines {
            let begun = machine.coordinator().transactions().map(|(tx, _)| ("begun", tx));
            let parts = machine.participant().transactions().map(|tx| ("takes part in", tx));
            let held = self.banks[slot(node)].held().map(|tx| ("holds locks for", tx));
            let all = begun.chain(parts).chain(held).filter(|(_, tx)| is_well(*tx));
            left.extend(all.map(|(what, tx)| format!("{node} {what} {tx}")));
        }
        let done = left.is_empty() && self.is_last_through;
        (!done).then(|| format!("{left:?} left, a fresh one committed: {}", self.is_last_through))
    }

    /// All is over: what the whole came to.
    fn check_end(&self) -> Check {
        let is_whole = self.healthy.len() == self.nodes.len();
        for (&tx, tale) in &self.tales {
            let mut nodes = tale.parts.keys().copied().chain([tx.coordinator]);
            if nodes.all(|node| self.healthy.contains(&node)) {
                tale.check_end(tx, self.notes.is_decided(tx))?;
            }
        }
        let is_forced = self.tales.values().any(|tale| !tale.forced.is_empty());
        if is_whole && !is_forced {
            check_sums(&self.banks, &self.tales)?;
            check_order(&self.banks, &self.tales)?;
        }
        Ok(())
    }
}

impl Subject<Machine> for Transfers {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> <Machine as Hosted>::Settings {
        let mut rng = Chance::seeded(self.seed ^ 0x5E7);
        let mut config = Config::new(node, nodes);
        config.vote_timeout = Duration::from_millis(100 + rng.below(600));
        config.resend = Duration::from_millis(10 + rng.below(100));
        config
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
        self.healthy = nodes.to_vec();
        self.notes = Notes::of(nodes.len());
        self.banks = nodes.iter().map(|_| Bank::default()).collect();
    }

    fn on_work(&mut self, desk: &mut Desk<Machine>) {
        desk.after(Duration::from_millis(10), BEGIN);
        if self.has_operator {
            desk.after(Duration::from_millis(300), OPERATOR);
        }
    }

    fn on_timer(&mut self, now: Instant, timer: u64, desk: &mut Desk<Machine>) -> Check {
        match timer {
            BEGIN | OPERATOR if self.is_calm => {}
            BEGIN => self.on_begin_timer(desk),
            OPERATOR => self.on_operator_timer(now, desk),
            task => {
                if let Some((node, life, task)) = self.tasks.remove(&task)
                    && self.bank(node).life == life
                {
                    return self.carry_out(node, task, desk);
                }
            }
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, tag: u64, answer: Answer<Machine>, desk: &mut Desk<Machine>) -> Check {
        let Some(asked) = self.asked.remove(&tag) else { return Ok(()) };
        match answer {
            Answer::Taken(ticket) => self.on_taken(at, asked, ticket)?,
            Answer::Refused(Side::Coordinator(refusal)) if refusal.reason == coordinator::Reason::Busy => {
                self.hit(Path::Busy);
            }
            // An application is where its node is: what its queue has no room for, it says again, if it is up.
            Answer::Unreachable => {
                if let Asked::Say(life, request, seen) = asked
                    && self.bank(at.node).life == life
                {
                    self.remind(at.node, Task::Say(request, seen), Duration::from_millis(10), desk);
                }
            }
            Answer::Refused(Side::Participant(refusal)) if refusal.reason == participant::Reason::Busy => {
                self.hit(Path::NoRoomToRemember);
                let again = Task::Say(refusal.request, Vec::new());
                self.remind(at.node, again, Duration::from_millis(100), desk);
            }
            Answer::Refused(_) => {}
        }
        Ok(())
    }

    fn on_sent(&mut self, at: At, to: NodeId, message: &Message<'_, Work>) -> Check {
        let (node, tx) = (at.node, message.tx());
        let writes = self.tale(tx).parts.get(&node).is_some_and(Work::writes);
        self.notes.on_sent(at, writes, message)?;
        match *message {
            Message::Vote { vote, .. } => {
                if vote == Vote::ReadOnly {
                    self.hit(Path::ReadOnly);
                }
                if vote != Vote::No && self.banks[slot(node)].holds(tx) {
                    self.tale(tx).open_votes.insert(node);
                }
                let has_answered = self.tale(tx).yes.contains(&node) || self.banks[slot(node)].holds(tx);
                if vote == Vote::No && !has_answered && self.banks[slot(node)].held().count() >= PLACES {
                    self.hit(Path::Full);
                }
            }
            Message::Decision { commit, .. } if node != tx.coordinator => {
                self.hit(if commit { Path::PeerTold } else { Path::PeerRefused });
            }
            Message::Decision { commit: true, .. } if self.earlier.contains(&tx) => self.hit(Path::ToldAgain),
            Message::Decision { commit: false, .. } if self.tale(tx).outcome.is_none() => {
                self.hit(Path::PresumedAbort);
            }
            Message::Done { .. } => {
                let count = self.dones.entry((node, tx)).or_default();
                *count += 1;
                if *count > 1 && self.tale(tx).parts.len() == 1 {
                    self.hit(Path::KeptAgain);
                }
            }
            Message::Decision { .. }
            | Message::Prepare { .. }
            | Message::Ask { .. }
            | Message::Wound { .. } => {}
        }
        let _ = to;
        Ok(())
    }

    fn on_delivered(&mut self, at: At, _: NodeId, message: &Message<'_, Work>) -> Check {
        if let Message::Decision { tx, .. } = *message {
            self.tale(tx).heard.insert(at.node);
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &Side<Record<'_, Work>, Record<'_, Work>>) -> Check {
        self.notes.on_record(at.node, record);
        match *record {
            Side::Coordinator(Record::Restart(_)) => self.hit(Path::CoordinatorRestart),
            Side::Participant(Record::Restart(_)) => self.hit(Path::ParticipantRestart),
            Side::Coordinator(Record::Numbered { .. }) => self.hit(Path::Numbered),
            Side::Participant(Record::Promised { is_first: false, .. }) => self.hit(Path::NotFirst),
            Side::Coordinator(Record::Ended { tx }) => {
                let tale = self.tale(tx);
                let all =
                    tale.writers().all(|node| tale.did.contains(&node) || tale.forced.contains_key(&node));
                return holds(all, "a coordinator forgets when all did it", || format!("{tx}: {tale:?}"));
            }
            Side::Coordinator(_) | Side::Participant(_) => {}
        }
        Ok(())
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.notes.on_durable(at.node, count);
        Ok(())
    }

    fn on_event(&mut self, at: At, event: Told_<'_>, desk: &mut Desk<Machine>) -> Check {
        match event {
            Side::Coordinator(coordinator::Event::Ended { tx, age, outcome }) => {
                let by_writers = self.tale(tx).writers().count() > 0 && self.tale(tx).parts.len() > 1;
                let is_sound = outcome != Outcome::Committed || !by_writers || self.notes.is_decided(tx);
                holds(is_sound, "a decision is durable before anyone hears it", || tx.to_string())?;
                self.on_outcome(tx, age, outcome)
            }
            Side::Coordinator(coordinator::Event::Contradicted { tx, by }) => {
                self.hit(Path::CoordinatorContradicted);
                holds(self.tale(tx).forced.contains_key(&by), "only what was forced is contradicted", || {
                    format!("{tx} by {by}")
                })
            }
            Side::Participant(event) => self.on_told(at, &event, desk),
        }
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Machine>) -> Check {
        self.notes.on_crash(at.node);
        self.bank(at.node).crash();
        self.promised.retain(|(node, _), _| *node != at.node);
        let own = self.tales.keys().filter(|tx| tx.coordinator == at.node).copied();
        self.earlier.extend(own.collect::<Vec<_>>());
        if self.last.is_some_and(|tx| tx.coordinator == at.node) {
            self.last = None;
        }
        Ok(())
    }

    fn after_step(&mut self, at: At, machine: &Machine) -> Check {
        let bank = &mut self.banks[slot(at.node)];
        if bank.remembers() > 8 {
            let participant = machine.participant();
            let held: BTreeSet<TxId> = participant.transactions().collect();
            let before = bank.remembers();
            bank.forget(|tx| held.contains(&tx));
            if bank.remembers() < before {
                self.hit(Path::Forgotten);
            }
            holds(held.len() <= PLACES, "a table keeps its limit", || {
                format!("{} at {}", held.len(), at.node)
            })?;
        }
        Ok(())
    }

    fn on_calm(&mut self, _: Instant, healthy: &[NodeId], _: &mut Desk<Machine>) {
        self.is_calm = true;
        self.healthy = healthy.to_vec();
    }

    fn waits_for(
        &mut self,
        _: Instant,
        machines: &[(NodeId, &Machine)],
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        if !self.is_last_through && self.last.is_none() {
            let change = |at: usize| if at == 0 { 1 - self.healthy.len() as i64 } else { 1 };
            let account = RESERVED;
            let parts = self.healthy.iter().enumerate();
            let parts =
                parts.map(|(at, &node)| (node, Work(vec![Step { account, change: change(at) }]))).collect();
            self.begin(self.healthy[0], parts, None, desk);
        }
        let missing = self.missing(machines);
        if missing.is_none() {
            self.check_end()?;
        }
        Ok(missing)
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Machine>) -> String {
        told.in_full()
    }
}
