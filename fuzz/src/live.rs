//! A machine that is driven by a tape: one of three nodes, whose peers say whatever they like.

use crate::Tape;
use crate::asks::{self, Asked};
use crate::peer;
use crate::store::Store;
use quorate::codec::{put, put_batch};
use quorate::raft::{self, Config, Role, Status};
use quorate::replicated::{self, Settings};
use quorate::space::List;
use quorate::{
    Done, Errand, Fault, GroupId, Hosted, Input, Instant, NodeId, Output, Pending, Position, Raft,
    Replicated, SnapshotId, Space,
};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::Write as _;

/// More outputs than any drain has.
const MOST_OUTPUTS: usize = 10_000;
/// More steps than tell anything new.
const MOST_STEPS: usize = 300;

/// A machine that can be driven so.
pub trait Subject: Hosted {
    /// How many groups it is made of.
    const GROUPS: u64 = 1;

    fn settings() -> Self::Settings;
    fn status(&self) -> Status {
        self.status_of(GroupId::default())
    }
    fn status_of(&self, group: GroupId) -> Status;
    fn request_of(tape: &mut Tape<'_>) -> Self::Request;
    /// Writes what is before a message of Raft.
    fn put_envelope(group: GroupId, out: &mut Vec<u8>);
    /// Writes a message that a peer could send.
    fn put_peer(&self, tape: &mut Tape<'_>, out: &mut Vec<u8>);
    /// Writes the command of an entry.
    fn put_command(tape: &mut Tape<'_>, out: &mut Vec<u8>);
    /// Writes an event, as far as words do not tell it all.
    fn put_event(event: &Self::Event<'_>, out: &mut Vec<u8>);
    /// Puts an event into words.
    fn tell<'e>(event: &'e Self::Event<'_>) -> &'e dyn Debug;
    /// Where the application could write a snapshot, if the machine leaves that to it.
    fn snapshot_at(&self) -> Option<Position> {
        None
    }
    /// Whether an event is the end of a request.
    fn ends(event: &Self::Event<'_>) -> bool {
        let _ = event;
        false
    }
    /// Looks for what must never be.
    fn assert_sound(&self);
}

pub fn config<S: Space>() -> Config<S> {
    let ids = [1, 2, 3].map(NodeId::new);
    let mut config = Config::new(ids[0], &ids[..S::PEERS.min(3)]);
    // So small that limits are met.
    config.append_bytes = 200;
    config.inflight_bytes = 400;
    config.record_bytes = 300;
    config.window_bytes = 1_000;
    config
}

/// A command of Raft alone: its weight is what the tape says.
pub type Bytes = heapless::Vec<u8, 96>;

impl<S: Space> Subject for Raft<Bytes, S> {
    fn settings() -> Config<S> {
        config()
    }

    fn status_of(&self, _: GroupId) -> Status {
        Raft::status(self)
    }

    fn request_of(tape: &mut Tape<'_>) -> raft::Request<Bytes> {
        match tape.below(4) {
            0 => raft::Request::Read,
            _ => raft::Request::Propose(Bytes::of(tape.slice().iter().copied())),
        }
    }

    fn put_envelope(_: GroupId, _: &mut Vec<u8>) {}

    fn put_peer(&self, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        peer::put_raft(tape, &self.status(), out, &mut Self::put_command);
    }

    fn put_command(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        put(&Bytes::of(tape.slice().iter().copied()), out).expect("a vector is never full");
    }

    fn put_event(event: &raft::Event<'_, Bytes>, out: &mut Vec<u8>) {
        if let raft::Event::Committed { entries, .. } = event {
            put_batch(entries, out).expect("a vector is never full");
        }
    }

    fn tell<'e>(event: &'e raft::Event<'_, Bytes>) -> &'e dyn Debug {
        event
    }

    fn snapshot_at(&self) -> Option<Position> {
        Some(self.applied()).filter(|at| at.index.get() > 0)
    }

    fn assert_sound(&self) {
        let (entries, bytes) = self.window();
        assert!(entries <= S::WINDOW && bytes <= self.config().window_bytes, "a window keeps its limits");
    }
}

impl<A: Asked, S: Space, const SESSIONS: usize, const REPLIES: usize> Subject
    for Replicated<A, S, SESSIONS, REPLIES>
{
    fn settings() -> Settings<S> {
        Settings::of(config())
    }

    fn status_of(&self, _: GroupId) -> Status {
        Self::status(self)
    }

    fn request_of(tape: &mut Tape<'_>) -> replicated::Request<A> {
        asks::request(tape)
    }

    fn put_envelope(_: GroupId, out: &mut Vec<u8>) {
        out.push(0);
    }

    fn put_peer(&self, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        if tape.byte() >= 32 {
            out.push(0);
            return peer::put_raft(tape, &self.status(), out, &mut Self::put_command);
        }
        let operations: Vec<_> = (0..tape.below(6)).map(|_| asks::operation::<A>(tape)).collect();
        put(&(1_u8, operations), out).expect("a vector is never full");
    }

    fn put_command(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        put(&asks::stamped::<A>(tape), out).expect("a vector is never full");
    }

    fn put_event(_: &Self::Event<'_>, _: &mut Vec<u8>) {}

    fn tell<'e>(event: &'e Self::Event<'_>) -> &'e dyn Debug {
        event
    }

    fn assert_sound(&self) {
        self.application().assert_sound();
    }
}

/// An errand that was taken on.
enum Job {
    Written(SnapshotId),
    Read { to: NodeId, of: SnapshotId, offset: u64, len: usize },
    Load { of: SnapshotId },
}

/// A machine, its store, and all that it said.
pub struct Live<M: Subject> {
    machine: M,
    now: u64,
    lives: u64,
    store: Store,
    /// What waits to be durable: one claim for each group that has any.
    claims: Vec<Pending>,
    jobs: VecDeque<Job>,
    /// What it said since that was last looked at.
    pub said: Vec<u8>,
    /// Whether it says events in words too.
    pub in_words: bool,
    /// How many requests it took up in this life that have not ended.
    pub open: usize,
}

impl<M: Subject> Live<M> {
    /// A machine that was restored from a store.
    pub fn of(machine: M, store: Store) -> Self {
        let (claims, jobs) = (Vec::new(), VecDeque::new());
        Self { machine, now: 0, lives: 1, store, claims, jobs, said: Vec::new(), in_words: false, open: 0 }
    }

    /// A new node.
    pub fn new() -> Self {
        let store = Store::default();
        let machine = store.restore(1, Instant::default()).expect("sound settings");
        Self::of(machine, store)
    }

    pub fn machine(&self) -> &M {
        &self.machine
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// Goes on until the tape is over, or the node must not go on: then it says so.
    pub fn run(&mut self, tape: &mut Tape<'_>) -> bool {
        for _ in 0..MOST_STEPS {
            if tape.is_over() {
                break;
            }
            if self.step(tape).is_err() {
                return false;
            }
            self.said.clear();
        }
        true
    }

    /// The next thing that happens.
    ///
    /// # Errors
    /// A snapshot that cannot be read: the node must not go on.
    pub fn step(&mut self, tape: &mut Tape<'_>) -> Result<(), Fault> {
        let what = tape.byte();
        match what % 16 {
            0 => {
                let (from, bytes) = (NodeId::new(tape.byte().into()), tape.slice());
                self.deliver(from, bytes);
            }
            2..=8 => {
                let from = NodeId::new(2 + tape.below(2) as u64);
                let mut bytes = Vec::new();
                self.machine.put_peer(tape, &mut bytes);
                self.deliver(from, &bytes);
            }
            1 => {
                let round = u64::from(what >> 5);
                let group = GroupId::new(round % M::GROUPS);
                if what & 16 == 0 {
                    self.stand(group);
                } else {
                    // A follower that has it all, and heard of a round.
                    let status = self.machine.status_of(group);
                    self.deliver_raft(2 + round % 2, group, &(3_u8, status.term, status.last, 1 + round));
                }
            }
            9 => {
                self.now = self.machine.deadline().map_or(self.now, Instant::as_micros).max(self.now);
                self.machine.handle(self.now(), Input::Wake);
            }
            10 => {
                self.now += u64::from(tape.byte()) * 10_000;
                self.machine.handle(self.now(), Input::Wake);
            }
            11 | 12 => {
                let request = M::request_of(tape);
                self.open += usize::from(self.machine.request(self.now(), request).is_ok());
            }
            13 => self.save(),
            14 => {
                let idle = self.jobs.is_empty();
                if let Some(at) = self.machine.snapshot_at().filter(|_| tape.flag() && idle) {
                    let bytes = vec![at.index.get() as u8; 100];
                    self.jobs.push_back(Job::Written(self.store.write(GroupId::default(), at, bytes)));
                }
                self.finish()?;
            }
            _ => self.restart(),
        }
        // Polling may be put off.
        if what < 0xE0 {
            self.drain();
        }
        Ok(())
    }

    /// Stands for election when its time has come; another node votes for it.
    fn stand(&mut self, group: GroupId) {
        for _ in 0..4 {
            let Status { role, term, .. } = self.machine.status_of(group);
            match role {
                Role::Follower => {
                    self.now = self.machine.deadline().map_or(self.now, Instant::as_micros).max(self.now);
                    self.machine.handle(self.now(), Input::Wake);
                }
                Role::PreCandidate => self.deliver_raft(2, group, &(1_u8, term.next(), true, true)),
                Role::Candidate => self.deliver_raft(2, group, &(1_u8, term, true, false)),
                Role::Leader => return,
            }
            self.drain();
            self.save();
            self.drain();
        }
    }

    fn save(&mut self) {
        for claim in std::mem::take(&mut self.claims) {
            self.machine.handle(self.now(), Input::Saved(claim.assert_durable()));
        }
    }

    /// Hands a message of Raft in.
    fn deliver_raft(&mut self, from: u64, group: GroupId, message: &impl Serialize) {
        let mut bytes = Vec::new();
        M::put_envelope(group, &mut bytes);
        put(message, &mut bytes).expect("a vector is never full");
        self.deliver(NodeId::new(from), &bytes);
    }

    /// Hands a message in, if it is one.
    pub fn deliver(&mut self, from: NodeId, bytes: &[u8]) {
        let Ok(message) = M::take_message(bytes) else { return };
        assert_canonical::<M>(&message, bytes);
        let now = Instant::from_micros(self.now);
        self.machine.handle(now, Input::Message { from, message });
    }

    /// All goes well from now on, for so many wakings.
    ///
    /// # Errors
    /// A snapshot that cannot be read: the node must not go on.
    pub fn settle(&mut self, wakings: usize) -> Result<(), Fault> {
        for _ in 0..wakings {
            self.drain();
            self.save();
            while !self.jobs.is_empty() {
                self.finish()?;
            }
            self.drain();
            self.now = self.machine.deadline().map_or(self.now, Instant::as_micros).max(self.now);
            self.machine.handle(self.now(), Input::Wake);
        }
        Ok(())
    }

    /// Ends the oldest errand.
    fn finish(&mut self) -> Result<(), Fault> {
        let Some(job) = self.jobs.pop_front() else { return Ok(()) };
        let (now, store) = (Instant::from_micros(self.now), &self.store);
        match job {
            Job::Written(of) => self.machine.finish(now, Done::Written(of)),
            Job::Read { to, of, offset, len } => {
                let all = store.bytes(of).unwrap_or_default();
                let from = usize::try_from(offset).expect("beyond the end of a snapshot");
                let Some(bytes) = all.get(from..from + len) else { return Ok(()) };
                self.machine.finish(now, Done::Read { to, of, offset, bytes })
            }
            Job::Load { of } => {
                let Some(bytes) = store.bytes(of) else { return Ok(()) };
                self.machine.finish(now, Done::Loaded { of, bytes })
            }
        }
    }

    /// Dies and comes back: from what it wrote itself a machine can be restored, whatever its peers said.
    fn restart(&mut self) {
        self.lives += 1;
        (self.open, self.now) = (0, self.now + 1_000);
        self.claims.clear();
        self.jobs.clear();
        self.machine =
            self.store.restore(self.lives, self.now()).expect("a machine restores from what it wrote");
    }

    /// Carries out all that the machine wants done.
    pub fn drain(&mut self) {
        let Self { machine, store, claims, jobs, said, in_words, open, .. } = self;
        for _ in 0..MOST_OUTPUTS {
            let Some(output) = machine.poll() else {
                machine.assert_sound();
                return;
            };
            match output {
                Output::Save(write) => {
                    let (record, later) = write.split();
                    store.place::<M>(&record);
                    said.extend(store.records.last().into_iter().flatten());
                    let earlier = claims.iter().position(|earlier| earlier.is_of_one(&later));
                    let claim = match earlier.map(|at| claims.swap_remove(at)) {
                        Some(earlier) => Pending::merge(earlier, later),
                        None => later,
                    };
                    claims.push(claim);
                }
                Output::Send { to, message } => {
                    assert!([2, 3].contains(&to.get()), "messages go to peers");
                    let start = said.len();
                    M::put_message(&message, said).expect("a vector is never full");
                    let bytes = &said[start..];
                    let taken = M::take_message(bytes).expect("what a machine says is a message");
                    assert_canonical::<M>(&taken, bytes);
                }
                Output::Event(event) => {
                    M::put_event(&event, said);
                    *open -= usize::from(M::ends(&event));
                    if *in_words {
                        write!(said, "{:?}", M::tell(&event)).expect("a vector is never full");
                    }
                    // Images of a group come one at a time: a restart lets go of all its snapshots but one.
                    let writes =
                        |group| jobs.iter().any(|job| matches!(job, Job::Written(of) if of.group == group));
                    let taken = |errand: &Errand<'_>| !matches!(*errand, Errand::Write { group, .. } if writes(group));
                    if let Some(errand) = M::errand(&event).filter(|errand| jobs.len() < 8 && taken(errand)) {
                        jobs.push_back(take_on(errand, store, said));
                    }
                }
            }
        }
        panic!("a drain comes to an end");
    }
}

fn take_on(errand: Errand<'_>, store: &mut Store, said: &mut Vec<u8>) -> Job {
    match errand {
        Errand::Write { group, at, image } => {
            let mut bytes = Vec::new();
            image.write(&mut bytes).expect("a vector is never full");
            said.extend(&bytes);
            Job::Written(store.write(group, at, bytes))
        }
        Errand::Read { to, of, offset, len } => {
            assert!(len <= 48, "a piece fits a message");
            Job::Read { to, of, offset, len }
        }
        Errand::Load { of } => Job::Load { of },
    }
}

/// A message that was decoded encodes to the same bytes, or to fewer: a number may be written longer than it need be.
fn assert_canonical<M: Hosted>(message: &M::Message<'_>, bytes: &[u8]) {
    let mut first = Vec::new();
    M::put_message(message, &mut first).expect("a vector is never full");
    assert!(first.len() <= bytes.len(), "a message grows when it is encoded");
    let again = M::take_message(&first).expect("what was encoded decodes");
    let mut second = Vec::new();
    M::put_message(&again, &mut second).expect("a vector is never full");
    assert_eq!(first, second, "a message changes when it is encoded");
}
