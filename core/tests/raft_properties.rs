//! Whatever peers and disks say, a node does not panic, and stays within its limits.

mod support;

use quickcheck::quickcheck;
use quorate::raft::{Config, Content, Entry, Message, Record, Request, Round};
use quorate::space::{Fixed, Heap};
use quorate::{
    Batch, Hosted, Index, Input, Instant, Machine, NodeId, Output, Pending, Position, Raft, Rng, SnapshotId,
    Space, Stored, Term,
};
use std::fmt::Write;
use support::node;

/// A number that is mostly small, and at times as large as it gets.
fn number(rng: &mut Rng) -> u64 {
    match rng.below(30) {
        0 => u64::MAX - rng.below(3),
        1 => rng.next(),
        _ => rng.below(12),
    }
}

fn position(rng: &mut Rng) -> Position {
    Position { term: Term::new(rng.below(6)), index: Index::new(number(rng)) }
}

fn entries(rng: &mut Rng) -> Vec<Entry<u64>> {
    let mut of = rng.below(4);
    (0..rng.below(6))
        .map(|_| {
            of += rng.below(10) / 8;
            if rng.below(20) == 0 {
                of = rng.below(6);
            }
            let content = if rng.below(5) == 0 { Content::Empty } else { Content::Command(rng.below(100)) };
            Entry { term: Term::new(of), content }
        })
        .collect()
}

/// A message that may or may not make sense.
fn message<'a>(rng: &mut Rng, entries: &'a [Entry<u64>], bytes: &'a [u8]) -> Message<'a, u64> {
    let term = Term::new(if rng.below(40) == 0 { rng.next() } else { rng.below(6) });
    let index = Index::new(number(rng));
    // A round in a message is only made by nodes; through the codec it may be any.
    let round = Round::default();
    let of = SnapshotId::new(position(rng), number(rng));
    match rng.below(10) {
        0 => Message::Vote { term, last: position(rng), pre: rng.below(2) == 0 },
        1 => Message::VoteReply { term, granted: rng.below(4) != 0, pre: rng.below(2) == 0 },
        2 | 3 => {
            let (prev, entries) = (position(rng), Batch::of(entries));
            Message::Append { term, prev, entries, commit: index, round, answer: rng.below(2) == 0 }
        }
        4 => Message::Accepted { term, matched: index, round },
        5 => Message::Rejected { term, prev: index, hint: position(rng), round },
        6 => Message::Stale { term },
        7 => Message::Chunk { term, round, of, offset: number(rng), bytes },
        8 => Message::Have { term, round, of, offset: number(rng) },
        _ if rng.below(2) == 0 => Message::ReadIndex { term, id: number(rng) },
        _ => Message::ReadAt { term, id: rng.below(4), index },
    }
}

/// Lives through `steps` of chance, and tells all that came out.
fn live<S: Space>(seed: u64, steps: u64) -> String {
    let mut rng = Rng::new(seed);
    let ids = [1, 2, 3].map(NodeId::new);
    let mut config = Config::<S>::new(ids[0], &ids);
    config.pre_vote = rng.below(2) == 0;
    config.check_quorum = rng.below(2) == 0;
    let mut raft = Raft::<u64, S>::new(config, seed, Instant::default()).expect("the settings make sense");
    let (mut now, mut pending, mut trace) = (Instant::default(), None::<Pending>, String::new());
    let bytes = [7; 64];
    for _ in 0..steps {
        now = Instant::from_micros(now.as_micros() + rng.below(200_000));
        match rng.below(8) {
            0 => raft.handle(now, Input::Wake),
            1 => drop(raft.request(now, Request::Propose(rng.below(100)))),
            2 => drop(raft.request(now, Request::Read)),
            3 if rng.below(3) == 0 => {
                let of = SnapshotId::new(raft.applied(), rng.below(100));
                drop(raft.request(now, Request::Compact(of)));
            }
            3 => raft.chunk(now, node(rng.below(5)), SnapshotId::new(position(&mut rng), 9), 0, &bytes[..4]),
            4 => {
                if let Some(pending) = pending.take() {
                    raft.handle(now, Input::Saved(pending.assert_durable()));
                }
            }
            _ => {
                let entries = entries(&mut rng);
                let len = rng.below(20) as usize;
                let message = message(&mut rng, &entries, &bytes[..len]);
                raft.handle(now, Input::Message { from: node(1 + rng.below(4)), message });
            }
        }
        for _ in 0..rng.below(6) {
            let Some(output) = raft.poll() else { break };
            write!(trace, "{output:?};").expect("a string is never full");
            if let Output::Save(save) = output {
                pending = Some(save.split().1);
            }
        }
        assert!(raft.window().0 <= S::WINDOW);
        assert!(raft.deadline().is_some());
    }
    write!(trace, "{:?}", raft.status()).expect("a string is never full");
    trace
}

