//! A node, its disk, its application, and a memory of all that may be relied upon.

use super::Work;
use super::says::{self, Known};
use crate::Tape;
use quorate::codec::take;
use quorate::space::List;
use quorate::two_phase::coordinator::{self, Outcome};
use quorate::two_phase::participant::{self, Request};
use quorate::two_phase::{Config, Message, Node, Promise, Record, Side, Transaction, Vote};
use quorate::{
    Answering, Hosted, Input, Instant, Machine, NodeId, Output, Pending, Place, Space, Stored, TxId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

/// More outputs than any drain has.
const MOST_OUTPUTS: usize = 10_000;
/// More wakings than it takes until all is told.
const MOST_WAKINGS: usize = 100;

const ME: NodeId = NodeId::new(1);

/// What is on a disk: records, each with the number of its log.
pub type Disk = Vec<(u64, Vec<u8>)>;

/// What a record says that others may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Numbered(u64),
    Committed(TxId),
    Promised(TxId, Promise),
    Forced(TxId),
    Ended(TxId),
}

struct Entry {
    log: usize,
    bytes: Vec<u8>,
    is_restart: bool,
    facts: Vec<Fact>,
}

/// Where the application of a participant stands with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    Promised,
    /// It can, and only read: it holds that until it is told to let go.
    Reading,
    /// It only read, and an operator has it let go: it is told so next.
    Released,
    Doing,
}

impl Standing {
    /// Whether it has answered, and waits to be told.
    const fn waits(self) -> bool {
        matches!(self, Self::Promised | Self::Reading | Self::Released)
    }
}

/// A node and all that happened to it.
pub struct Life<S: Space> {
    machine: Node<Work, S>,
    now: u64,
    lives: u64,
    /// Whether its disk is what it wrote: else it need only not come to grief.
    is_sound: bool,
    /// All that it wrote and did not lose, of all lives.
    entries: Vec<Entry>,
    /// How many of these are durable.
    durable: usize,
    /// Claims on those of which it was not told that they are, each with how many there are with it.
    claims: Vec<(usize, Pending)>,
    /// Up to where it was told that each of its logs is durable.
    sure: [usize; 2],

    // The application, and those who ask.
    standing: BTreeMap<TxId, Standing>,
    is_ready: bool,
    /// When each was done, by what was written then.
    finished: BTreeMap<TxId, usize>,
    /// Those that somebody says are to be done by a promise that does not stand: it was kept long ago, for all a node knows.
    earlier: BTreeSet<TxId>,
    forced: BTreeSet<TxId>,
    begun: Vec<TxId>,
    /// Those that others know of, each with the life in which it began.
    named: BTreeMap<TxId, u64>,
    /// Who takes part in each.
    parts: BTreeMap<TxId, Vec<NodeId>>,
    ended: BTreeSet<TxId>,

    // What it was told.
    /// Others' transactions, with what was promised in them last.
    heard: Vec<(TxId, u64)>,
    only: BTreeSet<TxId>,
    told: BTreeSet<(TxId, bool)>,
    /// Who only reads in what.
    readers: BTreeSet<(NodeId, TxId)>,
    /// What it said since that was last looked at.
    pub said: Vec<u8>,
}

fn config<S: Space>() -> Config<S> {
    let mut config = Config::new(ME, &[1, 2, 3].map(NodeId::new));
    config.work_bytes = 8;
    config
}

fn restore<S: Space>(disk: &Disk, life: u64, now: Instant) -> Option<Node<Work, S>> {
    let records = disk.iter().map(|(_, record)| record.as_slice());
    <Node<Work, S> as Hosted>::restore(&config(), life, now, Stored { records, snapshots: &[] }).ok()
}

fn facts(record: &Record<'_, Work>, facts: &mut Vec<Fact>) {
    match *record {
        Record::Numbered { through } => facts.push(Fact::Numbered(through)),
        Record::Committed { tx, .. } => facts.push(Fact::Committed(tx)),
        Record::Promised { tx, promise, .. } => facts.push(Fact::Promised(tx, promise)),
        Record::Forced { tx, .. } => facts.push(Fact::Forced(tx)),
        Record::Ended { tx } | Record::Kept { tx } | Record::Refused { tx } => facts.push(Fact::Ended(tx)),
        Record::Past { .. } => {}
        Record::Restart(ref records) => records.for_each(&mut |record| self::facts(&record, facts)),
    }
}

