//! Each message and each record, as the bytes that `docs/wire.md` and `docs/storage.md` describe.
//!
//! A change here is a change of the format: it needs a new `codec::VERSION`.

use quorate::codec::{Full, Malformed, Sink, put, take_all};
use quorate::raft::{Content, Entry, Message, Record, Round};
use quorate::replicated::{self, Operation, Sequence, SessionId, Settings, Stamped};
use quorate::space::Heap;
use quorate::{
    Application, Batch, Either, Hosted, Image, Index, Input, Instant, Machine, Moment, NodeId, Output,
    Position, Raft, Replicated, SnapshotId, Stored, Term, Timestamp,
};

type Space = Heap<3, 16>;
type Plain = Raft<u32, Space>;
type Service = Replicated<Sum, Space>;

const TERM: Term = Term::new(300);
const LAST: Position = Position { term: Term::new(2), index: Index::new(5) };
const SNAPSHOT: SnapshotId = SnapshotId::new(LAST, 1000);

fn round(number: u8) -> Round {
    take_all(&[number]).expect("a small number is one byte")
}

/// A message is these bytes, and these bytes are that message.
fn says<M: Hosted>(message: &M::Message<'_>, golden: &[u8]) {
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    M::put_message(message, &mut bytes).expect("a vector has room");
    assert_eq!(bytes, golden);
    M::put_message(&M::take_message(golden).expect("a message"), &mut again).expect("a vector has room");
    assert_eq!(again, golden);
    assert_eq!(M::take_message(&[golden, &[0]].concat()).err(), Some(Malformed::Trailing));
    for cut in 0..golden.len() {
        assert!(M::take_message(&golden[..cut]).is_err(), "cut at {cut}");
    }
}

fn keeps<M: Hosted>(record: &M::Record<'_>, golden: &[u8]) {
    let mut bytes = Vec::new();
    M::put_record(record, &mut bytes).expect("a vector has room");
    assert_eq!(bytes, golden);
}

fn entries() -> [Entry<u32>; 2] {
    [
        Entry { term: Term::new(2), content: Content::Empty },
        Entry { term: TERM, content: Content::Command(200) },
    ]
}

#[test]
fn votes_are_these_bytes() {
    says::<Plain>(&Message::Vote { term: TERM, last: LAST, pre: true }, &[0, 0xAC, 2, 2, 5, 1]);
    says::<Plain>(&Message::VoteReply { term: TERM, granted: true, pre: false }, &[1, 0xAC, 2, 1, 0]);
}

#[test]
fn appends_and_their_answers_are_these_bytes() {
    let (commit, entries) = (Index::new(4), entries());
    says::<Plain>(
        &Message::Append {
            term: TERM,
            prev: LAST,
            entries: Batch::of(&entries),
            commit,
            round: round(9),
            answer: true,
        },
        &[2, 0xAC, 2, 2, 5, 4, 9, 1, 2, 2, 0, 0xAC, 2, 1, 0xC8, 1],
    );
    let matched = Index::new(7);
    says::<Plain>(&Message::Accepted { term: TERM, matched, round: round(9) }, &[3, 0xAC, 2, 7, 9]);
    says::<Plain>(
        &Message::Rejected { term: TERM, prev: Index::new(8), hint: LAST, round: round(9) },
        &[4, 0xAC, 2, 8, 2, 5, 9],
    );
    says::<Plain>(&Message::Stale { term: TERM }, &[5, 0xAC, 2]);
}

#[test]
fn pieces_of_snapshots_and_their_answers_are_these_bytes() {
    says::<Plain>(
        &Message::Chunk { term: TERM, round: round(9), of: SNAPSHOT, offset: 3, bytes: b"abc" },
        &[6, 0xAC, 2, 9, 2, 5, 0xE8, 7, 3, 3, b'a', b'b', b'c'],
    );
    says::<Plain>(
        &Message::Have { term: TERM, round: round(9), of: SNAPSHOT, offset: 6 },
        &[7, 0xAC, 2, 9, 2, 5, 0xE8, 7, 6],
    );
}

#[test]
fn questions_how_far_reads_have_to_see_are_these_bytes() {
    says::<Plain>(&Message::ReadIndex { term: TERM, id: 3 }, &[8, 0xAC, 2, 3]);
    says::<Plain>(&Message::ReadAt { term: TERM, id: 3, index: Index::new(5) }, &[9, 0xAC, 2, 3, 5]);
}

#[test]
fn records_are_these_bytes() {
    let entries = entries();
    let entries = Batch::of(&entries);
    keeps::<Plain>(&Record::State { term: TERM, vote: None }, &[1, 0, 0xAC, 2, 0]);
    keeps::<Plain>(&Record::State { term: TERM, vote: Some(NodeId::new(3)) }, &[1, 0, 0xAC, 2, 1, 3]);
    keeps::<Plain>(
        &Record::Append { after: Index::new(5), entries },
        &[1, 1, 5, 2, 2, 0, 0xAC, 2, 1, 0xC8, 1],
    );
    keeps::<Plain>(
        &Record::Restart { term: TERM, vote: Some(NodeId::new(3)), snapshot: Some(SNAPSHOT), entries },
        &[1, 2, 0xAC, 2, 1, 3, 1, 2, 5, 0xE8, 7, 2, 2, 0, 0xAC, 2, 1, 0xC8, 1],
    );
    keeps::<Plain>(
        &Record::Restart { term: TERM, vote: None, snapshot: None, entries: Batch::empty() },
        &[1, 2, 0xAC, 2, 0, 0, 0],
    );
    let bytes = b"abc";
    keeps::<Plain>(
        &Record::Chunk { of: SNAPSHOT, offset: 3, bytes },
        &[1, 3, 2, 5, 0xE8, 7, 3, 3, b'a', b'b', b'c'],
    );
}

