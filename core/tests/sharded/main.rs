//! Transactions across groups, through `Machine` only.

mod bank;
mod cluster;

use bank::{Overdrawn, Pay, Work};
use cluster::{Cluster, group, pay};
use quorate::sharded::{Outcome, Request};

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

#[test]
fn a_transaction_whose_conductor_dies_ends_the_same_way_everywhere() {
    // The conductor dies after each number of messages.
    for count in 0..60 {
        let mut cluster = Cluster::new(3, 3);
        cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
        for _ in 0..count {
            cluster.deliver_first();
        }
        cluster.crash(0);
        cluster.pass(10_000);
        let balances = (cluster.balance(1, 1, 1), cluster.balance(1, 2, 2));
        assert!([(70, 130), (100, 100)].contains(&balances), "after {count} messages: {balances:?}");
        assert!(cluster.is_idle(), "after {count} messages");
        cluster.start(0);
        cluster.pass(3_000);
        assert_eq!((cluster.balance(0, 1, 1), cluster.balance(0, 2, 2)), balances);
        let ticket = cluster.transact(0, &[(1, Work::Look(vec![1])), (2, Work::Look(vec![2]))]);
        cluster.settle();
        let gains = [[balances.0], [balances.1]];
        assert!(
            matches!(cluster.outcome(0, ticket), Some(Outcome::Committed { gains: told }) if *told == gains)
        );
    }
}
