//! Who takes the next request.

use quickcheck::quickcheck;
use quorate::Space;
use quorate::placement::{Balancer, Refusal, Rule};
use quorate::space::Fixed;
use std::collections::BTreeMap;

type Nodes<S, const N: usize> = Balancer<u64, S, N>;
type Small = Nodes<Fixed<0, 0>, 8>;

const RULES: [Rule; 5] =
    [Rule::Random, Rule::RoundRobin, Rule::SmoothWeighted, Rule::TwoChoices, Rule::LeastLoaded];

fn of<const N: usize>(rule: Rule, members: &[(u64, u32)]) -> Nodes<Fixed<0, 0>, N> {
    let mut balancer = Nodes::new(rule, 7);
    members.iter().for_each(|&(node, weight)| balancer.add(node, weight).expect("room"));
    balancer
}

fn picks<S: Space, const N: usize>(balancer: &mut Nodes<S, N>, count: usize) -> Vec<u64> {
    (0..count).map(|_| balancer.pick().expect("there are nodes")).collect()
}

/// How often each was picked, if each is done before the next is.
fn idle_counts(balancer: &mut Small, count: usize) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let node = balancer.pick().expect("there are nodes");
        assert!(balancer.done(node));
        *counts.entry(node).or_default() += 1;
    }
    counts.into_values().collect()
}

/// The highest load above the average.
fn gap(rule: Rule) -> u32 {
    let members: Vec<_> = (0..100).map(|node| (node, 1)).collect();
    let mut balancer = of::<100>(rule, &members);
    picks(&mut balancer, 10_000);
    members.iter().filter_map(|(node, _)| balancer.load_of(*node)).max().expect("a node") - 100
}

#[test]
fn a_balancer_without_nodes_picks_none() {
    for rule in RULES {
        assert_eq!(Small::new(rule, 7).pick(), None, "{rule:?}");
    }
}

#[test]
fn a_lone_node_takes_all() {
    for rule in RULES {
        assert_eq!(picks(&mut of::<8>(rule, &[(3, 2)]), 3), [3; 3], "{rule:?}");
    }
}

#[test]
fn a_balancer_refuses_what_it_cannot_hold_and_stays_what_it_was() {
    for rule in RULES {
        let mut balancer = of::<2>(rule, &[(1, 1), (2, 2)]);
        assert_eq!(balancer.add(1, 1), Err(Refusal::Present(1)));
        assert_eq!(balancer.add(3, 0), Err(Refusal::Weightless(3)));
        assert_eq!(balancer.add(3, 1), Err(Refusal::TooManyNodes(3)));
        assert_eq!(balancer.remove(3), Err(Refusal::Absent(3)));
        assert_eq!(balancer.set_weight(3, 1), Err(Refusal::Absent(3)));
        assert_eq!(balancer.set_weight(1, 0), Err(Refusal::Weightless(1)));
        assert_eq!((balancer.done(3), balancer.done(1), balancer.report(3, 1)), (false, false, false));
        assert!(balancer.nodes().eq([(1, 1), (2, 2)]));
    }
}

