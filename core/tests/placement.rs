//! Where things go: the ring, bounded loads, the partition.

use quickcheck::quickcheck;
use quorate::placement::{Bounded, Move, Partition, Placed, Refusal, Ring, hash};
use quorate::space::{Fixed, Heap};
use quorate::{GroupId, NodeId, Space};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

type Small<S> = Ring<u64, S, 8, 200>;
type Inline = Small<Fixed<0, 0>>;
type OnHeap = Small<Heap<0, 0>>;
type Large = Ring<u64, Heap<0, 0>, 16, 16_384>;

/// The only points of these two lie at the same place.
const TOGETHER: [u64; 2] = [2_210_576, 17_261_558];

/// A few nodes, each once, with weights that fit.
fn few(drawn: &[(u8, u8)]) -> Vec<(u64, u32)> {
    let members: BTreeMap<_, _> = drawn
        .iter()
        .take(7)
        .map(|(node, weight)| (u64::from(*node % 16), u32::from(*weight % 25) + 1))
        .collect();
    if members.is_empty() { vec![(3, 7)] } else { members.into_iter().collect() }
}

fn small<S: Space>(members: &[(u64, u32)]) -> Small<S> {
    Ring::of(members.iter().copied()).expect("they fit")
}

/// The points as the document has them: position and node, in order.
fn points(members: &[(u64, u32)]) -> Vec<(u64, u64)> {
    let point = |node: u64, number: u64| hash(&[node.to_le_bytes(), number.to_le_bytes()].concat()) >> 16;
    let of_node = |&(node, weight): &(u64, u32)| (0..u64::from(weight)).map(move |n| (point(node, n), node));
    let mut points: Vec<_> = members.iter().flat_map(of_node).collect();
    points.sort_unstable();
    points
}

fn owner(points: &[(u64, u64)], hash: u64) -> u64 {
    points.iter().find(|point| point.0 >= hash >> 16).unwrap_or(&points[0]).1
}

/// All hashes at which anything may change, and those drawn.
fn telling(points: &[(u64, u64)], drawn: &[u64]) -> Vec<u64> {
    let around = |position: u64| [position << 16, position << 16 | 0xFFFF, (position << 16).wrapping_sub(1)];
    let ends = [0, u64::MAX];
    points.iter().flat_map(|point| around(point.0)).chain(ends).chain(drawn.iter().copied()).collect()
}

fn same<S: Space>(one: &Small<S>, other: &Small<S>) -> bool {
    one.nodes().eq(other.nodes()) && one.points() == other.points() && one.moves(other).next().is_none()
}

/// Whether these are all moves from one ring to the other, each once, as few as can be, and no more.
fn exact(moves: &[Move<u64>], before: &[(u64, u64)], after: &[(u64, u64)], drawn: &[u64]) -> bool {
    let both: Vec<_> = before.iter().chain(after).copied().collect();
    let said = |hash: u64| moves.iter().find(|part| part.contains(hash)).map(|part| (part.from, part.to));
    let right = |hash: &u64| {
        let (from, to) = (owner(before, *hash), owner(after, *hash));
        said(*hash) == (from != to).then_some((from, to))
    };
    telling(&both, drawn).iter().all(right)
        && moves.iter().all(|part| part.first <= part.last)
        && moves.windows(2).all(|pair| {
            let ([one, next], alike) = ([pair[0], pair[1]], |part: Move<u64>| (part.from, part.to));
            one.last < next.first && (one.last + 1 < next.first || alike(one) != alike(next))
        })
}

fn width(moves: impl Iterator<Item = Move<u64>>) -> f64 {
    moves.map(|part| (part.last - part.first) as f64).sum::<f64>() / 2_f64.powi(64)
}

/// The rows of the tables below a heading of the document, without those that say what is in them.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocols/placement.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, section) = text.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