type Node = Raft<u64, Heap<7, 16, 16>>;

quickcheck! {
    fn nothing_that_peers_say_makes_a_node_panic(seed: u64) -> bool {
        !live::<Heap<7, 16, 16>>(seed, 400).is_empty()
    }

    fn fixed_and_heap_behave_alike(seed: u64) -> bool {
        live::<Fixed<7, 16, 16>>(seed, 150) == live::<Heap<7, 16, 16>>(seed, 150)
    }

    fn no_bytes_make_the_codec_panic(bytes: Vec<u8>, tag: u8) -> bool {
        let mut tagged = vec![tag % 11];
        tagged.extend(&bytes);
        let _ = Node::take_message(&tagged);
        let _ = Node::take_message(&bytes);
        true
    }

    fn no_records_make_a_restore_panic(records: Vec<Vec<u8>>) -> bool {
        let records: Vec<Vec<u8>> = records.into_iter().map(|mut record| {
            record.splice(0..0, [1, record.len() as u8 % 5]);
            record
        }).collect();
        restores(&records, &[]);
        true
    }

    fn no_order_of_good_records_makes_a_restore_panic(seed: u64) -> bool {
        let mut rng = Rng::new(seed);
        let mut snapshots = Vec::new();
        let records: Vec<Vec<u8>> = (0..rng.below(8)).map(|_| {
            let entries = entries(&mut rng);
            let of = SnapshotId::new(position(&mut rng), rng.below(9));
            snapshots.push((of, rng.below(12)));
            let snapshot = (rng.below(3) != 0).then_some(of);
            let (term, vote, after) = (Term::new(rng.below(6)), Some(node(rng.below(4))), Index::new(rng.below(9)));
            let record = match rng.below(3) {
                0 => Record::State { term, vote },
                1 => Record::Append { after, entries: Batch::of(&entries) },
                _ => Record::Restart { term, vote, snapshot, entries: Batch::of(&entries) },
            };
            let mut bytes = Vec::new();
            Node::put_record(&record, &mut bytes).expect("a vector is never full");
            bytes
        }).collect();
        restores(&records, &snapshots);
        true
    }
}

/// Restores from whatever this is; if that works, the node can be run.
fn restores(records: &[Vec<u8>], snapshots: &[(SnapshotId, u64)]) {
    let ids = [1, 2, 3].map(NodeId::new);
    let stored = Stored { records: records.iter().map(Vec::as_slice), snapshots };
    let restored = <Node as Hosted>::restore(&Config::new(ids[0], &ids), 1, Instant::default(), stored);
    if let Ok(mut node) = restored {
        node.handle(Instant::from_micros(1_000_000), Input::Wake);
        (0..50).for_each(|_| _ = node.poll());
    }
}

#[test]
fn the_same_seed_gives_the_same_outputs() {
    assert_eq!(live::<Heap<7, 16, 16>>(42, 2_000), live::<Heap<7, 16, 16>>(42, 2_000));
}

#[test]
fn a_snapshot_of_the_last_index_there_is_makes_no_restore_panic() {
    let at = Position { term: Term::new(1), index: Index::new(u64::MAX) };
    let of = SnapshotId::new(at, 0);
    let entries = Batch::empty();
    let record = Record::Restart { term: at.term, vote: None, snapshot: Some(of), entries };
    let mut bytes = Vec::new();
    Node::put_record(&record, &mut bytes).expect("a vector is never full");
    restores(&[bytes], &[(of, 0)]);
}
