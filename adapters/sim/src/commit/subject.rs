//! Who begins transactions, what the applications say, and how the world is told of them.

use super::bank::{Bank, OPEN, PLACES, RESERVED, Step, Work};
use super::notes::Notes;
use super::story::{Tale, check_order, check_sums};
use crate::chance::Chance;
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
use crate::tally::Tally;
use quorate::space::Heap;
use quorate::two_phase::coordinator::{self, Cause, Outcome};
use quorate::two_phase::participant::{self, Request};
use quorate::two_phase::{Config, Message, Node, Record, Side, Transaction, Vote};
use quorate::{Age, Hosted, Instant, NodeId, TxId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Space = Heap<9, 16, 64, PLACES>;
/// Two-phase commit with tables that fill.
pub type Machine = Node<Work, Space>;
type Wish = <Machine as quorate::Machine>::Request;
type Told_<'a> = <Machine as quorate::Machine>::Event<'a>;

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// All did it.
        Committed = "commit: committed",
        /// A participant could not.
        Refused = "commit: refused",
        /// Not all had voted in time.
        TimedOut = "commit: timed out",
        /// It was in the way of an older one.
        Wounded = "commit: wounded",
        /// It was given up by who had asked for it.
        Cancelled = "commit: cancelled",
        /// The only one has not said whether it did it.
        Unknown = "commit: outcome unknown",
        /// One that was wounded got its turn.
        Aged = "commit: wounded, tried again, committed",
        /// A coordinator had no room.
        Busy = "commit: coordinator full",
        /// A participant had no room.
        Full = "commit: participant full",
        /// It waited for a lock.
        Waited = "commit: waited for a lock",
        /// The only one waited too long for a lock.
        GaveUp = "commit: the only one gave up waiting",
        /// All accounts were looked at, in one transaction.
        Audited = "commit: all accounts audited",
        /// Who only read voted.
        ReadOnly = "commit: read-only vote",
        /// The only one did it at once.
        AtOnce = "commit: done at once by the only one",
        /// The only one was told to wait for the decision.
        NotAtOnce = "commit: the only one waited for the decision",
        /// The only one was asked again, and said again that it is done.
        KeptAgain = "commit: kept answer given again",
        /// A coordinator that knew nothing any more answered.
        PresumedAbort = "commit: presumed abort answered",
        /// A peer told how it ended.
        PeerTold = "commit: peer told the decision",
        /// A peer that had not voted refused for one in doubt.
        PeerRefused = "commit: peer refused for one in doubt",
        /// It was asked for what it had done and forgotten.
        LatePrepare = "commit: asked again for what was done",
        /// It promised again what it had promised before.
        NotFirst = "commit: promised again",
        /// A decision of an earlier life was told again.
        ToldAgain = "commit: decision told again after a restart",
        /// Locks of an earlier life were taken again.
        Retaken = "commit: locks taken again after a restart",
        /// A coordinator's log began anew.
        CoordinatorRestart = "commit: coordinator's log begun anew",
        /// A participant's log began anew.
        ParticipantRestart = "commit: participant's log begun anew",
        /// Enough numbers were reserved again.
        Numbered = "commit: numbers reserved",
        /// An operator settled it.
        Forced = "commit: forced by an operator",
        /// An operator settled it otherwise than the others.
        Contradicted = "commit: contradiction told by the participant",
        /// The coordinator heard of it.
        CoordinatorContradicted = "commit: contradiction told by the coordinator",
        /// A participant had no room to remember what its application had done.
        NoRoomToRemember = "commit: no room to remember what was done",
        /// An application forgot what it had done.
        Forgotten = "commit: application forgot what it did",
    }
}

/// The timers.
const BEGIN: u64 = 0;
const OPERATOR: u64 = 1;
const FIRST_TASK: u64 = 10;

/// What was asked of a node, by its tag.
#[derive(Debug)]
enum Asked {
    Begin(BTreeMap<NodeId, Work>, Option<Age>),
    Cancel,
    Say(Request, Vec<super::bank::Seen>),
}

/// What an application has put off.
#[derive(Clone, Debug)]
enum Task {
    Answer(TxId),
    GiveUp(TxId),
    Say(Request, Vec<super::bank::Seen>),
    Do(TxId, Work),
}

