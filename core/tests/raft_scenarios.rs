//! Schedules that broke real systems, each told as a test. The sources are issues of the projects that are named.

mod support;

use quorate::raft::{Content, Entry, Event, Message, Request, Role, Round};
use quorate::{Batch, Index, Input, Machine, NodeId, Position, SnapshotId, Term};
use std::cell::Cell;
use std::time::Duration;
use support::{Cluster, Flying, node};

const fn term(number: u64) -> Term {
    Term::new(number)
}

const fn at(of: u64, index: u64) -> Position {
    Position { term: term(of), index: Index::new(index) }
}

fn entry(of: u64, value: u64) -> Entry<u64> {
    Entry { term: term(of), content: Content::Command(value) }
}

/// Says something to node `to` as if `from` had.
fn say(cluster: &mut Cluster, from: u64, to: u64, message: Message<'_, u64>) {
    let now = cluster.now;
    cluster.host(to).raft.handle(now, Input::Message { from: node(from), message });
    cluster.drain(to);
}

fn append<'a>(of: u64, prev: Position, entries: &'a [Entry<u64>], commit: u64) -> Message<'a, u64> {
    let entries = Batch::of(entries);
    Message::Append {
        term: term(of),
        prev,
        entries,
        commit: Index::new(commit),
        round: Round::default(),
        answer: true,
    }
}

const fn cluster_start() -> quorate::Instant {
    quorate::Instant::from_micros(0)
}

/// What node `from` says to node `to`, taken out of the air.
fn said(cluster: &mut Cluster, from: u64, to: u64) -> Vec<Flying> {
    let (taken, left): (Vec<_>, Vec<_>) =
        cluster.flying.drain(..).partition(|flying| flying.from == node(from) && flying.to == node(to));
    cluster.flying = left;
    taken
}

fn leader(cluster: &Cluster) -> Option<u64> {
    let roles = cluster.hosts.iter().filter(|host| host.up).map(|host| host.raft.status());
    roles
        .filter(|status| status.role == Role::Leader)
        .max_by_key(|status| status.term)
        .map(|status| status.id.get())
}

fn between(a: NodeId, b: NodeId) -> impl Fn(&Flying) -> bool {
    move |flying| (flying.from == a && flying.to == b) || (flying.from == b && flying.to == a)
}

fn is_vote(flying: &Flying, granted: bool) -> bool {
    matches!(flying.message(), Message::VoteReply { granted: given, pre: false, .. } if given == granted)
}

// Votes and terms.

#[test]
fn a_vote_waits_for_its_receipt() {
    let mut cluster = Cluster::new(3);
    let ask = Message::Vote { term: term(2), last: Position::ORIGIN, pre: false };
    say(&mut cluster, 1, 3, ask);
    assert!(cluster.flying.is_empty(), "the vote is not durable");
    cluster.sync(3);
    assert!(said(&mut cluster, 3, 1).iter().any(|flying| is_vote(flying, true)));
}

#[test]
fn a_vote_in_a_term_that_was_heard_of_before_waits_too() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 3, Message::Stale { term: term(2) });
    cluster.sync(3);
    say(&mut cluster, 1, 3, Message::Vote { term: term(2), last: Position::ORIGIN, pre: false });
    assert!(cluster.flying.is_empty(), "the vote is not durable");
    cluster.sync(3);
    assert!(said(&mut cluster, 3, 1).iter().any(|flying| is_vote(flying, true)));
    cluster.restart(3);
    say(&mut cluster, 2, 3, Message::Vote { term: term(2), last: at(2, 9), pre: false });
    cluster.sync(3);
    assert!(!said(&mut cluster, 3, 2).iter().any(|flying| is_vote(flying, true)));
}

#[test]
fn a_node_alone_leads_only_when_its_vote_is_durable() {
    let mut cluster = Cluster::new(1);
    cluster.slow.push(node(1));
    cluster.campaign(1);
    assert_eq!(cluster.raft(1).status().role, Role::Candidate);
    cluster.sync(1);
    assert_eq!(cluster.raft(1).status().role, Role::Leader);
}

#[test]
fn a_candidate_asks_for_votes_only_when_its_term_is_durable() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.slow.push(node(1));
    cluster.campaign(1);
    assert_eq!(cluster.raft(1).status().role, Role::Candidate);
    assert!(cluster.flying.is_empty(), "after a crash it could stand in this term again, with another log");
    cluster.sync(1);
    assert_eq!(cluster.flying.len(), 2);
}

#[test]
fn who_hears_a_leader_neither_votes_nor_adopts_a_later_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for pre in [false, true] {
        say(&mut cluster, 3, 2, Message::Vote { term: term(9), last: at(9, 9), pre });
        say(&mut cluster, 3, 1, Message::Vote { term: term(9), last: at(9, 9), pre });
        cluster.run();
    }
    assert_eq!(cluster.raft(2).status().term.get(), 1);
    assert_eq!(leader(&cluster), Some(1));
}

/// hashicorp/raft#661, tikv#8381: term and vote in two steps.
#[test]
fn nobody_votes_twice_in_a_term_whenever_it_crashes() {
    for synced in [false, true] {
        let mut cluster = Cluster::new(3);
        say(&mut cluster, 1, 3, Message::Vote { term: term(2), last: Position::ORIGIN, pre: false });
        if synced {
            cluster.sync(3);
        }
        let first = said(&mut cluster, 3, 1).iter().any(|flying| is_vote(flying, true));
        cluster.restart(3);
        say(&mut cluster, 2, 3, Message::Vote { term: term(2), last: Position::ORIGIN, pre: false });
        cluster.sync(3);
        let second = said(&mut cluster, 3, 2).iter().any(|flying| is_vote(flying, true));
        assert_eq!((first, second), (synced, !synced));
    }
}

