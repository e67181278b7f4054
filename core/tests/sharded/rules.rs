//! Rules that hold in rare schedules only. Each was found broken in a simulated world, or by thinking about one.

use crate::bank::{Pay, Work};
use crate::cluster::{Cluster, Member, Space, group, pay};
use quorate::replicated::Settings;
use quorate::sharded::{self, Outcome, Reason, Request};
use quorate::{Hosted, Instant, Machine, NodeId, Stored};

#[test]
fn a_query_in_line_does_not_see_the_state_before_what_was_told_to_be_done() {
    let mut cluster = Cluster::new(3, 2);
    let ticket = cluster.transact(0, &[(0, pay(1, -30)), (1, pay(2, 30))]);
    while cluster.outcome(0, ticket).is_none() {
        assert!(cluster.deliver_first(), "it is done before all is said");
    }
    assert!(matches!(cluster.outcome(0, ticket), Some(Outcome::Committed { .. })));
    // It is told; and dies before it can tell the other group.
    cluster.crash(0);
    cluster.wire.retain(|letter| letter.from != 0);
    let query = cluster.ask(1, Request::Query { group: group(1), query: 2 });
    cluster.pass(1_000);
    assert!(cluster.outcome(1, query).is_none(), "it waits: {:?}", cluster.outcome(1, query));
    cluster.pass(6_000);
    assert!(
        matches!(cluster.outcome(1, query), Some(Outcome::Answered(130))),
        "{:?}",
        cluster.outcome(1, query)
    );
}

/// For how long a key is locked whose transaction's conductor dies before it is decided, after so many messages.
fn locked_for(count: usize) -> Option<u64> {
    let mut cluster = Cluster::new(3, 3);
    cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
    for _ in 0..count {
        cluster.deliver_first();
    }
    cluster.machine(2).in_doubt().next()?;
    cluster.crash(0);
    cluster.wire.retain(|letter| letter.from != 0);
    let query = cluster.ask(2, Request::Query { group: group(2), query: 2 });
    (1..=2_000).map(|millis| millis * 10).find(|_| {
        cluster.pass(10);
        cluster.outcome(2, query).is_some()
    })
}

#[test]
fn what_a_conductor_that_dies_leaves_locked_is_free_soon() {
    // Both groups have nothing else to do, so it does not take that time goes by at home.
    let all: Vec<_> = (0..40).filter_map(locked_for).collect();
    assert!(all.iter().any(|&millis| millis > 900) && all.iter().all(|&millis| millis <= 1_100), "{all:?}");
}

#[test]
fn who_only_looks_does_not_trust_its_clock() {
    let mut cluster = Cluster::new(3, 3);
    // Its clock stands still, and the home, group 1, hears of it late.
    cluster.stopped.insert(0, cluster.now);
    cluster.held.push((0, 1));
    let look = cluster.transact(0, &[(1, Work::Look(vec![1])), (2, Work::Look(vec![2]))]);
    cluster.pass(1_500);
    // Meanwhile group 2 has given it up, and lets others write.
    let transfer = cluster.transact(1, &[(1, pay(1, -30)), (2, pay(2, 30))]);
    cluster.pass(200);
    assert!(matches!(cluster.outcome(1, transfer), Some(Outcome::Committed { .. })));
    cluster.release();
    cluster.stopped.clear();
    cluster.pass(2_000);
    match cluster.outcome(0, look) {
        Some(Outcome::Committed { gains }) => assert_eq!(gains[0][0] + gains[1][0], 200, "{gains:?}"),
        other => assert!(matches!(other, Some(Outcome::Failed(_))), "{other:?}"),
    }
    cluster.pass(5_000);
    assert!(cluster.is_idle());
}

#[test]
fn who_only_looks_leaves_nothing_to_remember() {
    let mut cluster = Cluster::new(3, 3);
    let look = cluster.transact(0, &[(1, Work::Look(vec![1])), (2, Work::Look(vec![2]))]);
    cluster.settle();
    assert!(
        matches!(cluster.outcome(0, look), Some(Outcome::Committed { gains }) if *gains == [[100], [100]])
    );
    // A decision is forgotten a while after all have heard of it; a look has none.
    assert!(cluster.is_idle());
}

