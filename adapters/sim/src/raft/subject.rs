//! What Raft is asked in the world: proposals and reads of any node, and snapshots of a small state.

use super::History;
use super::calm::Calm;
use super::state::State;
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told, holds};
use crate::tally::Tally;
use quorate::raft::{
    CommitNotice, Config, Event, Message, ReadTicket, Reason, Record, Request, Role, Ticket,
};
use quorate::space::Heap;
use quorate::{Hosted, Index, Instant, NodeId, Position, Raft, Rng, SnapshotId};
use std::collections::VecDeque;
use std::time::Duration;

/// Raft with a small window, so that its limits are met.
pub type Machine = Raft<u64, Heap<16, 64, 48>>;

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// There was another leader.
        LeaderChanged = "raft: leader changed",
        /// A leader that heard no quorum stepped down.
        SteppedDown = "raft: leader stepped down",
        /// A log was cut back to agree with a leader's.
        Truncated = "raft: log truncated",
        /// A follower rejected an append.
        Rejected = "raft: append rejected",
        /// An old leader was told that its term is over.
        Stale = "raft: stale term told",
        /// A leader committed what an earlier one had appended.
        InheritedCommit = "raft: inherited entries committed",
        /// Another entry took the place of a proposal.
        ProposalLost = "raft: proposal overwritten",
        /// A window was full.
        WindowFull = "raft: window full",
        /// A proposal came to a node that does not lead.
        NotLeader = "raft: proposal refused by a follower",
        /// A follower served a read.
        FollowerRead = "raft: read served by a follower",
        /// A log was compacted.
        Compacted = "raft: log compacted",
        /// A follower went on from a leader's snapshot.
        Installed = "raft: snapshot installed",
        /// A node came up from a snapshot.
        RestoredSnapshot = "raft: restored from a snapshot",
        /// A snapshot went on where another life of the follower had left off.
        Resumed = "raft: snapshot resumed",
    }
}

/// The timer of the clients.
const ASK: u64 = 0;
/// The timer of what looks after snapshots.
pub(super) const COMPACT: u64 = 1;

/// What a node was asked and owes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) proposals: VecDeque<(Position, u64)>,
    pub(super) reads: VecDeque<(ReadTicket, Index)>,
    pub(super) role: Option<Role>,
    /// Whether a piece of a snapshot came in, in this life.
    has_piece: bool,
    /// Whether the window is so full that it is time for a snapshot, however little has been told.
    pub(super) is_full: bool,
}

/// Proposals with payloads of their own, reads, compaction at random, and the invariants of [`History`].
#[derive(Debug)]
pub struct Proposals {
    rng: Rng,
    gap: u64,
    pub(super) snapshot_every: u64,
    pub(super) history: History,
    pub(super) state: State,
    pub(super) nodes: Vec<NodeId>,
    pub(super) owed: Vec<Owed>,
    payload: u64,
    pub(super) calm: Option<Calm>,
    tally: Tally,
}

impl Proposals {
    /// A workload that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0BAF_F1ED);
        Self {
            gap: 1_000 + rng.below(40_000),
            snapshot_every: 4 + rng.below(20),
            rng,
            history: History::default(),
            state: State::default(),
            nodes: Vec::new(),
            owed: Vec::new(),
            payload: 0,
            calm: None,
            tally: Tally::of(Path::NAMES),
        }
    }

    /// No workload: for scripts, which also say when a snapshot is written. A message carries one entry, so that a
    /// script can hold each.
    #[must_use]
    pub fn by_hand() -> Self {
        Self { snapshot_every: u64::MAX, ..Self::new(0) }
    }

    /// The state of a node, after the last entry that it told.
    #[must_use]
    pub fn snapshot(&self, node: NodeId) -> (Position, Vec<u8>) {
        self.state.snapshot(node)
    }

    /// What the records and messages of all nodes told so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// How many answers a node owes.
    #[must_use]
    pub fn owed(&self, node: NodeId) -> usize {
        self.owes(std::iter::once(node))
    }

    /// The commands that were told in order, on any node.
    pub fn told(&self) -> impl Iterator<Item = u64> {
        self.state.commands()
    }

    pub(super) fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    pub(super) fn propose(&mut self, node: NodeId, desk: &mut Desk<Machine>) -> u64 {
        self.payload += 1;
        desk.ask(node, self.payload, Request::Propose(self.payload));
        self.payload
    }

    fn any_node(&self, desk: &mut Desk<Machine>) -> NodeId {
        self.nodes[desk.rng.below(self.nodes.len() as u64) as usize]
    }

    /// How many answers these nodes owe.
    pub(super) fn owes(&self, nodes: impl Iterator<Item = NodeId>) -> usize {
        nodes.map(|node| &self.owed[slot(node)]).map(|owed| owed.proposals.len() + owed.reads.len()).sum()
    }
}

impl Subject<Machine> for Proposals {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> <Machine as Hosted>::Settings {
        // The same for all nodes: what differs between seeds is drawn from a copy.
        let mut rng = self.rng.clone();
        let mut config = Config::new(node, nodes);
        if self.snapshot_every == u64::MAX {
            config.append_bytes = 16;
            return config;
        }
        if rng.below(2) == 0 {
            config.append_bytes = 48 + rng.below(200) as usize;
            config.inflight_bytes = 100 + rng.below(1_000);
            config.record_bytes = config.append_bytes + rng.below(100) as usize;
            config.window_bytes = 600 + rng.below(2_000);
        }
        if rng.below(2) == 0 {
            config.commit_notice = CommitNotice::WithNext;
        }
        config.pre_vote = rng.below(8) > 0;
        config
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
        self.history = History::of(nodes);
        self.state = State::of(nodes.len());
        self.owed.resize_with(nodes.len(), Owed::default);
    }