/// CCF#5891: stepping down within a term forgot the vote, and two leaders were elected.
#[test]
fn stepping_down_within_a_term_keeps_the_vote() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, Message::Vote { term: term(3), last: Position::ORIGIN, pre: false });
    cluster.sync(2);
    cluster.flying.clear();
    cluster.campaign(2);
    assert_eq!(cluster.raft(2).status().role, Role::PreCandidate);
    say(&mut cluster, 1, 2, append(3, Position::ORIGIN, &[], 0));
    assert_eq!(cluster.raft(2).status().role, Role::Follower);
    cluster.now = cluster.now.after(Duration::from_secs(1));
    cluster.flying.clear();
    say(&mut cluster, 3, 2, Message::Vote { term: term(3), last: at(9, 9), pre: false });
    cluster.sync(2);
    assert!(!said(&mut cluster, 2, 3).iter().any(|flying| is_vote(flying, true)));
}

/// openraft#1722, async-raft: up-to-date was compared in another order.
#[test]
fn a_shorter_log_of_the_same_term_gets_no_vote_and_a_later_term_does() {
    for (last, granted) in [(at(1, 1), false), (at(1, 4), true), (at(2, 1), true), (at(0, 9), false)] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        for value in 1..=3 {
            cluster.propose(1, value);
        }
        cluster.run();
        assert_eq!(cluster.raft(2).status().last.get(), 4);
        cluster.now = cluster.now.after(Duration::from_secs(5));
        say(&mut cluster, 3, 2, Message::Vote { term: term(7), last, pre: false });
        cluster.sync(2);
        assert_eq!(said(&mut cluster, 2, 3).iter().any(|flying| is_vote(flying, true)), granted, "{last}");
    }
}

/// etcd#8501, openraft#1796: a longer log of an earlier term and a shorter one of a later term locked each other out.
#[test]
fn pre_votes_do_not_lock_logs_of_different_terms_out() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=5 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    for id in [2, 3] {
        say(&mut cluster, 1, id, Message::Stale { term: term(5) });
        cluster.sync(id);
    }
    cluster.restart(1);
    cluster.host(2).up = false;
    cluster.pass(Duration::from_secs(6));
    assert_eq!(leader(&cluster), Some(1));
}

/// etcd#8334: a pre-candidate that still took its old leader for alive refused its own kind.
#[test]
fn who_stopped_hearing_the_leader_helps_to_elect_another() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.pass_but(Duration::from_secs(3), |flying| flying.from == node(1) || flying.to == node(1));
    assert!(matches!(leader(&cluster), Some(2 | 3)));
}

/// openraft#2080: an old leader kept a bridge's lease alive, and the bridge kept everybody from electing.
#[test]
fn a_leader_that_reaches_one_node_only_makes_way() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    // 2, 3 and the bridge 4 hear each other; 1 and the bridge hear each other; 5 hears nobody.
    let lost = |flying: &Flying| {
        let pair = (flying.from.get().min(flying.to.get()), flying.from.get().max(flying.to.get()));
        pair.1 == 5 || matches!(pair, (1, 2 | 3))
    };
    cluster.pass_but(Duration::from_secs(3), lost);
    assert!(matches!(leader(&cluster), Some(2..=4)));
    assert_ne!(cluster.raft(1).status().role, Role::Leader);
}

/// d-engine#340: a candidate took no notice of its term's leader, because the logs did not match.
#[test]
fn a_candidate_follows_the_leader_of_its_term_whatever_its_log() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.campaign(2);
    cluster.flying.clear();
    assert_eq!(cluster.raft(2).status().role, Role::Candidate);
    say(&mut cluster, 3, 2, append(1, at(1, 40), &[], 0));
    assert_eq!(cluster.raft(2).status().role, Role::Follower);
    assert_eq!(cluster.raft(2).status().leader, Some(node(3)));
}

/// hashicorp#411: a node that was cut off raised its term and deposed a healthy leader on return.
#[test]
fn a_node_that_was_cut_off_deposes_nobody_on_return() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.pass_but(Duration::from_secs(60), |flying| flying.from == node(3) || flying.to == node(3));
    let before = cluster.raft(1).status().term;
    cluster.pass(Duration::from_secs(5));
    assert_eq!((leader(&cluster), cluster.raft(1).status().term), (Some(1), before));
}

/// openraft#1385: a restarted leader went on leading.
#[test]
fn a_restarted_leader_follows() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.restart(1);
    assert_eq!(cluster.raft(1).status().role, Role::Follower);
}

#[test]
fn a_second_leader_of_a_term_is_nonsense() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 1);
    cluster.run();
    say(&mut cluster, 3, 2, append(1, at(1, 1), &[entry(1, 66)], 2));
    assert_eq!(cluster.raft(2).counters().nonsense, 1);
    say(&mut cluster, 3, 1, append(1, at(1, 1), &[entry(1, 66)], 2));
    assert_eq!(cluster.raft(1).counters().nonsense, 1);
    assert_eq!(cluster.values(2), [1]);
}

