//! Schedules that went wrong elsewhere, or could here.

use super::cluster::{Cluster, Kind, Letter, Machine_, Manner, node};
use quorate::two_phase::coordinator::{self, Cause, Outcome};
use quorate::two_phase::participant::{self, Request};
use quorate::two_phase::{Message, Promise, Side, Vote};
use quorate::{Age, Hosted, Machine, TxId};

/// A transaction of three, and what was said of it, to be said again.
fn over(cluster: &mut Cluster, parts: &[u64]) -> (TxId, Vec<Letter>) {
    let tx = cluster.begin(1, parts);
    let mut said = Vec::new();
    while let Some(letter) = cluster.wire.pop_front() {
        cluster.deliver(&letter);
        said.push(letter);
    }
    (tx, said)
}

fn all_of<'l>(letters: impl IntoIterator<Item = &'l Letter>, kind: Kind, to: u64) -> Vec<Letter> {
    letters.into_iter().filter(|letter| letter.is(kind, to)).cloned().collect()
}

/// Node 2 is asked once more whether it can, and all that follows comes about.
fn ask_again(cluster: &mut Cluster, said: &[Letter]) {
    all_of(said, Kind::Prepare, 2).iter().for_each(|letter| cluster.deliver(letter));
    cluster.settle();
}

fn assert_nothing_is_held(cluster: &mut Cluster) {
    for number in 1..=cluster.nodes.len() as u64 {
        assert_eq!(cluster.places(number), (0, 0), "node {number}");
    }
}

// The coordinator crashes.

#[test]
fn a_decision_that_one_has_heard_is_told_to_the_other_after_a_crash() {
    let mut cluster = Cluster::new(3);
    let tx = cluster.begin(1, &[2, 3]);
    let lost = cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    assert_eq!((lost.len(), cluster.at(2).done[&tx]), (1, (1, true)));
    cluster.crash(1);
    cluster.pass(300);
    assert_eq!(cluster.at(3).done.get(&tx), None, "the other one does not guess");
    cluster.start(1);
    cluster.pass(300);
    assert_eq!(cluster.at(3).done[&tx], (1, true));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_number_is_not_used_again_when_the_crash_comes_before_it_was_durable() {
    let mut cluster = Cluster::new(2);
    cluster.stall(1);
    let lost = cluster.begin(1, &[2]);
    assert!(cluster.wire.is_empty(), "nothing leaves before the numbers are durable");
    let unsynced = cluster.at(1).disk.pop();
    assert!(unsynced.is_some());
    cluster.crash(1);
    cluster.at(1).stalled = None;
    cluster.start(1);
    assert_eq!(cluster.begin(1, &[2]), lost, "nobody has heard of it");
    cluster.settle();
    cluster.crash(1);
    cluster.start(1);
    let next = cluster.begin(1, &[2]);
    assert!(next > lost);
    cluster.settle();
    assert_eq!((cluster.at(2).done[&lost], cluster.at(2).done[&next]), ((1, true), (1, true)));
}

// Messages that are late.

#[test]
fn a_prepare_that_comes_after_all_is_over_has_no_effect() {
    let mut cluster = Cluster::new(3);
    let (tx, said) = over(&mut cluster, &[2, 3]);
    // This application remembers nothing of it.
    cluster.at(2).done.clear();
    ask_again(&mut cluster, &said);
    cluster.pass(200);
    assert_eq!((cluster.at(2).asked.len(), cluster.at(2).done[&tx]), (2, (1, false)));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_prepare_that_comes_after_it_was_done_while_another_is_still_told_has_no_effect() {
    let mut cluster = Cluster::new(3);
    let tx = cluster.begin(1, &[2, 3]);
    let prepare = all_of(&cluster.wire, Kind::Prepare, 2);
    cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    assert_eq!(cluster.at(2).done.remove(&tx), Some((1, true)));
    cluster.deliver(&prepare[0]);
    cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    assert_eq!(cluster.at(2).done[&tx], (1, false), "the promise that counts is the first");
    cluster.pass(200);
    assert_eq!(cluster.at(3).done[&tx], (1, true));
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_prepare_that_comes_after_it_was_done_waits_for_a_coordinator_that_is_down() {
    for crashes in [false, true] {
        let mut cluster = Cluster::new(3);
        let tx = cluster.begin(1, &[2, 3]);
        let prepare = all_of(&cluster.wire, Kind::Prepare, 2);
        cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
        cluster.crash(1);
        if crashes {
            cluster.crash(2);
            cluster.start(2);
        }
        cluster.at(2).done.clear();
        cluster.at(2).manner = Manner::Waits;
        cluster.deliver(&prepare[0]);
        // The other one is in doubt, and asks. This one has not said anything yet in this turn, and may not refuse.
        cluster.pass(2_000);
        assert_eq!(
            !cluster.at(3).done.contains_key(&tx),
            crashes,
            "who remembers in this life says how it ended"
        );
        cluster.say(2, Request::Promise(tx)).expect("it was asked");
        assert!(cluster.machine(2).participant().in_doubt().all(|part| part.again), "an operator can see it");
        cluster.start(1);
        cluster.pass(500);
        assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, false), (1, true)));
        assert_nothing_is_held(&mut cluster);
    }
}

