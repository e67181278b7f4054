//! A replicated application for drivers that know nothing of it.

use super::clock::Clock;
use super::output::{Event, Message};
use super::session::Sessions;
use super::{Calls, Outcome, Own, Replicated, Stamped, Ticket};
use crate::application::{Application, Timestamp};
use crate::codec::{Full, Malformed, Sink, VERSION, put, put_batch, take, take_batch};
use crate::raft::{Config, Raft, Record};
use crate::rng::mix;
use crate::{
    Answering, Done, Errand, Fault, GroupId, Hosted, Instant, Machine, NodeId, Place, Position, Records, Rng,
    SnapshotId, Space, Stored,
};
use core::time::Duration;

/// How long an image may take to be written before it is asked for again.
pub(super) const IMAGE_PATIENCE: Duration = Duration::from_secs(30);

/// What is fixed for the life of a node.
#[derive(Clone, Debug)]
pub struct Settings<S: Space> {
    /// Raft's.
    pub raft: Config<S>,
    /// How long a request may wait for its outcome before it is told to be unknown.
    pub patience: Duration,
    /// How often, at most, time is put into the log while something waits for it. What was not put there is lost when
    /// the leader changes.
    pub tick: Duration,
    /// How many entries the log may hold before it is compacted.
    pub snapshot_entries: usize,
    /// How much the log may weigh before it is compacted.
    pub snapshot_bytes: u64,
}

impl<S: Space> Settings<S> {
    /// The defaults.
    #[must_use]
    pub fn new(id: NodeId, voters: &[NodeId]) -> Self {
        Self::of(Config::new(id, voters))
    }

    /// The defaults that go with Raft's settings.
    #[must_use]
    pub fn of(raft: Config<S>) -> Self {
        Self {
            patience: Duration::from_secs(5),
            tick: Duration::from_secs(1),
            snapshot_entries: S::WINDOW / 2,
            snapshot_bytes: raft.window_bytes / 2,
            raft,
        }
    }

    fn limits(&self) -> Limits {
        let &Self { patience, tick, snapshot_entries, snapshot_bytes, .. } = self;
        Limits { patience, tick, snapshot_entries, snapshot_bytes }
    }
}

/// The settings besides Raft's, which has its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) patience: Duration,
    pub(super) tick: Duration,
    pub(super) snapshot_entries: usize,
    pub(super) snapshot_bytes: u64,
}

impl Limits {
    fn check<S: Space>(&self, raft: &Config<S>) -> Result<(), Fault> {
        if S::CALLS < 2 {
            return Err(Fault::Settings("room for fewer than two requests under way"));
        }
        let (entries, bytes) = raft.proposals();
        let largest = raft.append_bytes as u64;
        let fits = (1..=entries).contains(&self.snapshot_entries)
            && self.snapshot_bytes.saturating_add(largest) <= bytes;
        if fits { Ok(()) } else { Err(Fault::Settings("the log is not compacted before it is full")) }
    }
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Hosted
    for Replicated<A, S, SESSIONS, REPLIES>
{
    type Settings = Settings<S>;

    fn blank(settings: &Settings<S>, now: Instant) -> Self {
        Self {
            raft: Raft::blank(settings.raft.clone(), now),
            rng: Rng::new(0),
            now,
            application: A::default(),
            sessions: Sessions::default(),
            clock: Clock::at(Timestamp::default(), now),
            applied: Position::ORIGIN,
            committed: Position::ORIGIN.index,
            loaded: false,
            tickets: 0,
            calls: Calls::default(),
            own: Own::Absent,
            own_sequence: Default::default(),
            own_floor: Default::default(),
            queries: Default::default(),
            readable: Default::default(),
            given_up: None,
            route: Default::default(),
            early: false,
            moved: now,
            stamped: Timestamp::default(),
            imaging: None,
            limits: settings.limits(),
        }
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        self.limits.check(self.raft.config())?;
        self.raft.take_in(seed, stored)?;
        self.rng = Rng::new(mix(self.raft.life()));
        self.committed = self.raft.status().applied;
        Ok(())
    }

    fn restate(&mut self, now: Instant) {
        self.tell_time(now);
        // The store would let go of the image that is being written, and what comes of that is a restart as well.
        if !self.is_imaging() {
            self.raft.restate(now);
        }
    }

    fn put_message(message: &Self::Message<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        match message {
            Message::Raft(message) => {
                put(&0_u8, sink)?;
                Raft::<Stamped<A::Command>, S>::put_message(message, sink)
            }
            Message::Forward(operations) => {
                put(&1_u8, sink)?;
                put_batch(operations, sink)
            }
        }
    }

    fn take_message(mut bytes: &[u8]) -> Result<Self::Message<'_>, Malformed> {
        match take::<u8>(&mut bytes)? {
            0 => Raft::<Stamped<A::Command>, S>::take_message(bytes).map(Message::Raft),
            1 => {
                let operations = take_batch(&mut bytes)?;
                if bytes.is_empty() { Ok(Message::Forward(operations)) } else { Err(Malformed::Trailing) }
            }
            _ => Err(Malformed::Content),
        }
    }

