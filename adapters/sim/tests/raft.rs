//! Raft under the faults that seeds draw.

mod support;

use quorate_sim::raft::{Machine, Proposals};
use quorate_sim::{Faults, Report, Violation, World};

fn run(seed: u64, nodes: usize, faults: Faults) -> Result<Report, Violation> {
    World::<Machine, _>::new(seed, nodes, faults, Proposals::new(seed)).run()
}

#[test]
fn some_seeds_break_nothing() {
    support::break_nothing(run, 60, &[1, 2, 3, 4, 5, 7]);
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    support::are_the_same_twice(run, 3, 5);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    support::find_disks_that_lie(run, 10);
}
