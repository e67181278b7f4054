//! A participant: promises, keeps its promise whatever happens, and asks until it knows how it ended.

use super::live::Live;
use super::message::{Message, Parties, Promise, Vote};
use super::record::{Record, Restate, Restated};
use super::{Config, Counters};
use crate::codec::Malformed;
use crate::durable::{Ledger, Mark};
use crate::quorum::Slots;
use crate::space::{List, Window};
use crate::{
    Age, Batch, Command, Fault, Input, Instant, Machine, NodeId, Output, Rng, Space, Staged, TxId, Write,
};

/// What this node does for transactions, its own and others': up to `S::CALLS` at a time.
///
/// It is told what to get ready for, and says whether it can; then what was decided, and says when that is done. Told again
/// after a crash, the application does it once: the transaction's number tells it apart.
///
/// ```
/// use quorate::two_phase::participant::{Event, Participant, Request};
/// use quorate::two_phase::{Config, Message};
/// use quorate::{Age, Batch, Input, Instant, Machine, NodeId, Output, TxId, space::Fixed};
///
/// let (now, nodes) = (Instant::default(), [1, 2].map(NodeId::new));
/// let mut participant = Participant::<u32, Fixed<2, 8>>::new(Config::new(nodes[1], &nodes), 7, now)?;
/// assert!(matches!(participant.poll(), Some(Output::Event(Event::Ready))));
///
/// let (tx, parties) = (TxId { coordinator: nodes[0], number: 8 }, quorate::two_phase::Parties::of(&nodes));
/// let (age, work) = (Age::new(1), Batch::of(&[42]));
/// let message = Message::Prepare { tx, floor: 8, only: false, age, parties, work };
/// participant.handle(now, Input::Message { from: nodes[0], message });
/// assert!(matches!(participant.poll(), Some(Output::Event(Event::Prepare { work: 42, .. }))));
///
/// // It can. Its yes is sent once it is durable.
/// participant.request(now, Request::Promise(tx)).expect("it was asked");
/// let Some(Output::Save(write)) = participant.poll() else { panic!("there is something to save") };
/// let receipt = write.commit(|_record| Ok::<_, ()>(())).expect("this disk never fails");
/// participant.handle(now, Input::Saved(receipt));
/// while let Some(output) = participant.poll() {
///     assert!(matches!(output, Output::Send { message: Message::Vote { .. }, .. }));
/// }
/// # Ok::<(), quorate::Fault>(())
/// ```
#[derive(Debug)]
pub struct Participant<W: Command, S: Space> {
    config: Config<S>,
    now: Instant,
    rng: Rng,
    ledger: Ledger,
    /// The largest age of any transaction that was heard of.
    latest: Age,
    live: Live<Part<W>, S>,
    /// What is known of each coordinator.
    past: S::Table<Past>,
    /// Places with something to save, each once, whether it is urgent or not.
    saving: S::Calls<usize>,
    /// Places with something that is not durable yet, in order.
    gated: S::Calls<(usize, Mark)>,
    /// Whether `gated` was too short.
    is_gated_too_long: bool,
    /// How the last transactions ended, for participants that ask.
    recent: S::Calls<(TxId, bool)>,
    replies: S::Calls<(NodeId, Reply)>,
    /// How many were done at once or refused for a peer, and are remembered until their coordinator has heard.
    kept: usize,
    /// Transactions of an earlier life that the application has not been told of yet.
    retaking: usize,
    is_ready: bool,
    records: u64,
    /// When to look who has to be asked.
    look: Option<Instant>,
    counters: Counters,
}

/// What this node does in one transaction.
#[derive(Debug)]
struct Part<W> {
    stage: Stage,
    /// The number of its yes.
    promise: Promise,
    /// Whether it is certain that this is the first time.
    is_first: bool,
    /// Nobody else takes part.
    is_only: bool,
    age: Age,
    /// Who takes part, by their place in the list of nodes.
    parties: Slots,
    work: Option<W>,
    /// When the coordinator was last told or asked something.
    said: Instant,
    /// How often it was asked.
    asked: u32,
    /// What the application is to be told.
    telling: Option<Telling>,
    /// Whether the coordinator is to be told something.
    answers: bool,
    /// Who is to be asked, or told.
    due: Slots,
    /// An older one waits for it; and whether that is to be said.
    is_wounded: bool,
    wounds: bool,
    is_saving: bool,
    /// The epoch of what it saved last.
    mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The application is asked whether it can.
    Asked,
    /// It can, and writes nothing. As durable as a promise: what it read is held until nobody can get in between.
    Reading,
    /// It can, and will.
    Promised,
    /// It was decided that all do it, and the application is doing it.
    Committing,
    /// The application did it, or will not have to.
    Done { commit: bool },
    /// It was the only one, did it, and remembers until the coordinator has heard.
    Kept,
    /// It was the only one, and says for good that it did nothing: one that is late must not do it at once.
    Settled { reads: bool },
    /// It said no, and another participant relies on that.
    Refused,
    /// An operator decided. What the others decided is still to be heard.
    Forced { commit: bool, is_done: bool, decided: Option<bool> },
    /// Nobody does it.
    Over,
}

