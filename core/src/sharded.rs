//! A state that is spread over groups, with transactions across them: all of one takes effect, or nothing.
//!
//! Each group is a [`Replicated`] [`Shard`] of the application, and each node hosts all of them ([`Groups`]). What concerns
//! one group goes to it as it is. A transaction is two-phase commit (see [`two_phase`](crate::two_phase)) in which nobody
//! blocks: participants are groups, and so is the coordinator, so what each of them promised and decided survives any
//! minority.
//!
//! **Promises.** A transaction takes effect in all its groups or in none, and nobody sees a part of it: histories are strictly
//! serializable, transactions and single commands alike. One that was taken up ends, in what it gained, in the objection of a
//! group, or in a failure that says what is known. Whoever dies meanwhile, all groups end it alike, once each has a quorum.
//!
//! **How.** The node that is asked conducts. It has a promise made durable in each group but one ([`Command::Prepare`]), which
//! locks the keys (strict two-phase locking, wound-wait by age; see [`locks`](crate::locks)). When all have promised, the
//! decision is an entry in the log of the last one, its home ([`Command::Commit`], or a promise there and
//! [`Command::Decide`], if somebody has its keys): that entry is the moment at which the transaction takes effect, and the
//! answer. Then the others are told ([`Command::Finish`]), and when all have heard, the home forgets.
//!
//! ```text
//!         all others promised       committed at home         all finished
//!  Preparing ------------> Deciding -----------------> Ending ------------> (home forgets)
//!     | an objection, too late, or wounded      | too late at home
//!     +-----------------------------------------+--> Ending: given up, no record of it
//! ```
//!
//! *Presumed abort.* A home decides until a moment of its own time that the transaction names, and never after. So a home
//! that remembers no decision, and is past that moment, answers for ever that nothing was done. One that is asked before
//! decides that nothing is, and remembers it until then. So it need remember nothing but that, and decisions to do that
//! somebody has not heard of.
//!
//! *When the conductor is gone*, each group that has promised and has not heard for a while says so on all its nodes, and its
//! leader's node asks the home ([`Command::Resolve`]). A home that has decided, and not been told to forget, has its
//! leader's node tell all groups again.
//!
//! *What is not a transaction* never waits, as long as nobody has its keys. If somebody has, it gets a place in the same line
//! ([`Reply::Waits`]), so it neither starves nor overtakes what was asked before it: also on one connection, the second
//! of two commands that conflict follows the first.
//!
//! **Assumes** what [`Replicated`] does, and that no node has the number 0: names of what waits in line do. Cluster times of
//! groups have nothing to do with each other: none is compared with another's.
//!
//! **Leaves out**: transactions whose keys are not known at the start, and groups that are not on all nodes.

mod command;
mod conduct;
mod hosted;
mod image;
mod rows;
mod shard;
mod span;
mod task;
mod transactional;

pub use command::{Answer, Command, Notice, Query, Reply};
pub use hosted::{Settings, spread};
pub use rows::Stage;
pub use shard::{InDoubt, Shard};
pub use transactional::Transactional;

