//! Who leads: leaders go where they belong when there is nothing to do.

use super::support::*;
use quorate::groups::{Message, Settings};
use quorate::raft::Role;
use quorate::replicated::{self, Outcome};
use quorate::{Hosted, Machine, NodeId};
use std::time::Duration;

fn home(of: u64) -> NodeId {
    NODES[of as usize % NODES.len()]
}

fn six(id: NodeId) -> Settings<replicated::Settings<Space>> {
    Settings { homes: (0..6).map(|of| (group(of), home(of))).collect(), ..settings(id, 6) }
}

fn assert_home(cluster: &Cluster) {
    for of in 0..6 {
        assert_eq!(cluster.leader(of), home(of), "group {of}");
    }
}

#[test]
fn a_group_is_led_by_the_node_where_it_belongs() {
    let cluster = Cluster::at_rest(six);
    assert_home(&cluster);
}

#[test]
fn the_lead_is_handed_over_at_once() {
    let mut cluster = Cluster::new(six);
    let (mut handed, mut former) = (0, std::collections::BTreeMap::new());
    for _ in 0..5_000 {
        let before: Vec<_> = (0..6).map(|of| leader_if_any(&cluster, of)).collect();
        cluster.sent.clear();
        cluster.pass(Duration::from_millis(1));
        for of in 0..6 {
            let offers = cluster.sent.iter().any(|sent| match sent.message() {
                Message::Rest { groups, .. } => {
                    let mut offers = false;
                    groups.for_each(|resting| offers |= resting.group == group(of) && resting.heir.is_some());
                    offers
                }
                Message::Group { .. } | Message::Beat { .. } => false,
            });
            let stands = cluster
                .sent
                .iter()
                .any(|sent| Some(sent.from) == former.get(&of).copied().flatten() && is_vote(sent, of));
            assert!(!stands, "who handed the lead over rests with the others");
            if offers {
                handed += 1;
                former.insert(of, before[of as usize]);
                assert_ne!(before[of as usize], Some(home(of)));
                assert_eq!(leader_if_any(&cluster, of), Some(home(of)), "no timeout has to pass");
            }
        }
    }
    assert!(handed > 0, "not all were elected where they belong");
    assert_home(&cluster);
}

fn is_vote(sent: &Flying, of: u64) -> bool {
    let Message::Group { group: in_group, message } = sent.message() else { return false };
    in_group == group(of) && matches!(message, replicated::Message::Raft(quorate::raft::Message::Vote { .. }))
}

fn leader_if_any(cluster: &Cluster, of: u64) -> Option<NodeId> {
    let leads = |id: &NodeId| cluster.status(*id, of).role == Role::Leader;
    NODES.into_iter().filter(leads).max_by_key(|&id| cluster.status(id, of).term)
}

#[test]
fn a_node_that_comes_back_leads_its_groups_again() {
    let mut cluster = Cluster::at_rest(six);
    cluster.crash(NODES[0]);
    cluster.pass(5 * SECOND);
    assert!((0..6).all(|of| cluster.leader(of) != NODES[0]));
    for of in 0..6 {
        let leader = cluster.leader(of);
        cluster.add(leader, of, 1);
    }
    cluster.restart(NODES[0]);
    cluster.pass(30 * SECOND);
    cluster.assert_at_rest();
    assert_home(&cluster);
    for of in 0..6 {
        assert_eq!(cluster.total(NODES[1], of), 1);
    }
}

#[test]
fn who_is_absent_is_not_asked_to_lead() {
    let mut cluster = Cluster::at_rest(six);
    cluster.crash(NODES[0]);
    cluster.pass(5 * SECOND);
    cluster.sent.clear();
    for _ in 0..5 {
        for of in 0..6 {
            let leader = cluster.leader(of);
            cluster.add(leader, of, 1);
        }
        cluster.pass(11 * SECOND);
    }
    let to_the_dead = |heir: Option<NodeId>| heir == Some(NODES[0]);
    for sent in &cluster.sent {
        if let Message::Rest { groups, .. } = sent.message() {
            groups.for_each(|resting| assert!(!to_the_dead(resting.heir)));
        }
    }
}

#[test]
fn an_offer_that_nobody_hears_ends_with_a_leader() {
    let mut cluster = Cluster::new(six);
    cluster.pass_but(10 * SECOND, &Flying::is_rest);
    for of in 0..6 {
        let id = cluster.leader(of);
        let ticket = cluster.ask(id, of, add(1));
        cluster.pass_but(2 * SECOND, &Flying::is_rest);
        let outcome = cluster.host(id).outcomes.remove(&ticket);
        assert!(matches!(outcome, Some(Outcome::Replied { .. })), "{outcome:?}");
    }
    cluster.pass(60 * SECOND);
    cluster.assert_at_rest();
    assert_home(&cluster);
}