#[test]
fn a_node_that_comes_back_is_not_older_than_all() {
    let mut cluster = Cluster::new(3, 3);
    for _ in 0..5 {
        cluster.transact(2, &[(0, pay(7, -1)), (2, pay(7, 1))]);
        cluster.pass(200);
    }
    cluster.crash(0);
    // It has the promise of one group, and waits for that of another, whose leader is gone.
    let first = cluster.transact(1, &[(0, pay(1, -2)), (1, pay(1, 1)), (2, pay(1, 1))]);
    cluster.settle();
    assert_eq!(cluster.machine(2).in_doubt().count(), 1);
    cluster.start(0);
    cluster.pass(60);
    let second = cluster.transact(0, &[(0, pay(1, -1)), (2, pay(1, 1))]);
    cluster.pass(3_000);
    assert!(matches!(cluster.outcome(1, first), Some(Outcome::Committed { .. })));
    assert!(matches!(cluster.outcome(0, second), Some(Outcome::Committed { .. })));
    assert_eq!(cluster.machine(1).counters().wounded, 0);
}

#[test]
fn what_no_entry_has_room_for_is_refused() {
    let ids = [1].map(NodeId::new);
    let mut settings = Settings::<Space>::new(ids[0], &ids);
    settings.raft.append_bytes = 256;
    let settings = sharded::spread(20, &settings);
    let stored = Stored { records: core::iter::empty::<&[u8]>(), snapshots: &[] };
    let mut machine =
        Member::restore(&settings, 1, Instant::default(), stored).expect("nothing is wrong with it");
    let parts: Vec<_> = (0..20).map(|number| (group(number), pay(1, 0))).collect();
    let refusal =
        machine.request(Instant::default(), Request::Transact { parts }).expect_err("it is too large");
    assert_eq!(refusal.reason, Reason::TooLarge { limit: 0 });
    let Request::Transact { parts } = refusal.request else { panic!("it is handed back") };
    assert!(machine.request(Instant::default(), Request::Transact { parts: parts[..10].to_vec() }).is_ok());
}

#[test]
fn a_node_that_comes_back_tries_again_when_it_thought_it_earlier_than_it_is() {
    let mut cluster = Cluster::new(3, 3);
    cluster.crash(0);
    // Time goes by in a group that is asked, and nothing in its log says so.
    for _ in 0..80 {
        cluster.ask(1, Request::Query { group: group(1), query: 1 });
        cluster.pass(50);
    }
    cluster.start(0);
    cluster.pass(100);
    let ticket = cluster.transact(0, &[(1, pay(1, -30)), (2, pay(2, 30))]);
    cluster.pass(1_000);
    let outcome = cluster.outcome(0, ticket);
    assert!(matches!(outcome, Some(Outcome::Committed { .. })), "{outcome:?}");
    assert_eq!(cluster.machine(0).counters().too_late, 1);
}

/// What comes of a request until nobody has anything more to say: letters, records and syncs of all nodes, and entries.
fn costs(groups: u64, request: impl Fn(&mut Cluster)) -> ([u32; 3], u64) {
    let mut cluster = Cluster::new(3, 3);
    let last = |cluster: &Cluster| {
        let all = cluster.machine(0).groups().iter().take(groups as usize);
        all.map(|(_, group)| group.status().last.get()).sum::<u64>()
    };
    // Sessions are open, and all are awake.
    request(&mut cluster);
    cluster.pass(20);
    let entries = last(&cluster);
    cluster.costs = [0; 3];
    request(&mut cluster);
    cluster.settle();
    (cluster.costs, last(&cluster) - entries)
}