/// A node starts from golden records, and has what they say.
#[test]
fn these_bytes_are_records() {
    let records: [&[u8]; 3] =
        [&[1, 2, 1, 1, 1, 0, 1, 1, 0], &[1, 0, 0xAC, 2, 1, 1], &[1, 1, 1, 2, 2, 0, 0xAC, 2, 1, 0xC8, 1]];
    let restore = |records: &[&'static [u8]]| {
        let id = NodeId::new(1);
        let stored = Stored { records: records.iter().copied(), snapshots: &[] };
        <Plain as Hosted>::restore(&quorate::raft::Config::new(id, &[id]), 1, Instant::default(), stored)
    };
    let status = restore(&records).expect("sound records").status();
    assert_eq!((status.term, status.last), (TERM, Index::new(3)));
    let other_version: &[u8] = &[2, 0, 1, 0];
    assert_eq!(restore(&[other_version]).err(), Some(Malformed::Version(2).into()));
    let cut: &[u8] = &[1, 0, 0xAC];
    assert_eq!(restore(&[cut]).err(), Some(Malformed::Content.into()));
}

/// Adds up what it is told, and says the sum.
#[derive(Debug, Default)]
struct Sum(u32);

impl Application for Sum {
    type Command = u32;
    type Reply = u32;
    type Query = ();
    type Answer = u32;
    type Notice = ();

    fn tick(&mut self, _now: Moment) {}

    fn apply(&mut self, _now: Moment, command: &u32) -> u32 {
        self.0 = self.0.saturating_add(*command);
        self.0
    }

    fn notice(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn query(&self, _now: Timestamp, (): &()) -> u32 {
        self.0
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&self.0, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.0 = take_all(bytes)?;
        Ok(())
    }
}

fn operations() -> [Operation<u32>; 5] {
    let (session, sequence, floor) = (SessionId::new(9), Sequence::new(2), Sequence::new(1));
    [
        Operation::Tick,
        Operation::Open { client: 7 },
        Operation::Close { session },
        Operation::Call { session, sequence, floor, command: Some(200) },
        Operation::Call { session, sequence, floor, command: None },
    ]
}

/// [`operations`], one after the other.
const OPERATIONS: [u8; 17] = [0, 1, 7, 2, 9, 3, 9, 2, 1, 1, 0xC8, 1, 3, 9, 2, 1, 0];

#[test]
fn what_is_forwarded_to_the_leader_is_these_bytes() {
    let operations = operations();
    let forward = replicated::Message::Forward(Batch::of(&operations));
    says::<Service>(&forward, &[&[1, 5], &OPERATIONS[..]].concat());
}

#[test]
fn a_message_of_raft_under_an_application_is_these_bytes() {
    let time = Timestamp::from_micros(1000);
    let stamped = Stamped { time, operation: Operation::Open { client: 7 } };
    let entries = [Entry { term: Term::new(2), content: Content::Command(stamped) }];
    let (entries, commit) = (Batch::of(&entries), Index::new(4));
    let append = Message::Append { term: TERM, prev: LAST, entries, commit, round: round(9), answer: false };
    says::<Service>(
        &replicated::Message::Raft(append),
        &[0, 2, 0xAC, 2, 2, 5, 4, 9, 0, 1, 2, 1, 0xE8, 7, 1, 7],
    );
    keeps::<Service>(&Record::Append { after: Index::new(5), entries }, &[1, 1, 5, 1, 2, 1, 0xE8, 7, 1, 7]);
}

#[test]
fn a_command_of_two_applications_is_these_bytes() {
    let mut bytes = Vec::new();
    for command in [Either::First(200), Either::Second(5_u32)] {
        put::<Either<u32, u32>>(&command, &mut bytes).expect("a vector has room");
    }
    assert_eq!(bytes, [0, 0xC8, 1, 1, 5]);
}

/// The whole state of a node on which one client opened a session and sent two commands.
#[test]
fn a_snapshot_is_these_bytes() {
    let (id, mut now) = (NodeId::new(1), Instant::default());
    let stored = Stored { records: [].into_iter(), snapshots: &[] };
    let mut node = Service::restore(&Settings::new(id, &[id]), 1, now, stored).expect("a new node");
    now = node.deadline().expect("an election");
    node.handle(now, Input::Wake);
    run(&mut node, now);
    node.request(now, replicated::Request::Open { client: 7 }).expect("there is room");
    run(&mut node, now);
    // Opened by the second entry; the first is the leader's own.
    let session = SessionId::new(2);
    for (number, command) in [(1, 5), (2, 195)] {
        let (sequence, floor) = (Sequence::new(number), Sequence::default());
        let submit = replicated::Request::Submit { session, sequence, floor, command };
        node.request(now, submit).expect("there is room");
        run(&mut node, now);
    }
    let mut bytes = Vec::new();
    node.freeze().write(&mut bytes).expect("a vector has room");
    let (version, time, sessions) = ([1], [0], [1]);
    let session = [2, 7, 4, 0, 2];
    let replies = [1, 5, 3, 0, 1, 0xC8, 1, 4, 0];
    let sum = [0xC8, 1];
    assert_eq!(bytes, [&version[..], &time, &sessions, &session, &replies, &sum].concat());
}

/// Does all that a node without peers wants done.
fn run(node: &mut Service, now: Instant) {
    while let Some(output) = node.poll() {
        if let Output::Save(write) = output {
            let receipt = write.split().1.assert_durable();
            node.handle(now, Input::Saved(receipt));
        }
    }
}
