//! Transactions across groups, through `Machine` only.

mod bank;
mod bytes;
mod cluster;
mod home;
mod images;
mod keys;
mod rules;

use bank::{Overdrawn, Pay, Work};
use cluster::{Cluster, group, pay};
use quorate::Machine;
use quorate::sharded::{Failure, Outcome, Reason, Request};

#[test]
fn leaders_of_groups_are_spread_over_the_nodes() {
    let cluster = Cluster::new(3, 6);
    let leaders: Vec<_> = (0..6).map(|number| cluster.leader(number)).collect();
    assert_eq!(leaders, [0, 1, 2, 0, 1, 2].map(Some));
}

#[test]
fn a_transfer_between_groups_is_seen_in_both() {
    let mut cluster = Cluster::new(3, 3);
    let ticket = cluster.transact(1, &[(0, pay(1, -30)), (2, pay(2, 30))]);
    cluster.settle();
    assert!(
        matches!(cluster.outcome(1, ticket), Some(Outcome::Committed { gains }) if *gains == [[70], [130]])
    );
    cluster.pass(1_000);
    for at in 0..3 {
        assert_eq!((cluster.balance(at, 0, 1), cluster.balance(at, 2, 2)), (70, 130));
    }
    assert!(cluster.is_idle());
}

#[test]
fn what_one_group_objects_to_happens_in_none() {
    let mut cluster = Cluster::new(3, 3);
    let ticket = cluster.transact(0, &[(0, pay(1, 130)), (1, pay(2, -130))]);
    cluster.settle();
    let outcome = cluster.outcome(0, ticket);
    assert!(matches!(outcome, Some(Outcome::Aborted { group: at, objection: Overdrawn }) if *at == group(1)));
    cluster.pass(1_000);
    assert_eq!((cluster.balance(2, 0, 1), cluster.balance(2, 1, 2)), (100, 100));
    assert!(cluster.is_idle());
}

#[test]
fn what_waits_for_a_transaction_follows_it() {
    let mut cluster = Cluster::new(3, 2);
    let ticket = cluster.transact(0, &[(0, pay(1, -30)), (1, pay(2, 30))]);
    let command =
        cluster.ask(0, Request::Command { group: group(0), command: Pay { account: 1, amount: 1 } });
    let query = cluster.ask(0, Request::Query { group: group(0), query: 1 });
    let again = cluster.transact(2, &[(1, pay(2, 5)), (0, pay(1, -5))]);
    cluster.pass(2_000);
    assert!(matches!(cluster.outcome(0, ticket), Some(Outcome::Committed { .. })));
    assert!(
        matches!(cluster.outcome(0, command), Some(Outcome::Replied { .. })),
        "{:?}",
        cluster.outcome(0, command)
    );
    assert!(
        matches!(cluster.outcome(0, query), Some(Outcome::Answered(_))),
        "{:?}",
        cluster.outcome(0, query)
    );
    assert!(
        matches!(cluster.outcome(2, again), Some(Outcome::Committed { .. })),
        "{:?}",
        cluster.outcome(2, again)
    );
    assert_eq!((cluster.balance(1, 0, 1), cluster.balance(1, 1, 2)), (66, 135));
    cluster.pass(1_000);
    assert!(cluster.is_idle());
}

#[test]
fn many_who_want_the_same_all_get_their_turn() {
    let mut cluster = Cluster::new(3, 3);
    let mut tickets = Vec::new();
    for round in 0..10 {
        for at in 0..3 {
            let (from, to) = ((at as u64 + round) % 3, (at as u64 + round + 1) % 3);
            tickets.push((at, cluster.transact(at, &[(from, pay(0, -1)), (to, pay(0, 1))])));
            cluster.ask(at, Request::Command { group: group(from), command: Pay { account: 0, amount: 0 } });
        }
    }
    cluster.pass(5_000);
    for (at, ticket) in tickets {
        let outcome = cluster.outcome(at, ticket);
        assert!(matches!(outcome, Some(Outcome::Committed { .. })), "{outcome:?}");
    }
    assert_eq!((0..3).map(|number| cluster.balance(0, number, 0)).sum::<i64>(), 300);
    cluster.pass(1_000);
    assert!(cluster.is_idle());
}