    fn put_record(record: &Record<'_, Stamped<A::Command>>, sink: &mut impl Sink) -> Result<(), Full> {
        Raft::<Stamped<A::Command>, S>::put_record(record, sink)
    }

    fn place<'r>(record: &'r Record<'_, Stamped<A::Command>>) -> Place<'r> {
        Raft::<Stamped<A::Command>, S>::place(record)
    }

    fn errand<'e>(event: &'e Self::Event<'_>) -> Option<Errand<'e>> {
        match event {
            Event::Snapshot { at, image } => {
                Some(Errand::Write { group: GroupId::default(), at: *at, image })
            }
            &Event::Load { of } => Some(Errand::Load { of }),
            &Event::Read { to, of, offset, len } => Some(Errand::Read { to, of, offset, len }),
            Event::Ended { .. } | Event::Notice(_) | Event::Loaded { .. } | Event::Status(_) => None,
        }
    }

    fn finish(&mut self, now: Instant, done: Done<'_>) -> Result<(), Fault> {
        self.tell_time(now);
        match done {
            Done::Written(of) => {
                self.imaging = None;
                // One that is behind what was compacted meanwhile is of no use.
                let _ = self.raft.request(now, crate::raft::Request::Compact(of));
                Ok(())
            }
            Done::TurnedAway(_) => {
                self.imaging = None;
                Ok(())
            }
            Done::Read { to, of, offset, bytes } => {
                self.raft.chunk(now, to, of, offset, bytes);
                Ok(())
            }
            Done::Loaded { of, bytes } => self.load(now, of, bytes),
        }
    }
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Answering
    for Replicated<A, S, SESSIONS, REPLIES>
{
    type Outcome = Outcome<A>;

    fn outcome(event: Self::Event<'_>) -> Result<(Ticket, Outcome<A>), Self::Event<'_>> {
        match event {
            Event::Ended { ticket, outcome } => Ok((ticket, outcome)),
            other @ (Event::Notice(_)
            | Event::Loaded { .. }
            | Event::Status(_)
            | Event::Snapshot { .. }
            | Event::Load { .. }
            | Event::Read { .. }) => Err(other),
        }
    }
}

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize>
    Replicated<A, S, SESSIONS, REPLIES>
{
    /// Starts from a snapshot, if it is the one to start from.
    fn load(&mut self, now: Instant, of: SnapshotId, mut bytes: &[u8]) -> Result<(), Fault> {
        if !self.raft.awaits(of) {
            return Ok(());
        }
        if bytes.len() as u64 != of.size {
            return Err(Fault::SnapshotMissing(of));
        }
        let (version, time): (u8, Timestamp) = take(&mut bytes)?;
        if version != VERSION {
            return Err(Malformed::Version(version).into());
        }
        self.sessions.restore(&mut bytes)?;
        self.application.load(bytes)?;
        self.clock = Clock::at(time, now);
        self.raft.loaded(now, of);
        self.on_loaded(of.at);
        Ok(())
    }
}