/// Found by simulation: adopting a term put the own candidacy off, again and again.
#[test]
fn a_candidate_that_cannot_win_does_not_keep_others_from_standing() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    cluster.elect(1);
    cluster.propose(1, 7);
    cluster.run_but(|flying| flying.to == node(3));
    cluster.host(1).up = false;
    // Node 3 stands again and again, just before node 2 would.
    for of in 2..8 {
        cluster.pass(Duration::from_millis(250));
        if leader(&cluster) == Some(2) {
            return;
        }
        say(&mut cluster, 3, 2, Message::Vote { term: term(of), last: at(1, 1), pre: false });
        cluster.sync(2);
    }
    panic!("node 2 has the longer log and a quorum, and does not lead");
}

#[test]
fn nobody_stands_after_the_last_term_of_all() {
    let mut cluster = Cluster::with(3, |config| config.pre_vote = false);
    say(&mut cluster, 1, 2, Message::Stale { term: term(u64::MAX) });
    cluster.sync(2);
    cluster.campaign(2);
    assert_eq!(cluster.raft(2).status().role, Role::Follower);
    assert!(cluster.flying.is_empty());
}

#[test]
fn split_votes_end() {
    let mut cluster = Cluster::with(5, |config| config.pre_vote = false);
    cluster.pass(Duration::from_secs(5));
    assert!(leader(&cluster).is_some());
}

// Append, commit, truncation.

/// Raft, figure 8; logcabin#44.
#[test]
fn figure_8_an_entry_of_an_earlier_term_does_not_commit_by_counting() {
    let mut cluster = Cluster::with(5, |config| config.check_quorum = false);
    // (a) S1 leads term 1 and replicates 22 to S2 only.
    cluster.elect(1);
    cluster.propose(1, 22);
    cluster.run_but(|flying| flying.to != node(2));
    // (b) S5 is elected by S3 and S4, appends 33 and says nothing.
    cluster.restart(1);
    cluster.campaign(5);
    cluster.run_but(|flying| {
        [1, 2].contains(&flying.to.get()) || matches!(flying.message(), Message::Append { .. })
    });
    assert_eq!(leader(&cluster), Some(5));
    cluster.propose(5, 33);
    cluster.flying.clear();
    cluster.restart(5);
    // (c) S1 is elected again and replicates 22 to S3: a majority has it, and yet it is not committed.
    cluster.now = cluster.now.after(Duration::from_secs(1));
    for _ in 0..6 {
        cluster.campaign(1);
        cluster.run_but(|flying| {
            let entries = match flying.message() {
                Message::Append { entries, .. } => !entries.is_empty(),
                _ => false,
            };
            flying.to == node(5) || flying.from == node(5) || entries
        });
        if cluster.raft(1).status().role == Role::Leader {
            break;
        }
    }
    assert_eq!(leader(&cluster), Some(1));
    let of = cluster.raft(1).status().term.get();
    say(
        &mut cluster,
        3,
        1,
        Message::Accepted { term: term(of), matched: Index::new(2), round: Round::default() },
    );
    say(
        &mut cluster,
        2,
        1,
        Message::Accepted { term: term(of), matched: Index::new(2), round: Round::default() },
    );
    assert!(
        cluster.raft(1).status().commit < Index::new(2),
        "an entry of term 1 does not commit by counting"
    );
    // (e) With an entry of its own term on a majority, all before it is committed too.
    let own = cluster.raft(1).status().last;
    for id in [2, 3] {
        say(&mut cluster, id, 1, Message::Accepted { term: term(of), matched: own, round: Round::default() });
    }
    assert_eq!(cluster.raft(1).status().commit, own);
    assert_eq!(cluster.values(1), [22]);
}

/// openraft 9540c904, CCF rollback_safety: a late, short append cut what came after it.
#[test]
fn a_late_short_append_cuts_nothing() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=5).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 5));
    cluster.sync(2);
    assert_eq!(cluster.values(2), [1, 2, 3, 4, 5]);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries[..2], 5));
    assert_eq!(cluster.raft(2).status().last.get(), 5);
}

#[test]
fn only_a_conflict_cuts_and_it_cuts_all_that_follows() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=5).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 2));
    cluster.sync(2);
    say(&mut cluster, 3, 2, append(2, at(1, 3), &[entry(2, 44)], 2));
    cluster.sync(2);
    assert_eq!(cluster.raft(2).status().last.get(), 4);
    say(&mut cluster, 3, 2, append(2, at(2, 4), &[], 4));
    assert_eq!(cluster.values(2), [1, 2, 3, 44]);
}

#[test]
fn an_append_that_does_not_fit_is_rejected_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1), entry(1, 2)], 0));
    cluster.sync(2);
    cluster.flying.clear();
    for prev in [at(2, 2), at(1, 3), at(3, 9)] {
        say(&mut cluster, 1, 2, append(3, prev, &[entry(3, 9)], 9));
        cluster.sync(2);
        let answers = said(&mut cluster, 2, 1);
        assert!(
            answers.iter().any(
                |answer| matches!(answer.message(), Message::Rejected { prev: at, .. } if at == prev.index)
            ),
            "{prev}"
        );
        assert!(!answers.iter().any(|answer| matches!(answer.message(), Message::Accepted { .. })));
        assert_eq!(cluster.raft(2).status().commit.get(), 0);
        assert_eq!(cluster.raft(2).status().last.get(), 2);
    }
}

