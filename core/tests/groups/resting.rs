//! Groups that have nothing to do, and what wakes them.

use super::support::*;
use quorate::groups::{Message, Resting, Settings};
use quorate::raft::Role;
use quorate::replicated::{self, Outcome};
use quorate::{Batch, Hosted, Index, Input, Machine, NodeId, Position, Term};
use std::time::Duration;

/// Leaders of the four groups.
fn leaders(cluster: &Cluster) -> Vec<NodeId> {
    (0..4).map(|of| cluster.leader(of)).collect()
}

/// A node that leads a group, and the group.
fn led(cluster: &Cluster) -> (NodeId, u64) {
    (cluster.leader(0), 0)
}

#[test]
fn a_group_that_rests_sends_nothing_and_wants_no_waking() {
    let mut cluster = Cluster::at_rest(four);
    let leaders = leaders(&cluster);
    let before: Vec<_> = cluster.hosts.iter().map(|host| host.wakes).collect();
    cluster.pass(10 * SECOND);
    cluster.assert_at_rest();
    assert!(cluster.sent.iter().all(Flying::is_beat), "only nodes speak, not groups");
    for (host, before) in cluster.hosts.iter().zip(before) {
        let (wakes, leads) = (host.wakes - before, leaders.contains(&host.id));
        assert_eq!(wakes, if leads { 100 } else { 0 }, "{} leads: {leads}", host.id);
        let beats = cluster.sent.iter().filter(|sent| sent.from == host.id).count();
        assert_eq!(beats, if leads { 200 } else { 0 }, "one to each other node that follows");
    }
}

#[test]
fn without_resting_groups_there_are_no_beats() {
    let mut cluster = Cluster::new(|id| Settings { grace: Duration::MAX, ..settings(id, 4) });
    cluster.pass(10 * SECOND);
    assert!(!cluster.sent.iter().any(|sent| sent.is_beat() || sent.is_rest()));
    assert!(cluster.hosts.iter().all(|host| host.node.resting() == 0));
}

#[test]
fn a_group_rests_only_after_its_grace() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    cluster.ask(leader, of, add(1));
    cluster.pass(Duration::from_millis(119));
    assert!(!cluster.node(leader).is_resting(group(of)));
    cluster.pass(Duration::from_millis(120));
    assert!(cluster.node(leader).is_resting(group(of)));
}

#[test]
fn what_is_asked_of_any_node_wakes_its_group_and_no_other() {
    let mut cluster = Cluster::at_rest(four);
    for id in NODES {
        let ticket = cluster.ask(id, 2, add(1));
        cluster.run_but(&|_| false);
        assert!(
            cluster.host(id).outcomes.contains_key(&ticket),
            "it is done as fast as by one that is awake"
        );
        for other in [0, 1, 3] {
            assert!(NODES.into_iter().all(|id| cluster.node(id).is_resting(group(other))));
        }
        cluster.pass(SECOND);
        cluster.assert_at_rest();
    }
}

#[test]
fn a_query_is_answered_by_a_group_that_rested() {
    let mut cluster = Cluster::at_rest(four);
    for id in NODES {
        let ticket = cluster.ask(id, 1, replicated::Request::Query(()));
        cluster.run_but(&|_| false);
        let outcome = cluster.host(id).outcomes.remove(&ticket);
        assert!(matches!(outcome, Some(Outcome::Answered(0))), "{outcome:?}");
        cluster.pass(SECOND);
        cluster.assert_at_rest();
    }
}

#[test]
fn what_is_refused_wakes_nobody() {
    let mut cluster = Cluster::at_rest(|id| {
        let mut settings = four(id);
        settings.groups.iter_mut().for_each(|(_, settings)| {
            settings.raft.append_bytes = 64;
            settings.snapshot_bytes = 1;
        });
        settings
    });
    let now = cluster.now;
    let request = quorate::groups::Request { group: group(1), request: add(1) };
    cluster.host(NODES[0]).node.request(now, request).expect_err("it is too large");
    cluster.assert_at_rest();
}

