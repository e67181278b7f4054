//! Groups keep out of each other's way.

use super::support::*;
use quorate::groups::{Message, Refusal, Request};
use quorate::replicated::{self, Outcome};
use quorate::{Hosted, Input, Instant, Machine, Output};
use std::time::Duration;

#[test]
fn each_group_has_a_state_of_its_own() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    for of in 0..4 {
        for id in NODES {
            cluster.add(id, of, of + 1);
        }
    }
    for of in 0..4 {
        for id in NODES {
            assert_eq!(cluster.total(id, of), 3 * (of + 1), "group {of} on {id}");
        }
    }
}

#[test]
fn what_is_asked_of_a_group_that_is_not_here_is_handed_back() {
    let mut cluster = Cluster::new(four);
    let request = Request { group: group(9), request: add(7) };
    let refusal = cluster.host(NODES[0]).node.request(Instant::from_micros(2), request);
    let Err(Refusal::NotHosted(Request { group: back, request })) = refusal else { panic!("{refusal:?}") };
    assert_eq!(back, group(9));
    assert!(matches!(request, replicated::Request::Command(Ask::Add(7))));
}

#[test]
fn what_is_told_to_a_group_that_is_not_here_is_dropped_and_counted() {
    let mut cluster = Cluster::new(four);
    let message = replicated::Message::Forward(quorate::Batch::empty());
    let input = Input::Message { from: NODES[1], message: Message::Group { group: group(9), message } };
    let node = &mut cluster.host(NODES[0]).node;
    while node.poll().is_some() {}
    node.handle(Instant::from_micros(2), input);
    assert_eq!(node.counters().not_hosted, 1);
    assert!(node.poll().is_none());
}

#[test]
fn a_refusal_of_a_group_is_its_own() {
    let mut cluster = Cluster::new(four);
    let node = &mut cluster.host(NODES[0]).node;
    let full = (0..100).find_map(|number| {
        let request = Request { group: group(2), request: add(number) };
        node.request(Instant::from_micros(2), request).err()
    });
    let Some(Refusal::InGroup { group: of, refusal }) = full else { panic!("there is always room") };
    assert_eq!(of, group(2));
    assert_eq!(refusal.reason, replicated::Reason::Busy);
    node.request(Instant::from_micros(2), Request { group: group(3), request: add(1) })
        .expect("the others have room");
}

#[test]
fn a_receipt_opens_only_the_gates_of_its_own_group() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    // It is sent an entry of each group that it follows in, and only that of one becomes durable.
    let id = NODES.into_iter().find(|&id| (0..4).filter(|&of| cluster.leader(of) != id).count() >= 2);
    let id = id.expect("three cannot lead in three of four groups each");
    let followed: Vec<u64> = (0..4).filter(|&of| cluster.leader(of) != id).collect();
    for &of in &followed {
        let leader = cluster.leader(of);
        cluster.ask(leader, of, add(1));
    }
    let flying: Vec<_> = cluster.flying.drain(..).filter(|flying| flying.to == id).collect();
    let now = cluster.now;
    for flying in &flying {
        let input = Input::Message { from: flying.from, message: flying.message() };
        cluster.host(id).node.handle(now, input);
    }
    cluster.sent.clear();
    assert!(cluster.drain_once(id));
    assert!(cluster.sent.is_empty(), "nothing is durable yet");
    let receipts = std::mem::take(&mut cluster.host(id).receipts);
    for (_, receipt) in receipts.into_iter().filter(|(of, _)| *of == group(followed[1])) {
        cluster.host(id).node.handle(now, Input::Saved(receipt));
    }
    cluster.drain_once(id);
    assert!(!cluster.sent.is_empty(), "what is durable is acknowledged");
    assert!(cluster.sent.iter().all(|sent| sent.is_of(followed[1])), "what is not durable is not");
}

#[test]
fn a_receipt_of_an_earlier_life_is_dropped_and_counted() {
    let mut cluster = Cluster::new(four);
    let now = cluster.now;
    cluster.pass(Duration::from_secs(2));
    let leader = cluster.leader(0);
    cluster.ask(leader, 0, add(1));
    let id = cluster.followers(0)[0];
    let append = cluster.flying.iter().find(|flying| flying.to == id && flying.is_of(0)).cloned();
    let append = append.expect("it is sent on");
    cluster.host(id).node.handle(now, Input::Message { from: append.from, message: append.message() });
    cluster.drain_once(id);
    let receipts = std::mem::take(&mut cluster.host(id).receipts);
    assert!(!receipts.is_empty());
    cluster.restart(id);
    for (_, receipt) in receipts {
        cluster.host(id).node.handle(now, Input::Saved(receipt));
    }
    assert_eq!(cluster.node(id).counters().foreign_receipts, 1);
}

