//! One transaction, played again and again with other mishaps, and what must be so whatever happens.

use quorate::two_phase::coordinator::{self, Cause, Outcome};
use quorate::two_phase::{Config, Message, Node, Side, Transaction, Vote, participant};
use quorate::{
    GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Pending, Place, Stored, TxId, space::Heap,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

type Engine = Node<u32, Heap<8, 8>>;

/// What an application says to what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Writes,
    /// Writes, and takes so many milliseconds to say so.
    Ponders(u64),
    Reads,
    Refuses,
}

/// A transaction that the first node begins.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    pub nodes: usize,
    pub parts: &'static [(u64, Manner)],
}

/// What goes wrong at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The node crashes; what was written and not synced survives, or does not. It comes back at once, or after a while.
    Crash { keeps: bool, is_long: bool },
    /// The message is lost.
    Lost,
    /// It arrives twice, the second time after so long.
    Again(Duration),
    /// It arrives again when all is over.
    AtTheEnd,
    /// Others overtake it.
    Late,
}

/// Where something can go wrong.
#[derive(Clone, Copy)]
pub struct Point {
    node: usize,
    is_letter: bool,
    has_unsynced: bool,
    what: &'static str,
}

const LONG: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_millis(400);

impl Point {
    /// Everything that can go wrong here.
    pub fn mishaps(&self) -> Vec<Mishap> {
        let mut all = Vec::new();
        for is_long in [false, true] {
            all.push(Mishap::Crash { keeps: false, is_long });
            if self.has_unsynced {
                all.push(Mishap::Crash { keeps: true, is_long });
            }
        }
        if self.is_letter {
            let again = Mishap::Again;
            all.extend([Mishap::Lost, again(Duration::ZERO), again(LATE), Mishap::AtTheEnd, Mishap::Late]);
        }
        all
    }
}

#[derive(Clone, Debug)]
struct Letter {
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

/// An application: what it did survives a crash, what it holds for transactions does not.
#[derive(Debug, Default)]
struct Application {
    done: BTreeSet<TxId>,
    held: BTreeSet<TxId>,
    ponders: Vec<(Instant, TxId)>,
}

#[derive(Default)]
struct Process {
    machine: Option<Engine>,
    durable: Vec<(GroupId, Vec<u8>)>,
    unsynced: Vec<(GroupId, bool, Vec<u8>)>,
    returns: Option<Instant>,
    application: Application,
    manners: BTreeMap<TxId, Manner>,
}

/// What was seen from outside, which no crash makes undone.
#[derive(Debug, Default)]
struct Story {
    said_yes: BTreeSet<(usize, TxId)>,
    told: BTreeMap<(usize, TxId), BTreeSet<bool>>,
    /// Votes that were sent and whose end their application has not been told.
    open_votes: BTreeSet<(usize, TxId)>,
    outcomes: BTreeMap<TxId, Outcome>,
}

/// A play under way.
pub struct Play {
    plot: Plot,
    nodes: Vec<Process>,
    wire: VecDeque<Letter>,
    later: Vec<(Instant, Letter)>,
    at_the_end: Vec<Letter>,
    now: Instant,
    seed: u64,
    mishaps: Vec<(usize, Mishap)>,
    pub points: Vec<Point>,
    is_calm: bool,
    story: Story,
}

type Step = Result<(), Mishap>;

impl Play {
    /// Plays it with these mishaps, each at a point by its number, and checks all that must be so.
    pub fn of(plot: Plot, mishaps: &[(usize, Mishap)]) -> Self {
        let mut play = Self {
            plot,
            nodes: (0..plot.nodes).map(|_| Process::default()).collect(),
            wire: VecDeque::new(),
            later: Vec::new(),
            at_the_end: Vec::new(),
            now: Instant::default(),
            seed: 0,
            mishaps: mishaps.to_vec(),
            points: Vec::new(),
            is_calm: false,
            story: Story::default(),
        };
        (0..plot.nodes).for_each(|at| play.start(at));
        let tx = play.begin(plot.parts);
        play.run();
        for letter in std::mem::take(&mut play.at_the_end) {
            play.wire.push_back(letter);
            play.run();
        }
        play.is_calm = true;
        if let Some(tx) = tx {
            play.check(tx, plot.parts);
        }
        play.check_empty();
        // Whatever happened, the next transaction is like the first.
        let parts: Vec<_> = plot.parts.iter().map(|&(node, _)| (node, Manner::Writes)).collect();
        let tx = play.begin(&parts).expect("all are up");
        play.run();
        assert_eq!(play.story.outcomes.get(&tx), Some(&Outcome::Committed), "a fresh transaction");
        play.check(tx, &parts);
        play.check_empty();
        play
    }