fn number(cell: &str) -> u64 {
    cell.strip_prefix("0x").map_or(cell.parse(), |digits| u64::from_str_radix(digits, 16)).expect("a number")
}

#[test]
fn every_key_of_the_document_goes_where_it_says() {
    let rings =
        [[(1, 160), (2, 160), (3, 160)], [(1, 100), (2, 200), (3, 300)]].map(|all| Large::of(all).unwrap());
    let parts = [2, 3, 16, 1_000_000].map(|parts| Partition::new(NonZeroU32::new(parts).unwrap()));
    let rows = rows("Test vectors for keys");
    for row in &rows {
        let [_, key, cells @ ..] = &row[..] else { panic!("{row:?}") };
        let key = key.as_bytes();
        let owners = rings.each_ref().map(|ring| ring.owner_of(key));
        let parts = parts.map(|parts| u64::from(parts.of(key)));
        let found: Vec<u64> = [hash(key)].into_iter().chain(owners).chain(parts).collect();
        let said: Vec<u64> = cells.iter().filter(|cell| !cell.is_empty()).map(|cell| number(cell)).collect();
        assert_eq!(found, said, "{row:?}");
    }
    assert!(rows.len() >= 8, "only {} keys", rows.len());
}

#[test]
fn every_point_of_the_document_lies_where_it_says() {
    let rows = rows("Test vectors for points");
    for row in &rows {
        let [_, node, point, position, _] = &row[..] else { panic!("{row:?}") };
        let point = number(point) as u32;
        let added: Vec<_> = points(&[(number(node), point + 1)]);
        let before: Vec<_> = points(&[(number(node), point)]);
        let new: Vec<_> = added.iter().filter(|point| !before.contains(point)).collect();
        assert_eq!(new, [&(number(position), number(node))], "{row:?}");
    }
    assert!(rows.len() >= 4, "only {} points", rows.len());
}

#[test]
fn jump_hashing_is_as_published() {
    let published = [(1, 1, 0), (42, 57, 43), (0xDEAD_10CC, 1, 0), (0xDEAD_10CC, 666, 361), (256, 1024, 520)];
    for (hash, parts, part) in published {
        assert_eq!(Partition::new(NonZeroU32::new(parts).unwrap()).at(hash), part, "{hash} in {parts}");
    }
}