use crate::groups::{self, Groups, InGroup};
use crate::replicated::{self, Replicated};
use crate::{Age, GroupId, Input, Instant, Machine, Moment, NodeId, Output, Rng, Space, Staged, TxId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use task::{Name, Step, Task};

/// A key, as locks know it.
pub type Key = Box<[u8]>;

/// What may be promised in a group or wait there, by the weight of its work.
const HELD_BYTES: usize = 64 << 20;
/// How long a transaction may wait for promises, and its home may decide.
const LIMIT: Duration = Duration::from_secs(2);
/// How far a node's idea of a home's time may be behind.
const SLACK: Duration = Duration::from_millis(500);
/// When a group that has promised and not heard asks; a home that has decided tells again; a turn that nobody takes is lost.
/// In its own time. Longer than it takes to notice that a leader is gone and to elect another, so that it is rare that a
/// conductor that lives is asked about; shorter than `LIMIT`, so that who waits for what a dead one left behind gets it.
const LATE: Duration = Duration::from_secs(1);
/// How long until it does so again, at least, and a group that has promised at most: a quarter of the time that it has waited.
/// Who lags behind would not catch up with a log that questions make longer all the time.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// How long anything keeps its place in line.
const TURN: Duration = Duration::from_secs(5);
/// How many transactions a node conducts at a time.
const CONDUCTED: usize = 4096;
/// How many other things that were asked of it may wait for their turns.
const WAITING: usize = 4096;
/// How many parts a transaction may have.
const PARTS: usize = 64;

/// One group.
pub type Group<A, S, const SESSIONS: usize, const REPLIES: usize> =
    Replicated<Shard<A>, S, SESSIONS, REPLIES>;

/// One node of an application that is spread over groups.
#[derive(Debug)]
pub struct Sharded<A, S, const SESSIONS: usize = 16, const REPLIES: usize = 64>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    groups: Groups<Group<A, S, SESSIONS, REPLIES>>,
    id: NodeId,
    now: Instant,
    rng: Rng,
    /// The largest age of any transaction that was heard of.
    latest: Age,
    /// How many tasks there have been.
    tasks_ever: u64,
    /// What goes on over several entries, or groups.
    tasks: BTreeMap<u64, Task<A>>,
    /// How many of them are transactions.
    conducted: usize,
    /// What was asked and waits for its turn in a group.
    waiting: BTreeSet<Ticket>,
    /// Which step of which task an entry is.
    steps: BTreeMap<(GroupId, replicated::Ticket), (u64, Step)>,
    /// The task of what waits in a group, or of a transaction.
    by_name: BTreeMap<Name, u64>,
    /// When to look at which task.
    timers: BTreeSet<(Instant, u64)>,
    /// What is to be told.
    ended: VecDeque<(Ticket, Outcome<A>)>,
    /// What each home may forget.
    over: BTreeMap<GroupId, Vec<TxId>>,
    /// When they are told to.
    forgetting: Option<Instant>,
    counters: Counters,
}

/// How often this node met what is not the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions that were in the way of an older one, and were begun again.
    pub wounded: u64,
    /// Transactions that were decided too late, or not at all.
    pub too_late: u64,
    /// Parts of others' transactions of which their homes were asked.
    pub resolved: u64,
    /// Those that could not be settled yet, since the home remembers too much.
    pub undecided: u64,
    /// Those that were given up, since nobody had decided to do them.
    pub presumed: u64,
    /// Those that were done, since somebody had.
    pub rescued: u64,
    /// Others' transactions whose groups were told once more that all is done.
    pub swept: u64,
    /// Parts that had to wait for their keys.
    pub waited: u64,
    /// Commands, and transactions of one group, that had to.
    pub lined_up: u64,
    /// Queries that had to.
    pub looked: u64,
    /// Those of both kinds that lost their place in line.
    pub lost_turns: u64,
    /// Steps that a group had no room for, or whose outcome nobody confirmed.
    pub put_off: u64,
}

/// What may be asked of a node.
#[derive(Debug)]
pub enum Request<A: Transactional> {
    /// A command of one group.
    Command {
        /// The group.
        group: GroupId,
        /// The command.
        command: A::Command,
    },
    /// A query of one group. It never sees what is not decided.
    Query {
        /// The group.
        group: GroupId,
        /// The query.
        query: A::Query,
    },
    /// All of these, or nothing.
    Transact {
        /// The part of each group.
        parts: Vec<(GroupId, A::Work)>,
    },
    /// Settles a part that is in doubt by hand, since its home is lost. If that is not what was decided,
    /// [`Event::Contradicted`] says so once it is known.
    Force {
        /// The group.
        group: GroupId,
        /// The transaction.
        tx: TxId,
        /// Whether to do it.
        commit: bool,
    },
}

/// A request that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ticket {
    /// It is of one group.
    One(GroupId, replicated::Ticket),
    /// It spans groups.
    Many(u64),
}