#[test]
fn what_is_done_already_is_said_to_be_done_when_it_is_asked_for_again() {
    let mut cluster = Cluster::new(2);
    let (tx, said) = over(&mut cluster, &[2]);
    // All that the node knew is lost but what its application did.
    cluster.crash(2);
    cluster.at(2).disk.clear();
    cluster.start(2);
    ask_again(&mut cluster, &said);
    assert_eq!((cluster.at(2).asked.len(), cluster.at(2).done[&tx]), (2, (1, true)));
}

#[test]
fn a_decision_twice_is_a_decision_once() {
    let mut cluster = Cluster::new(3);
    let (tx, said) = over(&mut cluster, &[2, 3]);
    for letter in all_of(&said, Kind::Decision, 2) {
        cluster.deliver(&letter);
    }
    let answers = cluster.settle_only(|_| false);
    assert_eq!(answers.len(), 1, "a decision of long ago is said to be done");
    assert!(answers[0].is(Kind::Done, 1));
    cluster.deliver(&answers[0]);
    assert_eq!(cluster.at(2).done[&tx], (1, true));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_vote_twice_changes_nothing() {
    let mut cluster = Cluster::new(3);
    let (tx, said) = over(&mut cluster, &[2, 3]);
    for letter in all_of(&said, Kind::Vote, 1) {
        cluster.deliver(&letter);
    }
    cluster.settle();
    cluster.pass(200);
    assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, true), (1, true)));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn the_no_of_the_only_one_is_for_good() {
    let mut cluster = Cluster::new(2);
    cluster.at(2).manner = Manner::Refuses;
    let (tx, said) = over(&mut cluster, &[2]);
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Aborted(Cause::Refused(node(2))));
    for crashes in [false, true] {
        if crashes {
            cluster.crash(2);
            cluster.start(2);
        }
        // It could now. But the coordinator's application was told that it was not done.
        cluster.at(2).manner = Manner::Promises;
        ask_again(&mut cluster, &said);
        cluster.pass(200);
        assert_eq!(cluster.at(2).done.remove(&tx), Some((1, false)));
    }
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn the_only_one_that_read_does_nothing_later() {
    let mut cluster = Cluster::new(2);
    cluster.at(2).manner = Manner::Reads;
    let (tx, said) = over(&mut cluster, &[2]);
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
    cluster.crash(2);
    cluster.start(2);
    cluster.at(2).done.clear();
    cluster.at(2).manner = Manner::Promises;
    ask_again(&mut cluster, &said);
    cluster.pass(200);
    assert_eq!(cluster.at(2).done[&tx], (1, false));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn what_was_done_at_once_is_forgotten_when_the_coordinator_has_heard() {
    let mut cluster = Cluster::new(2);
    let (tx, said) = over(&mut cluster, &[2]);
    assert_eq!(cluster.places(2), (0, 1), "it may be asked again");
    ask_again(&mut cluster, &said);
    assert_eq!((cluster.at(2).asked.len(), cluster.at(2).done[&tx]), (1, (1, true)));
    cluster.pass(200);
    assert_nothing_is_held(&mut cluster);
}

// Who only reads.

#[test]
fn what_was_read_is_held_through_a_crash() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Reads;
    let tx = cluster.begin(1, &[2, 3]);
    let held = cluster.settle_only(|letter| letter.to != node(3));
    assert!(held[0].is(Kind::Prepare, 3), "the other one is not asked yet");
    cluster.crash(2);
    cluster.start(2);
    assert_eq!(cluster.at(2).retaken, [tx]);
    held.iter().for_each(|letter| cluster.deliver(letter));
    cluster.settle();
    assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, false), (1, true)));
    cluster.pass(200);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn who_has_read_refuses_for_no_peer() {
    let mut cluster = Cluster::new(4);
    cluster.at(2).manner = Manner::Reads;
    let tx = cluster.begin(1, &[2, 3, 4]);
    let prepare = all_of(&cluster.wire, Kind::Prepare, 2);
    // One of two that write has heard the decision, and has crashed with the coordinator.
    cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    assert_eq!(cluster.at(4).done[&tx], (1, true));
    cluster.crash(1);
    cluster.crash(4);
    cluster.crash(2);
    cluster.start(2);
    cluster.at(2).manner = Manner::Waits;
    cluster.deliver(&prepare[0]);
    cluster.pass(2_000);
    assert_eq!(cluster.at(3).done.get(&tx), None);
    cluster.start(4);
    cluster.start(1);
    cluster.pass(500);
    assert_eq!((cluster.at(3).done[&tx], cluster.at(4).done[&tx]), ((1, true), (1, true)));
}