#[test]
fn a_group_whose_application_waits_for_a_moment_does_not_rest() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    cluster.ask(leader, of, replicated::Request::Command(Ask::Alarm(3 * SECOND)));
    cluster.pass(2 * SECOND);
    assert!(NODES.into_iter().all(|id| !cluster.node(id).is_resting(group(of))));
    cluster.pass(2 * SECOND);
    assert!(cluster.hosts.iter().all(|host| host.notices.len() == 1), "it rang everywhere");
    cluster.pass(SECOND);
    cluster.assert_at_rest();
}

#[test]
fn the_clock_of_a_group_stands_still_while_it_rests() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let time = |cluster: &Cluster| cluster.node(leader).get(group(of)).map(|member| member.time());
    let before = time(&cluster).expect("it is hosted");
    cluster.pass(1000 * SECOND);
    cluster.add(leader, of, 1);
    let after = time(&cluster).expect("it is hosted");
    assert!(after > before && after.since(before) < 2 * SECOND, "{before:?} {after:?}");
}

#[test]
fn a_leader_that_rested_does_not_step_down_when_it_wakes_up() {
    let mut cluster = Cluster::at_rest(four);
    for round in 0..50 {
        let (leader, of) = led(&cluster);
        let before = cluster.status(leader, of);
        cluster.pass(Duration::from_millis(700 + 7 * round));
        cluster.ask(leader, of, add(1));
        cluster.pass(SECOND);
        cluster.assert_at_rest();
        let after = cluster.status(leader, of);
        assert_eq!((after.role, after.term), (Role::Leader, before.term));
    }
}

#[test]
fn when_the_node_of_its_leader_dies_a_group_elects_another() {
    let mut cluster = Cluster::at_rest(four);
    let (dead, of) = led(&cluster);
    cluster.crash(dead);
    cluster.pass(2 * SECOND);
    let leader = cluster.leader(of);
    assert_ne!(leader, dead);
    assert_eq!(cluster.add(leader, of, 4), 4);
}

#[test]
fn where_a_node_is_down_the_others_rest_without_it() {
    let mut cluster = Cluster::at_rest(four);
    let (dead, of) = led(&cluster);
    cluster.crash(dead);
    cluster.pass(10 * SECOND);
    for id in NODES.into_iter().filter(|&id| id != dead) {
        assert_eq!(cluster.node(id).resting(), 4);
    }
    let leader = cluster.leader(of);
    cluster.add(leader, of, 4);
    cluster.pass(3 * SECOND);
    cluster.sent.clear();
    cluster.pass(10 * SECOND);
    assert!(cluster.sent.iter().all(Flying::is_beat), "it has what the dead one has not, and rests");
    for of in 0..4 {
        let leader = cluster.leader(of);
        cluster.add(leader, of, 4);
    }
    cluster.pass(3 * SECOND);
    cluster.sent.clear();
    cluster.pass(3 * SECOND);
    assert!(!cluster.sent.is_empty());
    assert!(cluster.sent.iter().all(|sent| sent.to != dead), "it is not spoken to");
    cluster.restart(dead);
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    let total = cluster.node(dead).get(group(of)).map(|member| member.application().total);
    assert_eq!(total, Some(8), "it was brought on before it rested");
}

#[test]
fn a_follower_that_comes_back_finds_the_leader_that_rests() {
    let mut cluster = Cluster::at_rest(four);
    let leaders = leaders(&cluster);
    for id in NODES {
        let statuses: Vec<_> = (0..4).map(|of| cluster.status(cluster.leader(of), of)).collect();
        if leaders.contains(&id) {
            continue;
        }
        cluster.crash(id);
        cluster.pass(SECOND);
        cluster.restart(id);
        cluster.pass(5 * SECOND);
        cluster.assert_at_rest();
        for (of, before) in (0..4).zip(statuses) {
            assert_eq!(cluster.status(before.id, of).term, before.term, "nobody was deposed");
            assert_eq!(cluster.status(id, of).leader, Some(before.id));
        }
    }
}

