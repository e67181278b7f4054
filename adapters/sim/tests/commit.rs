//! Two-phase commit under the faults that seeds draw.

mod support;

use quorate_sim::commit::{Machine, Transfers};
use quorate_sim::{Faults, Report, Violation, World};

fn run(seed: u64, nodes: usize, faults: Faults) -> Result<Report, Violation> {
    World::<Machine, _>::new(seed, nodes, faults, Transfers::new(seed)).run()
}

#[test]
fn some_seeds_break_nothing() {
    support::break_nothing(run, 16, &[2, 3, 5]);
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    support::are_the_same_twice(run, 2, 3);
}

#[test]
fn disks_that_lie_are_found_out() {
    support::find_disks_that_lie(run, 8);
}