#[test]
fn one_that_writes_among_readers_does_not_go_back_when_both_crash() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Reads;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.stall(3);
    cluster.at(3).stalled = None;
    cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    cluster.pass(100);
    // It has done what was decided, and crashes before that is on its disk.
    let before = cluster.at(3).disk.clone();
    cluster.settle();
    assert_eq!(cluster.at(3).done[&tx], (1, true));
    cluster.crash(1);
    cluster.crash(3);
    cluster.at(3).disk = before;
    cluster.start(3);
    cluster.start(1);
    cluster.pass(500);
    assert!(cluster.at(3).done[&tx].1, "what was decided stays decided");
}

// Who asks others.

#[test]
fn a_peer_that_knows_says_how_it_ended() {
    let mut cluster = Cluster::new(3);
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle_only(|letter| !letter.is(Kind::Decision, 3));
    cluster.crash(1);
    cluster.pass(2_000);
    assert_eq!(cluster.at(3).done[&tx], (1, true));
}

#[test]
fn a_peer_that_has_not_voted_refuses_for_one_in_doubt() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle();
    cluster.crash(1);
    cluster.pass(2_000);
    assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, false), (1, false)));
    assert_eq!(cluster.say(2, Request::Promise(tx)), Err(participant::Reason::OutOfPlace));
    cluster.start(1);
    cluster.pass(500);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_slow_vote_is_waited_for_while_the_coordinator_waits() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.pass(400);
    cluster.say(2, Request::Promise(tx)).expect("it was asked");
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
}

#[test]
fn who_is_asked_for_what_was_given_up_meanwhile_is_told() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle();
    cluster.crash(1);
    cluster.start(1);
    // It has nothing to send again, and what it might have said is lost. The one that waits asks.
    cluster.pass(200);
    assert_eq!(cluster.at(2).done[&tx], (1, false));
    assert_nothing_is_held(&mut cluster);
}

// Nonsense.

