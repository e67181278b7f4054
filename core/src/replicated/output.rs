//! Outputs, derived from state.

use super::session::Sessions;
use super::{Operation, Outcome, Own, Replicated, Stamped, Ticket};
use crate::application::{Application, Timestamp};
use crate::batch::Batch;
use crate::codec::{Full, Sink, put};
use crate::raft::output::{Plan as RaftPlan, Telling};
use crate::raft::{self, Content, Status};
use crate::space::Window;
use crate::{Image, Index, NodeId, Output, Position, Shown, SnapshotId, Space, Staged};
use core::fmt;

/// What peers tell each other.
#[derive(Debug)]
pub enum Message<'a, C> {
    /// What Raft says.
    Raft(raft::Message<'a, Stamped<C>>),
    /// Operations that were asked of the sender, for the leader's log.
    Forward(Batch<'a, Operation<C>>),
}

/// What the application is told.
pub enum Event<'a, A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> {
    /// A request ended.
    Ended {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Outcome<A>,
    },
    /// The application tells something, on every node.
    Notice(A::Notice),
    /// The state was loaded from a snapshot: what the application would have told of the entries in it, this node
    /// will not hear. Who waits for a notice looks at the state anew.
    Loaded {
        /// The last entry that the state covers.
        at: Position,
    },
    /// The role, the term or the leader changed.
    Status(Status),
    /// Write this image: the log is long enough to be compacted.
    Snapshot {
        /// The last entry that it covers.
        at: Position,
        /// The state.
        image: Frozen<'a, A, S, SESSIONS, REPLIES>,
    },
    /// Hand this snapshot in: the state starts from it.
    Load {
        /// Which.
        of: SnapshotId,
    },
    /// Read a piece of a snapshot for a peer.
    Read {
        /// The peer.
        to: NodeId,
        /// The snapshot.
        of: SnapshotId,
        /// From where.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> fmt::Debug
    for Event<'_, A, S, SESSIONS, REPLIES>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { ticket, outcome } => write!(f, "Ended({ticket:?}, {outcome:?})"),
            Self::Notice(notice) => write!(f, "Notice({notice:?})"),
            Self::Loaded { at } => write!(f, "Loaded({at})"),
            Self::Status(status) => write!(f, "{status:?}"),
            Self::Snapshot { at, .. } => write!(f, "Snapshot({at})"),
            Self::Load { of } => write!(f, "Load({of:?})"),
            Self::Read { to, of, offset, len } => write!(f, "Read({to}, {of:?}, {offset}, {len})"),
        }
    }
}

/// The replicated state at one moment, lent to be written out.
pub struct Frozen<'a, A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> {
    application: &'a A,
    sessions: &'a Sessions<A::Reply, S, SESSIONS, REPLIES>,
    time: Timestamp,
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Image
    for Frozen<'_, A, S, SESSIONS, REPLIES>
{
    fn write(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&(crate::codec::VERSION, self.time), sink)?;
        self.sessions.snapshot(sink)?;
        self.application.snapshot(sink)
    }
}