/// What an application is to be told of its part in a transaction.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    #[doc(hidden)]
    Retake,
    #[doc(hidden)]
    Prepare,
    #[doc(hidden)]
    Decided(bool),
    #[doc(hidden)]
    Contradicted { forced: bool },
}

/// What is known of a coordinator's transactions.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// All below this number have ended.
    floor: u64,
    /// Of those up to this number, some were done here and forgotten.
    done: u64,
}

/// What may be asked of a participant: the application's own answers, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The application can do this, and will if all can, whatever happens.
    Promise(TxId),
    /// The application can do this, and has nothing to write. What it read it holds until it is told to let go.
    Read(TxId),
    /// The application cannot do this, and has let go of it.
    Refuse(TxId),
    /// What was decided is done, and survives a crash. Also the answer to [`Event::Prepare`] of what was done before, and to
    /// [`Event::Ready`] for all that it remembers to have done: a crash may have come between what it did and what the
    /// machine noted. Once it has said so in this life, and the transaction is not among
    /// [`transactions`](Participant::transactions) any more, it may forget that it did it: it is not told of it again.
    Finish(TxId),
    /// An older transaction waits for what this one holds.
    Wound(TxId),
    /// Settle it by hand: nobody who knows how it ended can be asked. If that is not what was decided, this node contradicts
    /// the others, and [`Event::Contradicted`] says so once it is known.
    Force {
        /// The transaction.
        tx: TxId,
        /// Whether to do it.
        commit: bool,
    },
}

/// A request that was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub request: Request,
    /// Why not.
    pub reason: Reason,
}

/// Why a request was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such transaction here.
    Unknown,
    /// There is no room to remember it: say it again later.
    Busy,
    /// It is not at the point where that can be said.
    OutOfPlace,
    /// It has to be seen first what is held since before the crash.
    NotReady,
}

/// What the application of a participant is told.
#[derive(Debug)]
pub enum Event<'a, W> {
    /// Of an earlier life: take the locks of this again. Comes before anything else.
    Retake {
        /// The transaction.
        tx: TxId,
        /// How old it is.
        age: Age,
        /// What was promised.
        work: &'a W,
    },
    /// All that was promised in earlier lives was told: now others may be served.
    Ready,
    /// Get ready for this, and say [`Promise`](Request::Promise), [`Read`](Request::Read) or
    /// [`Refuse`](Request::Refuse), now or later. It may still come that it is not to be done.
    Prepare {
        /// The transaction.
        tx: TxId,
        /// How old it is.
        age: Age,
        /// What to do.
        work: &'a W,
    },
    /// To be done, after which it wants to hear [`Finish`](Request::Finish); or not to be done: let go of it. Who only read is
    /// told to let go, however it ended.
    Decided {
        /// The transaction.
        tx: TxId,
        /// Whether to do it.
        commit: bool,
        /// What.
        work: &'a W,
    },
    /// The others decided otherwise than was forced here.
    Contradicted {
        /// The transaction.
        tx: TxId,
        /// What was forced here.
        forced: bool,
    },
}

/// A transaction that was promised, or read for, and is not settled.
#[derive(Clone, Copy, Debug)]
pub struct InDoubt<'a, W> {
    /// Which.
    pub tx: TxId,
    /// How old it is.
    pub age: Age,
    /// What was promised.
    pub work: &'a W,
    /// What an operator decided, if one did.
    pub forced: Option<bool>,
}

/// An answer about a transaction of which nothing is left here.
#[derive(Clone, Copy, Debug)]
enum Reply {
    /// To the coordinator: it is done.
    Done(TxId),
    /// To the coordinator: no.
    No(TxId),
    /// To a participant: so it ended.
    Ended(TxId, bool, Promise),
}

/// What is to be done, in numbers.
#[doc(hidden)]
#[derive(Debug)]
pub enum Plan {
    #[doc(hidden)]
    Save(Write<Saving>),
    #[doc(hidden)]
    Tell(usize, Telling),
    #[doc(hidden)]
    Ready,
    #[doc(hidden)]
    Send { to: NodeId, say: Say },
}

/// Which record.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Saving {
    #[doc(hidden)]
    Of(usize),
    #[doc(hidden)]
    Restart,
}

/// Which message.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Say {
    #[doc(hidden)]
    Vote(TxId, Vote),
    #[doc(hidden)]
    Done(TxId, bool),
    #[doc(hidden)]
    Ask(TxId, Promise),
    #[doc(hidden)]
    Wound(TxId),
    #[doc(hidden)]
    Ended(TxId, bool, Promise),
}

