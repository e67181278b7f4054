//! Claims about one node that keeps the logs of many groups on one disk.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use common::{CLUSTER, ONE, ends, soon, until};
use quorate::groups::{Groups, Request, Settings};
use quorate::keyspace::limits::VALUE_BYTES;
use quorate::keyspace::{Answer, Change, Command, Keyspace, Reply};
use quorate::raft::Config;
use quorate::replicated::{Outcome, Request as Ask, Settings as Replica};
use quorate::space::Heap;
use quorate::{GroupId, Replicated};
use quorate_disk::Options;
use quorate_threads::{Builder, Handle, MemoryDisk, Node};

/// Compacted often.
type Store = Groups<Replicated<Keyspace, Heap<1, 64, 256>>>;

const BUSY: GroupId = GroupId::new(0);
const COLD: u64 = 40;

fn many() -> Builder<Store> {
    let groups = (0..=COLD).map(|group| (GroupId::new(group), Replica::new(ONE, &[ONE])));
    Node::<Store>::builder(CLUSTER, ONE, Settings::new(groups))
}

fn start(directory: &Path) -> Node<Store> {
    let options =
        Options { segment_bytes: 1 << 14, max_record_bytes: 1 << 13, reserve_bytes: 0, ..Options::default() };
    many().start_in(directory, options).expect("it starts")
}

/// Adds to the counters of these groups, all at once; the sums, as far as they are known.
fn add(handle: &Handle<Store>, groups: &[GroupId]) -> Vec<Option<i64>> {
    groups.iter().map(|group| submit(handle, *group)).collect::<Vec<_>>().into_iter().map(sum).collect()
}

/// Likewise, and all that comes after the first is saved together, as while the disk is busy with something else.
fn add_together(node: &Node<Store>, disk: &MemoryDisk, groups: &[GroupId]) -> Vec<Option<i64>> {
    let requests = node.handle().counters().requests;
    disk.set_held(true);
    let mut answers = vec![submit(node.handle(), groups[0])];
    until("its sync is held", || disk.held() > 0);
    answers.extend(groups[1..].iter().map(|group| submit(node.handle(), *group)));
    let all = requests + groups.len() as u64;
    until("all are taken", || node.handle().counters().requests == all);
    // Between two turns: what was taken is on its way to the disk.
    node.handle().inspect(|_| ()).expect("the node runs");
    disk.set_held(false);
    answers.into_iter().map(sum).collect()
}

fn submit(handle: &Handle<Store>, group: GroupId) -> quorate_threads::Answer<Store> {
    let change = Change::Add { key: "counter".into(), by: 1 };
    let request = Request { group, request: Ask::Command(Command::Change(change)) };
    handle.submit(request).expect("the node runs")
}

fn sum(answer: quorate_threads::Answer<Store>) -> Option<i64> {
    match soon("outcome", answer) {
        Ok(Outcome::Replied { reply: Reply::Answer(Answer::Integer(sum)), .. }) => Some(sum),
        _ => None,
    }
}

/// Adds one in each group, until that is known to be done in all; what there is then.
fn add_in_all(handle: &Handle<Store>) -> Vec<i64> {
    let groups: Vec<_> = (0..=COLD).map(GroupId::new).collect();
    let one = |group: &GroupId| {
        (0..1000).find_map(|_| add(handle, &[*group])[0]).expect("one of many requests comes to something")
    };
    groups.iter().map(one).collect()
}

fn segments(directory: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(directory).expect("the directory is there");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".log")).collect()
}

#[test]
fn cold_groups_restate_what_they_have_before_the_log_of_all_grows_long() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let node = start(directory.path());
    let before = add_in_all(node.handle());
    let first = segments(directory.path());
    let mut most = 0;
    for _ in 0..300 {
        add(node.handle(), &[BUSY; 40]);
        most = most.max(segments(directory.path()).len());
    }
    let last = segments(directory.path());
    assert!(first.is_disjoint(&last), "the first segments went: {first:?}, {last:?}");
    let number = |name: &String| u64::from_str_radix(&name[..16], 16).expect("a number");
    assert!(last.iter().map(number).max() > Some(20), "{last:?}");
    assert!(most <= 12, "{most} segments");
    ends("kill", || node.kill());

    let node = start(directory.path());
    let after = add_in_all(node.handle());
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "{before:?}, {after:?}");
    ends("shutdown", || node.shutdown());
}

#[test]
fn large_states_of_several_groups_are_written_before_any_log_is_full() {
    let raft = Config { append_bytes: 1 << 20, ..Config::new(ONE, &[ONE]) };
    let groups: Vec<_> = (0..4).map(GroupId::new).collect();
    // Who is not told that it is its turn asks again, but only after half a minute.
    let replica = Replica { patience: Duration::from_secs(20), ..Replica::of(raft) };
    let settings = Settings::new(groups.iter().map(|group| (*group, replica.clone())));
    let disk = MemoryDisk::default();
    let node = Node::<Store>::builder(CLUSTER, ONE, settings).start(disk.open()).expect("it starts");
    for (group, key) in groups.iter().flat_map(|group| (0..12_u8).map(move |key| (*group, key))) {
        let items = vec![(vec![key].into(), vec![0; VALUE_BYTES].into())];
        let set = Ask::Command(Command::Change(Change::SetAll { items }));
        let set = node.handle().submit(Request { group, request: set }).expect("the node runs");
        let outcome = soon("outcome", set);
        let is_set = matches!(outcome, Ok(Outcome::Replied { reply: Reply::Answer(Answer::Done), .. }));
        assert!(is_set, "{outcome:?}");
    }
    // All logs are long enough at the same time.
    for sum in 1..=60 {
        assert_eq!(add_together(&node, &disk, &groups), [Some(sum); 4]);
    }
    ends("shutdown", || node.shutdown());
}

#[test]
fn groups_that_save_at_the_same_time_share_a_sync() {
    let disk = MemoryDisk::default();
    let node = many().start(disk.open()).expect("it starts");
    add_in_all(node.handle());
    let groups: Vec<_> = (0..=COLD).map(GroupId::new).collect();
    let before = node.handle().counters();
    for _ in 0..10 {
        add_together(&node, &disk, &groups);
    }
    let after = node.handle().counters();
    let (records, syncs) = (after.records - before.records, after.syncs - before.syncs);
    assert!(records >= 10 * COLD && syncs * 4 <= records, "{records} records with {syncs} syncs");
    ends("shutdown", || node.shutdown());
}