#[test]
fn a_committed_entry_is_never_cut_whoever_says_so() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1), entry(1, 2)], 2));
    cluster.sync(2);
    say(&mut cluster, 3, 2, append(2, at(1, 1), &[entry(2, 66)], 2));
    assert_eq!(cluster.raft(2).counters().nonsense, 1);
    assert_eq!((cluster.raft(2).status().last.get(), cluster.values(2)), (2, vec![1, 2]));
}

/// Raft, figure 2: the leader's commit index counts as far as the logs were seen to agree, not to the end of this one.
#[test]
fn only_what_was_seen_to_agree_with_the_leader_is_committed() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=5).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 0));
    cluster.sync(2);
    say(&mut cluster, 3, 2, append(2, at(1, 2), &[], 5));
    cluster.sync(2);
    assert_eq!((cluster.raft(2).status().commit.get(), cluster.values(2)), (2, vec![1, 2]));
}

/// CCF#5325, raft.tla#18: a late acknowledgement or rejection lowered what was known to match.
#[test]
fn late_answers_do_not_take_back_what_matched() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=6 {
        cluster.propose(1, value);
    }
    cluster.flying.clear();
    let of = term(1);
    let accepted =
        |matched| Message::Accepted { term: of, matched: Index::new(matched), round: Round::default() };
    say(&mut cluster, 2, 1, accepted(7));
    assert_eq!(cluster.raft(1).status().commit.get(), 7);
    say(&mut cluster, 2, 1, accepted(3));
    let rejected =
        Message::Rejected { term: of, prev: Index::new(2), hint: at(0, 0), round: Round::default() };
    say(&mut cluster, 2, 1, rejected);
    assert_eq!(cluster.raft(1).status().commit.get(), 7);
    cluster.flying.clear();
    cluster.propose(1, 99);
    let sent = said(&mut cluster, 1, 2);
    let prevs: Vec<_> = sent
        .iter()
        .filter_map(|flying| match flying.message() {
            Message::Append { prev, .. } => Some(prev.index.get()),
            _ => None,
        })
        .collect();
    assert!(
        !prevs.is_empty() && prevs.iter().all(|&prev| prev >= 7),
        "nothing that matched is sent again: {prevs:?}"
    );
}

/// What node `from` was heard to say is durable there.
fn acknowledged(cluster: &mut Cluster, from: u64, to: u64) -> Vec<u64> {
    let matched = |flying: &Flying| match flying.message() {
        Message::Accepted { matched, .. } => Some(matched.get()),
        _ => None,
    };
    said(cluster, from, to).iter().filter_map(matched).collect()
}

#[test]
fn an_acknowledgement_claims_only_what_is_durable() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[], 0));
    cluster.sync(2);
    cluster.flying.clear();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1), entry(1, 2)], 0));
    assert_eq!(acknowledged(&mut cluster, 2, 1), [0], "it answers, and claims nothing");
    cluster.sync(2);
    assert_eq!(acknowledged(&mut cluster, 2, 1), [2]);
}

#[test]
fn an_acknowledgement_claims_only_what_the_leader_was_seen_to_have() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=5).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 0));
    cluster.sync(2);
    say(&mut cluster, 3, 2, append(2, at(1, 2), &[], 0));
    cluster.sync(2);
    assert_eq!(acknowledged(&mut cluster, 2, 3), [2], "the rest may be in its way");
}

#[test]
fn no_answer_bears_a_term_that_is_not_durable() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(4, Position::ORIGIN, &[], 0));
    say(&mut cluster, 1, 2, append(4, at(3, 3), &[], 0));
    assert!(cluster.flying.is_empty());
    cluster.sync(2);
    assert!(!cluster.flying.is_empty());
}

#[test]
fn a_late_acknowledgement_takes_no_part_of_a_quorum_away() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    cluster.propose(1, 1);
    cluster.propose(1, 2);
    cluster.flying.clear();
    let accepted =
        |matched| Message::Accepted { term: term(1), matched: Index::new(matched), round: Round::default() };
    say(&mut cluster, 2, 1, accepted(3));
    say(&mut cluster, 2, 1, accepted(1));
    say(&mut cluster, 3, 1, accepted(3));
    assert_eq!(cluster.raft(1).status().commit.get(), 3);
}

#[test]
fn an_acknowledgement_does_not_send_again_what_is_under_way() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=6 {
        cluster.propose(1, value);
    }
    cluster.flying.clear();
    let matched = Index::new(3);
    say(&mut cluster, 2, 1, Message::Accepted { term: term(1), matched, round: Round::default() });
    cluster.propose(1, 99);
    for flying in said(&mut cluster, 1, 2) {
        let Message::Append { prev, .. } = flying.message() else { panic!("a leader appends") };
        assert_eq!(prev.index.get(), 7);
    }
}

/// cockroach#60612: divergent tails were probed an entry at a time, for hours.
#[test]
fn divergent_logs_are_reconciled_in_round_trips_by_terms_not_entries() {
    let mut cluster = Cluster::new(3);
    // Node 3 has 10 entries of each of the terms 1 to 3 that nobody else has.
    for of in 1..=3_u64 {
        let prev = if of == 1 { Position::ORIGIN } else { at(of - 1, (of - 1) * 10) };
        let entries: Vec<_> = (0..10).map(|value| entry(of, value + 1)).collect();
        say(&mut cluster, 1, 3, append(of, prev, &entries, 0));
        cluster.sync(3);
    }
    // The others have 30 of term 4.
    let entries: Vec<_> = (100..130).map(|value| entry(4, value)).collect();
    for (from, to) in [(2, 1), (1, 2)] {
        say(&mut cluster, from, to, append(4, Position::ORIGIN, &entries, 0));
        cluster.sync(to);
    }
    cluster.flying.clear();
    cluster.now = cluster.now.after(Duration::from_secs(2));
    cluster.elect(1);
    let probes = cluster.sent;
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.values(3), cluster.values(1));
    assert!(cluster.sent - probes < 100, "{} messages", cluster.sent - probes);
}