    fn on_work(&mut self, desk: &mut Desk<Machine>) {
        desk.after(Duration::from_millis(100), ASK);
        desk.after(Duration::from_millis(200), COMPACT);
    }

    fn on_timer(&mut self, _: Instant, timer: u64, desk: &mut Desk<Machine>) -> Check {
        if timer == COMPACT {
            self.compact(desk);
            return Ok(());
        }
        if self.calm.is_some() {
            return Ok(());
        }
        let next = Duration::from_micros(desk.rng.below(2 * self.gap));
        desk.after(next, ASK);
        let any = self.any_node(desk);
        let leader = self.history.leader().unwrap_or(any);
        match desk.rng.below(8) {
            0 | 1 => desk.ask(any, 0, Request::Read),
            2 => _ = self.propose(any, desk),
            _ => (0..=desk.rng.below(6)).for_each(|_| _ = self.propose(leader, desk)),
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, payload: u64, answer: Answer<Machine>, _: &mut Desk<Machine>) -> Check {
        match answer {
            Answer::Taken(Ticket::Proposed(position)) => {
                self.owed[slot(at.node)].proposals.push_back((position, payload));
            }
            Answer::Taken(Ticket::Read(ticket)) => {
                let committed = self.history.committed();
                self.owed[slot(at.node)].reads.push_back((ticket, committed));
            }
            Answer::Taken(Ticket::Compacted) | Answer::Unreachable => {}
            Answer::Refused(refusal) => match refusal.reason {
                Reason::Full => self.hit(Path::WindowFull),
                Reason::NotLeader(_) => self.hit(Path::NotLeader),
                Reason::TooLarge { .. } | Reason::NotHere => {}
            },
        }
        Ok(())
    }

    fn on_sent(&mut self, at: At, to: NodeId, message: &Message<'_, u64>) -> Check {
        let leaders = self.history.leaders();
        match message {
            Message::Rejected { .. } => self.hit(Path::Rejected),
            Message::Stale { .. } => self.hit(Path::Stale),
            Message::Have { offset, .. } if *offset > 0 && !self.owed[slot(at.node)].has_piece => {
                self.hit(Path::Resumed);
            }
            _ => {}
        }
        self.history.on_sent(at, to, message)?;
        if self.history.leaders() > leaders.max(1) {
            self.hit(Path::LeaderChanged);
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &Record<'_, u64>) -> Check {
        if self.history.truncates(at.node, record) {
            self.hit(Path::Truncated);
        }
        match record {
            Record::Restart { .. } => self.hit(Path::Compacted),
            Record::Chunk { .. } => self.owed[slot(at.node)].has_piece = true,
            Record::State { .. } | Record::Append { .. } => {}
        }
        self.history.on_record(at, record)
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.history.on_durable(at, count)
    }

    fn on_event(&mut self, at: At, event: Event<'_, u64>, desk: &mut Desk<Machine>) -> Check {
        match &event {
            Event::Committed { .. } => self.on_committed(at, &event, desk),
            Event::Readable { through, from } => self.on_readable(at, *through, *from),
            Event::Status(status) => {
                let before = self.owed[slot(at.node)].role.replace(status.role);
                if before == Some(Role::Leader) && status.role != Role::Leader && status.leader.is_none() {
                    self.hit(Path::SteppedDown);
                }
                Ok(())
            }
            Event::Load { .. } | Event::Read { .. } => Ok(()),
        }
    }

    fn on_load(&mut self, at: At, of: SnapshotId, bytes: &[u8]) -> Check {
        let restored = self.state.told(at.node) == Index::default();
        self.hit(if restored { Path::RestoredSnapshot } else { Path::Installed });
        let owed = &mut self.owed[slot(at.node)];
        owed.proposals.retain(|(position, _)| position.index > of.at.index);
        self.state.load(at.node, of, bytes)
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Machine>) -> Check {
        self.history.on_crash(at);
        self.state.crash(at.node);
        self.owed[slot(at.node)] = Owed::default();
        Ok(())
    }

    fn on_restored(&mut self, at: At, machine: &Machine) -> Check {
        self.history.on_restored(at, &machine.status())
    }

    fn after_step(&mut self, at: At, machine: &Machine) -> Check {
        let (entries, bytes) = machine.window();
        let limit = machine.config().window_bytes;
        holds(entries <= 64 && bytes <= limit, "a window keeps its limits", || {
            format!("{} holds {entries} entries of {bytes} bytes", at.node)
        })?;
        self.owed[slot(at.node)].is_full = entries > 48 || bytes > limit / 4 * 3;
        let (status, known) = (machine.status(), self.history.committed());
        self.history.after_step(at, &status)?;
        if status.role == Role::Leader && self.history.inherited(known, status.term) {
            self.hit(Path::InheritedCommit);
        }
        Ok(())
    }

    fn favourite(&self) -> Option<NodeId> {
        self.history.leader()
    }

    fn on_calm(&mut self, now: Instant, _: &[NodeId], _: &mut Desk<Machine>) {
        self.calm = Some(Calm::new(now));
    }

    fn waits_for(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        let Some(mut calm) = self.calm.take() else { return Ok(None) };
        let missing = calm.waits_for(now, machines, self, desk);
        self.calm = Some(calm);
        missing
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Machine>) -> String {
        told.in_full()
    }
}

pub(super) const fn slot(node: NodeId) -> usize {
    node.get() as usize - 1
}