#[test]
fn a_decision_counts_from_who_takes_part_only() {
    let mut cluster = Cluster::new(4);
    let tx = cluster.begin(1, &[2, 3]);
    let (votes, mut decisions) = (cluster.settle_only(|letter| letter.kind() == Kind::Prepare), Vec::new());
    for letter in votes {
        cluster.deliver(&letter);
    }
    decisions.extend(cluster.wire.drain(..).filter(|letter| letter.is(Kind::Decision, 2)));
    let forged = Letter { from: node(4), ..decisions[0].clone() };
    cluster.deliver(&forged);
    assert_eq!(cluster.at(2).done.get(&tx), None);
    assert_eq!(cluster.machine(2).participant().counters().nonsense, 1);
    let stranger = Letter { from: node(9), ..decisions[0].clone() };
    cluster.deliver(&stranger);
    assert_eq!(cluster.machine(2).participant().counters().strangers, 1);
    cluster.deliver(&decisions[0]);
    assert_eq!(cluster.at(2).done[&tx], (1, true));
}

#[test]
fn a_vote_counts_from_who_takes_part_only() {
    let mut cluster = Cluster::new(4);
    let tx = cluster.begin(1, &[2, 3]);
    let votes = cluster.settle_only(|letter| letter.kind() == Kind::Prepare);
    cluster.deliver(&votes[0]);
    cluster.deliver(&Letter { from: node(4), ..votes[1].clone() });
    cluster.deliver(&Letter { from: node(9), ..votes[1].clone() });
    let counters = cluster.machine(1).coordinator().counters();
    assert_eq!((counters.nonsense, counters.strangers), (1, 1));
    assert_eq!(cluster.at(1).outcomes.get(&tx), None);
    cluster.deliver(&votes[1]);
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
}

#[test]
fn only_who_may_take_part_in_its_own_transactions_gets_an_answer_of_a_coordinator() {
    let mut cluster = Cluster::new(4);
    let tx = cluster.begin(1, &[2, 3]);
    cluster.wire.clear();
    let of = |coordinator, number| TxId { coordinator: node(coordinator), number };
    // What was not begun is done by nobody. Of what is under way with others who asks hears nothing.
    for (from, about, answers, dropped) in [
        (3, of(1, 9_999), 1, (0, 0)),
        (4, tx, 0, (1, 0)),
        (9, tx, 0, (1, 1)),
        (9, of(1, 9_999), 0, (1, 2)),
        (3, of(2, 9_999), 0, (2, 2)),
    ] {
        cluster.deliver(&Letter { from: node(from), to: node(1), bytes: read_of(about) });
        let counters = cluster.machine(1).coordinator().counters();
        assert_eq!((counters.nonsense, counters.strangers), dropped, "{from} says that it reads in {about}");
        let wire = core::mem::take(&mut cluster.wire);
        assert_eq!(
            all_of(&wire, Kind::Decision, from).len(),
            answers,
            "{from} says that it reads in {about}"
        );
    }
}

#[test]
fn of_an_unknown_transaction_nothing_can_be_said() {
    let mut cluster = Cluster::new(2);
    let tx = TxId { coordinator: node(1), number: 99 };
    for request in [Request::Promise(tx), Request::Read(tx), Request::Refuse(tx), Request::Wound(tx)] {
        assert_eq!(cluster.say(2, request), Err(participant::Reason::Unknown));
    }
    assert_eq!(cluster.say(2, Request::Force { tx, commit: true }), Err(participant::Reason::Unknown));
    let now = cluster.now;
    let cancel = quorate::two_phase::Side::Coordinator(coordinator::Request::Cancel(tx));
    assert!(quorate::Machine::request(cluster.machine(1), now, cancel).is_err());
    assert_eq!(cluster.try_begin(1, &[9]), Err(coordinator::Reason::Stranger(node(9))));
}

// Limits.

#[test]
fn a_full_coordinator_refuses_and_recovers() {
    let mut cluster = Cluster::new(3);
    (0..16).for_each(|_| _ = cluster.begin(1, &[2, 3]));
    assert_eq!(cluster.try_begin(1, &[2, 3]), Err(coordinator::Reason::Busy));
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes.len(), 16);
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
}