#[test]
fn a_leader_that_comes_back_at_once_leads_no_more_and_somebody_does() {
    let mut cluster = Cluster::at_rest(four);
    let (id, of) = led(&cluster);
    cluster.crash(id);
    cluster.restart(id);
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    cluster.add(id, of, 3);
    assert!(leaders(&cluster).len() == 4);
}

#[test]
fn a_beat_of_another_life_wakes_what_its_sender_led() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    let now = cluster.now;
    let message = Message::Beat { life: 77, resting: 4 };
    cluster.host(follower).node.handle(now, Input::Message { from: leader, message });
    for other in 0..4 {
        let expected = cluster.leader(other) != leader && cluster.leader(other) != follower;
        assert_eq!(cluster.node(follower).is_resting(group(other)), expected, "group {other}");
    }
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
}

#[test]
fn a_beat_of_another_life_wakes_where_its_sender_follows() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    let now = cluster.now;
    let beat = |life| Input::Message { from: follower, message: Message::Beat { life, resting: 4 } };
    let node = &mut cluster.host(leader).node;
    node.handle(now, beat(1));
    node.handle(now, beat(2));
    assert!(!node.is_resting(group(of)), "it may know nobody");
}

#[test]
fn a_node_that_says_for_long_that_fewer_rest_is_not_believed_to_lead() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    let life = cluster.sent_life(leader).expect("it beats");
    let led = (0..4).filter(|&of| cluster.leader(of) == leader).count() as u64;
    let now = cluster.now;
    for _ in 0..4 {
        let message = Message::Beat { life, resting: led - 1 };
        cluster.host(follower).node.handle(now, Input::Message { from: leader, message });
        assert!(cluster.node(follower).is_resting(group(of)), "what wakes it may be on its way");
    }
    let message = Message::Beat { life, resting: led - 1 };
    cluster.host(follower).node.handle(now, Input::Message { from: leader, message });
    assert!(!cluster.node(follower).is_resting(group(of)));
}

#[test]
fn a_group_whose_leader_is_cut_off_elects_another_and_the_old_one_answers_nothing_old() {
    let mut cluster = Cluster::at_rest(four);
    let (old, of) = led(&cluster);
    let cut = move |flying: &Flying| flying.from == old || flying.to == old;
    cluster.pass_but(2 * SECOND, &cut);
    let others: Vec<_> = NODES.into_iter().filter(|&id| id != old).collect();
    let new = others.iter().copied().find(|&id| cluster.status(id, of).role == Role::Leader);
    let new = new.expect("the others elected one");
    let ticket = cluster.ask(new, of, add(9));
    cluster.pass_but(5 * SECOND, &cut);
    assert!(cluster.host(new).outcomes.contains_key(&ticket));
    assert!(cluster.node(new).is_resting(group(of)), "they rest without the old one");
    assert_eq!(cluster.status(old, of).role, Role::Leader, "it has not heard yet");
    assert!(cluster.node(old).is_resting(group(of)));
    // A read there wakes it, and finds nobody to confirm it.
    let ticket = cluster.ask(old, of, replicated::Request::Query(()));
    cluster.pass_but(Duration::from_millis(100), &cut);
    assert!(!cluster.host(old).outcomes.contains_key(&ticket));
    cluster.pass(Duration::from_secs(2));
    let outcome = cluster.host(old).outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Answered(9))), "{outcome:?}");
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
}