quickcheck! {
    fn a_key_belongs_to_the_first_point_at_or_after_its_hash(drawn: Vec<(u8, u8)>, hashes: Vec<u64>) -> bool {
        let members = few(&drawn);
        let (ring, points) = (small::<Fixed<0, 0>>(&members), points(&members));
        telling(&points, &hashes).iter().all(|hash| ring.owner_at(*hash) == owner(&points, *hash))
    }

    fn inline_and_on_the_heap_are_alike(drawn: Vec<(u8, u8)>, hashes: Vec<u64>) -> bool {
        let members = few(&drawn);
        let (inline, heap) = (small::<Fixed<0, 0>>(&members), small::<Heap<0, 0>>(&members));
        let node = members[0].0;
        hashes.iter().all(|hash| inline.owner_at(*hash) == heap.owner_at(*hash))
            && inline.leaving(node).eq(heap.leaving(node))
    }

    fn the_order_in_which_nodes_came_changes_nothing(drawn: Vec<(u8, u8)>, turn: usize, guest: u8) -> bool {
        let mut members = few(&drawn);
        let ring = small::<Heap<0, 0>>(&members);
        let turn = turn % members.len();
        members.rotate_left(turn);
        members[turn..].reverse();
        let (first, rest) = members.split_first().expect("one at least");
        let (guest, changed) = (100 + u64::from(guest), *members.last().expect("one at least"));
        let mut other = small::<Heap<0, 0>>(&[*first]);
        other.add(guest, 5).expect("room");
        rest.iter().for_each(|&(node, weight)| other.add(node, weight).expect("room"));
        other.set_weight(changed.0, 26).expect("room");
        other.remove(guest).expect("it is there");
        other.set_weight(changed.0, changed.1).expect("room");
        same(&ring, &other)
    }

    fn what_moves_when_a_node_comes_or_goes_is_told_exactly(drawn: Vec<(u8, u8)>, weight: u8, hashes: Vec<u64>) -> bool {
        let (members, node, weight) = (few(&drawn), 50, u32::from(weight % 25) + 1);
        let before = small::<Heap<0, 0>>(&members);
        let mut after = before.clone();
        after.add(node, weight).expect("room");
        let with: Vec<_> = members.iter().copied().chain([(node, weight)]).collect();
        let (joined, left): (Vec<_>, Vec<_>) = (after.joined(node).collect(), after.leaving(node).collect());
        let (without, with) = (points(&members), points(&with));
        exact(&joined, &without, &with, &hashes)
            && exact(&left, &with, &without, &hashes)
            && before.moves(&after).eq(joined.iter().copied())
            && after.moves(&before).eq(left)
            && joined.iter().all(|part| part.to == node && part.from != node)
    }

    fn what_moves_between_any_two_rings_is_told_exactly(one: Vec<(u8, u8)>, other: Vec<(u8, u8)>, hashes: Vec<u64>) -> bool {
        let (one, other) = (few(&one), few(&other));
        let (before, after) = (small::<Fixed<0, 0>>(&one), small::<Fixed<0, 0>>(&other));
        exact(&before.moves(&after).collect::<Vec<_>>(), &points(&one), &points(&other), &hashes)
    }

    fn replicas_are_different_nodes_in_the_order_in_which_they_would_inherit(drawn: Vec<(u8, u8)>, key: Vec<u8>) -> bool {
        let mut ring = small::<Heap<0, 0>>(&few(&drawn));
        let count = ring.nodes().len();
        let replicas = ring.replicas_of::<3>(&key);
        replicas.len() == count.min(3) && replicas.iter().all(|node| {
            let inherits = ring.owner_of(&key) == *node;
            inherits && (ring.remove(*node).is_ok() || count <= 3)
        })
    }

    fn nobody_has_much_more_or_less_than_its_weight(seed: u32, weights: Vec<u8>) -> bool {
        let weights: Vec<u32> = weights.iter().take(5).map(|weight| 1024 * u32::from(weight % 3 + 1)).collect();
        let members: Vec<_> = (u64::from(seed)..).zip(weights.iter().copied().chain([1024])).collect();
        let ring = Large::of(members.iter().copied()).expect("they fit");
        members.len() == 1 || members.iter().all(|&(node, weight)| {
            let fair = f64::from(weight) / ring.points() as f64;
            let (got, gives) = (width(ring.joined(node)), width(ring.leaving(node)));
            got == gives && (0.8..1.2).contains(&(got / fair))
        })
    }

    fn a_change_of_weight_moves_to_or_from_that_node_alone(drawn: Vec<(u8, u8)>, at: usize, weight: u8) -> bool {
        let members = few(&drawn);
        let before = small::<Heap<0, 0>>(&members);
        let (node, had) = members[at % members.len()];
        let weight = u32::from(weight % 25) + 1;
        let mut after = before.clone();
        after.set_weight(node, weight).expect("room");
        after.weight_of(node) == Some(weight)
            && before.moves(&after).all(|part| if weight > had { part.to == node } else { part.from == node })
    }

    fn nobody_takes_more_than_its_bound(drawn: Vec<(u8, u8)>, percent: u8, steps: Vec<(u8, bool)>) -> bool {
        let percent = 100 + u32::from(percent);
        let mut bounded = Bounded::new(small::<Heap<0, 0>>(&few(&drawn)), percent).expect("enough");
        let mut taken = Vec::new();
        steps.iter().all(|&(key, takes)| {
            if !takes && let Some(node) = taken.pop() {
                return bounded.give_back(node);
            }
            let total = taken.len() as f64 + 1.0;
            let node = bounded.take(&[key % 3]);
            taken.push(node);
            let share = f64::from(bounded.ring().weight_of(node).unwrap()) / bounded.ring().points() as f64;
            let load = taken.iter().filter(|other| **other == node).count();
            load as f64 <= (f64::from(percent) / 100.0 * total * share + 1e-9).ceil()
        }) && bounded.loads().all(|(node, load)| taken.iter().filter(|other| **other == node).count() == load as usize)
    }

    fn a_part_more_moves_keys_to_that_part_alone(key: Vec<u8>, parts: u16) -> bool {
        let parts = u32::from(parts) + 1;
        let [before, after] = [parts, parts + 1].map(|parts| Partition::new(NonZeroU32::new(parts).unwrap()).of(&key));
        before < parts && (after == before || after == parts)
    }
}

