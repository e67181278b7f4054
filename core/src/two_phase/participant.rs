//! A participant: promises, keeps its promise whatever happens, and asks until it knows how it ended.

mod asked;
mod heard;
mod output;
mod restart;

use super::line::Line;
use super::live::Live;
use super::message::{Message, Promise, Vote};
use super::record::Record;
use super::{Config, Counters};
use crate::durable::{Ledger, Mark};
use crate::quorum::Slots;
use crate::space::List;
use crate::{Age, Command, Fault, Input, Instant, Machine, NodeId, Output, Space, Staged, TxId, Write};

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
    /// The number of its next yes.
    promise: Promise,
    ledger: Ledger,
    /// The largest age of any transaction that was heard of.
    latest: Age,
    live: Live<Part<W>, S>,
    /// What is known of each coordinator.
    past: S::Table<Past>,
    /// What has something to say.
    ready: Line<S>,
    /// What has something to save, whether it is urgent or not.
    unsaved: Line<S>,
    /// What was handed out to be saved, and is not durable yet.
    written: Line<S>,
    /// How the last transactions ended, for participants that ask.
    recent: S::Places<(TxId, bool)>,
    /// The place of the one of them that is longest ago.
    oldest: usize,
    replies: S::Calls<(NodeId, Reply)>,
    /// How many were done at once or refused for a peer, and are remembered until their coordinator has heard.
    kept: usize,
    /// Transactions of an earlier life that the application has not been told of yet.
    retaking: usize,
    is_ready: bool,
    /// Whether that is to be told, or somebody to be answered.
    has_aside: bool,
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
    /// The epoch of what it saved last.
    mark: Mark,
    /// The epoch that it waits for in line.
    awaited: Mark,
}

// A tag of its own: stages are looked at all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
    /// [`transactions`](Participant::transactions) any more, it may forget that it did it: it is not told of it again, but
    /// by an operator who forces what may be [done a second time](InDoubt::again).
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
    /// It may be that this was done and forgotten before, and promised once more because a message was late. If so, it is
    /// not decided again, and forced to be done it is done twice.
    pub again: bool,
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
            promise: Promise::ANY,
            ledger: Ledger::new(0),
            latest: Age::default(),
            live: Live::default(),
            ready: Line::default(),
            unsaved: Line::default(),
            written: Line::default(),
            recent: Default::default(),
            oldest: 0,
            replies: Default::default(),
            kept: 0,
            retaking: 0,
            is_ready: false,
            has_aside: true,
            records: 0,
            look: None,
            counters: Counters::default(),
        }
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
            Some(InDoubt { tx, age: part.age, work: part.work.as_ref()?, forced, again: !part.is_first })
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
            mark: Mark::default(),
            awaited: Mark::default(),
        }
    }

    /// Whether there is room to remember one more.
    const fn can_keep(&self) -> bool {
        self.kept < S::CALLS / 2
    }

    /// Its next yes in this transaction, or in one before it, is not certain to be the first.
    fn note_done(&mut self, tx: TxId) {
        if let Some(past) = self.config.slot(tx.coordinator).and_then(|slot| self.past.get_mut(slot)) {
            past.done = past.done.max(tx.number);
        }
    }

    /// Remembers how a transaction ended, in the place of the one that is longest ago.
    fn note_ended(&mut self, tx: TxId, commit: bool) {
        if let Some(oldest) = self.recent.get_mut(self.oldest) {
            *oldest = (tx, commit);
        } else {
            let fits = self.recent.push((tx, commit)).is_ok();
            assert!(fits, "there are as many places as calls");
        }
        self.oldest = if self.oldest + 1 == S::CALLS { 0 } else { self.oldest + 1 };
    }

    fn past(&self, coordinator: NodeId) -> Past {
        self.config.slot(coordinator).and_then(|slot| self.past.get(slot)).copied().unwrap_or_default()
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
        self.carry_out(request).map_err(|reason| Refusal { request, reason })
    }

    // Inlined for what the caller knows of the input not to be looked at twice.
    #[inline(always)]
    fn handle(&mut self, now: Instant, input: Input<Message<'_, W>>) {
        self.now = self.now.max(now);
        match input {
            // They come again, when it is known what is held here.
            Input::Message { .. } if self.retaking > 0 => {}
            Input::Message { from, message } => match message {
                Message::Prepare { tx, floor, only, age, parties, work } => {
                    self.on_prepare(from, (tx, floor, only, age), parties, work);
                }
                Message::Decision { tx, commit, of } => self.on_decision(from, tx, commit, of),
                Message::Ask { tx, of } => self.on_ask(from, tx, of),
                Message::Vote { .. } | Message::Done { .. } | Message::Wound { .. } => self.drop(from),
            },
            Input::Saved(receipt) => {
                self.ledger.accept(receipt);
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
