//! A replicated application: any deterministic state machine over Raft, with commands that take effect exactly once.
//!
//! **Promises.** All nodes apply the same commands at the same moments in the same order. A command that was taken up
//! takes effect at most once, however often it is sent and whoever leads; those of one session take effect in order.
//! An answer comes from a state at least as new as any that was told anywhere before the query was asked. Every
//! request that was taken up ends: in its outcome, or in a failure that says what is known.
//!
//! **How.** Any node takes requests. Commands go under a session (Raft 8, thesis 6.3): the node's own, or one that a
//! client opened. They go to the leader, wherever it is, again and again until they are applied here; the session's
//! table of replies is part of the state and of its snapshots, so what was done before is not done twice. Queries wait
//! for a read index (thesis 6.4) and for the state to reach it. Time enters the state only through the log.

mod apply;
mod call;
mod clock;
mod hosted;
pub(crate) mod output;
#[cfg(feature = "alloc")]
mod rest;
mod session;

pub use hosted::Settings;
pub use output::{Event, Frozen, Message};
pub use session::{Sequence, SessionId};

use crate::application::{Application, Moment, Timestamp};
use crate::raft::{self, Raft, ReadTicket, Status};
use crate::space::Window;
use crate::{Command, Index, Input, Instant, Machine, NodeId, Output, Position, Rng, Space, Staged, Term};
use call::{Call, Calls, Stand};
use clock::Clock;
use hosted::Limits;
use serde::{Deserialize, Serialize};
use session::Sessions;

/// What the log holds: something to do, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<C> {
    /// Cluster time, as the leader knew it.
    pub time: Timestamp,
    /// What to do.
    pub operation: Operation<C>,
}

/// Something to do to the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation<C> {
    /// Nothing but to let time pass.
    Tick,
    /// Opens a session.
    Open {
        /// A number the client made up, so that asking again finds the same session.
        client: u64,
    },
    /// Closes a session.
    Close {
        /// Which.
        session: SessionId,
    },
    /// Carries out a command, if it is the session's next.
    Call {
        /// The session.
        session: SessionId,
        /// The command's number in it.
        sequence: Sequence,
        /// The client has the replies up to here.
        floor: Sequence,
        /// The command; `None` fills the place of one that was given up.
        command: Option<C>,
    },
}

impl<C: Command> Command for Stamped<C> {
    fn weight(&self) -> usize {
        8 + self.operation.weight()
    }
}

impl<C: Command> Command for Operation<C> {
    fn weight(&self) -> usize {
        match self {
            Self::Tick => 1,
            Self::Open { .. } | Self::Close { .. } => 10,
            Self::Call { command, .. } => 16 + command.as_ref().map_or(0, Command::weight),
        }
    }
}

/// What may be asked of a node.
#[derive(Debug)]
pub enum Request<A: Application> {
    /// A command under this node's own session.
    Command(A::Command),
    /// A query.
    Query(A::Query),
    /// Opens a session for a client.
    Open {
        /// A number the client made up, so that asking again, of any node, finds the same session.
        client: u64,
    },
    /// A command under a client's session.
    Submit {
        /// The session.
        session: SessionId,
        /// The command's number in it: the one before must have been submitted, anywhere.
        sequence: Sequence,
        /// The client has the replies up to here; they may be forgotten.
        floor: Sequence,
        /// The command.
        command: A::Command,
    },
    /// Closes a client's session.
    Close {
        /// Which.
        session: SessionId,
    },
}

/// A request that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A request that was not taken up.
#[derive(Debug)]
pub struct Refusal<A: Application> {
    /// What was asked.
    pub request: Request<A>,
    /// Why not.
    pub reason: Reason,
}

/// Why a request was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many are under way here: wait for some of them to end.
    Busy,
    /// The command weighs more than an entry may.
    TooLarge {
        /// How much it may weigh.
        limit: usize,
    },
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome<A: Application> {
    /// The session is open.
    Opened(SessionId),
    /// The command was carried out, now or when it was sent before.
    Replied {
        /// What it got.
        reply: A::Reply,
        /// When it was carried out.
        at: Moment,
    },
    /// The query's answer.
    Answered(A::Answer),
    /// The session is closed.
    Closed,
    /// No outcome is known.
    Failed(Failure),
}

/// Why a request has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// No quorum confirmed it in time. A command may still take effect, once.
    Unconfirmed,
    /// There is no such session: it was closed, or made room for others. The command has no effect unless an earlier
    /// try of it had.
    SessionExpired,
    /// The command's number is one whose reply the client said it has, or is too far ahead.
    OutOfOrder,
}

/// How a call ended: an [`Outcome`], but never an answer. Answers may be large, and do not wait to be told.
#[derive(Debug)]
enum Ending<R> {
    Opened(SessionId),
    Replied { reply: R, at: Moment },
    Closed,
    Failed(Failure),
}