/// A transfer from one group to another, conducted by node 0. Checks that it is done in both or in none, on all nodes that
/// are up, and that it is what the conductor said, if it said anything.
fn ends_alike(cluster: &mut Cluster, ticket: quorate::sharded::Ticket, up: &[usize], when: &str) -> bool {
    let balances = (cluster.balance(up[0], 1, 1), cluster.balance(up[0], 2, 2));
    for &at in up {
        assert_eq!((cluster.balance(at, 1, 1), cluster.balance(at, 2, 2)), balances, "{when}");
    }
    let is_done = balances == (70, 130);
    assert!(is_done || balances == (100, 100), "{when}: {balances:?}");
    match cluster.outcome(0, ticket) {
        Some(Outcome::Committed { .. }) => assert!(is_done, "{when}: told, and not done"),
        Some(Outcome::Aborted { .. } | Outcome::Failed(Failure::TimedOut | Failure::Full)) => {
            assert!(!is_done, "{when}: done, and told otherwise");
        }
        Some(_) | None => {}
    }
    assert!(cluster.is_idle(), "{when}");
    is_done
}

/// Each node in turn dies after each number of messages of a transfer.
fn dies_after_each_message(back_after: u64, mut check: impl FnMut(&mut Cluster, usize, bool)) {
    for victim in 0..3 {
        for count in 0..70 {
            let mut cluster = Cluster::new(3, 3);
            let ticket = cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
            for _ in 0..count {
                cluster.deliver_first();
            }
            cluster.crash(victim);
            cluster.pass(back_after);
            if back_after < 10_000 {
                cluster.start(victim);
            }
            cluster.pass(10_000);
            let up: Vec<_> = (0..3).filter(|&at| cluster.nodes[at].machine.is_some()).collect();
            let when = format!("node {victim} after {count} messages");
            let is_done = ends_alike(&mut cluster, ticket, &up, &when);
            check(&mut cluster, victim, is_done);
        }
    }
}

#[test]
fn a_transaction_ends_the_same_way_everywhere_whoever_dies() {
    let mut ends = [0; 2];
    dies_after_each_message(10_000, |cluster, victim, is_done| {
        ends[usize::from(is_done)] += 1;
        cluster.start(victim);
        cluster.pass(3_000);
        let ticket = cluster.transact(0, &[(1, Work::Look(vec![1])), (2, Work::Look(vec![2]))]);
        cluster.pass(100);
        let gains = if is_done { [[70], [130]] } else { [[100], [100]] };
        let outcome = cluster.outcome(0, ticket);
        assert!(matches!(outcome, Some(Outcome::Committed { gains: told }) if *told == gains), "{outcome:?}");
    });
    assert!(ends[0] > 5 && ends[1] > 5, "both ends are met: {ends:?}");
}

#[test]
fn a_transaction_ends_the_same_way_everywhere_whoever_comes_back() {
    dies_after_each_message(100, |_, _, _| {});
}

#[test]
fn all_die_together_and_come_back() {
    for count in 0..70 {
        let mut cluster = Cluster::new(3, 3);
        let ticket = cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
        for _ in 0..count {
            cluster.deliver_first();
        }
        let was_told = matches!(cluster.outcome(0, ticket), Some(Outcome::Committed { .. }));
        (0..3).for_each(|at| cluster.crash(at));
        cluster.wire.clear();
        (0..3).for_each(|at| cluster.start(at));
        cluster.pass(10_000);
        let is_done = ends_alike(&mut cluster, ticket, &[0, 1, 2], &format!("after {count} messages"));
        assert!(is_done || !was_told, "after {count} messages: told, and not done");
    }
}