/// openraft#511: what a snapshot covers was taken for a conflict.
#[test]
fn an_append_from_before_the_snapshot_cuts_nothing() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=10).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 10));
    cluster.sync(2);
    cluster.compact(2, 8);
    cluster.flying.clear();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries[..5], 10));
    say(&mut cluster, 1, 2, append(1, at(1, 7), &[], 10));
    assert_eq!((cluster.raft(2).status().last.get(), cluster.raft(2).status().commit.get()), (10, 10));
    let told = said(&mut cluster, 2, 1);
    assert!(told.iter().all(|flying| !matches!(flying.message(), Message::Rejected { .. })));
}

/// openraft#1125, etcd#14370: a leader counted what was not on its own disk.
#[test]
fn a_leader_does_not_count_what_is_not_on_its_own_disk() {
    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.run();
    cluster.slow.push(node(1));
    cluster.propose(1, 7);
    cluster.run();
    assert_eq!(cluster.raft(2).status().last.get(), 2, "it was sent before it was durable");
    assert_eq!(cluster.raft(1).status().commit.get(), 1);
    cluster.sync(1);
    cluster.run();
    assert_eq!(cluster.values(2), [7]);
}

/// etcd async storage writes ABA, cockroach#124440.
#[test]
fn the_receipt_of_what_was_overwritten_vouches_for_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.slow.push(node(2));
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1), entry(1, 2)], 0));
    let early = cluster.sync_quietly(2).expect("something was saved");
    say(&mut cluster, 3, 2, append(2, Position::ORIGIN, &[entry(2, 8), entry(2, 9)], 0));
    cluster.flying.clear();
    let now = cluster.now;
    cluster.host(2).raft.handle(now, Input::Saved(early));
    cluster.drain(2);
    let accepted =
        |flying: &Flying| matches!(flying.message(), Message::Accepted { matched, .. } if matched.get() > 0);
    assert!(!said(&mut cluster, 2, 3).iter().any(accepted));
    cluster.sync(2);
    assert!(said(&mut cluster, 2, 3).iter().any(accepted));
}

#[test]
fn receipts_of_nodes_whose_seeds_are_their_numbers_are_told_apart() {
    let ids = [1, 2, 3].map(NodeId::new);
    let mut nodes = ids.map(|id| {
        let config = quorate::raft::Config::new(id, &ids);
        support::Node::new(config, id.get(), cluster_start()).expect("the settings make sense")
    });
    let ask = Message::Vote { term: term(2), last: Position::ORIGIN, pre: false };
    let mut receipts = Vec::new();
    for at in [1, 2] {
        nodes[at].handle(cluster_start(), Input::Message { from: ids[0], message: ask });
        let Some(quorate::Output::Save(save)) = nodes[at].poll() else { panic!("a vote is saved") };
        receipts.push(save.split().1.assert_durable());
    }
    let theirs = receipts.pop().expect("there are two");
    nodes[1].handle(cluster_start(), Input::Saved(theirs));
    assert_eq!(nodes[1].counters().foreign_receipts, 1);
}

#[test]
fn a_receipt_of_an_earlier_life_is_dropped_and_counted() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, Message::Vote { term: term(2), last: Position::ORIGIN, pre: false });
    let stale = cluster.host(2).pending.take().expect("a vote is saved").1.assert_durable();
    cluster.restart(2);
    say(&mut cluster, 1, 2, Message::Vote { term: term(2), last: Position::ORIGIN, pre: false });
    let now = cluster.now;
    cluster.host(2).raft.handle(now, Input::Saved(stale));
    cluster.drain(2);
    assert!(cluster.flying.is_empty(), "this life's vote is not durable");
    assert_eq!(cluster.raft(2).counters().foreign_receipts, 1);
}

/// etcd#16220, #17081: a node whose disk lost what it had acknowledged, or a message for another, crashed it for ever.
#[test]
fn a_commit_beyond_the_log_neither_crashes_nor_counts() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=5 {
        cluster.propose(1, value);
    }
    cluster.run();
    let kept = cluster.host(2).disk.records.len() - 3;
    cluster.host(2).disk.durable = kept;
    cluster.restart(2);
    cluster.pass(Duration::from_secs(1));
    assert!(cluster.raft(1).counters().regressed > 0, "the leader notices");
    say(
        &mut cluster,
        2,
        1,
        Message::Accepted { term: term(1), matched: Index::new(500), round: Round::default() },
    );
    assert_eq!(cluster.raft(1).counters().nonsense, 1);
    assert!(cluster.raft(2).status().commit <= cluster.raft(2).status().last);
}

/// etcd-io/raft#138, redpanda#31642: a follower's commit waited for the next message.
#[test]
fn a_follower_tells_what_is_committed_as_soon_as_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.slow.push(node(2));
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 5)], 1));
    assert!(cluster.values(2).is_empty());
    cluster.sync(2);
    assert_eq!(cluster.values(2), [5]);
}