#[test]
fn two_that_rest_and_believe_that_they_lead_find_each_other() {
    let mut cluster = Cluster::at_rest(four);
    let (old, of) = led(&cluster);
    let cut = move |flying: &Flying| flying.from == old || flying.to == old;
    cluster.pass_but(5 * SECOND, &cut);
    let new = NODES.into_iter().find(|&id| id != old && cluster.status(id, of).role == Role::Leader);
    let new = new.expect("the others elected one");
    for id in [old, new] {
        assert!(cluster.node(id).is_resting(group(of)) && cluster.status(id, of).role == Role::Leader);
    }
    cluster.pass(3 * SECOND);
    cluster.assert_at_rest();
    assert_eq!(cluster.status(old, of).leader, Some(new));
}

#[test]
fn a_rest_that_one_does_not_hear_costs_nobody_the_lead() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let [first, second] = cluster.followers(of);
    let term = cluster.status(leader, of).term;
    cluster.ask(leader, of, add(1));
    cluster.pass_but(Duration::from_millis(300), &|flying| flying.is_rest() && flying.to == first);
    assert!(cluster.node(leader).is_resting(group(of)) && cluster.node(second).is_resting(group(of)));
    assert!(!cluster.node(first).is_resting(group(of)));
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    assert_eq!(cluster.status(leader, of).term, term);
}

#[test]
fn a_rest_that_nobody_hears_ends_with_a_leader_and_a_rest() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    cluster.ask(leader, of, add(1));
    cluster.pass_but(Duration::from_millis(300), &Flying::is_rest);
    assert!(cluster.node(leader).is_resting(group(of)));
    assert!(cluster.followers(of).into_iter().all(|id| !cluster.node(id).is_resting(group(of))));
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    let leader = cluster.leader(of);
    assert_eq!(cluster.add(leader, of, 1), 2);
}

#[test]
fn a_follower_rests_only_in_the_state_in_which_its_leader_does() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    cluster.add(leader, of, 1);
    cluster.assert_at_rest();
    let status = cluster.status(leader, of);
    let life = cluster.sent_life(leader).expect("it beats");
    let at = |term: u64, index: u64| Position { term: Term::new(term), index: Index::new(index) };
    let (term, last) = (status.term.get(), status.last.get());
    let wrong = [
        (term, at(term, last - 1)),
        (term, at(term, last + 1)),
        (term + 1, at(term, last)),
        (term, at(term - 1, last)),
    ];
    for (say, (term, last)) in wrong.into_iter().enumerate() {
        let now = cluster.now;
        // It was told something, and is awake.
        let ticket = cluster.ask(follower, of, replicated::Request::Query(()));
        cluster.run_but(&|_| false);
        assert!(cluster.host(follower).outcomes.remove(&ticket).is_some());
        let groups = [Resting { group: group(of), term: Term::new(term), last, heir: None }];
        let message = Message::Rest { life, groups: Batch::of(&groups) };
        cluster.host(follower).node.handle(now, Input::Message { from: leader, message });
        cluster.drain(follower);
        assert!(!cluster.node(follower).is_resting(group(of)), "{say}");
    }
    let groups = [Resting { group: group(of), term: status.term, last: at(term, last), heir: None }];
    let message = || Message::Rest { life, groups: Batch::of(&groups) };
    let (now, other) = (cluster.now, cluster.followers(of)[1]);
    cluster.host(follower).node.handle(now, Input::Message { from: other, message: message() });
    cluster.drain(follower);
    assert!(!cluster.node(follower).is_resting(group(of)), "somebody else says so");
    cluster.host(follower).node.handle(now, Input::Message { from: leader, message: message() });
    cluster.drain(follower);
    assert!(cluster.node(follower).is_resting(group(of)));
}