/// A request that was not taken up.
#[derive(Debug)]
pub struct Refusal<A: Transactional> {
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
    /// It weighs more than an entry may.
    TooLarge {
        /// How much it may weigh.
        limit: usize,
    },
    /// There is no such group.
    NotHosted(GroupId),
    /// A transaction without parts.
    Empty,
    /// A transaction with two parts for this group: put them together.
    Twice(GroupId),
    /// A transaction with more parts than this.
    TooMany {
        /// How many it may have.
        limit: usize,
    },
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome<A: Transactional> {
    /// The command was carried out.
    Replied {
        /// What it got.
        reply: A::Reply,
        /// When it was carried out.
        at: Moment,
    },
    /// The query's answer.
    Answered(A::Answer),
    /// The transaction took effect.
    Committed {
        /// What each part gained, in the order of the parts.
        gains: Vec<A::Gain>,
    },
    /// The transaction has no effect.
    Aborted {
        /// The group that objected.
        group: GroupId,
        /// Why.
        objection: A::Objection,
    },
    /// What was forced; `None` if it was not in doubt.
    Forced(Option<bool>),
    /// There is no outcome to tell.
    Failed(Failure),
}

/// Why a request has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No quorum confirmed it in time. It may still take effect, once.
    Unconfirmed,
    /// Others had its keys for too long. It has no effect.
    TimedOut,
    /// Too much is locked in a group. It has no effect.
    Full,
}

/// What the application is told.
pub enum Event<'a, A, S, const SESSIONS: usize, const REPLIES: usize>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    /// A request ended.
    Ended {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Outcome<A>,
    },
    /// The application tells something, on every node.
    Notice {
        /// The group.
        group: GroupId,
        /// What.
        notice: A::Notice,
    },
    /// A transaction was decided otherwise than an operator had settled it.
    Contradicted {
        /// The group that is wrong.
        group: GroupId,
        /// The transaction.
        tx: TxId,
        /// What the operator said.
        forced: bool,
    },
    /// Something else in a group. Neither an end nor a notice.
    InGroup(InGroup<replicated::Event<'a, Shard<A>, S, SESSIONS, REPLIES>>),
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> fmt::Debug for Event<'_, A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { ticket, outcome } => write!(f, "Ended({ticket:?}, {outcome:?})"),
            Self::Notice { group, notice } => write!(f, "Notice({group}, {notice:?})"),
            Self::Contradicted { group, tx, forced } => write!(f, "Contradicted({group}, {tx}, {forced})"),
            Self::InGroup(event) => write!(f, "{}: {:?}", event.group, event.inner),
        }
    }
}

/// What is to be done, in numbers.
#[doc(hidden)]
pub enum Plan<A: Transactional<Query: Clone>> {
    #[doc(hidden)]
    Groups(groups::output::Plan<replicated::output::Plan<Shard<A>>>),
    #[doc(hidden)]
    Ended(Ticket, Outcome<A>),
    #[doc(hidden)]
    Notice(GroupId, A::Notice),
    #[doc(hidden)]
    Contradicted(GroupId, TxId, bool),
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    /// The groups, to look at.
    pub const fn groups(&self) -> &Groups<Group<A, S, SESSIONS, REPLIES>> {
        &self.groups
    }

    /// What is promised in any group, as far as is applied here, and not settled.
    pub fn in_doubt(&self) -> impl Iterator<Item = InDoubt> {
        self.groups.iter().flat_map(|(group, machine)| machine.application().in_doubt(group))
    }

    /// How many transactions this node conducts.
    #[must_use]
    pub const fn conducted(&self) -> usize {
        self.conducted
    }

    /// What happened so far that is not the rule.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn tell_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Hands something to a group as it is.
    fn pass(
        &mut self,
        group: GroupId,
        request: replicated::Request<Shard<A>>,
    ) -> Result<Ticket, (replicated::Request<Shard<A>>, Reason)> {
        // What is settled by hand may be what all wait for.
        let is_forced = matches!(request, replicated::Request::Command(Command::Force { .. }));
        // A share of the room of each group is for steps of transactions, or those who ask all the time would hold them up.
        let is_crowded = self.groups.get(group).is_some_and(|machine| !machine.has_room_to_spare(&request));
        if (is_crowded || self.waiting.len() >= WAITING) && !is_forced {
            return Err((request, Reason::Busy));
        }
        match self.groups.request(self.now, groups::Request { group, request }) {
            Ok((group, ticket)) => Ok(Ticket::One(group, ticket)),
            Err(groups::Refusal::NotHosted(groups::Request { request, .. })) => {
                Err((request, Reason::NotHosted(group)))
            }
            Err(groups::Refusal::InGroup { refusal, .. }) => {
                let reason = match refusal.reason {
                    replicated::Reason::Busy => Reason::Busy,
                    replicated::Reason::TooLarge { limit } => Reason::TooLarge { limit },
                };
                Err((refusal.request, reason))
            }
        }
    }
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Machine for Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    type Request = Request<A>;
    type Ticket = Ticket;
    type Refusal = Refusal<A>;
    type Message<'a> = <Groups<Group<A, S, SESSIONS, REPLIES>> as Machine>::Message<'a>;
    type Record<'a> = <Groups<Group<A, S, SESSIONS, REPLIES>> as Machine>::Record<'a>;
    type Event<'a> = Event<'a, A, S, SESSIONS, REPLIES>;