/// cockroach#27772.
#[test]
fn without_a_quorum_the_log_is_bounded_and_says_so() {
    let mut cluster = Cluster::with(3, |config| config.check_quorum = false);
    cluster.elect(1);
    let now = cluster.now;
    let refused =
        (0..10_000).filter(|_| cluster.host(1).raft.request(now, Request::Propose(1)).is_err()).count();
    assert!(refused > 9_900);
    assert!(cluster.raft(1).window().0 <= 64);
}

#[test]
fn full_windows_leave_room_for_new_leaders() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    while cluster.host(1).raft.request(now, Request::Propose(1)).is_ok() {}
    cluster.wake(1);
    // The entries arrive, the answers do not, and one leader after the other fails before it can commit.
    cluster.run_but(|flying| matches!(flying.message(), Message::Accepted { .. }));
    for id in [2, 3, 1, 2, 3] {
        cluster.now = cluster.now.after(Duration::from_secs(2));
        cluster.campaign(id);
        cluster
            .run_but(|flying| matches!(flying.message(), Message::Accepted { .. } | Message::Append { .. }));
    }
    cluster.pass(Duration::from_secs(5));
    let leads = leader(&cluster).expect("somebody leads");
    assert!(cluster.raft(leads).status().commit.get() > 50, "what was in the window is committed");
}

// Flow control and snapshots.

/// etcd PR#2544, #14633: with the window full and all acknowledgements lost, nothing moved any more.
#[test]
fn lost_acknowledgements_are_made_up_for_by_a_heartbeat() {
    let mut cluster = Cluster::with(3, |config| config.inflight_bytes = 100);
    cluster.elect(1);
    for value in 1..=20 {
        cluster.propose(1, value);
        cluster.run_but(|flying| matches!(flying.message(), Message::Accepted { .. }));
    }
    assert!(cluster.values(1).is_empty());
    cluster.pass(Duration::from_millis(200));
    assert_eq!(cluster.values(3).len(), 20);
}

#[test]
fn what_is_under_way_to_a_peer_is_bounded() {
    let mut cluster = Cluster::with(3, |config| {
        config.inflight_bytes = 64;
        config.append_bytes = 32;
    });
    cluster.elect(1);
    cluster.flying.clear();
    for value in 1..=40 {
        cluster.propose(1, value);
    }
    let sent = said(&mut cluster, 1, 2).len();
    assert!((1..10).contains(&sent), "{sent} messages");
}

/// etcd#10225, dgraph#2707: a snapshot whose outcome nobody reported kept the follower waiting for ever.
#[test]
fn a_follower_that_crashes_in_a_transfer_goes_on_with_it() {
    let mut cluster = behind();
    let mut chunks = 0;
    for _ in 0..200 {
        cluster.pass(Duration::from_millis(1));
        let have: usize = cluster.host(3).disk.snapshots.values().map(Vec::len).sum();
        if have >= 48 {
            chunks = have;
            break;
        }
        if cluster.flying.is_empty() && have == 0 {
            cluster.pass(Duration::from_millis(20));
        }
    }
    let sent_before = cluster.sent;
    cluster.restart(3);
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.values(3), [31], "{chunks} bytes were there");
    assert!(cluster.sent > sent_before);
}

/// Node 3 is behind the window of the others.
fn behind() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=30 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    cluster.compact(1, 160);
    cluster.compact(2, 160);
    cluster.propose(1, 31);
    cluster.run_but(|flying| flying.to == node(3));
    cluster
}

/// camunda#10183, openraft 2eccb9e1: a lost, doubled or reordered chunk wedged the transfer.
#[test]
fn lost_and_doubled_chunks_do_not_matter() {
    let mut cluster = behind();
    let chunks = Cell::new(0);
    let every_third = |flying: &Flying| {
        let chunk = matches!(flying.message(), Message::Chunk { .. });
        chunks.set(chunks.get() + u32::from(chunk));
        chunk && chunks.get().is_multiple_of(3)
    };
    for _ in 0..20 {
        let doubled: Vec<_> = cluster.flying.clone();
        cluster.pass_but(Duration::from_millis(60), every_third);
        for flying in &doubled {
            cluster.deliver(flying);
        }
    }
    assert!(chunks.get() > 10);
    assert_eq!(cluster.values(3), [31]);
}

/// hashicorp#212: a change of leader in the middle of a transfer.
#[test]
fn a_new_leader_finishes_the_transfer() {
    let mut cluster = behind();
    cluster.pass_but(
        Duration::from_millis(400),
        |flying| matches!(flying.message(), Message::Chunk { offset, .. } if offset > 60),
    );
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(5));
    assert_eq!(cluster.values(3), [31]);
}

/// camunda#6092, RedisLabs/raft#49: a late snapshot cut the log that had gone past it.
#[test]
fn a_late_snapshot_is_answered_and_ignored() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=20).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 20));
    cluster.sync(2);
    cluster.flying.clear();
    let of = SnapshotId { at: at(1, 10), size: 16 };
    let bytes = [0; 16];
    say(
        &mut cluster,
        1,
        2,
        Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &bytes },
    );
    assert_eq!(cluster.raft(2).status().last.get(), 20);
    let told = said(&mut cluster, 2, 1);
    assert!(
        told.iter().any(
            |flying| matches!(flying.message(), Message::Accepted { matched, .. } if matched.get() == 20)
        )
    );
}