#[test]
fn a_key_goes_to_the_group_that_a_ring_of_groups_says() {
    let groups = (0..4).map(GroupId::new);
    let ring =
        Ring::<GroupId, Heap<0, 0>, 64, 65_536>::of(groups.clone().map(|group| (group, 1024))).unwrap();
    let mut keys = BTreeMap::<GroupId, u32>::new();
    for key in 0..40_000 {
        *keys.entry(ring.owner_of(format!("key:{key}").as_bytes())).or_default() += 1;
    }
    assert!(groups.eq(keys.keys().copied()));
    assert!(keys.values().all(|count| (8_000..12_000).contains(count)), "{keys:?}");
}

#[test]
fn parts_have_about_as_many_keys_each() {
    let (parts, mut keys) = (Partition::new(NonZeroU32::new(7).unwrap()), [0_u32; 7]);
    (0..70_000).for_each(|key| keys[parts.of(format!("key:{key}").as_bytes()) as usize] += 1);
    assert!(keys.iter().all(|count| (9_500..10_500).contains(count)), "{keys:?}");
}

#[test]
fn nodes_and_groups_are_placed_by_their_numbers() {
    assert_eq!((NodeId::new(7).number(), GroupId::new(8).number(), 9.number()), (7, 8, 9));
}

#[test]
fn where_points_fall_together_the_lowest_number_has_the_place_whoever_came_first() {
    let [low, high] = TOGETHER;
    let place = points(&[(low, 1)])[0].0;
    assert_eq!(place, points(&[(high, 1)])[0].0);
    for order in [[low, high], [high, low]] {
        let mut ring = Inline::of(order.map(|node| (node, 1)).into_iter().chain([(5, 1)])).unwrap();
        assert_eq!(ring.owner_at(place << 16), low);
        assert_eq!(ring.joined(high).count(), 0, "it has nothing");
        ring.remove(low).unwrap();
        assert_eq!(ring.owner_at(place << 16), high, "its point did not leave with the other's");
    }
}

#[test]
fn what_lies_after_the_last_point_belongs_to_the_first() {
    let ring = OnHeap::of([(1, 2), (2, 2)]).unwrap();
    let points = points(&[(1, 2), (2, 2)]);
    assert_eq!([0, u64::MAX].map(|hash| ring.owner_at(hash)), [points[0].1; 2]);
}

