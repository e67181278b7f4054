//! The same seeds give the same outputs, byte for byte, wherever a machine keeps what it holds.

#[path = "support/lock_world.rs"]
mod lock_world;
#[path = "support/world.rs"]
mod world;

use lock_world::{DIGESTS, Locks, STEPS, ask, settings};
use quorate::Space;
use quorate::space::{Fixed, Heap};
use world::{Counts, Digest, World};

type Inline = Fixed<3, 32, 64, 4>;
type Allocated = Heap<3, 32, 64, 4>;

fn run<S: Space>(seed: u64, steps: u32) -> (Digest, Counts) {
    let mut world = Box::new(World::<Locks<S>, 3>::new(settings, ()));
    (world.run(seed, steps, ask), world.counts)
}

#[test]
fn the_same_seeds_say_the_same_in_both_spaces_and_every_build() {
    for (seed, digest) in DIGESTS {
        assert_eq!(run::<Inline>(seed, STEPS).0.get(), digest, "inline, seed {seed}");
        assert_eq!(run::<Allocated>(seed, STEPS).0.get(), digest, "on the heap, seed {seed}");
    }
}

#[test]
fn short_courses_of_many_seeds_are_the_same_in_both_spaces() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 100..200 {
        let (inline, counts) = run::<Inline>(seed, 1_000);
        assert_eq!((inline, counts), run::<Allocated>(seed, 1_000), "seed {seed}");
        digests.insert(inline.get());
    }
    assert_eq!(digests.len(), 100, "each seed gives a course of its own");
}

#[test]
fn a_course_meets_crashes_images_and_loads() {
    let mut world = Box::new(World::<Locks<Inline>, 3>::new(settings, ()));
    world.run(1, STEPS, ask);
    let (counts, applied) = (world.counts, world.nodes().map(|node| node.applied().get()).min());
    assert!(applied > Some(1_000), "{applied:?}");
    assert!(counts.crashes > 100 && counts.images > 100 && counts.loads > counts.crashes, "{counts:?}");
}

#[test]
fn inline_nothing_is_ever_allocated() {
    let mut world = Box::new(World::<Locks<Inline>, 3>::new(settings, ()));
    let allocated = allocation_counter::measure(|| {
        world.run(1, STEPS, ask);
    });
    assert_eq!(allocated.count_total, 0);
}
