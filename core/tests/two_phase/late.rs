//! A coordinator by itself, and votes on what it does not know any more.

use quorate::space::Fixed;
use quorate::two_phase::coordinator::{Coordinator, Reason, Request, Ticket};
use quorate::two_phase::{Config, Message, Promise, Transaction, Vote};
use quorate::{Age, Command, Input, Instant, Machine, NodeId, Output, TxId};

const NODES: [NodeId; 2] = [NodeId::new(1), NodeId::new(2)];
const NOW: Instant = Instant::from_micros(0);

type Alone = Coordinator<u32, Fixed<2, 4>>;

fn alone() -> Alone {
    Coordinator::new(Config::new(NODES[0], &NODES), 7, NOW).expect("sound settings")
}

/// A vote on one that is over, or never was.
fn vote(coordinator: &mut Alone, from: NodeId, number: u64, latest: Age) {
    let tx = TxId { coordinator: NODES[0], number };
    let message = Message::Vote { tx, vote: Vote::ReadOnly, latest };
    coordinator.handle(NOW, Input::Message { from, message });
}

/// What it sends, once all that it saves is durable.
fn sent(coordinator: &mut Alone, mut look: impl FnMut(NodeId, Message<'_, u32>)) {
    let mut claims = vec![];
    loop {
        while let Some(output) = coordinator.poll() {
            match output {
                Output::Save(write) => claims.push(write.split().1),
                Output::Send { to, message } => look(to, message),
                Output::Event(_) => {}
            }
        }
        let Some(claim) = claims.pop() else { return };
        coordinator.handle(NOW, Input::Saved(claim.assert_durable()));
        claims.clear();
    }
}

#[test]
fn who_votes_on_what_is_over_hears_that_nobody_does_it_and_a_stranger_hears_nothing() {
    let (mut coordinator, mut told) = (alone(), vec![]);
    vote(&mut coordinator, NODES[1], 9, Age::new(1));
    vote(&mut coordinator, NodeId::new(3), 9, Age::new(1));
    sent(&mut coordinator, |to, message| {
        let Message::Decision { commit, .. } = message else { panic!("{message:?}") };
        told.push((to, commit));
    });
    assert_eq!(told, [(NODES[1], false)]);
    assert_eq!((coordinator.counters().strangers, coordinator.counters().nonsense), (1, 0));
}

#[test]
fn work_may_weigh_as_much_as_was_settled_and_no_more() {
    let begin = |work_bytes| {
        let settings = Config { work_bytes, ..Config::new(NODES[0], &NODES) };
        let mut coordinator = Alone::new(settings, 7, NOW).expect("sound settings");
        let parts = Transaction::of(NODES.map(|node| (node, 5))).expect("two nodes");
        coordinator.request(NOW, Request::Begin(parts)).map_err(|refusal| refusal.reason)
    };
    let weight = 5_u32.weight();
    assert!(begin(weight).is_ok());
    assert_eq!(begin(weight - 1), Err(Reason::TooLarge { limit: weight - 1 }));
}

#[test]
fn who_takes_no_part_hears_nothing_of_what_is_under_way() {
    let nodes = [1, 2, 3].map(NodeId::new);
    let settings = Config::new(nodes[0], &nodes);
    let mut coordinator = Coordinator::<u32, Fixed<3, 4>>::new(settings, 7, NOW).expect("sound settings");
    let parts = Transaction::of(nodes[..2].iter().map(|node| (*node, 5))).expect("two nodes");
    let ticket = coordinator.request(NOW, Request::Begin(parts)).expect("there is room");
    let Ticket::Begun(tx) = ticket else { panic!("{ticket:?}") };
    let of = Promise::default();
    for message in [
        Message::Ask { tx, of },
        Message::Vote { tx, vote: Vote::Yes(of), latest: Age::default() },
        Message::Vote { tx, vote: Vote::No, latest: Age::default() },
        Message::Done { tx, commit: true },
        Message::Wound { tx },
    ] {
        coordinator.handle(NOW, Input::Message { from: nodes[2], message });
    }
    let mut told = 0;
    while let Some(output) = coordinator.poll() {
        match output {
            Output::Save(write) => {
                let receipt = write.split().1.assert_durable();
                coordinator.handle(NOW, Input::Saved(receipt));
            }
            Output::Send { to, message } => {
                assert!(to != nodes[2] && matches!(message, Message::Prepare { .. }), "{to}: {message:?}");
                told += 1;
            }
            Output::Event(event) => panic!("{event:?}"),
        }
    }
    assert_eq!((told, coordinator.counters().nonsense), (2, 5));
}

#[test]
fn what_a_late_vote_says_of_age_counts() {
    let (mut coordinator, mut ages) = (alone(), vec![]);
    vote(&mut coordinator, NODES[1], 9, Age::new(70));
    vote(&mut coordinator, NodeId::new(3), 9, Age::new(700));
    let parts = Transaction::of(NODES.map(|node| (node, 5))).expect("two nodes");
    coordinator.request(NOW, Request::Begin(parts)).expect("there is room");
    sent(&mut coordinator, |_, message| {
        if let Message::Prepare { age, .. } = message {
            ages.push(age);
        }
    });
    assert_eq!(ages, [Age::new(71); 2], "younger than all that its nodes know of");
}

#[test]
fn who_asks_is_answered_before_anything_is_said_again() {
    let mut coordinator = alone();
    let parts = Transaction::of(NODES.map(|node| (node, 5))).expect("two nodes");
    coordinator.request(NOW, Request::Begin(parts)).expect("there is room");
    sent(&mut coordinator, |_, _| {});
    vote(&mut coordinator, NODES[1], 9, Age::new(1));
    // It says the same again all the time, and is polled once each time.
    let answer = (1..=5).find_map(|round| {
        coordinator.handle(Instant::from_micros(round * 50_000), Input::Wake);
        match coordinator.poll()? {
            Output::Send { message: Message::Decision { tx, commit, .. }, .. } => Some((tx.number, commit)),
            Output::Send { .. } | Output::Save(_) | Output::Event(_) => None,
        }
    });
    assert_eq!(answer, Some((9, false)));
}