    /// A place where something can go wrong.
    fn point(&mut self, node: usize, is_letter: bool, what: &'static str) -> Step {
        if self.is_calm {
            return Ok(());
        }
        let has_unsynced = !self.nodes[node].unsynced.is_empty();
        self.points.push(Point { node, is_letter, has_unsynced, what });
        let number = self.points.len() - 1;
        let mishap = self.mishaps.iter().find(|(at, _)| *at == number);
        mishap.map_or(Ok(()), |&(_, mishap)| Err(mishap))
    }

    fn start(&mut self, at: usize) {
        self.seed += 1;
        let ids: Vec<_> = (1..=self.nodes.len() as u64).map(NodeId::new).collect();
        let mut config = Config::new(ids[at], &ids);
        config.vote_timeout = Duration::from_millis(200);
        let process = &mut self.nodes[at];
        process.returns = None;
        let records = process.durable.iter().map(|(_, bytes)| bytes.as_slice());
        let stored = Stored { records, snapshots: &[] };
        process.machine =
            Some(<Engine as Hosted>::restore(&config, self.seed, self.now, stored).expect("its own records"));
        self.drain(at);
    }

    fn begin(&mut self, parts: &[(u64, Manner)]) -> Option<TxId> {
        let work = parts.iter().map(|&(node, _)| (NodeId::new(node), node as u32));
        let request = coordinator::Request::Begin(Transaction::of(work).expect("sound"));
        let machine = self.nodes[0].machine.as_mut()?;
        let ticket = machine.request(self.now, Side::Coordinator(request)).expect("there is room");
        let Side::Coordinator(coordinator::Ticket::Begun(tx)) = ticket else { panic!("it has begun") };
        for &(node, manner) in parts {
            self.nodes[node as usize - 1].manners.insert(tx, manner);
        }
        self.drain(0);
        Some(tx)
    }

    /// Lets everything happen that happens, in bounded time.
    fn run(&mut self) {
        let end = self.now.after(Duration::from_secs(20));
        loop {
            while let Some(letter) = self.wire.pop_front() {
                self.arrive(letter);
            }
            let deadlines = self.nodes.iter().filter_map(|node| node.machine.as_ref()?.deadline());
            let returns = self.nodes.iter().filter_map(|node| node.returns);
            let ponders =
                self.nodes.iter().flat_map(|node| node.application.ponders.iter().map(|(at, _)| *at));
            let later = self.later.iter().map(|(at, _)| *at);
            let Some(next) = deadlines.chain(returns).chain(ponders).chain(later).min() else { return };
            assert!(next < end, "it does not come to an end: {}", self.tell());
            self.now = self.now.max(next);
            self.pass();
        }
    }