/// openraft#437: the log was cut before the snapshot that covers it was durable.
#[test]
fn only_what_was_told_is_compacted() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 1);
    cluster.flying.clear();
    let now = cluster.now;
    for at in [at(1, 2), at(1, 9), at(7, 1), at(0, 0)] {
        let refusal = cluster.host(1).raft.request(now, Request::Compact(SnapshotId { at, size: 8 }));
        assert!(refusal.is_err(), "{at}");
    }
}

#[test]
fn a_chunk_is_told_when_it_is_durable_and_in_order() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId { at: at(1, 10), size: 48 };
    let bytes = [0; 16];
    let chunk = |cluster: &mut Cluster, offset| {
        let chunk = Message::Chunk { term: term(1), round: Round::default(), of, offset, bytes: &bytes };
        say(cluster, 1, 2, chunk);
        let have = |flying: &Flying| match flying.message() {
            Message::Have { offset, .. } => Some(offset),
            _ => None,
        };
        let told = said(cluster, 2, 1).iter().filter_map(have).next_back();
        cluster.sync(2);
        let told_later = said(cluster, 2, 1).iter().filter_map(have).next_back();
        (told, told_later)
    };
    assert_eq!(chunk(&mut cluster, 0), (None, Some(16)), "the first one, not before it is durable");
    assert_eq!(
        chunk(&mut cluster, 32),
        (Some(16), None),
        "one is missing: what is here is told, and nothing taken in"
    );
    assert_eq!(chunk(&mut cluster, 16), (None, Some(32)));
    assert_eq!(chunk(&mut cluster, 0), (Some(32), None), "a double");
}

#[test]
fn nonsense_chunks_are_counted_and_leave_no_trace() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId { at: at(1, 10), size: 20 };
    let bytes = [0_u8; 64];
    let chunk = |offset, len: usize| Message::Chunk {
        term: term(1),
        round: Round::default(),
        of,
        offset,
        bytes: &bytes[..len],
    };
    for (offset, len) in [(0, 17), (10, 16), (u64::MAX, 5), (0, 0)] {
        say(&mut cluster, 1, 2, chunk(offset, len));
    }
    assert_eq!(cluster.raft(2).counters().nonsense, 4);
    assert!(cluster.host(2).disk.snapshots.is_empty());
}

// Reads.

/// etcd#7331, tikv#6340: a new leader served reads before it knew what was committed.
#[test]
fn a_new_leader_reads_only_after_an_entry_of_its_own_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 7);
    // Node 2 has the entry but does not know that it is committed.
    cluster.run_but(|flying| {
        flying.to == node(2)
            && matches!(flying.message(), Message::Append { entries, .. } if entries.is_empty())
    });
    cluster.now = cluster.now.after(Duration::from_secs(1));
    cluster.campaign(2);
    cluster.run_but(|flying| matches!(flying.message(), Message::Append { .. }));
    assert_eq!(cluster.raft(2).status().role, Role::Leader);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.wake(2);
    cluster.pass(Duration::from_millis(500));
    let Some(Event::Readable { from, .. }) = cluster.host(2).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(from.get() >= 3, "it covers the entry of its own term, and so all before: {from}");
}

/// etcd#20418, sofa-jraft#24: a leader that was paused served from the past.
#[test]
fn a_leader_that_was_paused_does_not_answer_from_the_past() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(2));
    let next = leader(&cluster).expect("another leads");
    cluster.propose(next, 9);
    cluster.run();
    cluster.host(1).up = true;
    let now = cluster.now;
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    assert!(cluster.host(1).readable.is_empty());
    cluster.pass(Duration::from_secs(2));
    let Some(Event::Readable { from, .. }) = cluster.host(1).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(cluster.raft(next).status().commit <= from);
    assert_eq!(cluster.values(1), [9]);
}

/// tikv#6348, restate#2950: a lost question or answer hung the client.
#[test]
fn a_lost_read_index_is_asked_again() {
    for lost_answer in [false, true] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        let now = cluster.now;
        cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
        cluster.drain(2);
        cluster.run_but(|flying| match flying.message() {
            Message::ReadIndex { .. } => !lost_answer,
            Message::ReadAt { .. } => lost_answer,
            _ => false,
        });
        assert!(cluster.host(2).readable.is_empty());
        cluster.pass(Duration::from_millis(300));
        assert_eq!(cluster.host(2).readable.len(), 1);
    }
}

#[test]
fn a_read_outlives_its_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(3));
    assert_eq!(cluster.host(2).readable.len(), 1);
}

/// etcd-io/raft#105, openraft#1788: a restarted node served with an old commit index.
#[test]
fn a_single_node_reads_all_that_it_acknowledged_after_a_restart() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.propose(1, 7);
    cluster.restart(1);
    let now = cluster.now;
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    assert!(cluster.host(1).readable.is_empty());
    cluster.pass(Duration::from_secs(1));
    let Some(Event::Readable { from, .. }) = cluster.host(1).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(from.get() >= 2);
    assert_eq!(cluster.values(1), [7]);
}

#[test]
fn an_answer_of_an_earlier_round_confirms_no_read() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.pass(Duration::from_millis(61));
    cluster.wake(1);
    let now = cluster.now.after(Duration::from_millis(70));
    cluster.now = now;
    cluster.wake(1);
    let beats: Vec<_> = cluster.flying.drain(..).collect();
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    cluster.flying.clear();
    for beat in beats {
        cluster.deliver(&beat);
    }
    cluster.run();
    assert!(cluster.host(1).readable.is_empty(), "the heartbeats were sent before the read was asked");
}