#[test]
fn a_transaction_of_n_groups_costs_two_n_entries_less_one() {
    let command = Pay { account: 1, amount: 1 };
    let single = |cluster: &mut Cluster| {
        cluster.ask(0, Request::Command { group: group(0), command: command.clone() });
    };
    let many = |count: u64| {
        move |cluster: &mut Cluster| {
            let parts: Vec<_> = (0..count).map(|number| (number, pay(1, 0))).collect();
            cluster.transact(0, &parts);
        }
    };
    // Of the entries of a transaction, one that its home forgets it comes later, for up to 64 of them at once.
    assert_eq!(costs(3, single), ([6, 3, 3], 1));
    assert_eq!(costs(3, many(2)), ([20, 9, 9], 3));
    assert_eq!(costs(3, many(3)), ([34, 15, 15], 5));
}

#[test]
fn what_is_begun_again_makes_no_room_for_more() {
    let mut cluster = Cluster::new(3, 3);
    let parts = [0, 1, 2].map(|number| (number, pay(1, 0)));
    // Sessions are open.
    for at in 0..2 {
        cluster.transact(at, &parts);
    }
    cluster.pass(1_000);
    let wounded = cluster.machine(1).counters().wounded;
    // It has the promise of group 2, and not of group 0; and node 0 has not heard of it.
    cluster.held.extend([(1, 0), (2, 0)]);
    cluster.transact(1, &parts);
    cluster.settle();
    let request = |cluster: &mut Cluster| {
        let parts = parts.iter().map(|(number, work)| (group(*number), work.clone())).collect();
        let machine = cluster.nodes[1].machine.as_mut().expect("it is up");
        machine.request(cluster.now, Request::Transact { parts }).map_err(|refusal| refusal.reason)
    };
    let count = (0..).take_while(|_| request(&mut cluster).is_ok()).count();
    assert_eq!(count, 4095);
    // One that is as old, and of a node that goes first.
    cluster.transact(0, &parts);
    cluster.settle();
    assert_eq!(cluster.machine(1).counters().wounded - wounded, 1);
    assert_eq!(request(&mut cluster), Err(Reason::Busy));
}

#[test]
fn a_node_lets_only_so_many_wait() {
    let mut cluster = Cluster::new(3, 64);
    let parts: Vec<_> = (0..64).map(|number| (number, pay(1, 0))).collect();
    cluster.transact(0, &parts);
    while cluster.machine(1).in_doubt().count() < 63 {
        assert!(cluster.deliver_first(), "they promise before all is said");
    }
    cluster.crash(0);
    cluster.wire.retain(|letter| letter.from != 0);
    cluster.pass(900);
    let ask = |cluster: &mut Cluster, number| {
        let machine = cluster.nodes[1].machine.as_mut().expect("it is up");
        let query = Request::Query { group: group(number), query: 1 };
        machine.request(cluster.now, query).map_err(|refusal| refusal.reason)
    };
    // All but group 0, the home, have promised.
    for count in 0..4096 {
        ask(&mut cluster, 1 + count % 63).expect("there is room");
        if count % (63 * 32) == 0 {
            cluster.drain(1);
            cluster.settle();
        }
    }
    cluster.drain(1);
    cluster.settle();
    assert_eq!(cluster.machine(1).counters().looked, 4096);
    assert_eq!(ask(&mut cluster, 7), Err(Reason::Busy));
    cluster.pass(8_000);
    assert!(ask(&mut cluster, 7).is_ok() && cluster.is_idle());
}

#[test]
fn where_a_group_belongs_does_not_depend_on_the_order_in_which_nodes_are_named() {
    let ids = [1, 2, 3].map(NodeId::new);
    let homes = |named: &[NodeId]| sharded::spread(5, &Settings::<Space>::new(ids[1], named)).homes;
    assert_eq!(homes(&[ids[1], ids[0], ids[2]]), homes(&ids));
    assert_eq!(homes(&ids).last(), Some(&(group(4), ids[1])));
}