#[test]
fn a_late_rest_of_a_leader_that_went_on_keeps_nobody_back() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    cluster.ask(leader, of, add(1));
    cluster.pass(SECOND);
    let rests: Vec<_> =
        cluster.sent.iter().filter(|sent| sent.is_rest() && sent.to == follower).cloned().collect();
    cluster.ask(leader, of, add(1));
    let entry_is_lost = move |flying: &Flying| flying.to == follower && flying.is_of(of);
    cluster.pass_but(Duration::from_millis(10), &entry_is_lost);
    rests.iter().for_each(|rest| cluster.deliver(rest));
    assert!(cluster.node(follower).is_resting(group(of)), "it has heard nothing else");
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    assert_eq!(cluster.node(follower).get(group(of)).map(|member| member.application().total), Some(2));
}

#[test]
fn a_pre_vote_wakes_those_who_rest_and_deposes_nobody() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let [first, second] = cluster.followers(of);
    let term = cluster.status(leader, of).term;
    // It is cut off from its leader's node alone, for longer than it waits for it.
    let cut = move |flying: &Flying| flying.is_between(leader, first);
    cluster.pass_but(Duration::from_millis(900), &cut);
    assert!(!cluster.node(first).is_resting(group(of)));
    assert!(!cluster.node(second).is_resting(group(of)), "it was asked");
    assert_eq!(cluster.status(leader, of).term, term);
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
}

#[test]
fn a_bridge_between_two_that_do_not_hear_each_other_ends_with_a_leader() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let [first, second] = cluster.followers(of);
    let cut = move |flying: &Flying| flying.is_between(leader, first);
    cluster.pass_but(10 * SECOND, &cut);
    let ticket = cluster.ask(second, of, add(1));
    cluster.pass_but(3 * SECOND, &cut);
    let outcome = cluster.host(second).outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Replied { .. })), "{outcome:?}");
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
}

#[test]
fn a_node_that_was_paused_goes_on() {
    let mut cluster = Cluster::at_rest(four);
    for id in NODES {
        // Nothing reaches it, and it is not woken.
        cluster.host(id).up = false;
        let paused = move |flying: &Flying| flying.to == id;
        cluster.pass_but(10 * SECOND, &paused);
        cluster.host(id).up = true;
        cluster.pass(5 * SECOND);
        cluster.assert_at_rest();
        for of in 0..4 {
            let statuses = NODES.map(|id| (cluster.status(id, of).leader, cluster.status(id, of).term));
            assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
        }
    }
}

#[test]
fn thousands_rest_in_few_words() {
    let mut cluster = Cluster::new(|id| settings(id, 1000));
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    cluster.sent.clear();
    cluster.pass(SECOND);
    assert!(cluster.sent.iter().all(Flying::is_beat));
    assert!(cluster.sent.len() <= 60);
}

#[test]
fn those_that_begin_to_rest_at_once_are_named_in_messages_of_bounded_length() {
    // All have one leader, and begin to rest when it is next polled.
    let mut cluster = Cluster::new(|id| {
        let mut settings = Settings { grace: 2 * SECOND, ..settings(id, 600) };
        settings.groups.iter_mut().for_each(|(_, settings)| {
            // The others stand for election later.
            settings.raft.election_timeout *= if id == NODES[0] { 1 } else { 2 };
        });
        settings
    });
    cluster.pass(2 * SECOND);
    assert!((0..600).all(|of| cluster.leader(of) == NODES[0]), "it is the first");
    // It gets answers late, and then many at once.
    let mut answers = Vec::new();
    for round in 0..60 {
        cluster.now = cluster.now.after(Duration::from_millis(70));
        let now = cluster.now;
        cluster.host(NODES[0]).node.handle(now, Input::Wake);
        cluster.drain(NODES[0]);
        while let Some(flying) = cluster.flying.pop() {
            if flying.to == NODES[0] { answers.push(flying) } else { cluster.deliver(&flying) }
        }
        if round % 3 == 2 {
            let node = &mut cluster.host(NODES[0]).node;
            for answer in answers.drain(..) {
                node.handle(now, Input::Message { from: answer.from, message: answer.message() });
            }
            cluster.drain(NODES[0]);
        }
    }
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    let named = cluster.sent.iter().filter_map(|sent| match sent.message() {
        Message::Rest { groups, .. } => Some((sent.to, groups.len())),
        Message::Group { .. } | Message::Beat { .. } => None,
    });
    let most = named.map(|(_, count)| count).max();
    assert_eq!(most, Some(256), "as many as there may be, and no more");
}