#[test]
fn an_older_one_takes_what_a_younger_one_holds_and_both_get_it() {
    let mut cluster = Cluster::new(3, 2);
    // Each has promised in one group, and wants what the other holds.
    let [first, second] = [(0, 1), (1, 0)]
        .map(|(from, to)| cluster.transact(from as usize, &[(from, pay(1, -1)), (to, pay(1, 1))]));
    cluster.pass(1_000);
    for (at, ticket) in [(0, first), (1, second)] {
        let outcome = cluster.outcome(at, ticket);
        assert!(matches!(outcome, Some(Outcome::Committed { .. })), "{outcome:?}");
    }
    cluster.pass(1_000);
    assert!(cluster.is_idle());
}

#[test]
fn commands_of_one_node_that_conflict_keep_their_order() {
    let mut cluster = Cluster::new(3, 2);
    cluster.transact(1, &[(0, pay(1, -30)), (1, pay(1, 30))]);
    let tickets: Vec<_> = (0..20)
        .map(|_| {
            for _ in 0..3 {
                cluster.deliver_first();
            }
            cluster.ask(2, Request::Command { group: group(0), command: Pay { account: 1, amount: 1 } })
        })
        .collect();
    cluster.pass(4_000);
    let replies: Vec<_> = tickets
        .iter()
        .map(|&ticket| match cluster.outcome(2, ticket) {
            Some(Outcome::Replied { reply, .. }) => *reply,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(replies.is_sorted(), "{replies:?}");
}

#[test]
fn what_is_forced_is_settled_and_contradictions_are_told() {
    for commit in [false, true] {
        let mut cluster = Cluster::new(3, 3);
        cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
        while cluster.machine(1).in_doubt().next().is_none() {
            assert!(cluster.deliver_first(), "it promises before all is said");
        }
        // Before it can have it decided.
        cluster.crash(0);
        cluster.wire.retain(|letter| letter.from != 0);
        cluster.pass(500);
        let doubt = cluster.machine(1).in_doubt().next().expect("it is in doubt");
        assert_eq!((doubt.group, doubt.home), (group(2), group(1)), "a home promises nothing");
        let tx = doubt.tx;
        let ticket = cluster.ask(1, Request::Force { group: group(2), tx, commit });
        cluster.pass(100);
        assert!(
            matches!(cluster.outcome(1, ticket), Some(Outcome::Forced(Some(forced))) if *forced == commit)
        );
        assert_eq!(cluster.balance(1, 2, 2), if commit { 130 } else { 100 });
        let doubt: Vec<_> = cluster.nodes[1].machine.as_ref().expect("it is up").in_doubt().collect();
        assert!(doubt.iter().any(|doubt| doubt.group == group(2) && doubt.forced == Some(commit)));
        cluster.pass(10_000);
        // Nobody decided to do it.
        assert_eq!(cluster.balance(1, 1, 1), 100);
        assert_eq!(cluster.nodes[1].contradicted, u32::from(commit));
        assert!(cluster.is_idle());
    }
}

#[test]
fn bad_requests_are_handed_back_with_a_reason() {
    let mut cluster = Cluster::new(3, 2);
    let machine = cluster.nodes[0].machine.as_mut().expect("it is up");
    let mut refused = |parts: Vec<(u64, Work)>| {
        let parts: Vec<_> = parts.into_iter().map(|(number, work)| (group(number), work)).collect();
        let count = parts.len();
        let refusal = machine.request(cluster.now, Request::Transact { parts }).expect_err("bad");
        assert!(matches!(refusal.request, Request::Transact { parts } if parts.len() == count));
        refusal.reason
    };
    assert_eq!(refused(vec![]), Reason::Empty);
    assert_eq!(refused(vec![(0, pay(1, 1)), (0, pay(2, 1))]), Reason::Twice(group(0)));
    assert_eq!(refused(vec![(0, pay(1, 1)), (7, pay(2, 1))]), Reason::NotHosted(group(7)));
    assert_eq!(refused(vec![(7, pay(1, 1))]), Reason::NotHosted(group(7)));
    assert_eq!(refused((0..65).map(|number| (number, pay(1, 1))).collect()), Reason::TooMany { limit: 64 });
}