#[test]
fn a_ring_refuses_what_it_cannot_be_and_stays_what_it_was() {
    assert_eq!(Inline::of([]).err(), Some(Refusal::NoNodes));
    assert_eq!(Inline::of([(1, 5), (1, 5)]).err(), Some(Refusal::Present(1)));
    assert_eq!(Inline::of([(1, 0)]).err(), Some(Refusal::Weightless(1)));
    assert_eq!(Inline::of([(1, 201)]).err(), Some(Refusal::TooManyPoints { node: 1, weight: 201 }));
    assert_eq!(Inline::of([(1, u32::MAX)]).err(), Some(Refusal::TooManyPoints { node: 1, weight: u32::MAX }));
    assert_eq!(Inline::of((1..=9).map(|node| (node, 1))).err(), Some(Refusal::TooManyNodes(9)));

    let sound = Inline::of([(1, 100), (2, 99)]).unwrap();
    let mut ring = sound.clone();
    assert_eq!(ring.add(1, 1), Err(Refusal::Present(1)));
    assert_eq!(ring.add(3, 0), Err(Refusal::Weightless(3)));
    assert_eq!(ring.add(3, 2), Err(Refusal::TooManyPoints { node: 3, weight: 2 }));
    assert_eq!(ring.remove(3), Err(Refusal::Absent(3)));
    assert_eq!(ring.set_weight(3, 1), Err(Refusal::Absent(3)));
    assert_eq!(ring.set_weight(2, 0), Err(Refusal::Weightless(2)));
    assert_eq!(ring.set_weight(2, 101), Err(Refusal::TooManyPoints { node: 2, weight: 101 }));
    assert!(same(&ring, &sound));
    assert_eq!((ring.joined(3).count(), ring.leaving(3).count(), ring.weight_of(3)), (0, 0, None));

    ring.set_weight(2, 100).unwrap();
    ring.remove(1).unwrap();
    assert_eq!(ring.remove(2), Err(Refusal::LastNode(2)));
    assert_eq!((ring.joined(2).count(), ring.leaving(2).count()), (0, 0), "there is nobody else");
    assert_eq!(ring.owner_of(b"account:17"), 2);
}

#[test]
fn a_bound_below_the_average_is_refused() {
    let ring = Inline::of([(1, 100)]).unwrap();
    let ring = Bounded::new(ring, 99).expect_err("not all would have a place");
    assert!(Bounded::new(ring, 100).is_ok());
}

#[test]
fn a_bounded_ring_lets_what_fits_stay_where_the_ring_has_it() {
    let mut bounded = Bounded::new(OnHeap::of([(1, 60), (2, 60), (3, 60)]).unwrap(), 125).unwrap();
    let replicas = bounded.ring().replicas_of::<3>(b"everybody wants this");
    let taken: Vec<_> = (0..24).map(|_| bounded.take(b"everybody wants this")).collect();
    assert_eq!(taken[0], replicas[0]);
    // 1.25 * 24 / 3 = 10: the owner has all it may, then the next.
    let counts = replicas.iter().map(|node| taken.iter().filter(|other| *other == node).count());
    assert!(counts.eq([10, 10, 4]), "{taken:?}");
}

#[test]
fn nodes_with_bounds_come_and_go() {
    let mut bounded = Bounded::new(OnHeap::of([(2, 40), (4, 40)]).unwrap(), 100).unwrap();
    (0..8_u64).for_each(|key| assert!([2, 4].contains(&bounded.take_at(key << 61))));
    assert!(bounded.loads().eq([(2, 4), (4, 4)]));
    bounded.add(1, 40).unwrap();
    bounded.add(3, 80).unwrap();
    assert!(bounded.loads().eq([(1, 0), (2, 4), (3, 0), (4, 4)]));
    assert_eq!(
        [1, 2, 3, 9].map(|node| bounded.capacity_of(node)),
        [2, 2, 4, 0],
        "9 * 40 / 200, and twice that"
    );
    assert_eq!(bounded.remove(2), Ok(4), "which are to be taken anew");
    assert_eq!(bounded.capacity_of(1), 2, "5 * 40 / 160");
    (0..4_u64).for_each(|key| assert_ne!(bounded.take_at(key << 61), 4, "it has more than its share"));
    bounded.set_weight(3, 1).unwrap();
    assert_eq!(bounded.loads().map(|(_, load)| load).sum::<u64>(), 8);
    assert_eq!([4, 2].map(|node| bounded.give_back(node)), [true, false]);
    assert!((0..9).filter(|_| bounded.give_back(4)).count() == 3, "no more than it took");
}
