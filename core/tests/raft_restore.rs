//! Restart is replay, and contradictions on the disk are faults.

mod support;

use quorate::Blank;
use quorate::raft::{Config, Content, Entry, Record};
use quorate::{
    Batch, Fault, Hosted, Index, Input, Instant, Machine, NodeId, Output, Position, SnapshotId, Stored, Term,
};
use support::{Node, Space, node};

fn restore(records: &[Record<'_, u64>], snapshots: &[(SnapshotId, u64)]) -> Result<Node, Fault> {
    let bytes = records.iter().map(|record| {
        let mut bytes = Vec::new();
        Node::put_record(record, &mut bytes).expect("a vector is never full");
        bytes
    });
    restore_bytes(&bytes.collect::<Vec<_>>(), snapshots)
}

fn restore_bytes(records: &[Vec<u8>], snapshots: &[(SnapshotId, u64)]) -> Result<Node, Fault> {
    let stored = Stored { records: records.iter().map(Vec::as_slice), snapshots };
    <Node as Hosted>::restore(&settings(), 1, Instant::default(), stored)
}

fn settings() -> Config<Space> {
    Config::new(node(1), &[1, 2, 3].map(NodeId::new))
}

fn entries(of: u64, count: usize) -> Vec<Entry<u64>> {
    vec![Entry { term: Term::new(of), content: Content::Command(7) }; count]
}

fn state(term: u64) -> Record<'static, u64> {
    Record::State { term: Term::new(term), vote: Some(node(2)) }
}

fn append(after: u64, entries: &[Entry<u64>]) -> Record<'_, u64> {
    Record::Append { after: Index::new(after), entries: Batch::of(entries) }
}

fn snapshot(term: u64, index: u64, size: u64) -> SnapshotId {
    SnapshotId::new(Position { term: Term::new(term), index: Index::new(index) }, size)
}

fn restart(of: SnapshotId) -> Record<'static, u64> {
    Record::Restart { term: Term::new(3), vote: None, snapshot: Some(of), entries: Batch::empty() }
}

#[test]
fn later_records_overwrite_earlier_ones() {
    let (first, second) = (entries(1, 5), entries(2, 1));
    let node =
        restore(&[state(1), append(0, &first), state(2), append(2, &second)], &[]).expect("good records");
    let status = node.status();
    assert_eq!((status.term.get(), status.last.get(), status.commit.get()), (2, 3, 0));
}

#[test]
fn a_log_that_knows_a_later_term_than_the_state_brings_it_back() {
    let node = restore(&[state(1), append(0, &entries(4, 1))], &[]).expect("good records");
    assert_eq!(node.status().term.get(), 4);
}

#[test]
fn missing_entries_are_a_fault() {
    let missing = restore(&[append(0, &entries(1, 2)), append(3, &entries(1, 1))], &[]);
    assert_eq!(missing.err(), Some(Fault::Gap { after: Index::new(2), found: Index::new(4) }));
    let of = snapshot(1, 10, 8);
    let covered = restore(&[restart(of), append(4, &entries(3, 1))], &[(of, 8)]);
    assert!(matches!(covered.err(), Some(Fault::Gap { .. })));
}

#[test]
fn terms_that_go_back_are_a_fault() {
    let fault = |from, to| Some(Fault::TermWentBack { from: Term::new(from), to: Term::new(to) });
    assert_eq!(restore(&[state(3), state(2)], &[]).err(), fault(3, 2));
    assert_eq!(restore(&[append(0, &entries(5, 1)), append(1, &entries(4, 1))], &[]).err(), fault(5, 4));
}

#[test]
fn a_log_that_goes_on_from_a_snapshot_needs_all_of_it() {
    let of = snapshot(2, 10, 8);
    assert_eq!(restore(&[restart(of)], &[]).err(), Some(Fault::SnapshotMissing(of)));
    assert_eq!(restore(&[restart(of)], &[(of, 7)]).err(), Some(Fault::SnapshotMissing(of)));
    assert_eq!(restore(&[restart(of)], &[(of, 8)]).expect("it is whole").status().applied.get(), 10);
}