impl<A: Application> From<Ending<A::Reply>> for Outcome<A> {
    fn from(ending: Ending<A::Reply>) -> Self {
        match ending {
            Ending::Opened(session) => Self::Opened(session),
            Ending::Replied { reply, at } => Self::Replied { reply, at },
            Ending::Closed => Self::Closed,
            Ending::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// A query that waits.
#[derive(Debug)]
struct Asked<A: Application> {
    ticket: Ticket,
    asked: Instant,
    query: A::Query,
    read: ReadTicket,
}

/// The node's own session.
#[derive(Clone, Copy, Debug)]
enum Own {
    /// None was needed so far, or the last one expired.
    Absent,
    /// It is being opened, under this number.
    Opening(u64),
    /// It is open.
    Open(SessionId),
}

/// One node of a replicated application, with room for `SESSIONS` sessions of `REPLIES` commands under way each.
#[derive(Debug)]
// What is small comes first: see `Raft`.
#[repr(C)]
pub struct Replicated<A: Application, S: Space, const SESSIONS: usize = 16, const REPLIES: usize = 64> {
    rng: Rng,
    now: Instant,

    // How far the replicated state is.
    clock: Clock,
    applied: Position,
    /// Entries up to here may be applied.
    committed: Index,
    /// The state was loaded from a snapshot, and nobody was told yet.
    loaded: bool,

    // What was asked here.
    tickets: u64,
    own: Own,
    own_sequence: Sequence,
    own_floor: Sequence,
    /// Queries up to this read may be answered once that entry is applied.
    readable: (ReadTicket, Index),
    given_up: Option<Ticket>,

    // What goes on.
    /// Whom the calls were sent to, and in which term.
    route: (Option<NodeId>, Term),
    /// Whether a call that was asked here came before its turn.
    early: bool,
    /// When calls were last sent anew, or came back.
    moved: Instant,
    /// The latest stamp this node gave as the leader.
    stamped: Timestamp,
    /// An image that is being written, and since when.
    imaging: Option<(Position, Instant)>,
    limits: Limits,

    // What is large.
    raft: Raft<Stamped<A::Command>, S>,
    calls: Calls<A, S>,
    queries: S::Calls<Asked<A>>,
    /// Replicated, as the application is.
    sessions: Sessions<A::Reply, S, SESSIONS, REPLIES>,
    application: A,
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize>
    Replicated<A, S, SESSIONS, REPLIES>
{
    /// The application, as far as it is applied here.
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// What the node is, and how far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { applied: self.applied.index, ..self.raft.status() }
    }

    /// What was dropped so far.
    #[must_use]
    pub const fn counters(&self) -> raft::Counters {
        self.raft.counters()
    }

    /// About what cluster time it is.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.clock.estimate(self.now)
    }

    /// How much a command may weigh.
    #[cfg(feature = "alloc")]
    pub(crate) fn limit(&self) -> usize {
        self.raft.config().append_bytes.saturating_sub(ENVELOPE)
    }

    /// Whether more than a quarter of the room that there is for such a request is left.
    #[cfg(feature = "alloc")]
    pub(crate) fn has_room_to_spare(&self, request: &Request<A>) -> bool {
        let is_spare = |used: u64, room: u64| used < room - room / 4;
        if let Request::Query(_) = request {
            return is_spare(self.queries.len() as u64, S::CALLS as u64);
        }
        let own_under_way = self.own_sequence.get() - self.own_floor.get();
        is_spare(own_under_way, REPLIES as u64)
            && is_spare(self.calls.len() as u64, S::CALLS as u64)
            && is_spare(self.calls.weight(), self.raft.config().window_bytes)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Takes an operation up.
    fn call(&mut self, own: bool, operation: Operation<A::Command>) -> Ticket {
        let ticket = self.ticket();
        if self.calls.len() == 0 {
            self.moved = self.now;
        }
        self.calls.push(Call { ticket, asked: self.now, own, stand: Stand::Open }, operation);
        ticket
    }

    /// Takes a command up under the node's own session, which it opens if need be.
    fn call_own(&mut self, command: A::Command) -> Ticket {
        if let Own::Absent = self.own {
            let client = self.rng.next();
            self.own = Own::Opening(client);
            (self.own_sequence, self.own_floor) = Default::default();
            self.calls.push(
                Call { ticket: Ticket(0), asked: self.now, own: true, stand: Stand::Skipped },
                Operation::Open { client },
            );
        }
        self.own_sequence = self.own_sequence.next();
        let session = match self.own {
            Own::Open(session) => session,
            Own::Absent | Own::Opening(_) => SessionId::default(),
        };
        let (sequence, floor) = (self.own_sequence, self.own_floor);
        self.call(true, Operation::Call { session, sequence, floor, command: Some(command) })
    }

    /// Whether there is room for a request.
    fn refuse(&self, request: &Request<A>) -> Option<Reason> {
        let own_under_way = self.own_sequence.get() - self.own_floor.get();
        let (weight, own) = match request {
            Request::Command(command) => (command.weight(), true),
            Request::Submit { command, .. } => (command.weight(), false),
            Request::Query(_) => {
                return (self.queries.len() >= S::CALLS).then_some(Reason::Busy);
            }
            Request::Open { .. } | Request::Close { .. } => (0, false),
        };
        let limit = self.raft.config().append_bytes.saturating_sub(ENVELOPE);
        if weight > limit {
            return Some(Reason::TooLarge { limit });
        }
        // One place is kept for opening the own session.
        let full = self.calls.len() + 1 >= S::CALLS
            || self.calls.weight() + weight as u64 > self.raft.config().window_bytes
            || own && own_under_way >= REPLIES as u64;
        full.then_some(Reason::Busy)
    }

    fn tell_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Gives up what waits for too long: its outcome is told as unknown.
    fn lose_patience(&mut self) {
        let micros = self.now.as_micros().checked_sub(crate::time::micros(self.limits.patience));
        let Some(then) = micros.map(Instant::from_micros) else { return };
        if self.given_up.is_none() {
            self.given_up = self.calls.older_than(then).and_then(|at| self.calls.skip(at));
        }
        if self.given_up.is_none() && self.queries.get(0).is_some_and(|query| query.asked <= then) {
            self.given_up = self.queries.pop_front().map(|query| query.ticket);
        }
    }

    /// A call that comes to nothing is sent again: it, or what came of it, may be lost.
    fn send_again(&mut self) {
        if self.resend().is_some_and(|at| at <= self.now) {
            self.calls.sent = 0;
            self.moved = self.now;
            self.early = false;
        }
    }

    /// When to send again. What is in a leader's own log is not lost, but may have come too early.
    fn resend(&self) -> Option<Instant> {
        let may_be_lost = self.raft.first_as_leader().is_none() || self.early;
        (self.calls.sent > 0 && may_be_lost).then(|| self.moved.after(self.raft.config().election_timeout))
    }

    /// When the application next wants time to pass in the log, or it should pass to be kept.
    fn tick(&self) -> Option<Timestamp> {
        // In a full log there is time enough: what makes room goes by here again.
        let can = self.clock.runs() && self.raft.takes_up(ENVELOPE);
        let due = self.application.deadline().filter(|_| can)?;
        let keep = self.stamped.max(self.clock.applied()).after(self.limits.tick);
        // What is in the log already need not be stamped again.
        Some(if due <= self.stamped { keep } else { due.min(keep) })
    }
}

/// What an entry holds besides the command, at most.
const ENVELOPE: usize = 64;

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Machine
    for Replicated<A, S, SESSIONS, REPLIES>
{
    type Request = Request<A>;
    type Ticket = Ticket;
    type Refusal = Refusal<A>;
    type Message<'a> = Message<'a, A::Command>;
    type Record<'a> = raft::Record<'a, Stamped<A::Command>>;
    type Event<'a> = Event<'a, A, S, SESSIONS, REPLIES>;

    fn request(&mut self, now: Instant, request: Request<A>) -> Result<Ticket, Refusal<A>> {
        self.tell_time(now);
        if let Some(reason) = self.refuse(&request) {
            return Err(Refusal { request, reason });
        }
        Ok(match request {
            Request::Command(command) => self.call_own(command),
            Request::Query(query) => {
                let (ticket, read) = (self.ticket(), self.raft.read(now));
                let fits = self.queries.push_back(Asked { ticket, asked: self.now, query, read }).is_ok();
                assert!(fits, "room was looked for");
                ticket
            }
            Request::Open { client } => self.call(false, Operation::Open { client }),
            Request::Submit { session, sequence, floor, command } => {
                let ticket =
                    self.call(false, Operation::Call { session, sequence, floor, command: Some(command) });
                self.end_if_done(self.calls.len() - 1);
                ticket
            }
            Request::Close { session } => self.call(false, Operation::Close { session }),
        })
    }

    fn handle(&mut self, now: Instant, input: Input<Message<'_, A::Command>>) {
        self.tell_time(now);
        match input {
            Input::Message { from, message: Message::Raft(message) } => {
                self.raft.handle(now, Input::Message { from, message });
            }
            Input::Message { from, message: Message::Forward(operations) } => {
                self.on_forward(from, operations)
            }
            Input::Saved(receipt) => self.raft.handle(now, Input::Saved(receipt)),
            Input::Wake => self.raft.handle(now, Input::Wake),
        }
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn poll(&mut self) -> Option<Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        let raft = self.raft.deadline();
        let tick = self.tick().map(|time| self.clock.when(time));
        let call = self.calls.oldest().map(|asked| asked.after(self.limits.patience));
        let query = self.queries.get(0).map(|query| query.asked.after(self.limits.patience));
        [raft, tick, call, query, self.resend()].into_iter().flatten().min()
    }
}
