//! Votes and terms.

use super::*;

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
