//! Three nodes on one air: one leader, each command once, and what their flash keeps when they are killed.

mod support;

use quorate::{ClusterId, Hosted, Instant, NodeId, Position, Rng, Term, raft, replicated};
use quorate_radio::{FlashError, Kind, LinkConfig, Phy, RestoreError, Stopped, Store};
use support::nor::NorError;
use support::world::{Lines, Machine, World};

#[test]
fn three_nodes_elect_one_leader_and_apply_each_command_once() {
    for (seed, loss) in [(1, 0), (2, 20), (3, 40)] {
        let mut world = World::new(seed, loss);
        world.await_leader();
        for number in 0..60 {
            world.say(number as usize % 3, number);
            world.run(40);
        }
        world.settle();
        assert!(world.acknowledged.len() >= 50, "{} at {loss} %", world.acknowledged.len());
    }
}

#[test]
fn nodes_that_lose_power_in_the_middle_of_a_write_keep_what_their_flash_kept() {
    for seed in 1..=6 {
        let (mut world, mut rng) = (World::new(seed, 10), Rng::new(seed));
        let mut number = 0;
        for _ in 0..25 {
            let at = (rng.next() % 3) as usize;
            world.cut(at, rng.next() % 300);
            for _ in 0..10 {
                number += 1;
                world.say((rng.next() % 3) as usize, number);
                world.run(40);
            }
            match &world.boards[at].stopped {
                None | Some(Stopped::Store(FlashError::Device(NorError::Off))) => {}
                Some(other) => panic!("{other:?}"),
            }
            world.kill(at);
            world.boot(at).expect("its flash is sound");
        }
        world.settle();
        assert!(world.acknowledged.len() > 60, "{} only", world.acknowledged.len());
    }
}

#[test]
fn a_node_that_was_away_is_brought_on_by_a_snapshot_in_small_frames() {
    for (seed, loss) in [(1, 0), (2, 20)] {
        let mut world = World::new(seed, loss);
        let leader = world.await_leader();
        let away = (leader + 1) % 3;
        world.kill(away);
        for number in 0..150 {
            world.say(leader, number);
            world.run(40);
        }
        world.boot(away).expect("its flash is sound");
        assert!(world.machine(away).status().applied.get() < 20, "it was away for long");
        // Halfway through it loses power, and goes on with what is there.
        for _ in 0..5000 {
            world.run(1);
            let store = world.boards[away].node.as_ref().expect("it runs").store();
            if store.snapshots().iter().any(|(of, have)| *have > 64 && *have < of.size) {
                break;
            }
        }
        world.kill(away);
        world.boot(away).expect("its flash is sound");
        let store = world.boards[away].node.as_ref().expect("it runs").store();
        let kept = store.snapshots();
        assert!(kept.iter().any(|(of, have)| *have > 64 && *have < of.size), "its flash kept {kept:?}");
        world.settle();
        let snapshots = world.boards[away].node.as_ref().expect("it runs").store().snapshots();
        assert!(snapshots.iter().any(|(of, have)| of.size == *have && of.size > 150), "{snapshots:?}");
    }
}

#[test]
fn a_storm_of_elections_does_not_fill_the_flash() {
    let (mut world, mut rng) = (World::new(1, 0), Rng::new(9));
    for _ in 0..100 {
        // Whoever leads is not heard for a while.
        let leader = world.await_leader();
        world.air.borrow_mut().jammed[leader] = true;
        world.run(700);
        world.air.borrow_mut().jammed[leader] = false;
        if rng.next().is_multiple_of(10) {
            let at = (rng.next() % 3) as usize;
            world.kill(at);
            world.boot(at).expect("its flash is sound");
        }
    }
    world.say(0, 1);
    world.settle();
}

#[test]
fn thousands_of_votes_leave_the_flash_as_empty_as_before() {
    let mut world = World::new(1, 0);
    (1..3).for_each(|at| world.kill(at));
    // Another stands for election, again and again, and nothing is ever committed.
    let config = LinkConfig::new(ClusterId::new(7), NodeId::new(2), 1, Phy::IEEE_802_15_4);
    let mut link = Lines::new(config, 3).expect("sound settings");
    let mut port = world.port(1);
    for term in 10..6_000 {
        let vote = raft::Message::Vote { term: Term::new(term), last: Position::ORIGIN, pre: false };
        let vote = replicated::Message::Raft(vote);
        let now = Instant::from_micros(world.now);
        assert!(link.post(now, NodeId::new(1), Kind::Peer, |room| Machine::put_message(&vote, room)));
        let now = link.deadline().expect("a message waits");
        link.transmit(now, &mut port).expect("this air never fails");
        world.now = world.now.max(now.as_micros());
        world.run(1);
        assert_eq!(world.boards[0].stopped, None, "term {term}");
        assert!(world.machine(0).status().term >= Term::new(term));
        if term.is_multiple_of(500) {
            world.kill(0);
            world.boot(0).expect("its flash is sound");
            assert!(world.machine(0).status().term >= Term::new(term), "a vote is forgotten");
        }
    }
    assert!(!world.boards[0].node.as_ref().expect("it runs").store().is_tight());
}

#[test]
fn garbage_on_the_air_is_counted_and_dropped() {
    let mut world = World::new(4, 10);
    world.air.borrow_mut().noise = true;
    world.await_leader();
    for number in 0..60 {
        world.say(number as usize % 3, number);
        world.run(60);
    }
    world.settle();
    assert!(world.acknowledged.len() >= 40, "{}", world.acknowledged.len());
}

#[test]
fn a_board_with_anothers_flash_or_a_damaged_one_does_not_start() {
    let mut world = World::new(5, 0);
    world.await_leader();
    (0..20).for_each(|number| {
        world.say(0, number);
        world.run(60);
    });
    (0..3).for_each(|at| world.kill(at));
    let (first, second) = (world.boards[0].device.clone(), world.boards[1].device.clone());
    world.boards[0].device = second;
    assert!(matches!(world.boot(0), Err(RestoreError::Store(FlashError::Foreign))));
    world.boards[0].device = first;
    // An image of another program, or of another format.
    let mut old = support::world::Device::new(48, 1);
    old.overwrite(5000, b"an old program");
    let sound = std::mem::replace(&mut *world.boards[2].device.0.borrow_mut(), old);
    assert!(matches!(world.boot(2), Err(RestoreError::Store(FlashError::NotEmpty { page: 9 }))));
    *world.boards[2].device.0.borrow_mut() = sound;
    (0..3).for_each(|at| world.boot(at).expect("each has its own"));
    world.settle();
}