#[test]
fn a_full_participant_says_no_and_recovers() {
    let mut cluster = Cluster::new(4);
    cluster.at(4).manner = Manner::Waits;
    (0..8).for_each(|_| _ = cluster.begin(1, &[3, 4]));
    (0..8).for_each(|_| _ = cluster.begin(2, &[3, 4]));
    cluster.settle();
    let refused = cluster.begin(1, &[3, 2]);
    let alone = cluster.begin(1, &[3]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&refused], Outcome::Aborted(Cause::Refused(node(3))));
    assert_eq!(cluster.at(1).outcomes.get(&alone), None, "a no of the only one would be for good");
    cluster.pass(1_500);
    assert_eq!((cluster.at(3).done[&alone], cluster.places(3)), ((1, true), (0, 0)));
    cluster.at(4).manner = Manner::Promises;
    let tx = cluster.begin(1, &[3, 4]);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
}

#[test]
fn a_disk_that_stands_still_delays_and_loses_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.begin(1, &[2, 3]);
    cluster.settle();
    cluster.stall(2);
    // More is given up and begun anew than there are places, all of it unsaved.
    for _ in 0..6 {
        (0..12).for_each(|_| _ = cluster.begin(1, &[2, 3]));
        cluster.pass(600);
    }
    let last: Vec<_> = (0..8).map(|_| cluster.begin(1, &[2, 3])).collect();
    cluster.settle();
    cluster.unstall(2);
    cluster.settle();
    cluster.pass(300);
    for tx in last {
        assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
        assert_eq!(cluster.at(2).done[&tx], (1, true));
    }
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn a_coordinator_whose_numbers_are_used_up_is_no_more() {
    let ids = [node(1), node(2)];
    let config = quorate::two_phase::Config::new(ids[0], &ids);
    let records =
        [quorate::two_phase::Side::Coordinator(quorate::two_phase::Record::Numbered { through: u64::MAX })];
    assert!(super::cluster::Machine_::restore(config, 1, quorate::Instant::default(), records).is_err());
}

#[test]
fn more_nodes_than_there_is_room_for_are_refused() {
    use quorate::two_phase::{Config, Coordinator, Participant};
    type Room = quorate::space::Fixed<2, 4>;
    let (ids, now) = ([1, 2, 3].map(node), quorate::Instant::default());
    let config = |some: &[quorate::NodeId]| Config::<Room>::new(ids[0], some);
    assert!(Coordinator::<u32, Room>::new(config(&ids[..2]), 1, now).is_ok());
    assert!(Coordinator::<u32, Room>::new(config(&ids), 1, now).is_err());
    assert!(Participant::<u32, Room>::new(config(&ids), 1, now).is_err());
}

// Operators.

fn in_doubt(cluster: &mut Cluster, number: u64) -> Vec<(TxId, Option<bool>)> {
    cluster.machine(number).participant().in_doubt().map(|part| (part.tx, part.forced)).collect()
}

/// Two that have promised, and whose coordinator is down: it has decided, and has told nobody.
fn doubt(cluster: &mut Cluster) -> TxId {
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle_only(|letter| letter.kind() != Kind::Decision);
    cluster.crash(1);
    tx
}