#[test]
fn smooth_weighted_round_robin_goes_as_nginx_published_it() {
    let mut balancer = of::<3>(Rule::SmoothWeighted, &[(1, 5), (2, 1), (3, 1)]);
    assert_eq!(picks(&mut balancer, 14), [1, 1, 2, 1, 3, 1, 1, 1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn nobody_is_owed_anything_from_before_a_change() {
    let (fresh, weights) =
        (picks(&mut of::<8>(Rule::SmoothWeighted, &[(1, 5), (2, 3)]), 8), [(1, 5), (2, 3)]);
    let mut joined = of::<8>(Rule::SmoothWeighted, &weights[..1]);
    let mut left = of::<8>(Rule::SmoothWeighted, &[(1, 5), (2, 3), (3, 100)]);
    let mut weighed = of::<8>(Rule::SmoothWeighted, &[(1, 5), (2, 9)]);
    for balancer in [&mut joined, &mut left, &mut weighed] {
        picks(balancer, 5);
    }
    joined.add(2, 3).unwrap();
    left.remove(3).unwrap();
    weighed.set_weight(2, 3).unwrap();
    assert_eq!(
        [joined, left, weighed].map(|mut balancer| picks(&mut balancer, 8)),
        [(); 3].map(|()| fresh.clone())
    );
}

#[test]
fn the_turn_stays_where_it_is_when_nodes_come_and_go() {
    let mut balancer = of::<8>(Rule::RoundRobin, &[(10, 1), (20, 9), (30, 1), (40, 1)]);
    assert_eq!(picks(&mut balancer, 2), [10, 20]);
    balancer.add(5, 1).unwrap(); // was to be before
    balancer.add(25, 1).unwrap();
    balancer.remove(20).unwrap();
    assert_eq!(picks(&mut balancer, 6), [25, 30, 40, 5, 10, 25]);
}

#[test]
fn the_least_loaded_takes_the_next_and_of_several_each_in_turn() {
    let mut balancer = of::<8>(Rule::LeastLoaded, &[(1, 1), (2, 1), (3, 1)]);
    assert!(balancer.report(1, 2));
    assert_eq!(picks(&mut balancer, 5), [2, 3, 2, 3, 1]);
    assert!(balancer.done(3));
    assert_eq!(balancer.pick(), Some(3));
    assert_eq!(idle_counts(&mut of::<8>(Rule::LeastLoaded, &[(1, 1), (2, 1), (3, 1)]), 9), [3; 3]);
}

#[test]
fn a_node_that_weighs_more_is_as_loaded_with_more() {
    let mut balancer = of::<8>(Rule::LeastLoaded, &[(1, 1), (2, 3)]);
    picks(&mut balancer, 40);
    assert_eq!([1, 2].map(|node| balancer.load_of(node)), [Some(10), Some(30)]);
}

#[test]
fn chance_goes_by_weight() {
    for rule in [Rule::Random, Rule::TwoChoices] {
        let counts = idle_counts(&mut of(rule, &[(1, 1), (2, 2), (3, 5)]), 80_000);
        let about = [10_000, 20_000, 50_000];
        assert!(
            counts.iter().zip(about).all(|(count, about)| count.abs_diff(about) < 500),
            "{rule:?} {counts:?}"
        );
    }
}

#[test]
fn the_better_of_two_is_far_better_than_chance() {
    let (random, two, least) = (gap(Rule::Random), gap(Rule::TwoChoices), gap(Rule::LeastLoaded));
    assert!(random >= 15 && two <= 4 && least == 0, "{random} {two} {least}");
}

#[test]
fn the_two_are_different_ones() {
    let mut balancer = of::<8>(Rule::TwoChoices, &[(1, 1_000), (2, 1)]);
    assert!(balancer.report(1, 1_000_000));
    assert_eq!(picks(&mut balancer, 100), [2; 100]);
}

#[test]
fn a_load_of_before_a_node_left_is_none_of_its_own() {
    let mut balancer = of::<8>(Rule::LeastLoaded, &[(1, 1)]);
    balancer.pick();
    balancer.remove(1).unwrap();
    assert_eq!((balancer.pick(), balancer.done(1), balancer.load_of(1)), (None, false, None));
    balancer.add(1, 1).unwrap();
    assert_eq!((balancer.done(1), balancer.load_of(1)), (false, Some(0)));
}

quickcheck! {
    fn smooth_weighted_gives_each_its_weight_in_every_round(weights: Vec<u8>) -> bool {
        let members: Vec<_> = (0..).zip(weights.iter().take(8).map(|weight| u32::from(weight % 20) + 1)).collect();
        let round: u32 = members.iter().map(|(_, weight)| weight).sum();
        let mut balancer = of::<8>(Rule::SmoothWeighted, &members);
        (0..3).all(|_| {
            let turns = if round == 0 { Vec::new() } else { picks(&mut balancer, round as usize) };
            members.iter().all(|(node, weight)| turns.iter().filter(|turn| *turn == node).count() == *weight as usize)
        })
    }

    fn the_same_seed_and_calls_pick_the_same_whoever_came_first(seed: u64, steps: Vec<(u8, u8)>) -> bool {
        RULES.iter().all(|rule| {
            let mut balancers = [[1, 2, 3], [3, 1, 2]].map(|order| {
                let mut balancer = Small::new(*rule, seed);
                order.iter().for_each(|node| balancer.add(*node, 10 + *node as u32).expect("room"));
                balancer
            });
            steps.iter().all(|&(step, node)| {
                let node = u64::from(node % 10);
                let [one, other] = balancers.each_mut().map(|balancer| match step % 5 {
                    0 => (balancer.done(node), None),
                    1 => (balancer.add(node, u32::from(step / 5)).is_ok(), None),
                    2 => (balancer.remove(node).is_ok(), None),
                    _ => (true, balancer.pick()),
                });
                one == other && one.1.is_none_or(|node| balancers[0].load_of(node).is_some())
            })
        })
    }
}