#[test]
fn an_offer_is_made_again_only_after_a_while() {
    let mut cluster = Cluster::new(six);
    // Who should lead cannot be reached by those who would vote for it.
    let lost = |flying: &Flying| {
        matches!(
            flying.message(),
            Message::Group { message: replicated::Message::Raft(quorate::raft::Message::Vote { .. }), .. }
        ) && flying.from == NODES[0]
    };
    cluster.pass_but(9 * SECOND, &lost);
    let mut offers = 0;
    for sent in &cluster.sent {
        if let Message::Rest { groups, .. } = sent.message() {
            groups.for_each(|resting| {
                let counts = resting.group == group(0) && resting.heir == Some(NODES[0]);
                offers += usize::from(counts && sent.to == NODES[0]);
            });
        }
    }
    assert!(offers <= 3, "{offers}: one of each leader");
    cluster.pass(60 * SECOND);
    assert_home(&cluster);
}

#[test]
fn what_is_asked_while_the_lead_is_handed_over_is_done() {
    let mut cluster = Cluster::new(six);
    let mut asked = Vec::new();
    for round in 0..400_u64 {
        let (id, of) = (NODES[round as usize % 3], round % 6);
        let request = quorate::groups::Request { group: group(of), request: add(1) };
        let now = cluster.now;
        if let Ok(ticket) = cluster.host(id).node.request(now, request) {
            asked.push((id, ticket));
        }
        cluster.drain(id);
        cluster.pass(Duration::from_millis(7 + round % 190));
    }
    cluster.pass(20 * SECOND);
    for (id, ticket) in &asked {
        let outcome = cluster.host(*id).outcomes.remove(ticket);
        assert!(matches!(outcome, Some(Outcome::Replied { .. })), "{outcome:?}");
    }
    let total: u64 = (0..6).map(|of| cluster.total(NODES[0], of)).sum();
    assert_eq!(total, asked.len() as u64);
}

/// A cluster at the moment at which a leader wants another node to lead, and has not been heard.
fn offering() -> (Cluster, NodeId, u64) {
    let mut cluster = Cluster::new(six);
    for _ in 0..5_000 {
        cluster.sent.clear();
        cluster.pass_but(Duration::from_millis(1), &Flying::is_rest);
        for sent in &cluster.sent {
            let Message::Rest { groups, .. } = sent.message() else { continue };
            let mut offered = None;
            groups.for_each(|resting| {
                if resting.heir.is_some() {
                    offered = Some(resting.group.get());
                }
            });
            if let Some(of) = offered {
                let from = sent.from;
                return (cluster, from, of);
            }
        }
    }
    panic!("not all were elected where they belong");
}

/// Whether a node tells the others in a group that it leads.
fn speaks_up(cluster: &Cluster, id: NodeId, of: u64) -> bool {
    let is_append = |message: &replicated::Message<'_, Ask>| {
        matches!(message, replicated::Message::Raft(quorate::raft::Message::Append { .. }))
    };
    cluster.sent.iter().any(|sent| match sent.message() {
        Message::Group { group: in_group, message } => {
            sent.from == id && in_group == group(of) && is_append(&message)
        }
        Message::Beat { .. } | Message::Rest { .. } => false,
    })
}

#[test]
fn who_hands_the_lead_over_keeps_still_until_another_is_elected() {
    let (mut cluster, leader, of) = offering();
    let status = cluster.status(leader, of);
    let last = quorate::Position { term: status.term, index: status.last };
    let vote = quorate::raft::Message::Vote { term: status.term.next(), last, pre: true };
    let bytes = in_group(of, vote);
    let message = Node::take_message(&bytes).expect("it is one");
    let (now, heir) = (cluster.now, home(of));
    cluster.sent.clear();
    cluster.host(leader).node.handle(now, quorate::Input::Message { from: heir, message });
    cluster.pass_but(Duration::from_millis(250), &|_| true);
    assert!(!speaks_up(&cluster, leader, of), "the others have not answered yet");
}

#[test]
fn who_hands_the_lead_over_in_vain_goes_on() {
    let (mut cluster, leader, of) = offering();
    cluster.sent.clear();
    cluster.pass_but(Duration::from_millis(400), &|_| true);
    assert!(speaks_up(&cluster, leader, of));
}
