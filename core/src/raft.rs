//! Raft: a log that a majority of nodes agrees on.
//!
//! D. Ongaro, J. Ousterhout, *In Search of an Understandable Consensus Algorithm*, USENIX ATC 2014 ("Raft"), and
//! D. Ongaro, *Consensus: Bridging Theory and Practice*, Stanford 2014 ("thesis").
//!
//! **Promises.** Nodes are told the same commands in the same order, each once it is durable on a majority and here.
//! What was told stays told. A read is served from a state at least as new as any that was told anywhere before it
//! was asked.
//!
//! **Assumes.** Nodes crash and come back with what was durable; they do not lie. Messages may be lost, doubled,
//! reordered and late. Clocks matter for progress only, never for safety. A node that lost its disk comes back under a
//! new id.
//!
//! ```text
//!              nothing heard              could win                 elected
//!  Follower ------------------> PreCandidate ------> Candidate ------------------> Leader
//!     ^                              |                   |                            |
//!     +--------- a leader, or a later term, is heard ----+---- or no quorum is heard -+
//! ```
//!
//! **Leaves out**, for now: membership change, learners, leadership transfer, leases. Every quorum decision goes
//! through [`Quorum`], so that they fit.

mod commit;
mod config;
mod election;
#[cfg(feature = "serde")]
mod hosted;
mod log;
mod message;
pub(crate) mod output;
mod peer;
mod read;
mod record;
mod replication;
#[cfg(all(feature = "alloc", feature = "serde"))]
mod rest;
mod restore;
mod role;
mod snapshot;

pub use config::{CommitNotice, Config};
pub use message::{Content, Entry, Message, Round};
pub use output::Event;
pub use read::ReadTicket;
pub use record::Record;
pub use role::{Role, Status};

use crate::durable::{Gated, Ledger, Mark};
use crate::quorum::{Quorum, Slots};
use crate::{
    Command, Index, Input, Instant, Machine, NodeId, Output, Position, Rng, SnapshotId, Space, Staged, Term,
};
use election::{Reply, Timer};
use log::Log;
use read::Reads;
use role::{Follower, State};
use snapshot::{Incoming, Load, Outgoing};

/// One node of a Raft cluster.
///
/// ```
/// use quorate::raft::{Config, Request, Role};
/// use quorate::{Input, Instant, Machine, NodeId, Output, Raft, space::Fixed};
///
/// // A cluster of one elects itself, as soon as its vote is durable.
/// let id = NodeId::new(1);
/// let mut raft = Raft::<u32, Fixed<1, 16>>::new(Config::new(id, &[id]), 7, Instant::default())?;
/// let now = raft.deadline().unwrap();
/// raft.handle(now, Input::Wake);
/// let mut committed = Vec::new();
/// raft.request(now, Request::Propose(42)).unwrap_err(); // not yet
/// while let Some(output) = raft.poll() {
///     match output {
///         Output::Save(write) => {
///             let receipt = write.commit(|_record| Ok::<_, ()>(())).unwrap();
///             raft.handle(now, Input::Saved(receipt));
///         }
///         Output::Send { .. } => unreachable!("there is nobody else"),
///         Output::Event(event) => event.for_each_command(|&command| committed.push(command)),
///     }
///     if raft.status().role == Role::Leader && raft.status().last.get() == 1 {
///         raft.request(now, Request::Propose(42)).unwrap();
///     }
/// }
/// assert_eq!(committed, [42]);
/// # Ok::<(), quorate::Fault>(())
/// ```
#[derive(Debug)]
// What is small comes first: a chip reaches only the first kilobytes of a value with one instruction.
#[repr(C)]
pub struct Raft<C: Command, S: Space> {
    config: Config<S>,
    me: usize,
    quorum: Quorum,
    rng: Rng,
    now: Instant,

    // What must be durable, and how much of it is.
    ledger: Ledger,
    term: Term,
    vote: Option<NodeId>,
    /// The epoch in which term and vote last changed.
    state_mark: Mark,
    /// The epoch of the last restart. With it the store lets go of all snapshots but one.
    restart_mark: Mark,
    unsaved: Unsaved,
    snapshot: Option<SnapshotId>,

    // What is not.
    commit: Index,
    told: Index,
    state: State<S>,
    timer: Timer,
    beat: Instant,
    reads: Reads,
    load: Option<Load>,

    // What is to be said: outputs are derived, these say where to look.
    replies: S::Table<Option<Gated<Reply>>>,
    /// Peers that there may be something to say to.
    due: Slots,
    /// Peers that something waits for a receipt for.
    gated: Slots,
    turn: usize,
    /// Whether role, term or leader changed.
    status_due: bool,
    counters: Counters,

