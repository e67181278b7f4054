//! The lock service under the faults that seeds draw.

use quorate_sim::lock::{Clients, Machine};
use quorate_sim::{Chance, Faults, Report, Violation, World};

fn run(seed: u64, nodes: usize, faults: Faults) -> Result<Report, Violation> {
    World::<Machine, _>::new(seed, nodes, faults, Clients::new(seed)).run()
}

fn drawn(seed: u64) -> Faults {
    Faults::drawn(&mut Chance::seeded(seed))
}

#[test]
fn some_seeds_break_nothing() {
    for seed in 0..24 {
        let nodes = [1, 3, 5][seed as usize % 3];
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

#[test]
fn the_history_of_the_clients_is_json_by_the_line() {
    let mut world = World::<Machine, _>::new(5, 3, drawn(5), Clients::new(5));
    world.run().expect("sound");
    let lines = world.subject().history();
    assert!(lines.len() > 3);
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        assert!(line["call"].as_u64() <= line["return"].as_u64());
        assert!(["acquire", "release"].contains(&line["op"].as_str().expect("a text")));
    }
}