#[test]
fn a_group_says_again_what_it_holds_without_waking_up() {
    let mut cluster = Cluster::at_rest(four);
    for (id, of) in [(cluster.leader(2), 2), (cluster.followers(2)[0], 2)] {
        let (now, records) = (cluster.now, cluster.host(id).records.len());
        cluster.host(id).node.restate_group(now, group(of));
        cluster.host(id).node.restate_group(now, group(99));
        cluster.drain(id);
        assert!(cluster.flying.is_empty(), "nobody is told");
        cluster.assert_at_rest();
        let kept = cluster.host(id).records.iter().filter(|record| group_of(record) == group(of)).count();
        assert_eq!(kept, 1);
        assert!(cluster.host(id).records.len() < records, "the records of others stay, its earlier ones go");
        let last = cluster.host(id).records.last().map(|record| group_of(record));
        assert_eq!(last, Some(group(of)));
    }
    assert_eq!(cluster.add(NODES[0], 2, 4), 4);
}

#[test]
fn what_is_asked_of_a_group_that_rests_is_done_whatever_is_lost_at_first() {
    let mut cluster = Cluster::at_rest(four);
    for id in NODES {
        let ticket = cluster.ask(id, 1, add(1));
        cluster.pass_but(Duration::from_millis(200), &|_| true);
        cluster.pass(2 * SECOND);
        let outcome = cluster.host(id).outcomes.remove(&ticket);
        assert!(matches!(outcome, Some(Outcome::Replied { .. })), "{outcome:?}");
    }
}

#[test]
fn what_was_told_since_the_last_poll_counts_for_the_deadline() {
    let mut cluster = Cluster::at_rest(four);
    let follower = cluster.followers(0)[0];
    let (now, node) = (cluster.now, &mut cluster.host(follower).node);
    let before = node.deadline();
    let request = quorate::groups::Request { group: group(0), request: replicated::Request::Query(()) };
    node.request(now, request).expect("there is room");
    let after = node.deadline().expect("it waits for an answer");
    assert!(after <= now.after(Duration::from_millis(60)));
    assert!(before.is_none_or(|before| before > after));
}

#[test]
fn a_leader_that_hears_no_quorum_does_not_rest_but_steps_down() {
    let mut cluster = Cluster::at_rest(|id| Settings {
        beat: Duration::from_millis(20),
        silence: Duration::from_millis(60),
        grace: Duration::from_millis(300),
        ..settings(id, 16)
    });
    let leader = cluster.leader(0);
    let led: Vec<_> = (0..16).filter(|&of| cluster.leader(of) == leader).collect();
    let asks = |of| {
        let last = cluster.status(leader, of).last;
        let term = cluster.status(leader, of).term;
        let last = Position { term, index: last };
        in_group(of, quorate::raft::Message::Vote { term: term.next(), last, pre: true })
    };
    let asks: Vec<_> = led.iter().map(|&of| asks(of)).collect();
    let others: Vec<_> = NODES.into_iter().filter(|&id| id != leader).collect();
    let now = cluster.now;
    for bytes in asks {
        let message = Node::take_message(&bytes).expect("it is one");
        cluster.host(leader).node.handle(now, Input::Message { from: others[0], message });
    }
    others.iter().for_each(|&id| cluster.crash(id));
    cluster.pass(2 * SECOND);
    assert!(!led.is_empty());
    for of in led {
        assert_ne!(cluster.status(leader, of).role, Role::Leader, "group {of}");
    }
}

