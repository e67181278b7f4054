//! Append, commit, truncation.

use super::*;

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

/// Entries that a snapshot covers are not compared, but the last of them is known. A log that went on with an earlier
/// term would be a fault at the next restart.
#[test]
fn a_log_does_not_go_on_from_a_snapshot_with_an_earlier_term() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(2, Position::ORIGIN, &[entry(2, 1), entry(2, 2)], 2));
    cluster.sync(2);
    cluster.compact(2, 8);
    say(&mut cluster, 1, 2, append(2, at(1, 1), &[entry(1, 66), entry(1, 67)], 2));
    cluster.sync(2);
    assert_eq!(cluster.raft(2).counters().nonsense, 1);
    assert_eq!(cluster.raft(2).status().last.get(), 2);
    cluster.restart(2);
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