/// Transfers between accounts of several nodes, and audits.
#[derive(Debug)]
pub struct Transfers {
    seed: u64,
    gap: u64,
    slowness: u64,
    has_operator: bool,
    nodes: Vec<NodeId>,
    /// Those that stay up once the faults have stopped.
    healthy: Vec<NodeId>,
    is_calm: bool,
    banks: Vec<Bank>,
    notes: Notes,
    tales: BTreeMap<TxId, Tale>,
    /// Since when each part is promised that was not told how it ended.
    promised: BTreeMap<(NodeId, TxId), Instant>,
    /// The coordinators of an earlier life had decided these.
    earlier: BTreeSet<TxId>,
    retry: Vec<(BTreeMap<NodeId, Work>, Age)>,
    aged: BTreeSet<TxId>,
    dones: BTreeMap<(NodeId, TxId), u32>,
    asked: BTreeMap<u64, Asked>,
    tasks: BTreeMap<u64, (NodeId, u64, Task)>,
    numbers: u64,
    /// The transaction that has to get through in the end.
    last: Option<TxId>,
    is_last_through: bool,
    tally: Tally,
}

const fn slot(node: NodeId) -> usize {
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

    fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    fn bank(&mut self, node: NodeId) -> &mut Bank {
        &mut self.banks[slot(node)]
    }

    fn tale(&mut self, tx: TxId) -> &mut Tale {
        self.tales.entry(tx).or_default()
    }

    fn ask(&mut self, node: NodeId, asked: Asked, wish: Wish, desk: &mut Desk<Machine>) {
        self.numbers += 1;
        self.asked.insert(self.numbers, asked);
        desk.ask(node, self.numbers, wish);
    }

    /// Has an application do something, now or later.
    fn put_off(&mut self, node: NodeId, task: Task, desk: &mut Desk<Machine>) -> Check {
        if self.slowness == 0 || desk.rng.below(2) == 0 {
            return self.carry_out(node, task, desk);
        }
        let after = Duration::from_micros(desk.rng.below(self.slowness));
        self.remind(node, task, after, desk);
        Ok(())
    }

    fn remind(&mut self, node: NodeId, task: Task, after: Duration, desk: &mut Desk<Machine>) {
        self.numbers += 1;
        let life = self.bank(node).life;
        self.tasks.insert(self.numbers, (node, life, task));
        desk.after(after, self.numbers);
    }

    fn carry_out(&mut self, node: NodeId, task: Task, desk: &mut Desk<Machine>) -> Check {
        match task {
            Task::Answer(tx) => {
                let refuses = !self.is_calm && desk.rng.below(40) == 0;
                let Some((mut request, seen)) = self.bank(node).answer(tx) else { return Ok(()) };
                if refuses {
                    request = Request::Refuse(tx);
                }
                if matches!(request, Request::Refuse(_)) {
                    self.release(node, tx, desk)?;
                }
                self.say(node, request, seen, desk);
                Ok(())
            }
            Task::GiveUp(tx) if self.bank(node).waits(tx) => {
                self.hit(Path::GaveUp);
                self.say(node, Request::Refuse(tx), Vec::new(), desk);
                self.release(node, tx, desk)
            }
            Task::GiveUp(_) => Ok(()),
            Task::Say(request, seen) => {
                self.say(node, request, seen, desk);
                Ok(())
            }
            Task::Do(tx, work) => {
                if self.bank(node).apply(tx, &work) {
                    self.tale(tx).on_did(tx, node)?;
                }
                self.say(node, Request::Finish(tx), Vec::new(), desk);
                self.release(node, tx, desk)
            }
        }
    }

    fn say(
        &mut self,
        node: NodeId,
        request: Request,
        seen: Vec<super::bank::Seen>,
        desk: &mut Desk<Machine>,
    ) {
        self.ask(node, Asked::Say(request, seen), Side::Participant(request), desk);
    }

    fn release(&mut self, node: NodeId, tx: TxId, desk: &mut Desk<Machine>) -> Check {
        self.bank(node).release(tx);
        self.look_at_locks(node, desk)
    }

    /// Goes on with those whose turn has come, and wounds those in the way.
    fn look_at_locks(&mut self, node: NodeId, desk: &mut Desk<Machine>) -> Check {
        while let Some(tx) = self.bank(node).wounded() {
            self.say(node, Request::Wound(tx), Vec::new(), desk);
        }
        while let Some(tx) = self.bank(node).granted() {
            self.put_off(node, Task::Answer(tx), desk)?;
        }
        Ok(())
    }

    // What clients want.

    fn any_node(&self, desk: &mut Desk<Machine>) -> NodeId {
        self.nodes[desk.rng.below(self.nodes.len() as u64) as usize]
    }

    /// A transaction by chance: an audit, a transfer within a node, or one between nodes, some of which may only look.
    fn draw(&self, desk: &mut Desk<Machine>) -> BTreeMap<NodeId, Work> {
        let mut parts = BTreeMap::<NodeId, Work>::new();
        if desk.rng.below(12) == 0 {
            let look = (0..OPEN as u8).map(|account| Step { account, change: 0 });
            return self.nodes.iter().map(|&node| (node, Work(look.clone().collect()))).collect();
        }
        let mut add = |node, account, change| {
            let steps = &mut parts.entry(node).or_insert_with(|| Work(Vec::new())).0;
            match steps.iter_mut().find(|step| step.account == account) {
                Some(step) => step.change += change,
                None => steps.push(Step { account, change }),
            }
        };
        let places = if desk.rng.below(4) == 0 { 1 } else { 2 + desk.rng.below(2) };
        let within = (places == 1).then(|| self.any_node(desk));
        let mut left = 0;
        for place in 0..places.max(2) {
            let (node, account) = (within.unwrap_or(self.any_node(desk)), desk.rng.below(OPEN as u64));
            let change = if place + 1 == places.max(2) { -left } else { desk.rng.below(60) as i64 - 30 };
            left += change;
            add(node, account as u8, change);
        }
        for _ in 0..desk.rng.below(3) {
            add(self.any_node(desk), desk.rng.below(OPEN as u64) as u8, 0);
        }
        parts
    }

    fn begin(
        &mut self,
        node: NodeId,
        parts: BTreeMap<NodeId, Work>,
        age: Option<Age>,
        desk: &mut Desk<Machine>,
    ) {
        let transaction = Transaction::of(parts.clone()).expect("each node once");
        let transaction = match age {
            Some(age) => transaction.aged(age),
            None => transaction,
        };
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        self.ask(node, Asked::Begin(parts, age), request, desk);
    }

    fn on_begin_timer(&mut self, desk: &mut Desk<Machine>) {
        let next = Duration::from_micros(desk.rng.below(2 * self.gap));
        desk.after(next, BEGIN);
        for _ in 0..=desk.rng.below(3) {
            let node = self.any_node(desk);
            let again = if desk.rng.below(2) == 0 { self.retry.pop() } else { None };
            let (parts, age) = match again {
                Some((parts, age)) => (parts, Some(age)),
                None => (self.draw(desk), None),
            };
            self.begin(node, parts, age, desk);
        }
        if desk.rng.below(10) == 0
            && let Some((&tx, _)) = self.tales.iter().rev().find(|(_, tale)| tale.outcome.is_none())
        {
            let request = Side::Coordinator(coordinator::Request::Cancel(tx));
            self.ask(tx.coordinator, Asked::Cancel, request, desk);
        }
    }

    /// An operator loses patience.
    fn on_operator_timer(&mut self, now: Instant, desk: &mut Desk<Machine>) {
        desk.after(Duration::from_millis(300), OPERATOR);
        let patience = Duration::from_millis(200);
        let stuck = self.promised.iter().find(|(_, since)| since.after(patience) <= now).map(|(key, _)| *key);
        if let Some((node, tx)) = stuck {
            let commit = desk.rng.below(2) == 0;
            self.say(node, Request::Force { tx, commit }, Vec::new(), desk);
        }
    }

    // What nodes say.

    fn on_taken(&mut self, at: At, asked: Asked, ticket: <Machine as quorate::Machine>::Ticket) -> Check {
        match (asked, ticket) {
            (Asked::Begin(parts, age), Side::Coordinator(coordinator::Ticket::Begun(tx))) => {
                // A number that nobody has heard of may be used again after a crash.
                let before = self.tales.insert(tx, Tale { parts, ..Tale::default() });
                let is_fresh = before.is_none_or(|tale| tale.yes.is_empty() && tale.outcome.is_none());
                holds(is_fresh, "a number is used once", || tx.to_string())?;
                if age.is_some() {
                    self.aged.insert(tx);
                }
                if self.is_calm && self.last.is_none() {
                    self.last = Some(tx);
                }
                Ok(())
            }
            (Asked::Say(request, seen), Side::Participant(_)) => {
                match request {
                    Request::Promise(tx) | Request::Read(tx) => {
                        // Asked again by a message that was late, it sees what does not count.
                        let is_late = self.notes.is_decided(tx) || self.tale(tx).outcome.is_some();
                        let tale = self.tale(tx);
                        tale.yes.insert(at.node);
                        if !is_late {
                            tale.saw.insert(at.node, seen);
                        }
                        self.promised.insert((at.node, tx), at.now);
                    }
                    Request::Finish(tx) => self.bank(at.node).finish(tx),
                    Request::Refuse(_) | Request::Wound(_) | Request::Force { .. } => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_prepare(&mut self, at: At, tx: TxId, age: Age, work: &Work, desk: &mut Desk<Machine>) -> Check {
        let node = at.node;
        if self.tale(tx).did.contains(&node) {
            self.hit(Path::LatePrepare);
        }
        if self.bank(node).has_done(tx) {
            self.say(node, Request::Finish(tx), Vec::new(), desk);
            return Ok(());
        }
        match self.bank(node).lock(tx, age, work) {
            Some(true) => self.put_off(node, Task::Answer(tx), desk)?,
            Some(false) => {
                self.hit(Path::Waited);
                // The coordinator does not give up one that it has left to the only node, so the node has to.
                if self.tale(tx).parts.len() == 1 {
                    self.remind(node, Task::GiveUp(tx), Duration::from_secs(2), desk);
                }
            }
            None => self.say(node, Request::Refuse(tx), Vec::new(), desk),
        }
        self.look_at_locks(node, desk)
    }

    fn on_told(&mut self, at: At, event: &participant::Event<'_, Work>, desk: &mut Desk<Machine>) -> Check {
        use participant::Event;
        let node = at.node;
        match *event {
            Event::Prepare { tx, age, work } => self.on_prepare(at, tx, age, work, desk),
            Event::Retake { tx, age, work } => {
                self.hit(Path::Retaken);
                self.promised.insert((node, tx), at.now);
                let is_held = self.bank(node).lock(tx, age, work);
                holds(is_held == Some(true), "what is taken again is free", || format!("{tx} at {node}"))
            }
            Event::Ready => {
                let open = self.tales.iter().filter(|(_, tale)| tale.open_votes.contains(&node));
                let is_held = |tx| self.banks[slot(node)].holds(tx) || self.notes.is_over(node, tx);
                let lost = open.map(|(tx, _)| *tx).find(|&tx| !is_held(tx));
                holds(lost.is_none(), "what a vote was sent for is held again", || {
                    format!("{lost:?} at {node}")
                })?;
                for tx in self.banks[slot(node)].done().collect::<Vec<_>>() {
                    self.say(node, Request::Finish(tx), Vec::new(), desk);
                }
                Ok(())
            }
            Event::Decided { tx, commit, work } => {
                self.promised.remove(&(node, tx));
                if let Some(forced) = self.notes.forced(node, tx)
                    && self.tale(tx).forced.insert(node, forced).is_none()
                {
                    self.hit(Path::Forced);
                }
                let is_only = self.tale(tx).parts.len() == 1;
                self.tale(tx).on_decided(tx, node, commit)?;
                if !commit {
                    return self.release(node, tx, desk);
                }
                if is_only {
                    self.hit(if self.notes.is_decided(tx) { Path::NotAtOnce } else { Path::AtOnce });
                }
                self.put_off(node, Task::Do(tx, work.clone()), desk)
            }
            Event::Contradicted { tx, forced } => {
                self.hit(Path::Contradicted);
                let tale = self.tale(tx);
                tale.contradicted.insert(node);
                holds(tale.forced.get(&node) == Some(&forced), "only what was forced is contradicted", || {
                    format!("{tx} at {node}")
                })
            }
        }
    }

    fn on_outcome(&mut self, tx: TxId, age: Age, outcome: Outcome) -> Check {
        self.tale(tx).on_outcome(tx, outcome)?;
        self.hit(match outcome {
            Outcome::Committed => Path::Committed,
            Outcome::Aborted(Cause::Refused(_)) => Path::Refused,
            Outcome::Aborted(Cause::TimedOut) => Path::TimedOut,
            Outcome::Aborted(Cause::Wounded) => Path::Wounded,
            Outcome::Aborted(Cause::Cancelled) => Path::Cancelled,
            Outcome::Unknown => Path::Unknown,
        });
        let parts = self.tale(tx).parts.clone();
        if outcome == Outcome::Committed {
            if parts.len() == self.nodes.len() && !parts.values().any(Work::writes) {
                self.hit(Path::Audited);
            }
            if self.aged.contains(&tx) {
                self.hit(Path::Aged);
            }
        }
        if outcome == Outcome::Aborted(Cause::Wounded) && self.retry.len() < 20 {
            self.retry.push((parts, age));
        }
        if self.last == Some(tx) {
            self.is_last_through = outcome == Outcome::Committed;
            self.last = None;
        }
        Ok(())
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
            // An application is where its node is: what its queue has no room for, it says again.
            Answer::Unreachable => {
                if let Asked::Say(request, seen) = asked {
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