    // What is large.
    incoming: Option<Incoming<S>>,
    outgoing: Option<Outgoing<S>>,
    log: Log<C, S>,
}

/// Which records are owed besides new entries.
#[derive(Debug, Default)]
struct Unsaved {
    state: bool,
    restart: bool,
}

/// What was dropped, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of nodes that are not peers.
    pub strangers: u64,
    /// Messages that no correct peer sends.
    pub nonsense: u64,
    /// Rejections of what a peer had said is durable there. A few come late; many, of a peer that lost it, which has to
    /// be refilled under a new id.
    pub regressed: u64,
    /// Receipts of another machine, or of an earlier life of this one.
    pub foreign_receipts: u64,
}

/// What the application may ask of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<C> {
    /// Replicate a command. Only a leader takes it up. The outcome is the first entry that is told at the ticket's
    /// index: the command, if the term is the ticket's too, and otherwise another in its place.
    Propose(C),
    /// Tell from where on reads may be served. Asked on any node; answered by [`Event::Readable`].
    Read,
    /// A snapshot is durable: forget the log up to it.
    Compact(SnapshotId),
}

/// What a request that was taken up is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ticket {
    /// The entry that was proposed.
    Proposed(Position),
    /// The read that was asked.
    Read(ReadTicket),
    /// The log was compacted.
    Compacted,
}

/// A request that was not taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<C> {
    /// What was asked.
    pub request: Request<C>,
    /// Why not.
    pub reason: Reason,
}

/// Why a request was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ask the leader, if one is known.
    NotLeader(Option<NodeId>),
    /// The window is full of entries: wait until some are committed and compacted.
    Full,
    /// The command weighs more than an append may.
    TooLarge {
        /// How much it may weigh.
        limit: usize,
    },
    /// There is no such entry here to compact up to: not told yet, or compacted already.
    NotHere,
}