impl<S: Space> Life<S> {
    /// A new node.
    pub fn new() -> Self {
        Self::of(restore(&Disk::new(), 1, Instant::default()).expect("sound settings"), true)
    }

    /// One from a disk of any kind, if it is one.
    pub fn restored(disk: &Disk) -> Option<Self> {
        let mut life = Self::of(restore(disk, 1, Instant::default())?, false);
        let entry = |(log, bytes): &(u64, Vec<u8>)| Entry {
            log: usize::from(*log == 1),
            bytes: bytes.clone(),
            is_restart: false,
            facts: Vec::new(),
        };
        life.entries = disk.iter().map(entry).collect();
        life.durable = life.entries.len();
        Some(life)
    }

    fn of(machine: Node<Work, S>, is_sound: bool) -> Self {
        Self {
            machine,
            now: 0,
            lives: 1,
            is_sound,
            entries: Vec::new(),
            durable: 0,
            claims: Vec::new(),
            sure: [0; 2],
            standing: BTreeMap::new(),
            is_ready: false,
            finished: BTreeMap::new(),
            earlier: BTreeSet::new(),
            forced: BTreeSet::new(),
            begun: Vec::new(),
            named: BTreeMap::new(),
            parts: BTreeMap::new(),
            ended: BTreeSet::new(),
            heard: Vec::new(),
            only: BTreeSet::new(),
            told: BTreeSet::new(),
            readers: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    /// What is on its disk: a restart lets go of what is before it in its log.
    pub fn disk(&self) -> Disk {
        let first = |log| self.entries.iter().rposition(|entry| entry.log == log && entry.is_restart);
        let first = [0, 1].map(|log| first(log).unwrap_or_default());
        let kept = self.entries.iter().enumerate().filter(|(at, entry)| *at >= first[entry.log]);
        kept.map(|(_, entry)| (entry.log as u64, entry.bytes.clone())).collect()
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Whether the node was told that a record with this in it is durable.
    fn is_sure(&self, log: usize, is: impl Fn(&Fact) -> bool) -> bool {
        let sure = self.entries.iter().take(self.sure[log]).filter(|entry| entry.log == log);
        sure.flat_map(|entry| &entry.facts).any(is)
    }

    /// The next thing that happens.
    pub fn step(&mut self, tape: &mut Tape<'_>) {
        let what = tape.byte();
        match what % 16 {
            0 => {
                let (from, bytes) = (tape.byte().into(), tape.slice());
                self.deliver(from, bytes);
            }
            1..=6 => {
                let from = 2 + tape.below(2) as u64;
                let mut bytes = Vec::new();
                let known = Known { begun: &self.begun, heard: &self.heard };
                says::put_message(tape, from, &known, &mut bytes);
                self.deliver(from, &bytes);
            }
            7 | 8 => self.begin(tape),
            9 | 10 => self.answer(tape),
            11 if what & 16 == 0 => self.claim(tape),
            11 => self.cancel(tape),
            12 => self.save(tape.below(8), tape.byte() >= 32),
            13 => self.save(usize::MAX, true),
            14 => {
                self.now = match tape.byte() {
                    0..200 => self.machine.deadline().map_or(self.now, Instant::as_micros).max(self.now),
                    later => self.now + u64::from(later - 200) * 10_000,
                };
                self.wake();
            }
            _ => self.restart(tape.below(8)),
        }
        // Polling may be put off.
        if what < 0xE0 {
            self.drain();
        }
    }

    /// All goes well from now on, but for the peers, who say nothing: whoever asked for anything is told what came of it.
    pub fn end(&mut self) {
        self.drain();
        for _ in 0..MOST_WAKINGS {
            self.save(usize::MAX, true);
            self.drain();
            let Some(deadline) = self.machine.deadline() else { break };
            self.now = self.now.max(deadline.as_micros());
            self.wake();
            self.drain();
        }
        let untold: Vec<_> = self.begun.iter().filter(|tx| !self.ended.contains(tx)).collect();
        assert!(untold.is_empty(), "nothing is told of {untold:?}");
    }

    fn wake(&mut self) {
        self.machine.handle(self.now(), Input::Wake);
        let deadline = self.machine.deadline();
        assert!(deadline.is_none_or(|at| at > self.now()), "there is a point in waking up");
    }

    // Who asks.

    fn begin(&mut self, tape: &mut Tape<'_>) {
        let mask = tape.byte();
        let node = |number: u64| (NodeId::new(number), <Work as List<u8>>::of([number as u8; 3]));
        let mut parts: Vec<_> = (1..=3).filter(|number| mask & 1 << number != 0).map(node).collect();
        match mask >> 4 {
            14 => parts.push((NodeId::new(9), Work::new())),
            15 => parts.push((NodeId::new(2), List::of([0; 9]))),
            _ => {}
        }
        let nodes = parts.iter().map(|(node, _)| *node).collect();
        let Ok(transaction) = Transaction::of(parts) else { return };
        let transaction =
            if mask & 1 == 1 { transaction.aged(quorate::Age::new(tape.near(&[1, 5]))) } else { transaction };
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        if let Ok(Side::Coordinator(coordinator::Ticket::Begun(tx))) =
            self.machine.request(self.now(), request)
        {
            self.begun.push(tx);
            self.parts.insert(tx, nodes);
        }
    }

    fn cancel(&mut self, tape: &mut Tape<'_>) {
        let Some(&tx) = self.begun.iter().rev().nth(tape.below(4)) else { return };
        let request = Side::Coordinator(coordinator::Request::Cancel(tx));
        if let Ok(ticket) = self.machine.request(self.now(), request) {
            assert_eq!(Node::<Work, S>::at_once(&ticket), Some(None), "a cancellation is over at once");
        }
    }

    // The application.

    /// The application answers what it was asked, or says that it has done what it had to do.
    fn answer(&mut self, tape: &mut Tape<'_>) {
        let (which, how) = (tape.below(4), tape.below(8));
        let open: Vec<_> = self.standing.iter().filter(|(_, standing)| !standing.waits()).collect();
        let Some((&tx, standing)) = open.get(which.min(open.len().saturating_sub(1))).copied() else {
            return;
        };
        let request = match (standing, how) {
            (Standing::Doing, _) => Request::Finish(tx),
            // What it did before it says so of.
            (_, 0..7) if self.finished.contains_key(&tx) => Request::Finish(tx),
            (_, 0..=4) => Request::Promise(tx),
            (_, 5) => Request::Read(tx),
            (_, 6) => Request::Refuse(tx),
            (_, _) => Request::Wound(tx),
        };
        self.say(request);
    }

    /// The application, or an operator, says something, whether it fits or not.
    fn claim(&mut self, tape: &mut Tape<'_>) {
        let which = tape.byte();
        let known: Vec<_> = self.heard.iter().map(|(tx, _)| *tx).chain(self.begun.iter().copied()).collect();
        let at = usize::from(which >> 3) % known.len().max(1);
        let tx = known.iter().rev().nth(at).copied().unwrap_or(TxId { coordinator: ME, number: 3 });
        self.say(match which & 7 {
            0 => Request::Promise(tx),
            1 => Request::Read(tx),
            2 => Request::Refuse(tx),
            3 => Request::Wound(tx),
            // Only what it has done, or not begun to do, is an application asked to have done.
            4 if !self.standing.get(&tx).is_some_and(|standing| standing.waits()) => Request::Finish(tx),
            _ => Request::Force { tx, commit: which & 8 != 0 },
        });
    }

    fn say(&mut self, request: Request) {
        let Ok(ticket) = self.machine.request(self.now(), Side::Participant(request)) else { return };
        assert_eq!(Node::<Work, S>::at_once(&ticket), Some(None), "what is said is taken up at once");
        match request {
            Request::Promise(tx) => _ = self.standing.insert(tx, Standing::Promised),
            Request::Read(tx) => {
                self.readers.insert((ME, tx));
                self.standing.insert(tx, Standing::Reading);
            }
            Request::Refuse(tx) => _ = self.standing.remove(&tx),
            Request::Finish(tx) => {
                self.standing.remove(&tx);
                if !self.is_finished(tx) {
                    self.finished.insert(tx, self.entries.len());
                }
            }
            Request::Wound(_) => {}
            Request::Force { tx, .. } if self.standing.get(&tx) == Some(&Standing::Reading) => {
                self.standing.insert(tx, Standing::Released);
            }
            Request::Force { tx, .. } => _ = self.forced.insert(tx),
        }
    }

    // The world.

    fn deliver(&mut self, from: u64, bytes: &[u8]) {
        let Ok(message) = <Node<Work, S> as Hosted>::take_message(bytes) else { return };
        assert_canonical::<S>(&message, bytes);
        let (tx, from) = (message.tx(), NodeId::new(from));
        match message {
            Message::Prepare { only, .. } => {
                if only {
                    self.only.insert(tx);
                }
                if !self.heard.iter().any(|(known, _)| *known == tx) {
                    self.heard.push((tx, 0));
                }
            }
            Message::Decision { commit, of, .. } => {
                self.told.insert((tx, commit));
                let stands = self.facts().any(|fact| *fact == Fact::Promised(tx, of))
                    && self.standing.get(&tx) != Some(&Standing::Asked);
                if commit && !stands && !self.finished.contains_key(&tx) {
                    self.earlier.insert(tx);
                }
            }
            Message::Vote { vote: Vote::ReadOnly, .. } => _ = self.readers.insert((from, tx)),
            Message::Vote { .. } | Message::Done { .. } | Message::Ask { .. } | Message::Wound { .. } => {}
        }
        self.machine.handle(Instant::from_micros(self.now), Input::Message { from, message });
    }

    /// So many more writes are durable; the node is told so, or later.
    fn save(&mut self, count: usize, tells: bool) {
        self.durable = self.durable.saturating_add(count).min(self.entries.len());
        if !tells {
            return;
        }
        let told = self.claims.iter().take_while(|(through, _)| *through <= self.durable).count();
        for (through, claim) in self.claims.drain(..told) {
            let now = Instant::from_micros(self.now);
            self.machine.handle(now, Input::Saved(claim.assert_durable()));
            self.sure[self.entries[through - 1].log] = through;
        }
    }

    /// Dies, and comes back with what is durable, and some of what was not.
    fn restart(&mut self, luck: usize) {
        self.claims.clear();
        self.entries.truncate(self.durable.saturating_add(luck));
        self.durable = self.entries.len();
        self.lives += 1;
        self.now += 1_000;
        let Some(machine) = restore(&self.disk(), self.lives, self.now()) else {
            assert!(!self.is_sound, "a node restores from what it wrote");
            return;
        };
        self.machine = machine;
        self.sure = [self.entries.len(); 2];
        self.finished.retain(|_, at| *at < self.entries.len());
        self.standing.clear();
        self.earlier.clear();
        self.begun.clear();
        self.ended.clear();
        self.is_ready = false;
    }

    /// Carries out all that the node wants done.
    fn drain(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            let Some(output) = self.machine.poll() else {
                let (coordinator, participant) = (self.machine.coordinator(), self.machine.participant());
                assert!(coordinator.transactions().count() <= S::CALLS, "a coordinator keeps its limits");
                assert!(participant.transactions().count() <= S::CALLS, "a participant keeps its limits");
                return;
            };
            match output {
                Output::Save(write) => {
                    let (record, claim) = write.split();
                    let log = Node::<Work, S>::group(&record).get() as usize;
                    let is_restart = matches!(Node::<Work, S>::place(&record), Place::Restart { .. });
                    let (mut bytes, mut facts) = (Vec::new(), Vec::new());
                    Node::<Work, S>::put_record(&record, &mut bytes).expect("a vector is never full");
                    let (Side::Coordinator(record) | Side::Participant(record)) = &record;
                    self::facts(record, &mut facts);
                    self.said.extend(&bytes);
                    self.entries.push(Entry { log, bytes, is_restart, facts });
                    self.claims.push((self.entries.len(), claim));
                }
                Output::Send { to, message } => {
                    let mut bytes = Vec::new();
                    Node::<Work, S>::put_message(&message, &mut bytes).expect("a vector is never full");
                    self.said.push(to.get() as u8);
                    self.said.extend(&bytes);
                    self.on_sent(to, &bytes);
                }
                Output::Event(event) => {
                    write!(self.said, "{event:?}").expect("a vector is never full");
                    match event {
                        Side::Coordinator(event) => self.on_coordinator(event),
                        Side::Participant(event) => {
                            let told = Told::of(&event);
                            self.on_participant(told);
                        }
                    }
                }
            }
        }
        panic!("a drain comes to an end");
    }

    // What it says.

    fn on_sent(&mut self, to: NodeId, bytes: &[u8]) {
        let message = Node::<Work, S>::take_message(bytes).expect("what a machine says is a message");
        assert_canonical::<S>(&message, bytes);
        assert!(to != ME, "what a node says to itself stays there");
        let tx = message.tx();
        if let Message::Vote { vote: Vote::Yes(_), .. } = message {
            let mut rest = bytes;
            let numbers: [u64; 5] = take(&mut rest).expect("a vote is numbers");
            self.heard.iter_mut().filter(|(known, _)| *known == tx).for_each(|(_, of)| *of = numbers[4]);
        }
        if !self.is_sound {
            return;
        }
        assert!([2, 3].contains(&to.get()), "messages go to peers");
        match message {
            Message::Prepare { .. } => {
                let is_used = |fact: &Fact| matches!(fact, Fact::Numbered(through) if *through > tx.number);
                assert!(self.is_sure(0, is_used), "{tx} is named before it is durable that it may be");
                let life = *self.named.entry(tx).or_insert(self.lives);
                assert_eq!(life, self.lives, "{tx} begins twice");
            }
            Message::Vote { vote: Vote::Yes(promise), .. } => {
                let is_it = |fact: &Fact| *fact == Fact::Promised(tx, promise);
                assert!(self.is_sure(1, is_it), "a yes in {tx} before it is durable");
            }
            Message::Vote { vote: Vote::ReadOnly, .. } => {
                let of = Promise::default();
                let is_it = |fact: &Fact| [Fact::Promised(tx, of), Fact::Ended(tx)].contains(fact);
                assert!(self.is_sure(1, is_it), "what {tx} read is held before it is durable");
            }
            Message::Vote { vote: Vote::No, .. } => {
                let is_told = |commit| self.told.contains(&(tx, commit));
                // It is answered before it is told: what is over was perhaps heard just now.
                let is_over = match self.standing.get(&tx) {
                    None | Some(Standing::Asked | Standing::Released) => true,
                    Some(Standing::Promised | Standing::Doing) => is_told(false),
                    // Told to let go, however it ended.
                    Some(Standing::Reading) => is_told(false) || is_told(true),
                };
                assert!(is_over, "a no in {tx} that was promised");
            }
            Message::Decision { commit: true, of, .. } if tx.coordinator == ME => {
                let is_it = of == Promise::default() || self.is_sure(0, |fact| *fact == Fact::Committed(tx));
                assert!(is_it, "{tx} is decided before it is durable");
            }
            Message::Decision { commit, .. } if tx.coordinator != ME => {
                let is_refused = !commit && self.is_sure(1, |fact| *fact == Fact::Ended(tx));
                assert!(
                    is_refused || self.told.contains(&(tx, commit)),
                    "{tx} is decided by who only takes part"
                );
            }
            Message::Done { commit: true, .. } if !self.forced.contains(&tx) => {
                assert!(self.standing.get(&tx) != Some(&Standing::Doing), "{tx} is not done yet");
                let is_old = self.earlier.contains(&tx) || !self.finished.contains_key(&tx);
                assert!(is_old || self.is_finished(tx), "{tx} is done before it is durable");
            }
            Message::Decision { .. } | Message::Done { .. } | Message::Ask { .. } | Message::Wound { .. } => {
            }
        }
    }

    fn on_coordinator(&mut self, event: coordinator::Event) {
        match event {
            coordinator::Event::Ended { tx, outcome, .. } => {
                let is_begun = self.begun.contains(&tx);
                let is_news = self.ended.insert(tx);
                if !self.is_sound {
                    return;
                }
                assert!(is_begun && is_news, "{tx} ends once, in the life in which it began");
                let is_it = |fact: &Fact| *fact == Fact::Committed(tx);
                match outcome {
                    Outcome::Committed => {
                        let is_recorded = self.facts().any(is_it);
                        assert!(!is_recorded || self.is_sure(0, is_it), "{tx} is told before it is durable");
                        assert!(is_recorded || self.is_plain(tx), "{tx} is told, and not recorded");
                    }
                    // It may come to be known.
                    Outcome::Unknown => {}
                    Outcome::Aborted(_) => {
                        assert!(!self.facts().any(is_it), "{tx} is decided, and then is not");
                    }
                }
            }
            coordinator::Event::Contradicted { .. } => {}
        }
    }

    /// Whether the node was told that it is durable that this was done.
    fn is_finished(&self, tx: TxId) -> bool {
        self.finished.get(&tx).is_some_and(|at| self.sure[1] > *at)
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.entries.iter().flat_map(|entry| &entry.facts)
    }

    /// Whether one node took part, or all only read: then nothing is recorded.
    fn is_plain(&self, tx: TxId) -> bool {
        let Some(parts) = self.parts.get(&tx) else { return false };
        parts.len() == 1 || parts.iter().all(|node| self.readers.contains(&(*node, tx)))
    }

    fn on_participant(&mut self, told: Told) {
        match told {
            Told::Retake(tx) => {
                assert!(!self.is_ready, "what was promised is told before anything else");
                let last = self.facts().filter_map(|fact| match *fact {
                    Fact::Promised(of, promise) if of == tx => Some(promise),
                    _ => None,
                });
                let is_read = last.last() == Some(Promise::default());
                self.standing.insert(tx, if is_read { Standing::Reading } else { Standing::Promised });
            }
            Told::Ready => self.is_ready = true,
            Told::Prepare(tx) => {
                assert!(self.is_ready, "what was promised is told before anything else");
                let before = self.standing.insert(tx, Standing::Asked);
                assert!(before.is_none(), "{tx} is asked for once");
            }
            Told::Decided(tx, commit) => {
                let before = self.standing.remove(&tx);
                if commit {
                    self.standing.insert(tx, Standing::Doing);
                }
                if self.is_sound {
                    self.assert_decided(tx, commit, before);
                }
            }
            Told::Contradicted => {}
        }
    }

    fn assert_decided(&self, tx: TxId, commit: bool, before: Option<Standing>) {
        let was_forced = self.forced.contains(&tx);
        let is_forced = was_forced && self.is_sure(1, |fact| *fact == Fact::Forced(tx));
        if !commit {
            assert!(before.is_some() || is_forced, "{tx} is let go of, and nobody held it");
            return;
        }
        assert!(before == Some(Standing::Promised) || is_forced, "{tx} was not promised");
        let is_alone = self.only.contains(&tx) || tx.coordinator == ME;
        let is_promised = self.is_sure(1, |fact| matches!(fact, Fact::Promised(of, _) if *of == tx));
        assert!(is_promised || is_alone, "{tx} is done before its promise is durable");
        let is_own = tx.coordinator == ME && self.is_sure(0, |fact| *fact == Fact::Committed(tx));
        let is_decided = self.told.contains(&(tx, true)) || is_own || is_forced || is_alone;
        assert!(is_decided, "nobody decided {tx}");
    }
}

/// What the application of a participant is told.
enum Told {
    Retake(TxId),
    Ready,
    Prepare(TxId),
    Decided(TxId, bool),
    Contradicted,
}

impl Told {
    const fn of(event: &participant::Event<'_, Work>) -> Self {
        match *event {
            participant::Event::Retake { tx, .. } => Self::Retake(tx),
            participant::Event::Ready => Self::Ready,
            participant::Event::Prepare { tx, .. } => Self::Prepare(tx),
            participant::Event::Decided { tx, commit, .. } => Self::Decided(tx, commit),
            participant::Event::Contradicted { .. } => Self::Contradicted,
        }
    }
}

/// A message that was decoded encodes to the same bytes, or to fewer: a number may be written longer than it need be.
fn assert_canonical<S: Space>(message: &Message<'_, Work>, bytes: &[u8]) {
    let mut first = Vec::new();
    Node::<Work, S>::put_message(message, &mut first).expect("a vector is never full");
    assert!(first.len() <= bytes.len(), "a message grows when it is encoded");
    let again = Node::<Work, S>::take_message(&first).expect("what was encoded decodes");
    let mut second = Vec::new();
    Node::<Work, S>::put_message(&again, &mut second).expect("a vector is never full");
    assert_eq!(first, second, "a message changes when it is encoded");
}