impl<W: Command, S: Space> Participant<W, S> {
    /// A new participant. `seed` must differ from life to life.
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
        Self {
            past: S::Table::of(config.nodes.iter().map(|_| Past::default())),
            config,
            now,
            rng: Rng::new(0),
            ledger: Ledger::new(0),
            latest: Age::default(),
            live: Live::default(),
            saving: Default::default(),
            gated: Default::default(),
            is_gated_too_long: false,
            recent: Default::default(),
            replies: Default::default(),
            kept: 0,
            retaking: 0,
            is_ready: false,
            records: 0,
            look: None,
            counters: Counters::default(),
        }
    }

    /// Takes in what the next record says.
    pub(super) fn replay(&mut self, record: Record<'_, W>) -> Result<(), Fault> {
        self.records += 1;
        match record {
            Record::Promised { tx, promise, is_first, age, parties, work } => {
                let mut of = None;
                work.for_each(|work| of = Some(work.clone()));
                let of = of.ok_or(Malformed::Content)?;
                let parties = parties.among(&self.config.nodes);
                let stage = if promise == Promise::ANY { Stage::Reading } else { Stage::Promised };
                let part = Part { promise, is_first, age, parties, work: Some(of), ..self.part(stage) };
                self.put_back(tx, part)
            }
            Record::Refused { tx } => self.put_back(tx, self.part(Stage::Refused)),
            Record::Kept { tx } => self.put_back(tx, self.part(Stage::Kept)),
            Record::Forced { tx, commit } => {
                let part = self.live.find(tx).and_then(|at| self.live.get_mut(at));
                if let Some((_, part)) = part {
                    part.stage = Stage::Forced { commit, is_done: !commit, decided: None };
                }
                Ok(())
            }
            Record::Ended { tx } => {
                if let Some(at) = self.live.find(tx) {
                    self.live.remove(at);
                }
                self.note_done(tx);
                Ok(())
            }
            Record::Past { coordinator, number } => {
                self.note_done(TxId { coordinator, number });
                Ok(())
            }
            Record::Restart(records) => {
                self.live = Live::default();
                let mut replayed = Ok(());
                records.for_each(&mut |record| {
                    if replayed.is_ok() {
                        replayed = match record {
                            Record::Restart(_) => Err(Malformed::Content.into()),
                            record => self.replay(record),
                        };
                    }
                });
                self.records = 1;
                replayed
            }
            Record::Numbered { .. } | Record::Committed { .. } => {
                Err(Fault::Settings("the store is a coordinator's"))
            }
        }
    }

    fn put_back(&mut self, tx: TxId, part: Part<W>) -> Result<(), Fault> {
        if let Some(at) = self.live.find(tx) {
            self.live.remove(at);
        }
        self.live
            .insert(tx, part)
            .map(|_| ())
            .map_err(|_| Fault::Settings("fewer calls than the store holds"))
    }

    /// All records were taken in: what was promised is told before anything else.
    pub(super) fn begin_life(&mut self, seed: u64) -> Result<(), Fault> {
        self.config.check()?;
        let left = [self.live.len() as u64, self.records];
        self.ledger = Ledger::new(self.config.brand(seed, left, self.now));
        self.rng = Rng::new(self.ledger.brand());
        let mark = self.ledger.mark();
        for at in 0..self.live.places() {
            let Some((_, part)) = self.live.get_mut(at) else { continue };
            (part.mark, part.said) = (mark, self.now);
            part.telling = match part.stage {
                Stage::Promised | Stage::Reading => Some(Telling::Retake),
                Stage::Forced { commit, .. } => Some(Telling::Decided(commit)),
                Stage::Asked
                | Stage::Committing
                | Stage::Done { .. }
                | Stage::Kept
                | Stage::Settled { .. }
                | Stage::Refused
                | Stage::Over => None,
            };
            self.retaking += usize::from(part.telling.is_some());
            self.kept += usize::from(matches!(part.stage, Stage::Kept | Stage::Refused));
            self.live.rouse(at);
        }
        self.look = (self.live.len() > 0).then_some(self.now);
        Ok(())
    }

    /// What was promised or read for and is not settled, or was forced and is not known to be right.
    pub fn in_doubt(&self) -> impl Iterator<Item = InDoubt<'_, W>> {
        self.live.iter().filter_map(|(tx, part)| {
            let forced = match part.stage {
                Stage::Promised | Stage::Reading => None,
                Stage::Forced { commit, .. } => Some(commit),
                Stage::Asked
                | Stage::Committing
                | Stage::Done { .. }
                | Stage::Kept
                | Stage::Settled { .. }
                | Stage::Refused
                | Stage::Over => return None,
            };
            Some(InDoubt { tx, age: part.age, work: part.work.as_ref()?, forced })
        })
    }

    /// The transactions that take up a place here.
    pub fn transactions(&self) -> impl Iterator<Item = TxId> {
        self.live.iter().map(|(tx, _)| tx)
    }

    /// What was dropped so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters { foreign_receipts: self.ledger.foreign(), ..self.counters }
    }

    fn part(&self, stage: Stage) -> Part<W> {
        Part {
            stage,
            promise: Promise::ANY,
            is_first: true,
            is_only: false,
            age: Age::default(),
            parties: Slots::NONE,
            work: None,
            said: self.now,
            asked: 0,
            telling: None,
            answers: false,
            due: Slots::NONE,
            is_wounded: false,
            wounds: false,
            is_saving: false,
            mark: Mark::default(),
        }
    }

    /// Its next yes in this transaction, or in one before it, is not certain to be the first.
    fn note_done(&mut self, tx: TxId) {
        if let Some(past) = self.config.slot(tx.coordinator).and_then(|slot| self.past.get_mut(slot)) {
            past.done = past.done.max(tx.number);
        }
    }

    fn past(&self, coordinator: NodeId) -> Past {
        self.config.slot(coordinator).and_then(|slot| self.past.get(slot)).copied().unwrap_or_default()
    }

    // What the application says.

    fn carry_out(&mut self, request: Request) -> Result<(), Reason> {
        let (Request::Promise(tx)
        | Request::Read(tx)
        | Request::Refuse(tx)
        | Request::Finish(tx)
        | Request::Wound(tx)
        | Request::Force { tx, .. }) = request;
        let Some((at, part)) = self.live.find(tx).and_then(|at| Some((at, self.live.get_mut(at)?.1))) else {
            return if let Request::Finish(_) = request { self.adopt(tx) } else { Err(Reason::Unknown) };
        };
        let is_open = !part.is_saving && self.ledger.is_durable(part.mark);
        if part.telling.is_some() {
            return Err(Reason::NotReady);
        }
        match (request, part.stage) {
            (Request::Promise(_), Stage::Asked) => self.promise(at),
            (Request::Read(_), Stage::Asked) if part.is_only => {
                part.telling = Some(Telling::Decided(false));
                self.settle_at_once(at, true);
            }
            (Request::Read(_), Stage::Asked) => {
                (part.stage, part.answers) = (Stage::Reading, true);
                self.save(at);
            }
            (Request::Refuse(_), Stage::Asked) if part.is_only => self.settle_at_once(at, false),
            (Request::Refuse(_), Stage::Asked) => {
                self.live.remove(at);
                self.reply(tx.coordinator, Reply::No(tx));
            }
            (Request::Finish(_), Stage::Committing) => self.done(at),
            (Request::Finish(_), Stage::Asked) => {
                part.is_only &= self.kept < S::CALLS / 2;
                self.kept += usize::from(part.is_only);
                self.done(at);
            }
            (Request::Finish(_), Stage::Forced { commit: true, is_done: false, decided }) => {
                part.stage = Stage::Forced { commit: true, is_done: true, decided };
                self.end_forced(at);
            }
            (Request::Wound(_), Stage::Asked | Stage::Promised | Stage::Reading) => {
                (part.is_wounded, part.wounds) = (true, true);
                self.live.rouse(at);
            }
            (Request::Force { commit, .. }, Stage::Promised) if is_open => {
                part.stage = Stage::Forced { commit, is_done: !commit, decided: None };
                part.telling = Some(Telling::Decided(commit));
                self.save(at);
            }
            (Request::Force { .. }, Stage::Reading) if is_open => self.let_go(at),
            _ => return Err(Reason::OutOfPlace),
        }
        Ok(())
    }

    /// The only one did nothing, and says so once it is durable that it will not do it at once.
    fn settle_at_once(&mut self, at: usize, reads: bool) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers) = (Stage::Settled { reads }, true);
        self.note_done(tx);
        self.save(at);
    }

    /// The application did this at once in an earlier life, which had no time to note it; or long ago.
    fn adopt(&mut self, tx: TxId) -> Result<(), Reason> {
        if self.kept >= S::CALLS / 2 {
            return Err(Reason::Busy);
        }
        let part = Part { is_only: true, answers: true, ..self.part(Stage::Done { commit: true }) };
        let at = self.live.insert(tx, part).map_err(|_| Reason::Busy)?;
        self.look = self.look.or(Some(self.now.after(self.config.resend)));
        self.kept += 1;
        self.save(at);
        Ok(())
    }

    /// The application did it.
    fn done(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers) = (Stage::Done { commit: true }, true);
        if !part.is_only {
            self.note_done(tx);
        }
        self.save(at);
    }

    fn promise(&mut self, at: usize) {
        let can_keep = self.kept < S::CALLS / 2;
        let promise = Promise(self.rng.next() | 1);
        let Some((_, part)) = self.live.get_mut(at) else { return };
        // Nobody else has to agree. One that may have been done before is not done at once: the coordinator knows.
        if part.is_only && part.is_first && can_keep {
            (part.stage, part.telling) = (Stage::Committing, Some(Telling::Decided(true)));
            self.kept += 1;
            return self.live.rouse(at);
        }
        (part.stage, part.promise) = (Stage::Promised, promise);
        (part.answers, part.is_only) = (true, false);
        self.save(at);
    }

    // What others say.

    fn on_prepare(
        &mut self,
        from: NodeId,
        (tx, floor, only, age): (TxId, u64, bool, Age),
        parties: Parties<'_>,
        work: Batch<'_, W>,
    ) {
        let mut of = None;
        work.for_each(|work| of = Some(work.clone()));
        let Some(slot) = self.config.slot(from).filter(|_| from == tx.coordinator && of.is_some()) else {
            self.counters.nonsense += 1;
            return;
        };
        self.latest = self.latest.max(age);
        let past = self.past.get_mut(slot).map_or(Past::default(), |past| {
            past.floor = past.floor.max(floor);
            *past
        });
        if tx.number < past.floor {
            self.counters.stale += 1;
            return;
        }
        if let Some(at) = self.live.find(tx) {
            return self.answer_again(at);
        }
        let part = Part {
            is_first: tx.number > past.done,
            is_only: only,
            age,
            parties: parties.among(&self.config.nodes),
            work: of,
            telling: Some(Telling::Prepare),
            ..self.part(Stage::Asked)
        };
        match self.live.insert(tx, part) {
            Ok(at) => {
                self.live.rouse(at);
                self.look = self.look.or(Some(self.now.after(self.config.resend)));
            }
            Err(part) => {
                self.make_room();
                // A no of the only one is for good. It comes again.
                if part.is_only { self.counters.unanswered += 1 } else { self.reply(from, Reply::No(tx)) }
            }
        }
    }

    /// The coordinator asks again: what was said may be lost.
    fn answer_again(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        match part.stage {
            Stage::Reading | Stage::Promised | Stage::Forced { .. } | Stage::Refused | Stage::Kept => {
                part.answers = true;
                self.live.rouse(at);
            }
            Stage::Over if !part.is_only => self.reply(tx.coordinator, Reply::No(tx)),
            Stage::Over | Stage::Asked | Stage::Committing | Stage::Done { .. } | Stage::Settled { .. } => {}
        }
    }

    fn on_decision(&mut self, from: NodeId, tx: TxId, commit: bool, of: Promise) {
        let is_coordinator = from == tx.coordinator;
        let Some(at) = self.live.find(tx) else {
            // Done and forgotten; the answer was lost.
            if is_coordinator && commit {
                self.reply(from, Reply::Done(tx));
            }
            return;
        };
        let (slot, Some((_, part))) = (self.config.slot(from), self.live.get_mut(at)) else { return };
        let is_party = part.is_first && slot.is_some_and(|slot| part.parties.contains(slot));
        if !is_coordinator && !is_party {
            self.counters.nonsense += 1;
            return;
        }
        match part.stage {
            Stage::Asked if !commit => self.let_go(at),
            Stage::Reading => {
                if commit && part.is_first {
                    note(&mut self.recent, tx, true);
                }
                self.let_go(at);
            }
            Stage::Kept | Stage::Refused if !commit => self.forget(at),
            Stage::Kept => {
                part.answers = true;
                self.live.rouse(at);
            }
            Stage::Promised if part.promise == of => self.decide(at, commit),
            Stage::Promised if !commit && of == Promise::ANY => self.decide(at, false),
            Stage::Forced { .. } if part.promise == of => self.on_decided_otherwise(at, commit),
            Stage::Forced { .. } if !commit && of == Promise::ANY => self.on_decided_otherwise(at, false),
            // About an earlier promise, which is kept and forgotten.
            Stage::Asked | Stage::Promised | Stage::Forced { .. } if commit => {
                self.reply(tx.coordinator, Reply::Done(tx));
            }
            Stage::Refused | Stage::Over if commit => self.counters.contradictions += 1,
            Stage::Committing | Stage::Done { commit: true } if !commit && of == Promise::ANY => {
                self.counters.contradictions += 1;
            }
            Stage::Asked
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Settled { .. }
            | Stage::Refused
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }

    /// What was promised is decided.
    fn decide(&mut self, at: usize, commit: bool) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        if part.is_first {
            note(&mut self.recent, tx, commit);
        }
        if !commit {
            return self.let_go(at);
        }
        (part.stage, part.telling) = (Stage::Committing, Some(Telling::Decided(true)));
        self.live.rouse(at);
    }

    /// Nothing is to be done, or nothing to be written. What was promised is forgotten when something else is saved:
    /// if that is lost, the coordinator says so again.
    fn let_go(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        let was_told = part.telling.is_none();
        let is_held = matches!(part.stage, Stage::Promised | Stage::Reading);
        part.telling = was_told.then_some(Telling::Decided(false));
        (part.stage, part.answers, part.due) = (Stage::Over, false, Slots::NONE);
        if part.is_only {
            // Told to let go, the only one does not do it at once when it is asked again by a message that was late.
            self.note_done(tx);
            self.save(at);
        } else if is_held {
            self.note_done(tx);
            self.save_later(at);
        }
        self.live.rouse(at);
    }

    /// What was done at once, or refused for a peer, the coordinator has heard, or has forgotten itself.
    fn forget(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers, part.due) = (Stage::Over, false, Slots::NONE);
        self.kept -= 1;
        self.note_done(tx);
        self.save_later(at);
    }

    fn on_decided_otherwise(&mut self, at: usize, decision: bool) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        let Stage::Forced { commit, is_done, decided: None } = part.stage else { return };
        part.stage = Stage::Forced { commit, is_done, decided: Some(decision) };
        if commit != decision {
            self.counters.contradictions += 1;
        }
        self.end_forced(at);
    }

    /// What was forced is over once the application knows, it is done here, and known how the others decided.
    fn end_forced(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        let Stage::Forced { commit, is_done: true, decided: Some(decided) } = part.stage else { return };
        if part.telling.is_some() {
            return;
        }
        if commit != decided {
            part.telling = Some(Telling::Contradicted { forced: commit });
        }
        // Who decided not to do it does not wait for an answer.
        (part.stage, part.answers) = (Stage::Done { commit }, decided);
        self.note_done(tx);
        self.save(at);
    }

    /// Another participant asks how it ended.
    fn on_ask(&mut self, from: NodeId, tx: TxId, of: Promise) {
        let (front, back) = self.recent.as_slices();
        let ended = front.iter().chain(back).find(|(id, _)| *id == tx).map(|(_, commit)| *commit);
        if let Some(commit) = ended {
            return self.reply(from, Reply::Ended(tx, commit, of));
        }
        let (Some(at), Some(slot)) = (self.live.find(tx), self.config.slot(from)) else { return };
        let Some((_, part)) = self.live.get_mut(at) else { return };
        if !part.parties.contains(slot) || !part.is_first {
            return;
        }
        match part.stage {
            // It has said nothing yet, and never will say yes: so nobody does it.
            Stage::Asked if self.kept < S::CALLS / 2 => {
                self.kept += 1;
                part.telling = part.telling.is_none().then_some(Telling::Decided(false));
                (part.stage, part.answers) = (Stage::Refused, true);
                part.due.insert(slot);
                self.save(at);
            }
            Stage::Refused => {
                part.due.insert(slot);
                self.live.rouse(at);
            }
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }

    /// One that finds no room asks again.
    fn reply(&mut self, to: NodeId, reply: Reply) {
        if self.replies.push_back((to, reply)).is_err() {
            self.counters.unanswered += 1;
        }
    }

    /// Asks about what was promised and not heard of; forgets what nobody will ask about any more.
    fn on_look(&mut self) {
        let Config { resend, vote_timeout, .. } = self.config;
        let me = self.config.slot(self.config.id);
        for at in 0..self.live.places() {
            let Some((tx, part)) = self.live.get(at) else { continue };
            let (is_late, has_ended) =
                (part.said.after(resend) <= self.now, tx.number < self.past(tx.coordinator).floor);
            let coordinator = self.config.slot(tx.coordinator);
            let Some((_, part)) = self.live.get_mut(at) else { continue };
            match part.stage {
                Stage::Refused | Stage::Kept if has_ended => self.forget(at),
                Stage::Asked
                | Stage::Reading
                | Stage::Promised
                | Stage::Refused
                | Stage::Kept
                | Stage::Forced { .. }
                    if is_late =>
                {
                    // The coordinator; and once it should have given up, all who may know: one that has not voted might
                    // refuse, which is not for it to do while its coordinator waits.
                    let is_in_doubt =
                        matches!(part.stage, Stage::Reading | Stage::Promised | Stage::Forced { .. });
                    let is_too_long = resend.saturating_mul(part.asked) >= vote_timeout;
                    if is_in_doubt && is_too_long && part.is_first {
                        part.due = part.parties;
                        me.into_iter().for_each(|me| part.due.remove(me));
                    }
                    coordinator.into_iter().for_each(|slot| part.due.insert(slot));
                    part.asked = part.asked.saturating_add(1);
                    (part.said, part.wounds) = (self.now, part.is_wounded);
                    self.live.rouse(at);
                }
                Stage::Asked
                | Stage::Reading
                | Stage::Promised
                | Stage::Committing
                | Stage::Done { .. }
                | Stage::Kept
                | Stage::Settled { .. }
                | Stage::Refused
                | Stage::Forced { .. }
                | Stage::Over => {}
            }
        }
        // Nothing may come along for a while with which what is over would be saved.
        self.make_room();
        self.look = (self.live.len() > 0).then(|| self.now.after(resend));
    }

    // What must be durable.

    /// What the part here is must be saved before it is relied on.
    fn save(&mut self, at: usize) {
        let mark = self.ledger.stage();
        if let Some((_, part)) = self.live.get_mut(at) {
            part.mark = mark;
        }
        self.save_later(at);
    }

    /// What the part here is may be saved with what is saved next.
    fn save_later(&mut self, at: usize) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        if !core::mem::replace(&mut part.is_saving, true) {
            let fits = self.saving.push_back(at).is_ok();
            assert!(fits, "each place is in line once");
        }
        self.live.rouse(at);
    }

    /// What is over but not saved takes places that are wanted.
    fn make_room(&mut self) {
        if !self.saving.is_empty() {
            self.ledger.stage();
        }
    }

    fn on_saved(&mut self) {
        while let Some(&(at, mark)) = self.gated.get(0)
            && self.ledger.is_durable(mark)
        {
            self.gated.pop_front();
            self.live.rouse(at);
        }
        if self.is_gated_too_long {
            (0..self.live.places()).for_each(|at| self.live.rouse(at));
            // Who was not in line is roused by every receipt until all is durable.
            self.is_gated_too_long = !self.ledger.is_durable(self.ledger.mark());
        }
    }

    fn plan_save(&mut self) -> Option<Plan> {
        if !self.ledger.has_unsaved() {
            return None;
        }
        self.records += 1;
        if self.records > 8 * S::CALLS as u64 {
            self.records = 1;
            while self.saved().is_some() {}
            return Some(Plan::Save(self.ledger.write(Saving::Restart, true)));
        }
        let at = self.saved();
        assert!(at.is_some(), "what is staged is in line to be saved");
        let closes = self.saving.is_empty();
        Some(Plan::Save(self.ledger.write(Saving::Of(at?), closes)))
    }

    /// The next place to be saved.
    fn saved(&mut self) -> Option<usize> {
        let at = self.saving.pop_front()?;
        let mark = self.ledger.mark();
        if let Some((_, part)) = self.live.get_mut(at) {
            part.is_saving = false;
        }
        self.is_gated_too_long |= self.gated.push_back((at, mark)).is_err();
        self.live.rouse(at);
        Some(at)
    }

    // Outputs.

    /// What the part here wants done, if anything.
    fn plan_at(&mut self, at: usize) -> Option<Plan> {
        let now = self.now;
        let (tx, part) = self.live.get_mut(at)?;
        let is_open = !part.is_saving && self.ledger.is_durable(part.mark);
        // What was forced is told when it is durable that it was, and the only one when it is that it will not do it.
        let is_gated = match part.stage {
            Stage::Forced { .. } => true,
            Stage::Over => part.is_only,
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Refused => false,
        };
        let is_tellable = is_open || !is_gated;
        if let Some(telling) = part.telling.filter(|_| is_tellable) {
            part.telling = None;
            return Some(Plan::Tell(at, telling));
        }
        if core::mem::take(&mut part.wounds) {
            return Some(Plan::Send { to: tx.coordinator, say: Say::Wound(tx) });
        }
        if !is_open {
            return None;
        }
        if core::mem::take(&mut part.answers) {
            part.said = now;
            let say = match part.stage {
                Stage::Promised | Stage::Forced { .. } => Say::Vote(tx, Vote::Yes(part.promise)),
                Stage::Reading => Say::Vote(tx, Vote::ReadOnly),
                Stage::Settled { reads: true } => Say::Vote(tx, Vote::ReadOnly),
                Stage::Settled { reads: false } | Stage::Refused => Say::Vote(tx, Vote::No),
                Stage::Done { commit } => Say::Done(tx, commit),
                Stage::Kept => Say::Done(tx, true),
                Stage::Asked | Stage::Committing | Stage::Over => return None,
            };
            return Some(Plan::Send { to: tx.coordinator, say });
        }
        let slot = part.due.round_from(0)?;
        part.due.remove(slot);
        let to = self.config.nodes.get(slot).copied()?;
        let say = match part.stage {
            Stage::Promised | Stage::Forced { .. } => Say::Ask(tx, part.promise),
            Stage::Refused if to != tx.coordinator => Say::Ended(tx, false, Promise::ANY),
            Stage::Asked | Stage::Reading | Stage::Refused | Stage::Kept => Say::Ask(tx, Promise::ANY),
            Stage::Committing | Stage::Done { .. } | Stage::Settled { .. } | Stage::Over => return None,
        };
        Some(Plan::Send { to, say })
    }

    /// The first in line has just said something: if that was all, it need not be asked again.
    fn rest_if_done(&mut self, at: usize, plan: &Plan) {
        let Some((_, part)) = self.live.get(at) else { return };
        let is_done = part.telling.is_none() && !part.wounds && !part.answers && part.due.is_empty();
        // What is told of is still to be shown.
        let is_shown = matches!(plan, Plan::Send { .. });
        let stays = matches!(part.stage, Stage::Asked | Stage::Committing);
        if is_done && (is_shown || stays) {
            self.live.rest();
            if is_shown {
                self.settle(at);
            }
        }
    }

    /// Forgets a part that is over.
    fn settle(&mut self, at: usize) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        let is_open = !part.is_saving && self.ledger.is_durable(part.mark);
        match part.stage {
            Stage::Done { .. } if is_open && part.is_only => part.stage = Stage::Kept,
            Stage::Done { .. } | Stage::Settled { .. } if is_open => {
                self.live.remove(at);
            }
            Stage::Over if !part.is_saving && part.telling.is_none() => {
                self.live.remove(at);
            }
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Refused
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }
}