impl<C: Command, S: Space> Raft<C, S> {
    /// What the node is, and how far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            role: self.role(),
            term: self.term,
            leader: self.leader().and_then(|slot| self.node(slot)),
            commit: self.commit,
            applied: self.told,
            last: self.log.last().index,
        }
    }

    /// What was dropped so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters { foreign_receipts: self.ledger.foreign(), ..self.counters }
    }

    /// How many entries the window holds, and what they weigh.
    #[must_use]
    pub fn window(&self) -> (usize, u64) {
        (self.log.len(), self.log.weight())
    }

    /// How many entries the window holds up to `index`, and what they weigh.
    #[cfg(feature = "serde")]
    pub(crate) fn window_to(&self, index: Index) -> (usize, u64) {
        let base = self.log.base().index;
        (index.since(base) as usize, self.log.weight_between(base, index))
    }

    /// What tells this life of this node from others.
    #[cfg(feature = "serde")]
    pub(crate) const fn life(&self) -> u64 {
        self.ledger.brand()
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config<S> {
        &self.config
    }

    /// The snapshot that the log goes on from.
    #[must_use]
    pub const fn snapshot(&self) -> Option<SnapshotId> {
        self.snapshot
    }

    /// The last entry that was told as committed.
    #[must_use]
    pub fn applied(&self) -> Position {
        let term = self.log.term_at(self.told);
        assert!(term.is_some(), "what was told is in the log or is its base");
        Position { term: term.unwrap_or_default(), index: self.told }
    }

    /// Takes a command up for replication.
    ///
    /// # Errors
    /// The command, and why it was not taken up.
    pub fn propose(&mut self, now: Instant, command: C) -> Result<Position, (C, Reason)> {
        self.tell_time(now);
        if !matches!(self.state, State::Leader(_)) {
            return Err((command, Reason::NotLeader(self.leader().and_then(|slot| self.node(slot)))));
        }
        self.append_command(command)
    }

    /// The entry at `index`, if the window holds it.
    #[cfg(feature = "serde")]
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry<C>> {
        self.log.entry(index)
    }

    /// Of a leader, its first entry: once that was told, so was all that any leader before it committed.
    #[cfg(feature = "serde")]
    pub(crate) const fn first_as_leader(&self) -> Option<Index> {
        match &self.state {
            State::Leader(leader) => Some(leader.first),
            State::Follower(_) | State::Candidate(_) => None,
        }
    }

    fn role(&self) -> Role {
        match &self.state {
            State::Follower(_) => Role::Follower,
            State::Candidate(candidate) if candidate.pre => Role::PreCandidate,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    fn leader(&self) -> Option<usize> {
        match &self.state {
            State::Follower(follower) => follower.leader,
            State::Candidate(_) => None,
            State::Leader(_) => Some(self.me),
        }
    }

    fn node(&self, slot: usize) -> Option<NodeId> {
        self.config.voters.get(slot).copied()
    }

    fn slot(&self, node: NodeId) -> Option<usize> {
        self.config.voters.iter().position(|&id| id == node)
    }

    fn others(&self) -> Slots {
        let mut others = Slots::first(self.config.voters.len());
        others.remove(self.me);
        others
    }

    /// A clock that goes back is clamped.
    fn tell_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Notes that term or vote changed.
    fn stage_state(&mut self) {
        self.unsaved.state = true;
        self.state_mark = self.ledger.stage();
    }

    fn on_message(&mut self, from: usize, message: Message<'_, C>) {
        if self.is_void(from, &message) {
            return;
        }
        match message {
            Message::Vote { term, last, pre } => self.on_vote(from, term, last, pre),
            Message::VoteReply { term, granted, pre } => self.on_vote_reply(from, term, granted, pre),
            Message::Append { prev, entries, commit, round, answer, .. } => {
                if self.follow(from, round) {
                    self.on_append(from, prev, entries, commit, answer);
                }
            }
            Message::Accepted { matched, round, .. } => self.on_accepted(from, matched, round),
            Message::Rejected { prev, hint, round, .. } => self.on_rejected(from, prev, hint, round),
            Message::Stale { .. } => {}
            Message::Chunk { round, of, offset, bytes, .. } => {
                if self.follow(from, round) {
                    self.on_chunk(of, offset, bytes);
                    self.due.insert(from);
                }
            }
            Message::Have { round, of, offset, .. } => self.on_have(from, of, offset, round),
            Message::ReadIndex { id, .. } => self.on_read_index(from, id),
            Message::ReadAt { id, index, .. } => self.on_read_at(from, id, index),
        }
    }

    fn on_saved(&mut self) {
        self.due = self.due.or(self.gated);
        self.gated = Slots::NONE;
        let advanced = self.log.advance_durable(&self.ledger);
        self.on_chunk_saved();
        match &self.state {
            State::Follower(Follower { leader: Some(leader), .. }) => self.due.insert(*leader),
            State::Follower(_) => {}
            State::Candidate(_) => self.count_own_vote(),
            State::Leader(_) if advanced => self.advance_commit(self.log.durable()),
            State::Leader(_) => {}
        }
    }

    fn assert_invariants(&self) {
        let (base, last) = (self.log.base().index, self.log.last().index);
        assert!(base <= self.told || self.load.is_some(), "what is in a snapshot has been told");
        assert!(self.told <= self.commit, "only what is committed is told");
        assert!(self.commit <= last, "only what is here is known to be committed");
        assert!(self.told <= self.log.durable(), "only what is durable here is told");
        assert!(self.log.durable() <= self.log.saved(), "only what was saved is durable");
        assert!(self.log.saved() <= last, "only what is here is saved");
        assert!(self.log.last().term <= self.term, "no entry is of a later term than the node");
    }
}

impl<C: Command, S: Space> Machine for Raft<C, S> {
    type Request = Request<C>;
    type Ticket = Ticket;
    type Refusal = Refusal<C>;
    type Message<'a> = Message<'a, C>;
    type Record<'a> = Record<'a, C>;
    type Event<'a> = Event<'a, C>;

    fn request(&mut self, now: Instant, request: Request<C>) -> Result<Ticket, Refusal<C>> {
        self.tell_time(now);
        let ticket = match request {
            Request::Propose(command) => self
                .propose(now, command)
                .map(Ticket::Proposed)
                .map_err(|(command, reason)| Refusal { request: Request::Propose(command), reason }),
            Request::Read => Ok(Ticket::Read(self.read(now))),
            Request::Compact(to) => match self.compact(to) {
                Ok(()) => Ok(Ticket::Compacted),
                Err(reason) => Err(Refusal { request: Request::Compact(to), reason }),
            },
        };
        self.assert_invariants();
        ticket
    }

    fn handle(&mut self, now: Instant, input: Input<Message<'_, C>>) {
        self.tell_time(now);
        match input {
            Input::Message { from, message } => match self.slot(from) {
                Some(slot) if slot != self.me => self.on_message(slot, message),
                Some(_) | None => self.counters.strangers += 1,
            },
            Input::Saved(receipt) => {
                if self.ledger.accept(receipt) {
                    self.on_saved();
                }
            }
            Input::Wake => self.on_wake(),
        }
        self.assert_invariants();
    }

    fn poll(&mut self) -> Option<Output<Message<'_, C>, Record<'_, C>, Event<'_, C>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.next_wake())
    }
}