#[test]
fn groups_with_something_to_do_take_turns() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    let leaders: Vec<_> = (0..4).map(|of| cluster.leader(of)).collect();
    let Some(id) = NODES.into_iter().find(|id| leaders.iter().filter(|leader| *leader == id).count() >= 2)
    else {
        panic!("of three, one leads two of four");
    };
    let led: Vec<u64> = (0..4).filter(|&of| leaders[of as usize] == id).collect();
    let now = cluster.now;
    let node = &mut cluster.host(id).node;
    // One group has a lot to answer, another a single thing to send.
    for _ in 0..6 {
        let request = Request { group: group(led[0]), request: add(1) };
        node.request(now, request).expect("there is room");
    }
    node.request(now, Request { group: group(led[1]), request: add(1) }).expect("there is room");
    let mut order = Vec::new();
    while let Some(output) = node.poll() {
        order.push(match output {
            Output::Save(write) => write.record().group,
            Output::Send { message: Message::Group { group, .. }, .. } => group,
            Output::Send { .. } => continue,
            Output::Event(event) => event.group,
        });
    }
    let (first, second) = (group(led[0]), group(led[1]));
    assert_eq!(order.first(), Some(&first));
    assert_eq!(order.get(1), Some(&second), "the other is not kept waiting: {order:?}");
}

#[test]
fn an_image_is_written_read_and_loaded_in_its_own_group() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    let leader = cluster.leader(2);
    let behind = cluster.followers(2)[0];
    let lost = |flying: &Flying| flying.to == behind || flying.from == behind;
    for _ in 0..60 {
        cluster.ask(leader, 2, add(1));
        cluster.pass_but(Duration::from_millis(20), &lost);
    }
    let images: Vec<_> = cluster.hosts.iter().flat_map(|host| host.images.clone()).collect();
    assert!(!images.is_empty() && images.iter().all(|of| of.group == group(2)), "{images:?}");
    assert!(cluster.host(behind).snapshots.is_empty());
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.node(behind).get(group(2)).map(|member| member.application().total), Some(60));
    assert!(cluster.host(behind).snapshots.iter().all(|(of, _)| of.group == group(2)));
    assert!(!cluster.host(behind).snapshots.is_empty(), "it was brought on by a snapshot");
    cluster.crash(behind);
    cluster.restart(behind);
    assert_eq!(cluster.total(behind, 2), 60);
    assert_eq!(cluster.total(behind, 1), 0);
}

#[test]
fn the_result_of_an_errand_of_a_group_that_is_not_here_is_dropped_and_counted() {
    let mut cluster = Cluster::new(four);
    let of = quorate::SnapshotId::new(quorate::Position::ORIGIN, 3).in_group(group(9));
    let node = &mut cluster.host(NODES[0]).node;
    node.finish(Instant::from_micros(2), quorate::Done::Written(of)).expect("it is of no use, and harmless");
    assert_eq!(node.counters().not_hosted, 1);
}

#[test]
fn a_restatement_is_of_every_group() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    let (id, now) = (NODES[0], cluster.now);
    cluster.host(id).node.restate(now);
    cluster.drain(id);
    let records = &cluster.host(id).records;
    assert_eq!(records.len(), 4, "of each group there is one record, and no more");
    cluster.crash(id);
    cluster.restart(id);
    cluster.add(id, 3, 5);
    assert_eq!(cluster.total(id, 3), 5);
}

#[test]
fn outcomes_of_groups_are_told_apart() {
    let mut cluster = Cluster::new(four);
    cluster.pass(Duration::from_secs(2));
    let id = NODES[1];
    let tickets: Vec<_> = (0..4).map(|of| cluster.ask(id, of, add(10 + of))).collect();
    cluster.pass(SECOND);
    for (of, ticket) in (0..4).zip(tickets) {
        assert_eq!(ticket.0, group(of));
        let outcome = cluster.host(id).outcomes.remove(&ticket);
        assert!(matches!(outcome, Some(Outcome::Replied { reply, .. }) if reply == 10 + of), "{outcome:?}");
    }
}