/// Remembers how a transaction ended, in the place of the one that is longest ago.
fn note<Q: Window<(TxId, bool)>>(recent: &mut Q, tx: TxId, commit: bool) {
    if let Err(ended) = recent.push_back((tx, commit)) {
        recent.pop_front();
        let fits = recent.push_back(ended).is_ok();
        assert!(fits, "there is room for one more than there was");
    }
}

impl<W: Command, S: Space> Machine for Participant<W, S> {
    type Request = Request;
    type Ticket = ();
    type Refusal = Refusal;
    type Message<'a> = Message<'a, W>;
    type Record<'a> = Record<'a, W>;
    type Event<'a> = Event<'a, W>;

    fn request(&mut self, now: Instant, request: Request) -> Result<(), Refusal> {
        self.now = self.now.max(now);
        self.carry_out(request).map_err(|reason| Refusal { request, reason })?;
        Ok(())
    }

    fn handle(&mut self, now: Instant, input: Input<Message<'_, W>>) {
        self.now = self.now.max(now);
        match input {
            Input::Message { from, .. } if self.config.slot(from).is_none() => self.counters.strangers += 1,
            // They come again, when it is known what is held here.
            Input::Message { .. } if self.retaking > 0 => {}
            Input::Message { from, message } => match message {
                Message::Prepare { tx, floor, only, age, parties, work } => {
                    self.on_prepare(from, (tx, floor, only, age), parties, work);
                }
                Message::Decision { tx, commit, of } => self.on_decision(from, tx, commit, of),
                Message::Ask { tx, of } => self.on_ask(from, tx, of),
                Message::Vote { .. } | Message::Done { .. } | Message::Wound { .. } => {
                    self.counters.nonsense += 1;
                }
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

    fn poll(&mut self) -> Option<Output<Message<'_, W>, Record<'_, W>, Event<'_, W>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        self.look
    }
}

impl<W: Command, S: Space> Staged for Participant<W, S> {
    type Plan = Plan;

    fn plan(&mut self) -> Option<Plan> {
        if let Some(plan) = self.plan_save() {
            return Some(plan);
        }
        if self.retaking == 0 && !core::mem::replace(&mut self.is_ready, true) {
            return Some(Plan::Ready);
        }
        if let Some((to, reply)) = self.replies.pop_front() {
            let say = match reply {
                Reply::Done(tx) => Say::Done(tx, true),
                Reply::No(tx) => Say::Vote(tx, Vote::No),
                Reply::Ended(tx, commit, of) => Say::Ended(tx, commit, of),
            };
            return Some(Plan::Send { to, say });
        }
        while let Some(at) = self.live.ready() {
            if let Some(plan) = self.plan_at(at) {
                if let Plan::Tell(_, Telling::Retake | Telling::Decided(_)) = plan {
                    self.retaking = self.retaking.saturating_sub(usize::from(!self.is_ready));
                    self.end_forced(at);
                }
                self.rest_if_done(at, &plan);
                return Some(plan);
            }
            self.live.rest();
            self.settle(at);
        }
        None
    }

    fn show(&self, plan: Plan) -> Output<Message<'_, W>, Record<'_, W>, Event<'_, W>> {
        match plan {
            Plan::Save(write) => Output::Save(write.map(|saving| self.record(saving))),
            Plan::Tell(at, telling) => Output::Event(self.event(at, telling)),
            Plan::Ready => Output::Event(Event::Ready),
            Plan::Send { to, say } => Output::Send {
                to,
                message: match say {
                    Say::Vote(tx, vote) => Message::Vote { tx, vote, latest: self.latest },
                    Say::Done(tx, commit) => Message::Done { tx, commit },
                    Say::Ask(tx, of) => Message::Ask { tx, of },
                    Say::Wound(tx) => Message::Wound { tx },
                    Say::Ended(tx, commit, of) => Message::Decision { tx, commit, of },
                },
            },
        }
    }
}

impl<W: Command, S: Space> Participant<W, S> {
    /// To whom something is to be sent, if it is.
    pub(super) const fn addressee(plan: &Plan) -> Option<NodeId> {
        match *plan {
            Plan::Send { to, .. } => Some(to),
            Plan::Save(_) | Plan::Tell(..) | Plan::Ready => None,
        }
    }

