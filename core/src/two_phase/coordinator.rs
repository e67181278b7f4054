//! The coordinator: asks all, decides, and tells until all have heard.

mod heard;
mod output;
mod restart;

use super::line::Line;
use super::live::Live;
use super::message::{Message, Promise};
use super::record::Record;
use super::transaction::{Parts, Transaction};
use super::{Config, Counters};
use crate::durable::{Ledger, Mark};
use crate::quorum::Slots;
use crate::space::Window;
use crate::{Age, Command, Fault, Input, Instant, Machine, NodeId, Output, Space, Staged, TxId, Write};

/// How many transactions a record of their numbers lets begin.
const NUMBERS: u64 = 1 << 20;

/// The coordinator of the transactions that begin at this node: up to `S::CALLS` at a time, of up to `S::PEERS` parts.
///
/// ```
/// use quorate::two_phase::{Config, Coordinator, Transaction, coordinator::Request};
/// use quorate::{Input, Instant, Machine, NodeId, Output, space::Fixed};
///
/// let (now, nodes) = (Instant::default(), [1, 2, 3].map(NodeId::new));
/// let mut coordinator = Coordinator::<u32, Fixed<3, 8>>::new(Config::new(nodes[0], &nodes), 7, now)?;
/// let transfer = Transaction::of([(nodes[1], 5), (nodes[2], 7)]).expect("two nodes");
/// coordinator.request(now, Request::Begin(transfer)).expect("there is room");
///
/// // Nothing is sent before it is durable that the transaction's number is never used again.
/// let Some(Output::Save(write)) = coordinator.poll() else { panic!("there is something to save") };
/// let receipt = write.commit(|_record| Ok::<_, ()>(())).expect("this disk never fails");
/// assert!(coordinator.poll().is_none());
/// coordinator.handle(now, Input::Saved(receipt));
/// let Some(Output::Send { to, .. }) = coordinator.poll() else { panic!("both are asked") };
/// assert_eq!(to, nodes[1]);
/// # Ok::<(), quorate::Fault>(())
/// ```
#[derive(Debug)]
pub struct Coordinator<W: Command, S: Space> {
    config: Config<S>,
    now: Instant,
    ledger: Ledger,
    /// The largest age of any transaction that was heard of.
    latest: Age,
    /// The next transaction is this many times `S::CALLS`, and its place.
    count: u64,
    /// Up to where a record says that numbers are used.
    numbered: u64,
    /// The epoch of that record.
    numbered_mark: Mark,
    is_numbering: bool,
    /// All below have ended.
    floor: u64,
    live: Live<Underway<W, S>, S>,
    /// Places that are free again.
    spare: Line<S>,
    /// What has something to say.
    ready: Line<S>,
    /// What is decided, and not handed out to be saved yet.
    unsaved: Line<S>,
    /// What was handed out, and is not durable yet.
    written: Line<S>,
    /// Over, which is saved with what is saved next: forgetting it costs only time.
    over: S::Calls<TxId>,
    /// Records since the last restart.
    records: u64,
    replies: S::Calls<(NodeId, Reply)>,
    contradicted: S::Calls<(TxId, NodeId)>,
    /// Whether there is any of these two.
    has_aside: bool,
    /// When to look who has not answered.
    look: Option<Instant>,
    counters: Counters,
}

/// A transaction under way.
#[derive(Debug)]
struct Underway<W: Command, S: Space> {
    stage: Stage,
    age: Age,
    parts: Parts<W, S>,
    begun: Instant,
    /// When all were last told that had to be; who asks is told besides.
    said: Instant,
    /// To whom there is something to say.
    due: Slots,
    /// What the application is to be told.
    outcome: Option<Outcome>,
    /// The application knows how it ended, or that this is not known.
    is_told: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// All are asked: `open` have not answered, and `yes` have something to write.
    Voting { open: Slots, yes: Slots },
    /// The only one was asked to do it at once.
    Delegated,
    /// It is decided that all do it, once this is durable.
    Deciding { yes: Slots, mark: Mark },
    /// It is decided; `open` have not said that they did it.
    Ending { commit: bool, open: Slots, is_recorded: bool },
}

/// What may be asked of a coordinator.
#[derive(Debug)]
pub enum Request<W: Command, S: Space> {
    /// Bring this about: all of it, or nothing.
    Begin(Transaction<W, S>),
    /// Give a transaction up, if it is not decided.
    Cancel(TxId),
}

/// A request that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ticket {
    /// The transaction that it is.
    Begun(TxId),
    /// A cancellation: the transaction has ended, which is told besides.
    Cancelled,
}

/// A request that was not taken up.
#[derive(Debug)]
pub struct Refusal<W: Command, S: Space> {
    /// What was asked.
    pub request: Request<W, S>,
    /// Why not.
    pub reason: Reason,
}

