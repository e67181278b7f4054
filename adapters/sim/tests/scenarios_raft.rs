//! Schedules that broke real systems, played on Raft. The invariants are checked at every step.

use quorate::raft::{Message, Request, Role};
use quorate::{Index, NodeId};
use quorate_sim::Script;
use quorate_sim::raft::{Machine, Proposals};
use std::time::Duration;

type Play = Script<Machine, Proposals>;

const A: NodeId = NodeId::new(1);
const B: NodeId = NodeId::new(2);
const C: NodeId = NodeId::new(3);
const D: NodeId = NodeId::new(4);
const E: NodeId = NodeId::new(5);

const ELECTION: Duration = Duration::from_millis(300);

fn play(nodes: usize) -> Play {
    Script::new(nodes, Proposals::by_hand())
}

/// Has a node be elected: nobody else stands.
fn elect(play: &mut Play, node: NodeId) {
    elect_holding(play, node, |_, _, _| false);
    play.hold_no_more();
}

/// The same, while other messages are held too, and from then on.
fn elect_holding(
    play: &mut Play,
    node: NodeId,
    which: impl Fn(NodeId, NodeId, &Message<'_, u64>) -> bool + Copy + 'static,
) {
    play.hold(move |from, to, message| {
        which(from, to, message) || from != node && matches!(message, Message::Vote { .. })
    });
    play.run_until(ELECTION * 10, |play| play.machine(node).status().role == Role::Leader);
    play.lose(|_, _, message| matches!(message, Message::Vote { .. }));
    play.hold(which);
}

fn propose(play: &mut Play, node: NodeId, command: u64) -> Index {
    let before = play.subject().owed(node);
    play.ask(node, command, Request::Propose(command));
    assert_eq!(play.subject().owed(node), before + 1, "the proposal is taken up");
    play.machine(node).status().last
}

fn run(play: &mut Play, millis: u64) {
    play.run_for(Duration::from_millis(millis));
}

fn commit(play: &Play, node: NodeId) -> Index {
    play.machine(node).status().commit
}

/// Raft, figure 8.
#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let mut play = play(5);
    elect(&mut play, A);
    run(&mut play, 50);
    // (a) A replicates an entry to B only.
    play.split(&[&[A, B]]);
    let entry = propose(&mut play, A, 1);
    run(&mut play, 20);
    assert_eq!(play.machine(B).status().last, entry);
    // (b) A crashes. E is elected by C and D, and has an entry of its own at that place.
    play.crash(A);
    play.split(&[&[C, D, E]]);
    elect_holding(&mut play, E, |from, _, message| from == E && matches!(message, Message::Append { .. }));
    run(&mut play, 5);
    assert_eq!(play.machine(E).status().last, entry);
    // (c) E crashes. A comes back, is elected by B and C, and brings its entry onto a majority.
    play.crash(E);
    play.lose(|_, _, _| true);
    play.restart(A);
    play.split(&[&[A, B, C]]);
    elect_holding(&mut play, A, move |_, _, message| match message {
        Message::Append { prev, entries, .. } => prev.index >= entry && !entries.is_empty(),
        _ => false,
    });
    run(&mut play, 100);
    assert_eq!(play.machine(C).status().last, entry, "it is on A, B and C");
    assert!(commit(&play, A) < entry, "and yet not committed: it is of an earlier term");
    // (d) A crashes. E is elected by B, C and D, and overwrites it.
    play.crash(A);
    play.lose(|_, _, _| true);
    play.hold_no_more();
    play.restart(E);
    play.split(&[&[B, C, D, E]]);
    elect(&mut play, E);
    propose(&mut play, E, 2);
    run(&mut play, 100);
    play.heal();
    play.restart(A);
    run(&mut play, 1_000);
    assert_eq!(play.subject().told().collect::<Vec<_>>(), [2]);
    assert_eq!(commit(&play, A), commit(&play, E));
}

#[test]
fn a_read_is_not_answered_by_what_an_earlier_life_asked() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    play.hold(|_, to, message| to == C && matches!(message, Message::ReadAt { .. }));
    play.ask(C, 0, Request::Read);
    run(&mut play, 50);
    assert_eq!(play.held(), 1, "the answer is on its way");
    play.crash(C);
    propose(&mut play, A, 1);
    run(&mut play, 50);
    play.restart(C);
    run(&mut play, 100);
    play.hold(|from, _, message| from == C && matches!(message, Message::ReadIndex { .. }));
    play.ask(C, 0, Request::Read);
    run(&mut play, 10);
    play.release(|_, _, message| matches!(message, Message::ReadAt { .. }));
    run(&mut play, 50);
    assert_eq!(play.subject().owed(C), 1, "what the earlier life asked answers nothing");
    play.hold_no_more();
    run(&mut play, 200);
    assert_eq!(play.subject().owed(C), 0);
}

#[test]
fn a_follower_that_compacts_late_can_lead() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    let mut command = 0;
    for _ in 0..2 {
        let full = |play: &mut Play, command: u64| {
            let before = play.subject().owed(A);
            play.ask(A, command, Request::Propose(command));
            play.subject().owed(A) == before
        };
        while !full(&mut play, command + 1) {
            command += 1;
        }
        run(&mut play, 200);
        let (at, image) = play.subject().snapshot(A);
        play.write_snapshot(A, at, image);
        run(&mut play, 50);
    }
    play.crash(A);
    elect(&mut play, B);
    run(&mut play, 200);
    assert_eq!(commit(&play, B), play.machine(B).status().last);
}