    fn event(&self, at: usize, telling: Telling) -> Event<'_, W> {
        let planned = self.live.get(at).and_then(|(tx, part)| Some((tx, part.age, part.work.as_ref()?)));
        let Some((tx, age, work)) = planned else { unreachable!("what is told of is still there") };
        match telling {
            Telling::Retake => Event::Retake { tx, age, work },
            Telling::Prepare => Event::Prepare { tx, age, work },
            Telling::Decided(commit) => Event::Decided { tx, commit, work },
            Telling::Contradicted { forced } => Event::Contradicted { tx, forced },
        }
    }

    fn record(&self, saving: Saving) -> Record<'_, W> {
        match saving {
            Saving::Restart => Record::Restart(Restated::of(self)),
            Saving::Of(at) => {
                let Some((tx, part)) = self.live.get(at) else {
                    unreachable!("what is saved is still there")
                };
                self.record_of(tx, part)
            }
        }
    }

    /// What a part is, as a record.
    fn record_of<'p>(&'p self, tx: TxId, part: &'p Part<W>) -> Record<'p, W> {
        match part.stage {
            Stage::Promised | Stage::Reading | Stage::Committing => self.promised(tx, part),
            Stage::Forced { commit, .. } => Record::Forced { tx, commit },
            Stage::Refused => Record::Refused { tx },
            Stage::Kept => Record::Kept { tx },
            Stage::Done { .. } if part.is_only => Record::Kept { tx },
            Stage::Done { .. } | Stage::Settled { .. } | Stage::Over | Stage::Asked => Record::Ended { tx },
        }
    }

    fn promised<'p>(&'p self, tx: TxId, part: &'p Part<W>) -> Record<'p, W> {
        let parties = Parties::chosen(&self.config.nodes, part.parties);
        let work = Batch::of(part.work.as_slice());
        Record::Promised { tx, promise: part.promise, is_first: part.is_first, age: part.age, parties, work }
    }
}

impl<W: Command, S: Space> Restate<W> for Participant<W, S> {
    fn restate(&self, show: &mut dyn FnMut(Record<'_, W>)) {
        for (&coordinator, past) in self.config.nodes.iter().zip(self.past.iter()) {
            if past.done > 0 {
                show(Record::Past { coordinator, number: past.done });
            }
        }
        for (tx, part) in self.live.iter() {
            match part.stage {
                Stage::Committing if part.is_only => {}
                Stage::Promised | Stage::Reading | Stage::Committing | Stage::Refused | Stage::Kept => {
                    show(self.record_of(tx, part));
                }
                Stage::Forced { .. } => {
                    show(self.promised(tx, part));
                    show(self.record_of(tx, part));
                }
                Stage::Done { .. } if part.is_only => show(self.record_of(tx, part)),
                Stage::Asked | Stage::Done { .. } | Stage::Settled { .. } | Stage::Over => {}
            }
        }
    }
}