/// What is to be done, in numbers.
pub enum Plan<A: Application> {
    Raft(RaftPlan),
    Forward { to: NodeId, from: usize, until: usize },
    Ended { ticket: Ticket, outcome: Outcome<A> },
    Notice(A::Notice),
    Loaded,
    Snapshot,
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Staged
    for Replicated<A, S, SESSIONS, REPLIES>
{
    type Plan = Plan<A>;

    fn plan(&mut self) -> Option<Plan<A>> {
        self.find_route();
        self.propose_calls();
        self.propose_tick();
        loop {
            if let Some(plan) = self.plan_raft() {
                return Some(plan);
            }
            if let Some(plan) = self.plan_forward() {
                return Some(plan);
            }
            if core::mem::take(&mut self.loaded) {
                return Some(Plan::Loaded);
            }
            if let Some(notice) = self.application.notice() {
                return Some(Plan::Notice(notice));
            }
            if let Some((ticket, ending)) = self.calls.take_ended() {
                return Some(Plan::Ended { ticket, outcome: ending.into() });
            }
            if !self.apply_next() {
                break;
            }
            // The own session may be open now, for which calls waited.
            self.propose_calls();
        }
        self.plan_answer().or_else(|| self.plan_given_up()).or_else(|| self.plan_snapshot())
    }

    fn show(&self, plan: Plan<A>) -> Shown<'_, Self> {
        match plan {
            Plan::Raft(plan) => match self.raft.show(plan) {
                Output::Save(write) => Output::Save(write),
                Output::Send { to, message } => Output::Send { to, message: Message::Raft(message) },
                Output::Event(event) => Output::Event(self.show_event(event)),
            },
            Plan::Forward { to, from, until } => {
                Output::Send { to, message: Message::Forward(self.calls.operations(from, until)) }
            }
            Plan::Ended { ticket, outcome } => Output::Event(Event::Ended { ticket, outcome }),
            Plan::Notice(notice) => Output::Event(Event::Notice(notice)),
            Plan::Loaded => Output::Event(Event::Loaded { at: self.applied }),
            Plan::Snapshot => Output::Event(Event::Snapshot { at: self.applied, image: self.freeze() }),
        }
    }
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize>
    Replicated<A, S, SESSIONS, REPLIES>
{
    /// What Raft wants done, but for what ends here.
    fn plan_raft(&mut self) -> Option<Plan<A>> {
        loop {
            let plan = self.raft.plan()?;
            match plan {
                RaftPlan::Tell(Telling::Committed { to, .. }) => self.committed = to,
                RaftPlan::Tell(Telling::Readable { through, from }) => {
                    self.readable = (through, from.max(self.readable.1));
                }
                RaftPlan::Save(_) | RaftPlan::Send { .. } | RaftPlan::Tell(_) => {
                    return Some(Plan::Raft(plan));
                }
            }
        }
    }

    /// Calls go again when there is somebody else to send them to.
    fn find_route(&mut self) {
        let status = self.raft.status();
        let route = (status.leader, status.term);
        if self.route != route {
            self.route = route;
            self.calls.sent = 0;
            self.moved = self.now;
        }
        self.clock.on_role(status.term, self.raft.first_as_leader(), self.applied.index);
        if self.raft.first_as_leader().is_none() {
            self.stamped = Timestamp::default();
        }
        self.send_again();
    }

    /// How far calls can be sent: those of the own session wait until it is open.
    fn sendable(&self) -> usize {
        if let Own::Open(_) = self.own {
            return self.calls.len();
        }
        let waiting = |at: &usize| {
            self.calls.get(*at).is_some_and(|(call, operation)| {
                call.own && call.is_live() && matches!(operation, Operation::Call { .. })
            })
        };
        (self.calls.sent..self.calls.len()).find(waiting).unwrap_or(self.calls.len())
    }

    /// A leader puts its calls into its log.
    fn propose_calls(&mut self) {
        if self.raft.first_as_leader().is_none() || self.calls.sent == self.calls.len() {
            return;
        }
        let until = self.sendable();
        while self.calls.sent < until {
            if !self.calls.is_live(self.calls.sent) {
                self.calls.sent += 1;
                continue;
            }
            self.calls.set_floor(self.calls.sent, self.own_floor);
            let Some((_, operation)) = self.calls.get(self.calls.sent) else { return };
            let operation = operation.clone();
            if !self.propose(operation) {
                return;
            }
            self.calls.sent += 1;
        }
    }

    /// Puts an operation into the leader's log. Tells whether there was room.
    pub(super) fn propose(&mut self, operation: Operation<A::Command>) -> bool {
        let time = self.clock.stamp(self.now).max(self.stamped);
        let proposed = self.raft.propose(self.now, Stamped { time, operation }).is_ok();
        if proposed {
            self.stamped = time;
        }
        proposed
    }

    fn propose_tick(&mut self) {
        if self.tick().is_some_and(|time| time <= self.clock.estimate(self.now)) {
            self.propose(Operation::Tick);
        }
    }

    /// Another node's operations go into the leader's log, as far as there is room; the rest comes again.
    pub(super) fn on_forward(&mut self, from: NodeId, operations: Batch<'_, Operation<A::Command>>) {
        if self.raft.first_as_leader().is_none() || !self.raft.config().voters.contains(&from) {
            return;
        }
        let _ = operations.try_take(|operation| {
            if self.is_done(&operation) || self.propose(operation) { Ok(()) } else { Err(()) }
        });
    }

    /// A follower sends its calls to the leader.
    fn plan_forward(&mut self) -> Option<Plan<A>> {
        let to = self.route.0.filter(|_| self.raft.first_as_leader().is_none())?;
        if self.calls.sent == self.calls.len() {
            return None;
        }
        let until = self.sendable();
        // What has ended is left out: its session may have another command under its number by now.
        self.calls.sent = (self.calls.sent..until).find(|&at| self.calls.is_live(at)).unwrap_or(until);
        let from = self.calls.sent;
        if from >= until {
            return None;
        }
        let until = self.calls.reach(until, self.raft.config().append_bytes as u64);
        let until = (from..until).find(|&at| !self.calls.is_live(at)).unwrap_or(until);
        (from..until).for_each(|at| self.calls.set_floor(at, self.own_floor));
        self.calls.sent = until;
        Some(Plan::Forward { to, from, until })
    }

    /// The answer to the first query, once the state is new enough.
    fn plan_answer(&mut self) -> Option<Plan<A>> {
        let (through, from) = self.readable;
        let first = self.queries.get(0).filter(|first| first.read <= through)?;
        if from > self.applied.index {
            return None;
        }
        let (ticket, answer) =
            (first.ticket, self.application.query(self.clock.estimate(self.now), &first.query));
        self.queries.pop_front();
        Some(Plan::Ended { ticket, outcome: Outcome::Answered(answer) })
    }

    fn plan_given_up(&mut self) -> Option<Plan<A>> {
        self.lose_patience();
        let ticket = self.given_up.take()?;
        Some(Plan::Ended { ticket, outcome: Outcome::Failed(super::Failure::Unconfirmed) })
    }

    /// When the log is long, its state is written out, so that it can be compacted.
    fn plan_snapshot(&mut self) -> Option<Plan<A>> {
        let (len, weight) = self.raft.window();
        let (entries, bytes) = (self.limits.snapshot_entries, self.limits.snapshot_bytes);
        if len < entries && weight < bytes {
            return None;
        }
        // With the window all but full, this node may be the one that the others wait for to take their entries in.
        let tight = !self.raft.takes_up(self.raft.config().append_bytes);
        // A follower that is being brought on needs the log that its snapshot goes on with, while there is room.
        let hold =
            self.raft.is_sending_snapshot() && len < entries + entries / 2 && weight < bytes + bytes / 2;
        let busy = self.raft.is_restarting() || self.is_imaging();
        let base = self.raft.snapshot().map_or(Index::default(), |of| of.at.index);
        // With much in flight each entry that is applied would be reason for an image of its own.
        let (gone, lost) = self.raft.window_to(self.applied.index);
        let little = gone < entries.div_ceil(2) && lost < bytes.div_ceil(2);
        if busy || (!tight && (hold || little)) || self.applied.index <= base {
            return None;
        }
        self.imaging = Some((self.applied, self.now));
        Some(Plan::Snapshot)
    }

    /// Whether an image is being written, as far as is known.
    pub(super) fn is_imaging(&self) -> bool {
        self.imaging.is_some_and(|(_, since)| self.now < since.after(super::hosted::IMAGE_PATIENCE))
    }

    fn show_event(&self, event: raft::Event<'_, Stamped<A::Command>>) -> Event<'_, A, S, SESSIONS, REPLIES> {
        match event {
            raft::Event::Status(_) | raft::Event::Committed { .. } | raft::Event::Readable { .. } => {
                Event::Status(self.status())
            }
            raft::Event::Load { of } => Event::Load { of },
            raft::Event::Read { to, of, offset, len } => Event::Read { to, of, offset, len },
        }
    }

    /// The replicated state as it is.
    pub fn freeze(&self) -> Frozen<'_, A, S, SESSIONS, REPLIES> {
        Frozen { application: &self.application, sessions: &self.sessions, time: self.clock.applied() }
    }

    /// The next entry that may be applied, if any: its place, its term, and what it holds.
    pub(super) fn next_entry(&self) -> Option<(Position, Option<Stamped<A::Command>>)> {
        if self.applied.index >= self.committed {
            return None;
        }
        let index = self.applied.index.next();
        let entry = self.raft.entry(index)?;
        let content = match &entry.content {
            Content::Empty => None,
            Content::Command(stamped) => Some(stamped.clone()),
        };
        Some((Position { term: entry.term, index }, content))
    }
}