/// Why a request was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many are under way: wait for one to end.
    Busy,
    /// This node takes part in no transactions of this cluster.
    Stranger(NodeId),
    /// The work of one node weighs more than a message may.
    TooLarge {
        /// How much it may weigh.
        limit: usize,
    },
    /// There is no such transaction under way here.
    Unknown,
    /// It is decided already.
    Decided,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All do it.
    Committed,
    /// Nobody does it.
    Aborted(Cause),
    /// The only node that writes was told to do it, and has not said whether it did. It does it at most once.
    Unknown,
}

/// Why nobody does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This node said that it cannot.
    Refused(NodeId),
    /// Not all had answered in time.
    TimedOut,
    /// It was in the way of an older one. Tried again with its age, it gets older than all others in time.
    Wounded,
    /// It was given up by whoever had asked for it.
    Cancelled,
}

/// What the application of a coordinator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction ended.
    Ended {
        /// Which.
        tx: TxId,
        /// How old it is, to try it again with.
        age: Age,
        /// How.
        outcome: Outcome,
    },
    /// This node did not do what was decided: an operator had settled it otherwise. What it holds contradicts the others.
    Contradicted {
        /// The transaction.
        tx: TxId,
        /// The node.
        by: NodeId,
    },
}

/// An answer about a transaction that is not under way, or not as whoever asks believes.
#[derive(Clone, Copy, Debug)]
struct Reply {
    tx: TxId,
    commit: bool,
    of: Promise,
}

/// What is to be done, in numbers.
#[doc(hidden)]
#[derive(Debug)]
pub enum Plan {
    #[doc(hidden)]
    Save(Write<Saving>),
    #[doc(hidden)]
    Say { at: usize, part: usize },
    #[doc(hidden)]
    Answer { to: NodeId, tx: TxId, commit: bool, of: Promise },
    #[doc(hidden)]
    Tell(Event),
}

/// Which record.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Saving {
    #[doc(hidden)]
    Numbered,
    #[doc(hidden)]
    Committed(usize),
    #[doc(hidden)]
    Ended(TxId),
    #[doc(hidden)]
    Restart,
}

impl<W: Command, S: Space> Coordinator<W, S> {
    /// A new coordinator. `seed` must differ from life to life.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn new(config: Config<S>, seed: u64, now: Instant) -> Result<Self, Fault> {
        Self::restore(config, seed, now, core::iter::empty())
    }

    /// One from its records, in order. `seed` must differ from life to life.
    ///
    /// # Errors
    /// The settings make no sense, or the records are not such a machine's.
    pub fn restore<'r>(
        config: Config<S>,
        seed: u64,
        now: Instant,
        records: impl IntoIterator<Item = Record<'r, W>>,
    ) -> Result<Self, Fault> {
        let mut machine = Self::blank(config, now);
        records.into_iter().try_for_each(|record| machine.replay(record))?;
        machine.begin_life(seed)?;
        Ok(machine)
    }

    /// One that has not been told yet what its store holds.
    pub(super) fn blank(config: Config<S>, now: Instant) -> Self {
        let ledger = Ledger::new(0);
        Self {
            config,
            now,
            latest: Age::default(),
            count: 0,
            numbered: 0,
            numbered_mark: ledger.mark(),
            is_numbering: false,
            floor: 0,
            live: Live::default(),
            spare: Line::default(),
            ready: Line::default(),
            unsaved: Line::default(),
            written: Line::default(),
            over: Default::default(),
            records: 0,
            replies: Default::default(),
            contradicted: Default::default(),
            has_aside: false,
            look: None,
            counters: Counters::default(),
            ledger,
        }
    }

    /// What was dropped so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters { foreign_receipts: self.ledger.foreign(), ..self.counters }
    }

    /// The transactions under way, each with whether it is decided.
    pub fn transactions(&self) -> impl Iterator<Item = (TxId, bool)> {
        self.live.iter().map(|(tx, entry)| match entry.stage {
            Stage::Voting { .. } | Stage::Delegated => (tx, false),
            Stage::Deciding { .. } | Stage::Ending { .. } => (tx, true),
        })
    }

    /// What tells this life of this machine from others.
    pub(super) const fn life(&self) -> u64 {
        self.ledger.brand()
    }

    fn refuse(&self, request: &Request<W, S>) -> Option<Reason> {
        match request {
            Request::Begin(transaction) => {
                let limit = self.config.work_bytes;
                if self.live.is_full() {
                    return Some(Reason::Busy);
                }
                transaction.parts().find_map(|(node, work)| {
                    let is_stranger = !self.config.nodes.contains(&node);
                    let stranger = is_stranger.then_some(Reason::Stranger(node));
                    stranger.or((work.weight() > limit).then_some(Reason::TooLarge { limit }))
                })
            }
            Request::Cancel(tx) => match self.live.find(*tx).and_then(|at| self.live.get(at)) {
                None => Some(Reason::Unknown),
                Some((_, entry)) => match entry.stage {
                    Stage::Voting { .. } => None,
                    Stage::Delegated | Stage::Deciding { .. } | Stage::Ending { .. } => Some(Reason::Decided),
                },
            },
        }
    }

    fn begin(&mut self, transaction: Transaction<W, S>) -> TxId {
        let at = self.spare.leave().unwrap_or(self.live.places());
        let calls = S::CALLS as u64;
        let number = self.count * calls + at as u64;
        self.count += 1;
        if self.count * calls > self.numbered {
            self.numbered = (self.count + NUMBERS) * calls;
            self.is_numbering = true;
            self.numbered_mark = self.ledger.stage();
        }
        if self.live.len() == 0 {
            self.floor = number;
        }
        let Transaction { age, parts } = transaction;
        let age = age.unwrap_or(self.latest.next());
        self.latest = self.latest.max(age);
        let tx = TxId { coordinator: self.config.id, number };
        let stage = match parts.0.len() {
            1 => Stage::Delegated,
            _ => Stage::Voting { open: parts.all(), yes: Slots::NONE },
        };
        let (due, now) = (parts.all(), self.now);
        let entry = Underway { stage, age, parts, begun: now, said: now, due, outcome: None, is_told: false };
        let placed = self.live.insert(tx, entry);
        assert!(placed.is_ok_and(|placed| placed == at), "the place is free, and the number's own");
        self.ready.join(at);
        if self.look.is_none() {
            self.look = Some(self.now.after(self.config.resend.min(self.config.vote_timeout)));
        }
        tx
    }

    fn on_saved(&mut self) {
        while let Some(at) = self.written.first() {
            if let Some((_, Underway { stage: Stage::Deciding { yes, mark }, .. })) = self.live.get(at) {
                if !self.ledger.is_durable(*mark) {
                    return;
                }
                self.end(at, true, *yes, true);
            }
            self.written.leave();
        }
    }

    /// Nobody does it. What is not recorded was never decided: nothing need be saved, and nobody need answer.
    fn abort(&mut self, at: usize, cause: Cause) {
        self.tell(at, Outcome::Aborted(cause));
        self.end(at, false, Slots::NONE, false);
    }

    /// It is decided: tells all, and waits for those who wrote.
    fn end(&mut self, at: usize, commit: bool, open: Slots, is_recorded: bool) {
        let Some((_, entry)) = self.live.get_mut(at) else { return };
        let is_known = matches!(entry.stage, Stage::Delegated) && open.is_empty();
        entry.stage = Stage::Ending { commit, open, is_recorded };
        entry.said = self.now;
        // Who was the only one and has answered knows.
        entry.due = if is_known { Slots::NONE } else { entry.parts.all() };
        if commit {
            self.tell(at, Outcome::Committed);
        }
        self.ready.join(at);
    }

    /// There is nothing more to say to a participant.
    fn forget(&mut self, at: usize, part: usize) {
        if let Some((_, entry)) = self.live.get_mut(at) {
            entry.due.remove(part);
        }
    }

    fn tell(&mut self, at: usize, outcome: Outcome) {
        if let Some((_, entry)) = self.live.get_mut(at)
            && !core::mem::replace(&mut entry.is_told, true)
        {
            entry.outcome = Some(outcome);
        }
    }

    /// One that finds no room asks again.
    fn answer(&mut self, to: NodeId, reply: Reply) {
        self.has_aside = true;
        if self.replies.push_back((to, reply)).is_err() {
            self.counters.unanswered += 1;
        }
    }
}