#[test]
fn what_an_operator_settles_as_it_was_decided_is_over() {
    let mut cluster = Cluster::new(3);
    let tx = doubt(&mut cluster);
    assert_eq!(in_doubt(&mut cluster, 2), [(tx, None)]);
    cluster.say(2, Request::Force { tx, commit: true }).expect("it is in doubt");
    assert_eq!(cluster.at(2).done[&tx], (1, true));
    assert_eq!(in_doubt(&mut cluster, 2), [(tx, Some(true))], "until it is known to be right");
    cluster.crash(2);
    cluster.start(2);
    assert_eq!(in_doubt(&mut cluster, 2), [(tx, Some(true))], "also after a crash");
    cluster.start(1);
    cluster.pass(500);
    assert_eq!(in_doubt(&mut cluster, 2), []);
    assert_eq!((cluster.at(1).contradicted, cluster.at(2).contradicted), (0, 0));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn what_an_operator_settles_otherwise_is_reported_by_both() {
    let mut cluster = Cluster::new(3);
    let tx = doubt(&mut cluster);
    cluster.say(2, Request::Force { tx, commit: false }).expect("it is in doubt");
    assert_eq!(cluster.at(2).done[&tx], (1, false));
    assert!(cluster.say(2, Request::Force { tx, commit: true }).is_err(), "once");
    cluster.start(1);
    cluster.pass(500);
    assert_eq!(cluster.at(3).done[&tx], (1, true));
    assert_eq!((cluster.at(1).contradicted, cluster.at(2).contradicted), (1, 1));
    assert_eq!(cluster.machine(2).participant().counters().contradictions, 1);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn what_is_held_for_a_coordinator_that_never_comes_back_can_be_let_go() {
    let mut cluster = Cluster::new(3);
    cluster.at(2).manner = Manner::Reads;
    cluster.at(3).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle();
    cluster.crash(1);
    assert_eq!(in_doubt(&mut cluster, 2), [(tx, None)]);
    cluster.say(2, Request::Force { tx, commit: false }).expect("it is in doubt");
    cluster.pass(200);
    assert_eq!((cluster.at(2).done[&tx], cluster.places(2)), ((1, false), (0, 0)));
}

#[test]
fn who_read_and_was_made_to_let_go_says_no_when_it_is_asked_again_and_nobody_does_it() {
    for lets_go_first in [true, false] {
        let mut cluster = Cluster::new(3);
        cluster.at(2).manner = Manner::Reads;
        cluster.at(3).manner = Manner::Waits;
        let tx = cluster.begin(1, &[2, 3]);
        let prepare = all_of(&cluster.wire, Kind::Prepare, 2);
        cluster.settle();
        // Its vote has arrived. It is answered before the application is told to let go.
        let (now, request) = (cluster.now, Side::Participant(Request::Force { tx, commit: false }));
        cluster.machine(2).request(now, request).expect("it is in doubt");
        if lets_go_first {
            cluster.drain(2);
        }
        cluster.deliver(&prepare[0]);
        cluster.settle();
        assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Aborted(Cause::Refused(node(2))));
        assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, false), (1, false)));
        cluster.pass(200);
        assert_nothing_is_held(&mut cluster);
    }
}

// Restarts of the log.

#[test]
fn a_restart_keeps_every_stage_that_is_held() {
    let mut cluster = Cluster::new(4);
    // Kept: done at once. Refused: for a peer in doubt. Read. Promised. Forced.
    let refused = {
        cluster.at(2).manner = Manner::Waits;
        let tx = cluster.begin(1, &[2, 3]);
        cluster.settle();
        cluster.crash(1);
        cluster.pass(1_000);
        tx
    };
    cluster.at(2).manner = Manner::Promises;
    let kept = cluster.begin(4, &[2]);
    let forced = cluster.begin(4, &[2, 3]);
    cluster.settle_only(|letter| letter.kind() == Kind::Prepare || letter.is(Kind::Done, 4));
    cluster.say(2, Request::Force { tx: forced, commit: true }).expect("it has promised");
    let promised = cluster.begin(4, &[2, 3]);
    cluster.at(2).manner = Manner::Reads;
    let read = cluster.begin(4, &[2, 3]);
    cluster.settle_only(|letter| letter.kind() == Kind::Prepare);
    cluster.crash(4);
    let held = [refused, kept, forced, promised, read];
    let holds = |cluster: &mut Cluster| {
        let mut all: Vec<_> = cluster.machine(2).participant().transactions().collect();
        all.sort_unstable();
        all
    };
    let before = holds(&mut cluster);
    assert!(held.iter().all(|tx| before.contains(tx)), "{before:?}");
    // Enough is done meanwhile that the log begins anew.
    cluster.at(2).manner = Manner::Promises;
    let records = cluster.at(2).disk.len();
    for _ in 0..100 {
        cluster.begin(3, &[2, 3]);
        cluster.settle();
    }
    assert!(cluster.at(2).disk.len() < records + 150, "it has begun anew");
    cluster.crash(2);
    cluster.start(2);
    let mut expected = vec![read, promised];
    expected.sort_unstable();
    cluster.at(2).retaken.sort_unstable();
    assert_eq!(cluster.at(2).retaken, expected);
    assert_eq!(holds(&mut cluster), before);
    assert_eq!(in_doubt(&mut cluster, 2).iter().filter(|(_, forced)| *forced == Some(true)).count(), 1);
    cluster.start(4);
    cluster.start(1);
    cluster.pass(500);
    assert_nothing_is_held(&mut cluster);
}