#[test]
fn no_persistence_point_of_an_election_allows_a_second_vote() {
    let election = |crash: Option<u64>| {
        let mut play = play(3);
        if let Some(point) = crash {
            play.crash_at(C, point);
        }
        elect(&mut play, A);
        play.crash(A);
        run(&mut play, 5);
        if !play.is_up(C) {
            play.run_until(Duration::from_secs(5), |play| play.is_up(C));
        }
        play.run_until(Duration::from_secs(5), |play| {
            [B, C].iter().any(|&node| play.machine(node).status().role == Role::Leader)
        });
        play.points(C)
    };
    let points = election(None);
    assert!(points >= 3);
    (1..=3).for_each(|point| _ = election(Some(point)));
}

#[test]
fn a_late_append_does_not_cut_the_log() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    play.hold(|_, to, message| {
        to == B && matches!(message, Message::Append { entries, .. } if !entries.is_empty())
    });
    (1..=5).for_each(|command| _ = propose(&mut play, A, command));
    run(&mut play, 20);
    play.hold_no_more();
    // The heartbeats find out what B lacks, and it is sent again.
    run(&mut play, 300);
    let last = play.machine(A).status().last;
    assert_eq!((commit(&play, B), play.machine(B).status().last), (last, last));
    assert!(play.release(|_, _, _| true) > 0);
    run(&mut play, 20);
    assert_eq!(play.machine(B).status().last, last);
}

#[test]
fn an_isolated_node_does_not_depose_the_leader_when_it_comes_back() {
    let mut play = play(3);
    elect(&mut play, A);
    let term = play.machine(A).status().term;
    play.isolate(C);
    play.run_for(ELECTION * 100);
    play.heal();
    play.run_for(ELECTION * 20);
    for node in [A, B, C] {
        let status = play.machine(node).status();
        assert_eq!((status.leader, status.term), (Some(A), term));
    }
}

#[test]
fn a_leader_does_not_count_its_own_entry_before_its_disk_is_done() {
    let mut play = play(2);
    elect(&mut play, A);
    run(&mut play, 50);
    play.hold_syncs(A);
    let entry = propose(&mut play, A, 1);
    run(&mut play, 50);
    assert_eq!(play.machine(B).status().last, entry, "it was sent before the disk was done");
    assert!(commit(&play, A) < entry);
    play.crash(A);
    play.release_syncs(A);
    play.restart(A);
    run(&mut play, 2_000);
    assert!(commit(&play, A) >= entry, "B had it, so it comes back");
}

#[test]
fn lost_acknowledgements_do_not_stall_a_follower_for_ever() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    play.cut(B, A);
    (1..=40).for_each(|command| _ = propose(&mut play, A, command));
    run(&mut play, 100);
    play.mend(B, A);
    run(&mut play, 200);
    assert_eq!(commit(&play, B), play.machine(A).status().last);
}

#[test]
fn a_write_that_ends_late_vouches_for_nothing_that_overwrote_it() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    let before = commit(&play, A);
    // B's disk holds an entry of A's that nobody else has.
    play.cut(A, C);
    play.hold_syncs(B);
    propose(&mut play, A, 1);
    run(&mut play, 10);
    play.crash(A);
    play.release_syncs(B);
    play.hold_syncs(B);
    // C leads next; its entry takes that place while B's first write has not ended.
    play.hold(|from, _, message| from == B && matches!(message, Message::Vote { .. }));
    run(&mut play, 2_000);
    assert!(commit(&play, C) >= before);
    play.restart(A);
    play.heal();
    play.hold_no_more();
    play.release_syncs(B);
    run(&mut play, 2_000);
    let [a, b, c] = [A, B, C].map(|node| play.machine(node).status());
    assert_eq!((a.commit, b.commit), (c.commit, c.commit));
}

#[test]
fn a_snapshot_goes_on_after_the_follower_crashed_in_its_midst() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    play.isolate(C);
    (1..=30).for_each(|command| _ = propose(&mut play, A, command));
    run(&mut play, 100);
    for node in [A, B] {
        let (at, image) = play.subject().snapshot(node);
        play.write_snapshot(node, at, image);
    }
    run(&mut play, 50);
    play.hold(|_, to, message| to == C && matches!(message, Message::Chunk { offset, .. } if *offset >= 96));
    play.heal();
    run(&mut play, 500);
    assert!(play.held() > 0, "half of the snapshot is there");
    play.crash(C);
    play.restart(C);
    play.lose(|_, _, _| true);
    play.hold(|_, to, message| to == C && matches!(message, Message::Chunk { offset: 0, .. }));
    run(&mut play, 1_000);
    assert_eq!(play.held(), 0, "what it had is not sent again");
    assert_eq!(commit(&play, C), commit(&play, A));
}

#[test]
fn a_paused_leader_serves_no_stale_read() {
    let mut play = play(3);
    elect(&mut play, A);
    run(&mut play, 50);
    play.pause(A);
    play.run_until(ELECTION * 10, |play| {
        [B, C].iter().any(|&node| play.machine(node).status().role == Role::Leader)
    });
    let leader = if play.machine(B).status().role == Role::Leader { B } else { C };
    run(&mut play, 50);
    propose(&mut play, leader, 1);
    run(&mut play, 50);
    // The invariant of reads is checked when this is answered.
    play.ask(A, 0, Request::Read);
    play.resume(A);
    run(&mut play, 1_000);
    assert_eq!(play.subject().owed(A), 0);
}