    fn request(&mut self, now: Instant, request: Request<A>) -> Result<Ticket, Refusal<A>> {
        use replicated::Request::{Command as Commanded, Query as Queried};
        self.tell_time(now);
        match request {
            Request::Command { group, command } => {
                self.pass(group, Commanded(Command::Plain(command))).map_err(|(request, reason)| {
                    let Commanded(Command::Plain(command)) = request else {
                        unreachable!("it was handed back")
                    };
                    Refusal { request: Request::Command { group, command }, reason }
                })
            }
            Request::Query { group, query } => {
                self.pass(group, Queried(Query::Plain(query))).map_err(|(request, reason)| {
                    let Queried(Query::Plain(query)) = request else { unreachable!("it was handed back") };
                    Refusal { request: Request::Query { group, query }, reason }
                })
            }
            Request::Force { group, tx, commit } => self
                .pass(group, Commanded(Command::Force { tx, commit }))
                .map_err(|(_, reason)| Refusal { request: Request::Force { group, tx, commit }, reason }),
            Request::Transact { parts } => self
                .transact(parts)
                .map_err(|(parts, reason)| Refusal { request: Request::Transact { parts }, reason }),
        }
    }

    fn handle(&mut self, now: Instant, input: Input<Self::Message<'_>>) {
        self.tell_time(now);
        self.groups.handle(now, input);
        self.on_timers();
    }

    fn poll(&mut self) -> Option<Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [self.groups.deadline(), timer, self.forgetting].into_iter().flatten().min()
    }
}

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Staged for Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    type Plan = Plan<A>;

    fn plan(&mut self) -> Option<Plan<A>> {
        use replicated::output::Plan::{Ended, Notice as Noticed};
        loop {
            if let Some((ticket, outcome)) = self.ended.pop_front() {
                return Some(Plan::Ended(ticket, outcome));
            }
            let Some(plan) = self.groups.plan() else {
                // What ended meanwhile, if anything, was told; what was asked of the groups is in their hands.
                if self.ended.is_empty() {
                    return None;
                } else {
                    continue;
                };
            };
            match plan {
                groups::output::Plan::Group { group, plan: Ended { ticket, outcome }, .. } => {
                    self.on_ended(group, ticket, outcome);
                }
                groups::output::Plan::Group { group, plan: Noticed(notice), .. } => match notice {
                    Notice::Plain(notice) => return Some(Plan::Notice(group, notice)),
                    Notice::Contradicted { tx, forced } => {
                        return Some(Plan::Contradicted(group, tx, forced));
                    }
                    notice => self.on_notice(group, notice),
                },
                plan => return Some(Plan::Groups(plan)),
            }
        }
    }

    fn show(&self, plan: Plan<A>) -> Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>> {
        match plan {
            Plan::Groups(plan) => match self.groups.show(plan) {
                Output::Save(write) => Output::Save(write),
                Output::Send { to, message } => Output::Send { to, message },
                Output::Event(event) => Output::Event(Event::InGroup(event)),
            },
            Plan::Ended(ticket, outcome) => Output::Event(Event::Ended { ticket, outcome }),
            Plan::Notice(group, notice) => Output::Event(Event::Notice { group, notice }),
            Plan::Contradicted(group, tx, forced) => Output::Event(Event::Contradicted { group, tx, forced }),
        }
    }
}
