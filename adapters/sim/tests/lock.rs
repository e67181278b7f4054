//! The lock service under the faults that seeds draw.

mod support;

use quorate_sim::lock::{Clients, Machine};
use quorate_sim::{Faults, Report, Violation, World};

fn run(seed: u64, nodes: usize, faults: Faults) -> Result<Report, Violation> {
    World::<Machine, _>::new(seed, nodes, faults, Clients::new(seed)).run()
}

#[test]
fn some_seeds_break_nothing() {
    support::break_nothing(run, 24, &[1, 3, 5]);
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    support::are_the_same_twice(run, 3, 3);
}

#[test]
fn disks_that_lie_are_found_out() {
    support::find_disks_that_lie(run, 10);
}

#[test]
fn the_history_of_the_clients_is_json_by_the_line() {
    let mut world = World::<Machine, _>::new(5, 3, support::drawn(5), Clients::new(5));
    world.run().expect("sound");
    let lines = world.subject().history();
    assert!(lines.len() > 3);
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        assert!(line["call"].as_u64() <= line["return"].as_u64());
        assert!(["acquire", "release"].contains(&line["op"].as_str().expect("a text")));
    }
}