#[test]
fn a_leader_does_not_rest_while_somebody_who_is_there_does_not_have_all() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let slow = cluster.followers(of)[0];
    cluster.host(slow).slow = true;
    cluster.ask(leader, of, add(1));
    cluster.pass(3 * SECOND);
    assert!(!cluster.node(leader).is_resting(group(of)), "one of its followers does not have it for good");
    cluster.host(slow).slow = false;
    cluster.drain(slow);
    let now = cluster.now;
    for (_, receipt) in std::mem::take(&mut cluster.host(slow).receipts) {
        cluster.host(slow).node.handle(now, Input::Saved(receipt));
    }
    cluster.pass(3 * SECOND);
    cluster.assert_at_rest();
}

#[test]
fn a_leader_does_not_rest_before_the_others_know_what_is_committed() {
    let mut cluster = Cluster::at_rest(|id| {
        let mut settings = Settings { grace: Duration::ZERO, ..settings(id, 4) };
        settings.groups.iter_mut().for_each(|(_, settings)| {
            settings.raft.commit_notice = quorate::raft::CommitNotice::WithNext;
        });
        settings
    });
    let (leader, of) = led(&cluster);
    cluster.add(leader, of, 1);
    cluster.assert_at_rest();
    cluster.ask(leader, of, add(1));
    let [first, second] = cluster.followers(of);
    cluster.run_but(&|flying| flying.to == leader && flying.from == second);
    // It hears the last answer twice, which is twice that it has nothing to do.
    let answer = cluster.sent.iter().rfind(|sent| sent.from == second && sent.is_of(of)).cloned();
    let answer = answer.expect("it answered");
    for _ in 0..3 {
        cluster.deliver(&answer);
        assert!(!cluster.node(leader).is_resting(group(of)), "the others do not know");
    }
    cluster.pass(Duration::from_millis(100));
    cluster.assert_at_rest();
    for id in [leader, first, second] {
        assert_eq!(cluster.node(id).get(group(of)).map(|member| member.application().total), Some(2));
    }
}

#[test]
fn a_follower_whose_command_did_not_reach_its_leader_does_not_rest() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let follower = cluster.followers(of)[0];
    let is_lost = |flying: &Flying| {
        matches!(flying.message(), Message::Group { message: replicated::Message::Forward(_), .. })
    };
    cluster.ask(leader, of, add(1));
    let ticket = cluster.ask(follower, of, add(1));
    cluster.pass_but(Duration::from_millis(900), &is_lost);
    assert!(!cluster.node(follower).is_resting(group(of)));
    cluster.pass(2 * SECOND);
    assert!(matches!(
        cluster.host(follower).outcomes.remove(&ticket),
        Some(Outcome::Replied { reply: 2, .. })
    ));
}

#[test]
fn a_piece_of_a_snapshot_for_a_node_that_is_down_wakes_nobody() {
    let mut cluster = Cluster::at_rest(four);
    let (leader, of) = led(&cluster);
    let dead = cluster.followers(of)[0];
    cluster.crash(dead);
    for _ in 0..40 {
        cluster.ask(leader, of, add(1));
        cluster.pass(Duration::from_millis(20));
    }
    cluster.pass(5 * SECOND);
    assert!(cluster.node(leader).is_resting(group(of)));
    let (snapshot, _) = cluster.host(leader).snapshots.last().cloned().expect("its log was compacted");
    assert_eq!(snapshot.group, group(of));
    let now = cluster.now;
    let done = quorate::Done::Read { to: dead, of: snapshot, offset: 0, bytes: &[1; 16] };
    cluster.host(leader).node.finish(now, done).expect("it is not needed now");
    cluster.drain(leader);
    assert!(cluster.node(leader).is_resting(group(of)));
    cluster.restart(dead);
    cluster.pass(5 * SECOND);
    cluster.assert_at_rest();
    assert_eq!(cluster.node(dead).get(group(of)).map(|member| member.application().total), Some(40));
}