#[test]
fn what_was_promised_when_it_was_over_is_not_done_again() {
    let mut cluster = Cluster::new(3, 3);
    // Node 2 has decided, and cannot tell group 1.
    cluster.transact(2, &[(2, pay(9, 0)), (1, pay(1, 0))]);
    while cluster.machine(2).in_doubt().next().is_none() {
        assert!(cluster.deliver_first(), "it promises before all is said");
    }
    cluster.held.push((2, 1));
    let ticket = cluster.transact(0, &[(2, pay(1, -30)), (1, pay(1, 30))]);
    cluster.settle();
    // Node 0 waits for group 1, and asks again after a while,
    cluster.held.push((0, 1));
    cluster.pass(110);
    let mut asked = core::mem::take(&mut cluster.kept);
    // when its turn has just come. What it says to that is lost.
    cluster.held.retain(|link| *link == (0, 1));
    let told = asked.extract_if(.., |letter| letter.from == 2);
    cluster.wire.extend(told);
    cluster.pass(20);
    cluster.kept.clear();
    cluster.held.clear();
    cluster.wire.extend(asked);
    while cluster.outcome(0, ticket).is_none() {
        assert!(cluster.deliver_first(), "it is done before all is said");
    }
    assert!(matches!(cluster.outcome(0, ticket), Some(Outcome::Committed { .. })));
    // Meanwhile group 1 learns from others that it is done.
    cluster.cut.push((0, 1));
    cluster.pass(4_000);
    assert_eq!(cluster.balance(1, 1, 1), 130);
    assert!(cluster.machine(1).counters().rescued + cluster.machine(2).counters().swept > 0);
    cluster.cut.clear();
    cluster.pass(8_000);
    assert_eq!(cluster.balance(1, 1, 1), 130);
    assert!(cluster.is_idle());
}

#[test]
fn what_waits_in_a_group_that_is_lost_ends() {
    let mut cluster = Cluster::new(3, 2);
    cluster.transact(0, &[(0, pay(1, -30)), (1, pay(2, 30))]);
    while cluster.machine(1).in_doubt().next().is_none() {
        assert!(cluster.deliver_first(), "it promises before all is said");
    }
    cluster.crash(0);
    cluster.wire.retain(|letter| letter.from != 0);
    cluster.pass(800);
    let command = |account| Request::Command { group: group(1), command: Pay { account, amount: 1 } };
    let query = Request::Query { group: group(1), query: 2 };
    let waiting = [cluster.ask(1, command(2)), cluster.ask(1, query)];
    cluster.settle();
    assert_eq!(cluster.machine(1).counters().lined_up + cluster.machine(1).counters().looked, 2);
    // And there is no room to ask it for anything.
    cluster.crash(2);
    let machine = cluster.nodes[1].machine.as_mut().expect("it is up");
    while machine.request(cluster.now, command(3)).is_ok() {}
    cluster.drain(1);
    cluster.pass(20_000);
    for ticket in waiting {
        let outcome = cluster.outcome(1, ticket);
        assert!(matches!(outcome, Some(Outcome::Failed(_))), "{outcome:?}");
    }
}

#[test]
fn a_node_whose_transactions_would_have_the_names_of_what_waits_is_refused() {
    let settings = sharded::spread(2, &Settings::<Space>::new(NodeId::new(0), &[NodeId::new(0)]));
    let stored = Stored { records: core::iter::empty::<&[u8]>(), snapshots: &[] };
    assert!(Member::restore(&settings, 1, Instant::default(), stored).is_err());
}

#[test]
fn who_asks_for_all_that_a_group_has_room_for_holds_no_transaction_up() {
    let mut cluster = Cluster::new(3, 2);
    let fill = |cluster: &mut Cluster| {
        let machine = cluster.nodes[1].machine.as_mut().expect("it is up");
        let command = || Request::Command { group: group(0), command: Pay { account: 9, amount: 0 } };
        let query = || Request::Query { group: group(0), query: 9 };
        while machine.request(cluster.now, command()).is_ok() {}
        while machine.request(cluster.now, query()).is_ok() {}
    };
    fill(&mut cluster);
    let ticket = cluster.transact(1, &[(0, pay(1, -30)), (1, pay(2, 30))]);
    for _ in 0..100 {
        fill(&mut cluster);
        cluster.step();
        for _ in 0..100 {
            cluster.deliver_first();
            fill(&mut cluster);
        }
    }
    let outcome = cluster.outcome(1, ticket);
    assert!(matches!(outcome, Some(Outcome::Committed { .. })), "{outcome:?}");
}