// What ends a transaction besides a refusal.

#[test]
fn what_is_in_the_way_of_an_older_one_is_given_up() {
    let mut cluster = Cluster::new(3);
    cluster.at(3).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle();
    cluster.say(2, Request::Wound(tx)).expect("it has promised");
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Aborted(Cause::Wounded));
    assert_eq!((cluster.at(2).done[&tx], cluster.at(3).done[&tx]), ((1, false), (1, false)));
}

#[test]
fn what_takes_too_long_or_is_cancelled_is_given_up() {
    let mut cluster = Cluster::new(3);
    cluster.at(3).manner = Manner::Waits;
    let slow = cluster.begin(1, &[2, 3]);
    cluster.pass(700);
    assert_eq!(cluster.at(1).outcomes[&slow], Outcome::Aborted(Cause::TimedOut));
    let tx = cluster.begin(1, &[2, 3]);
    let now = cluster.now;
    let cancel = || quorate::two_phase::Side::Coordinator(coordinator::Request::Cancel(tx));
    quorate::Machine::request(cluster.machine(1), now, cancel()).expect("it is not decided");
    assert!(quorate::Machine::request(cluster.machine(1), now, cancel()).is_err(), "it is by now");
    cluster.drain(1);
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Aborted(Cause::Cancelled));
    cluster.pass(200);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn who_asks_again_and_again_keeps_the_others_from_nothing() {
    let mut cluster = Cluster::new(3);
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle_only(|letter| letter.kind() != Kind::Decision);
    // One asks as often as the coordinator looks; the other has not heard, and does not ask.
    let mut is_told = false;
    for _ in 0..10 {
        let ask = Letter { from: node(2), to: node(1), bytes: ask_of(tx) };
        cluster.deliver(&ask);
        cluster.now = quorate::Instant::from_micros(cluster.now.as_micros() + 40_000);
        let now = cluster.now;
        quorate::Machine::handle(cluster.machine(1), now, quorate::Input::Wake);
        cluster.drain(1);
        is_told |= cluster.wire.drain(..).any(|letter| letter.is(Kind::Decision, 3));
    }
    assert!(is_told);
}

#[test]
fn a_participant_keeps_from_nothing_for_who_takes_no_part() {
    let mut cluster = Cluster::new(4);
    // It is asked, and has not answered.
    cluster.at(2).manner = Manner::Waits;
    let tx = cluster.begin(1, &[2, 3]);
    cluster.settle_only(|letter| letter.to == node(2));
    let ask = |from| Letter { from: node(from), to: node(2), bytes: ask_of(tx) };
    cluster.deliver(&ask(4));
    cluster.deliver(&ask(9));
    let counters = cluster.machine(2).participant().counters();
    assert_eq!((counters.nonsense, counters.strangers), (1, 1));
    cluster.wire.clear();
    // To one that does it says no, and for good.
    cluster.deliver(&ask(3));
    assert!(cluster.wire.iter().any(|letter| letter.is(Kind::Decision, 3)), "{:?}", cluster.wire);
}

fn ask_of(tx: TxId) -> Vec<u8> {
    bytes_of(&Message::Ask { tx, of: Promise::default() })
}

fn read_of(tx: TxId) -> Vec<u8> {
    bytes_of(&Message::Vote { tx, vote: Vote::ReadOnly, latest: Age::default() })
}

fn bytes_of(message: &Message<'_, u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Machine_::put_message(message, &mut bytes).expect("a vector is never full");
    bytes
}

#[test]
fn a_coordinator_that_comes_back_waits_for_no_reader() {
    let mut cluster = Cluster::new(4);
    cluster.at(4).manner = Manner::Reads;
    cluster.begin(1, &[2, 3, 4]);
    cluster.settle_only(|letter| letter.kind() != Kind::Decision);
    cluster.crash(4);
    cluster.crash(1);
    cluster.start(1);
    cluster.settle();
    assert_eq!(cluster.places(1), (0, 0));
}