    /// What is due by now.
    fn pass(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].returns.is_some_and(|returns| returns <= self.now) {
                self.start(at);
            }
        }
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= self.now);
        self.later = later;
        self.wire.extend(Vec::into_iter(due).map(|(_, letter)| letter));
        for at in 0..self.nodes.len() {
            let now = self.now;
            let says = self.nodes[at].application.say(now);
            if let Some(machine) = &mut self.nodes[at].machine {
                for tx in says {
                    if machine.request(now, Side::Participant(participant::Request::Promise(tx))).is_ok() {
                        self.story.said_yes.insert((at, tx));
                    }
                }
                machine.handle(now, Input::Wake);
            }
            self.drain(at);
        }
    }

    fn arrive(&mut self, letter: Letter) {
        let to = letter.to;
        if self.nodes[to].machine.is_none() {
            return;
        }
        match self.point(to, true, "before a message is delivered") {
            Ok(()) => {}
            Err(Mishap::Again(after)) if after.is_zero() => self.wire.push_front(letter.clone()),
            Err(Mishap::Again(after)) => self.later.push((self.now.after(after), letter.clone())),
            Err(Mishap::AtTheEnd) => self.at_the_end.push(letter.clone()),
            Err(Mishap::Late) => return self.later.push((self.now.after(LATE), letter)),
            Err(Mishap::Lost) => return,
            Err(crash @ Mishap::Crash { .. }) => return self.crash(to, crash),
        }
        let message = Engine::take_message(&letter.bytes).expect("its own messages");
        if let Some(machine) = &mut self.nodes[to].machine {
            let from = NodeId::new(letter.from as u64 + 1);
            machine.handle(self.now, Input::Message { from, message });
        }
        match self.point(to, false, "after a message is delivered") {
            Ok(()) => self.drain(to),
            Err(mishap) => self.crash(to, mishap),
        }
    }

    fn crash(&mut self, at: usize, mishap: Mishap) {
        let Mishap::Crash { keeps, is_long } = mishap else { panic!("{mishap:?} of a node") };
        if keeps {
            self.sync(at);
        }
        let process = &mut self.nodes[at];
        process.machine = None;
        process.unsynced.clear();
        process.application.held.clear();
        process.application.ponders.clear();
        if is_long {
            process.returns = Some(self.now.after(LONG));
        } else {
            self.start(at);
        }
    }

    fn sync(&mut self, at: usize) {
        let process = &mut self.nodes[at];
        for (group, is_restart, bytes) in process.unsynced.drain(..) {
            if is_restart {
                process.durable.retain(|(of, _)| *of != group);
            }
            process.durable.push((group, bytes));
        }
    }

    /// Carries out all that a node wants done.
    fn drain(&mut self, at: usize) {
        let Some(mut machine) = self.nodes[at].machine.take() else { return };
        match self.carry_out(at, &mut machine) {
            Ok(()) => self.nodes[at].machine = Some(machine),
            Err(mishap) => self.crash(at, mishap),
        }
    }

    fn carry_out(&mut self, at: usize, machine: &mut Engine) -> Step {
        loop {
            let (mut says, mut claims) = (Vec::new(), Vec::new());
            while let Some(output) = machine.poll() {
                match output {
                    Output::Save(write) => {
                        self.point(at, false, "before a write")?;
                        let (record, claim) = write.split();
                        let mut bytes = Vec::new();
                        Engine::put_record(&record, &mut bytes).expect("a vector is never full");
                        let is_restart = matches!(Engine::place(&record), Place::Restart { .. });
                        self.nodes[at].unsynced.push((Engine::group(&record), is_restart, bytes));
                        claims.push(claim);
                        self.point(at, false, "after a write")?;
                    }
                    Output::Send { to, message } => {
                        if let Message::Vote { tx, vote: Vote::Yes(_) | Vote::ReadOnly, .. } = message
                            && self.nodes[at].application.held.contains(&tx)
                        {
                            self.story.open_votes.insert((at, tx));
                        }
                        let mut bytes = Vec::new();
                        Engine::put_message(&message, &mut bytes).expect("a vector is never full");
                        self.wire.push_back(Letter { from: at, to: to.get() as usize - 1, bytes });
                        self.point(at, false, "after a message is sent")?;
                    }
                    Output::Event(Side::Coordinator(coordinator::Event::Ended { tx, outcome, .. })) => {
                        let before = self.story.outcomes.insert(tx, outcome);
                        assert_eq!(before, None, "an outcome is told once");
                        self.point(at, false, "after an outcome is told")?;
                    }
                    Output::Event(Side::Coordinator(event)) => panic!("{event:?}"),
                    Output::Event(Side::Participant(event)) => {
                        says.extend(self.tell_application(at, &event)?);
                        self.point(at, false, "after an event is told")?;
                    }
                }
            }
            if claims.is_empty() && says.is_empty() {
                return Ok(());
            }
            self.bring_receipts(at, machine, claims)?;
            for say in says {
                if machine.request(self.now, Side::Participant(say)).is_ok()
                    && let participant::Request::Promise(tx) | participant::Request::Read(tx) = say
                {
                    self.story.said_yes.insert((at, tx));
                }
                self.point(at, false, "after the application has spoken")?;
            }
        }
    }

    fn bring_receipts(&mut self, at: usize, machine: &mut Engine, claims: Vec<Pending>) -> Step {
        if claims.is_empty() {
            return Ok(());
        }
        self.sync(at);
        self.point(at, false, "before a receipt")?;
        claims.into_iter().for_each(|claim| machine.handle(self.now, Input::Saved(claim.assert_durable())));
        Ok(())
    }

    fn tell_application(
        &mut self,
        at: usize,
        event: &participant::Event<'_, u32>,
    ) -> Result<Option<participant::Request>, Mishap> {
        use participant::{Event, Request};
        let now = self.now;
        let Process { application, manners, .. } = &mut self.nodes[at];
        Ok(match *event {
            Event::Prepare { tx, .. } if application.done.contains(&tx) => Some(Request::Finish(tx)),
            Event::Prepare { tx, .. } => {
                application.held.insert(tx);
                match manners[&tx] {
                    Manner::Writes => Some(Request::Promise(tx)),
                    Manner::Reads => Some(Request::Read(tx)),
                    Manner::Ponders(millis) => {
                        application.ponders.push((now.after(Duration::from_millis(millis)), tx));
                        None
                    }
                    Manner::Refuses => {
                        application.held.remove(&tx);
                        Some(Request::Refuse(tx))
                    }
                }
            }
            Event::Retake { tx, .. } => {
                application.held.insert(tx);
                None
            }
            Event::Ready => {
                let open = self.story.open_votes.iter().filter(|(node, _)| *node == at);
                for (_, tx) in open {
                    assert!(
                        application.held.contains(tx),
                        "what a vote was sent for is held: {}",
                        self.tell()
                    );
                }
                None
            }
            Event::Decided { tx, commit, .. } => {
                self.story.open_votes.remove(&(at, tx));
                if manners[&tx] != Manner::Reads {
                    self.story.told.entry((at, tx)).or_default().insert(commit);
                }
                application.held.remove(&tx);
                if !commit {
                    return Ok(None);
                }
                self.point(at, false, "before the application does it")?;
                self.nodes[at].application.done.insert(tx);
                self.point(at, false, "after the application did it")?;
                Some(Request::Finish(tx))
            }
            Event::Contradicted { .. } => panic!("nobody forced anything"),
        })
    }

    fn check(&self, tx: TxId, parts: &[(u64, Manner)]) {
        let told: BTreeSet<bool> = self
            .story
            .told
            .iter()
            .filter(|((_, of), _)| *of == tx)
            .flat_map(|(_, told)| told)
            .copied()
            .collect();
        assert!(told.len() <= 1, "all decide the same, once and for all: {}", self.tell());
        let writers = parts.iter().filter(|(_, manner)| *manner != Manner::Reads);
        let did: BTreeSet<bool> =
            writers.map(|&(node, _)| self.nodes[node as usize - 1].application.done.contains(&tx)).collect();
        assert!(did.len() <= 1, "all do it, or none: {}", self.tell());
        let is_done = did.contains(&true);
        if is_done {
            let all = parts.iter().all(|&(node, _)| self.story.said_yes.contains(&(node as usize - 1, tx)));
            assert!(all, "only what all can do is done: {}", self.tell());
        }
        match self.story.outcomes.get(&tx) {
            Some(Outcome::Committed) => {
                assert!(is_done || did.is_empty(), "what was committed is done: {}", self.tell());
            }
            Some(Outcome::Aborted(_)) => assert!(!is_done, "what was aborted is not done: {}", self.tell()),
            Some(Outcome::Unknown) | None => {}
        }
        if self.mishaps.is_empty() {
            let cause = parts.iter().find_map(|&(node, manner)| match manner {
                Manner::Refuses => Some(Cause::Refused(NodeId::new(node))),
                Manner::Ponders(200..) => Some(Cause::TimedOut),
                Manner::Writes | Manner::Reads | Manner::Ponders(_) => None,
            });
            let expected = cause.map_or(Outcome::Committed, Outcome::Aborted);
            assert_eq!(self.story.outcomes.get(&tx), Some(&expected));
        }
    }

    fn check_empty(&self) {
        for node in &self.nodes {
            let machine = node.machine.as_ref().expect("all came back");
            assert_eq!(machine.coordinator().transactions().count(), 0, "{}", self.tell());
            assert_eq!(machine.participant().transactions().count(), 0, "{}", self.tell());
            assert_eq!(node.application.held.len(), 0, "nothing is held for ever: {}", self.tell());
        }
    }

    fn tell(&self) -> String {
        let mishaps: String = (self.mishaps.iter())
            .filter_map(|(at, mishap)| {
                let Point { node, what, .. } = self.points.get(*at)?;
                Some(format!("{what}, node {}, point {at}: {mishap:?}\n", node + 1))
            })
            .collect();
        let done: Vec<_> = self.nodes.iter().map(|node| &node.application.done).collect();
        format!("{:?}\n{mishaps}{:?}\ndone {done:?}", self.plot, self.story)
    }
}

impl Application {
    /// What it has made up its mind about by now.
    fn say(&mut self, now: Instant) -> Vec<TxId> {
        let (due, ponders) = self.ponders.iter().partition(|(at, _)| *at <= now);
        self.ponders = ponders;
        Vec::into_iter(due).map(|(_, tx)| tx).collect()
    }
}