impl<W: Command, S: Space> Machine for Coordinator<W, S> {
    type Request = Request<W, S>;
    type Ticket = Ticket;
    type Refusal = Refusal<W, S>;
    type Message<'a> = Message<'a, W>;
    type Record<'a> = Record<'a, W>;
    type Event<'a> = Event;

    fn request(&mut self, now: Instant, request: Request<W, S>) -> Result<Ticket, Refusal<W, S>> {
        self.now = self.now.max(now);
        if let Some(reason) = self.refuse(&request) {
            return Err(Refusal { request, reason });
        }
        let ticket = match request {
            Request::Begin(transaction) => Ticket::Begun(self.begin(transaction)),
            Request::Cancel(tx) => {
                if let Some(at) = self.live.find(tx) {
                    self.abort(at, Cause::Cancelled);
                }
                Ticket::Cancelled
            }
        };
        Ok(ticket)
    }

    // Inlined for what the caller knows of the input not to be looked at twice.
    #[inline(always)]
    fn handle(&mut self, now: Instant, input: Input<Message<'_, W>>) {
        self.now = self.now.max(now);
        match input {
            Input::Message { from, message } => match message {
                Message::Vote { tx, vote, latest } => self.on_vote(from, tx, vote, latest),
                Message::Done { tx, commit } => self.on_done(from, tx, commit),
                Message::Ask { tx, of } => self.on_ask(from, tx, of),
                Message::Wound { tx } => self.on_wound(from, tx),
                Message::Prepare { .. } | Message::Decision { .. } => self.drop(from),
            },
            Input::Saved(receipt) => {
                if self.ledger.accept(receipt) {
                    self.on_saved();
                }
            }
            Input::Wake => {
                if self.look.is_some_and(|look| look <= self.now) {
                    self.on_look();
                }
            }
        }
    }

    fn poll(&mut self) -> Option<Output<Message<'_, W>, Record<'_, W>, Event>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        self.look
    }
}
