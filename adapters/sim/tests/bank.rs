//! A bank that is spread over groups under the faults that seeds draw.

use quorate_sim::bank::{Clients, Machine};
use quorate_sim::{Chance, Faults, Report, Violation, World};

fn run(seed: u64, nodes: usize, faults: Faults) -> Result<Report, Violation> {
    World::<Machine, _>::new(seed, nodes, faults, Clients::new(seed)).run()
}

fn drawn(seed: u64) -> Faults {
    Faults::drawn(&mut Chance::seeded(seed))
}

#[test]
fn some_seeds_break_nothing() {
    for seed in 0..40 {
        let nodes = [3, 5, 4, 1][seed as usize % 4];
        run(seed, nodes, drawn(seed)).unwrap_or_else(|violation| panic!("{nodes} nodes: {violation}"));
    }
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in 0..3 {
        assert_eq!(run(seed, 3, drawn(seed)), run(seed, 3, drawn(seed)));
    }
}

#[test]
fn disks_that_lie_are_found_out() {
    let found = (0..10).filter(|&seed| {
        let mut faults = drawn(seed);
        faults.disk.lies = true;
        run(seed, 3, faults).is_err()
    });
    assert_eq!(found.count(), 10);
}