#[test]
fn an_application_that_remembers_more_than_its_machine_says_so() {
    let mut cluster = Cluster::new(2);
    let tx = cluster.begin(1, &[2]);
    let prepare = cluster.settle_only(|letter| letter.kind() == Kind::Prepare);
    assert!(prepare.iter().all(|letter| letter.is(Kind::Done, 1)), "the answer is lost");
    // The application's own write has outlived the crash, and the machine's has not.
    cluster.crash(2);
    cluster.at(2).disk.clear();
    cluster.start(2);
    cluster.say(2, Request::Finish(tx)).expect("there is room");
    cluster.settle();
    assert_eq!(cluster.at(1).outcomes[&tx], Outcome::Committed);
    cluster.pass(300);
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn an_operators_word_is_told_also_when_the_others_are_heard_at_once() {
    let mut cluster = Cluster::new(3);
    let tx = doubt(&mut cluster);
    cluster.stall(2);
    cluster.say(2, Request::Force { tx, commit: false }).expect("it is in doubt");
    cluster.start(1);
    cluster.pass(200);
    assert!(!cluster.at(2).done.contains_key(&tx), "it is not durable yet");
    assert_eq!(cluster.at(2).contradicted, 0);
    cluster.unstall(2);
    cluster.pass(200);
    assert_eq!((cluster.at(2).done[&tx], cluster.at(2).contradicted), ((1, false), 1));
    assert_nothing_is_held(&mut cluster);
}

#[test]
fn the_only_one_that_was_told_to_let_go_does_not_do_it_when_it_is_asked_late() {
    let mut cluster = Cluster::new(2);
    cluster.at(2).manner = Manner::Waits;
    let (tx, said) = over(&mut cluster, &[2]);
    // Its coordinator knows nothing of it any more, and says so.
    cluster.crash(1);
    cluster.start(1);
    cluster.pass(200);
    assert_eq!(cluster.at(2).done.remove(&tx), Some((1, false)));
    for crashes in [false, true] {
        if crashes {
            cluster.crash(2);
            cluster.start(2);
        }
        cluster.at(2).manner = Manner::Promises;
        ask_again(&mut cluster, &said);
        cluster.pass(200);
        assert_eq!(cluster.at(2).done.remove(&tx), Some((1, false)));
    }
    assert_nothing_is_held(&mut cluster);
}

/// Messages and syncs of a transaction of these parts, once numbers are reserved.
fn cost(manners: &[(u64, Manner)]) -> (u64, u64) {
    let mut cluster = Cluster::new(4);
    cluster.begin(1, &[2]);
    cluster.settle();
    cluster.pass(300);
    let syncs = |cluster: &Cluster| cluster.nodes.iter().map(|node| node.syncs).sum::<u64>();
    let before = (cluster.messages, syncs(&cluster));
    manners.iter().for_each(|&(node, manner)| cluster.at(node).manner = manner);
    cluster.begin(1, &manners.iter().map(|&(node, _)| node).collect::<Vec<_>>());
    cluster.settle();
    (cluster.messages - before.0, syncs(&cluster) - before.1)
}

#[test]
fn a_transaction_costs_what_its_documentation_says() {
    use Manner::{Promises, Reads, Refuses};
    assert_eq!(cost(&[(2, Promises), (3, Promises), (4, Promises)]), (12, 7));
    assert_eq!(cost(&[(2, Promises), (3, Reads), (4, Promises)]), (11, 6));
    assert_eq!(cost(&[(2, Reads), (3, Reads), (4, Reads)]), (9, 3));
    assert_eq!(cost(&[(2, Promises), (3, Refuses), (4, Promises)]), (9, 2));
    assert_eq!(
        (cost(&[(2, Promises)]), cost(&[(2, Reads)]), cost(&[(2, Refuses)])),
        ((2, 1), (2, 1), (2, 1))
    );
}