#[test]
fn a_snapshot_that_came_in_whole_is_installed_and_a_part_is_gone_on_with() {
    let of = snapshot(3, 20, 8);
    let node = restore(&[state(3), append(0, &entries(1, 2))], &[(of, 8)]).expect("good records");
    assert_eq!((node.status().applied.get(), node.snapshot()), (20, Some(of)));
    let node = restore(&[state(3), append(0, &entries(1, 2))], &[(of, 5)]).expect("good records");
    assert_eq!((node.status().applied.get(), node.status().last.get(), node.snapshot()), (0, 2, None));
}

#[test]
fn damage_is_a_fault() {
    let mut bytes = Vec::new();
    Node::put_record(&append(0, &entries(1, 3)), &mut bytes).expect("a vector is never full");
    for cut in 0..bytes.len() {
        assert!(restore_bytes(&[bytes[..cut].to_vec()], &[]).is_err(), "cut at {cut}");
    }
    bytes.push(0);
    assert!(restore_bytes(&[bytes], &[]).is_err(), "a byte too many");
}

#[test]
fn more_than_the_window_is_a_fault_that_says_so() {
    let fault = restore(&[append(0, &entries(1, 65))], &[]).err();
    assert_eq!(fault, Some(Fault::TooLong { window: 64 }));
    assert!(fault.is_some_and(|fault| fault.to_string().contains("raise it")));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let ids = [1, 2, 3].map(NodeId::new);
    let refused = |adjust: fn(&mut Config<Space>)| {
        let mut config = settings();
        adjust(&mut config);
        Node::new(config, 1, Instant::default()).is_err()
    };
    assert!(Node::new(Config::new(node(9), &ids), 1, Instant::default()).is_err(), "not a voter");
    assert!(Node::new(Config::new(node(1), &[node(1), node(1)]), 1, Instant::default()).is_err(), "twice");
    assert!(refused(|config| config.heartbeat = config.election_timeout));
    assert!(refused(|config| config.window_bytes = 10));
    assert!(refused(|config| config.record_bytes = 10));
    assert!(!refused(|_| {}));
}

/// Polls a node dry, and tells the tags of the records it hands out.
fn records_of(node: &mut Node) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    loop {
        let mut receipt = None;
        match node.poll() {
            None => return records,
            Some(Output::Save(write)) => {
                let saved = write.commit(|record| {
                    let mut bytes = Vec::new();
                    Node::put_record(&record, &mut bytes)?;
                    records.push(bytes);
                    Ok::<_, quorate::codec::Full>(())
                });
                receipt = saved.ok();
            }
            Some(Output::Send { .. } | Output::Event(_)) => {}
        }
        if let Some(receipt) = receipt {
            node.handle(Instant::default(), Input::Saved(receipt));
        }
    }
}

#[test]
fn what_is_restated_takes_the_place_of_all_records_before_it() {
    let (first, second) = (entries(1, 5), entries(2, 1));
    let mut node = restore(&[state(1), append(0, &first), append(2, &second), state(9)], &[]).expect("good");
    assert!(records_of(&mut node).is_empty(), "what was replayed is not said again");

    node.restate(Instant::default());
    node.restate(Instant::default());
    let restated = records_of(&mut node);
    assert_eq!(restated.len(), 1, "one record says all there is, once");

    let again = restore_bytes(&restated, &[]).expect("good");
    assert_eq!((again.status().term, again.status().last), (node.status().term, node.status().last));
    assert_eq!((again.status().term.get(), again.status().last.get()), (9, 3));
}

#[test]
fn a_machine_in_its_place_is_restored_once() {
    let mut place = Blank::<Node>::new(&settings(), Instant::default());
    let nothing = || Stored { records: core::iter::empty(), snapshots: &[] };
    assert!(place.restore(1, nothing()).is_ok());
    let again =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.restore(1, nothing()).is_ok()));
    assert!(again.is_err(), "a machine that runs is not told the past again");
}
