//! What holds of every machine under the faults that seeds draw.

use quorate_sim::{Chance, Faults, Report, Violation};

/// A seed in a world of so many nodes.
pub type Run = fn(u64, usize, Faults) -> Result<Report, Violation>;

pub fn drawn(seed: u64) -> Faults {
    Faults::drawn(&mut Chance::seeded(seed))
}

/// Runs so many seeds, in worlds of these sizes in turn.
pub fn break_nothing(run: Run, seeds: u64, sizes: &[usize]) {
    for (seed, nodes) in (0..seeds).zip(sizes.iter().cycle()) {
        run(seed, *nodes, drawn(seed)).unwrap_or_else(|violation| panic!("{nodes} nodes: {violation}"));
    }
}

pub fn are_the_same_twice(run: Run, seeds: u64, nodes: usize) {
    for seed in 0..seeds {
        assert_eq!(run(seed, nodes, drawn(seed)), run(seed, nodes, drawn(seed)));
    }
}

/// A simulator that is always green is broken.
pub fn find_disks_that_lie(run: Run, seeds: u64) {
    for seed in 0..seeds {
        let mut faults = drawn(seed);
        faults.disk.lies = true;
        assert!(run(seed, 3, faults).is_err(), "{seed}");
    }
}