#[test]
fn a_follower_cut_from_its_leader_gets_no_answer_from_another() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.pass_but(Duration::from_millis(100), between(node(1), node(2)));
    say(&mut cluster, 3, 2, Message::ReadAt { term: term(1), id: 1, index: Index::new(1) });
    assert!(cluster.host(2).readable.is_empty());
}

/// A store lets go of all snapshots but one when a restart is durable: a piece that was placed meanwhile would go too.
#[test]
fn a_chunk_waits_until_a_restart_is_durable() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=20).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 20));
    cluster.sync(2);
    let (now, own) = (cluster.now, SnapshotId { at: at(1, 20), size: 8 });
    cluster.host(2).disk.snapshots.insert(support::key(own), vec![0; 8]);
    cluster.host(2).raft.request(now, Request::Compact(own)).expect("it is here");
    cluster.drain(2);
    let of = SnapshotId { at: at(1, 90), size: 20 };
    let chunk = |offset, bytes| Message::Chunk { term: term(1), round: Round::default(), of, offset, bytes };
    say(&mut cluster, 1, 2, chunk(0, &[1; 16]));
    assert!(!cluster.host(2).disk.snapshots.contains_key(&support::key(of)), "the restart is not durable");
    cluster.sync(2);
    say(&mut cluster, 1, 2, chunk(0, &[1; 16]));
    assert_eq!(cluster.host(2).disk.snapshots[&support::key(of)].len(), 16);
}

/// Pieces of a snapshot lie beside the log, so they may outlive a crash that the term they came in does not.
#[test]
fn a_piece_of_a_snapshot_of_a_term_that_was_lost_is_left_alone() {
    for have in [16, 20] {
        let of = SnapshotId { at: at(2, 90), size: 20 };
        let ids = [1, 2, 3].map(node);
        let config = quorate::raft::Config::new(ids[0], &ids);
        let no_records = std::iter::empty::<quorate::raft::Record<'_, u64>>();
        let raft = support::Node::restore(config, 1, quorate::Instant::default(), no_records, &[(of, have)]);
        let status = raft.expect("a crash left that behind").status();
        assert_eq!((status.term, status.commit), (term(0), Index::new(0)));
    }
}

#[test]
fn an_empty_snapshot_brings_a_follower_on() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=30 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    cluster.compact(1, 0);
    cluster.compact(2, 0);
    cluster.propose(1, 31);
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.values(3), [31]);
}

/// Or each double would be answered by another, as fast as the network is, for as long as the disk is slow.
#[test]
fn a_chunk_that_is_being_saved_is_not_asked_for_again() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId { at: at(1, 90), size: 32 };
    let chunk = || Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &[1; 16] };
    let is_have = |flying: &Flying| matches!(flying.message(), Message::Have { offset: 16, .. });
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[], 0));
    cluster.sync(2);
    cluster.flying.clear();
    say(&mut cluster, 1, 2, chunk());
    say(&mut cluster, 1, 2, chunk());
    assert!(!said(&mut cluster, 2, 1).iter().any(|flying| matches!(flying.message(), Message::Have { .. })));
    cluster.sync(2);
    assert!(said(&mut cluster, 2, 1).iter().any(is_have));
    say(&mut cluster, 1, 2, chunk());
    assert!(said(&mut cluster, 2, 1).iter().any(is_have), "the answer may have been lost");
}

#[test]
fn an_empty_snapshot_is_here_only_when_its_record_is_durable() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1)], 0));
    let earlier = cluster.sync_quietly(2).expect("there is something to save");
    let of = SnapshotId { at: at(1, 90), size: 0 };
    say(
        &mut cluster,
        1,
        2,
        Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &[] },
    );
    let now = cluster.now;
    cluster.host(2).raft.handle(now, Input::Saved(earlier));
    assert_eq!(cluster.raft(2).status().commit, Index::new(0));
    cluster.sync(2);
    assert_eq!(cluster.raft(2).status().commit, Index::new(90));
}

#[test]
fn more_voters_than_fit_are_refused_by_all() {
    use quorate::{raft::Config, space::Fixed};
    let ids = [1, 2, 3, 4, 5].map(node);
    for id in ids {
        assert!(Config::<Fixed<3, 64>>::new(id, &ids).check().is_err(), "{id}");
    }
}

/// What did not fit was rejected and sent again at once, for as long as the follower did not compact.
#[test]
fn a_follower_whose_window_is_full_is_tried_again_with_the_heartbeats() {
    let mut cluster = Cluster::with(3, |config| config.append_bytes = 64);
    cluster.elect(1);
    let propose = |cluster: &mut Cluster, values: std::ops::RangeInclusive<u64>| {
        for value in values {
            cluster.propose(1, value);
            cluster.run();
        }
    };
    propose(&mut cluster, 1..=50);
    cluster.compact(1, 16);
    cluster.compact(2, 16);
    propose(&mut cluster, 51..=95);
    let sent = cluster.sent;
    cluster.pass(Duration::from_secs(1));
    assert!(cluster.sent - sent < 300, "{} messages in a second", cluster.sent - sent);
    cluster.compact(3, 16);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.values(3), (1..=95).collect::<Vec<_>>());
}
