//! The world itself: that it repeats, that it reaches what it declares, and that it is not blind.

#[path = "../examples/register.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example that is a machine to test with")]
mod register;

use quorate::NodeId;
use quorate_sim::{Chance, Fault, Faults, Report, Script, Tally, Violation, World};
use register::{Path, Register, Watch};
use std::time::Duration;

fn run(seed: u64, faults: Faults, hasty: bool) -> Result<Report, Violation> {
    World::<Register, _>::new(seed, 3, faults, Watch::of(hasty)).run()
}

fn drawn(seed: u64) -> Faults {
    Faults::drawn(&mut Chance::seeded(seed))
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in 0..20 {
        assert_eq!(run(seed, drawn(seed), false), run(seed, drawn(seed), false));
    }
}

/// The digests hold for every process, machine and build. They change when what a seed stands for changes; then the
/// test tells the new ones.
#[test]
fn a_seed_gives_the_same_run_in_every_build() {
    let digests: Vec<u64> = (0..3).map(|seed| run(seed, drawn(seed), false).expect("sound").digest).collect();
    assert_eq!(digests, [12756977293847500369, 16707239747680239974, 16624970198699734212]);
}

fn taped(tape: &[u8], hasty: bool) -> Result<Report, Violation> {
    let mut chance = Chance::taped(1, tape.to_vec());
    let faults = Faults { duration: Duration::from_millis(500), ..Faults::drawn(&mut chance) };
    World::<Register, _>::decided_by(chance, 1, 3, faults, Watch::of(hasty)).run()
}

#[test]
fn a_tape_decides_a_run_as_a_seed_does() {
    let tapes: Vec<Vec<u8>> =
        (0..8).map(|step| (0..4_000_u32).map(|at| (at * step) as u8).collect()).collect();
    let digests: Vec<u64> = tapes.iter().map(|tape| taped(tape, false).expect("sound").digest).collect();
    assert_eq!(
        digests,
        tapes.iter().map(|tape| taped(tape, false).expect("sound").digest).collect::<Vec<_>>()
    );
    assert!((1..8).all(|at| !digests[..at].contains(&digests[at])), "two tapes gave one run");
    assert!(tapes.iter().any(|tape| taped(tape, true).is_err()), "no tape finds what is wrong");
}

#[test]
fn two_seeds_give_two_runs() {
    assert_ne!(run(1, drawn(1), false), run(2, drawn(2), false));
}

#[test]
fn many_seeds_break_nothing_and_reach_everything() {
    let (mut faults, mut paths) = (Tally::of(Fault::NAMES), Tally::of(Path::NAMES));
    for seed in 0..300 {
        let report = run(seed, drawn(seed), false).unwrap_or_else(|violation| panic!("{violation}"));
        faults.merge(&report.faults);
        paths.merge(&report.paths);
    }
    let never: Vec<_> = faults.never().chain(paths.never()).collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}

#[test]
fn a_machine_that_acknowledges_before_its_disk_is_done_is_found_out() {
    let violation = run(1, drawn(1), true).expect_err("it must be seen");
    assert_eq!(violation.invariant, "an acknowledged number is on disk");
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let mut faults = drawn(1);
    faults.disk.lies = true;
    assert!(run(1, faults, false).is_err());
}

#[test]
fn each_persistence_point_of_a_script_can_be_the_last() {
    let [a, b, c] = [1, 2, 3].map(NodeId::new);
    let play = |crash: Option<(NodeId, u64)>| {
        let mut script = Script::<Register, _>::new(3, Watch::default());
        if let Some((node, point)) = crash {
            script.crash_at(node, point);
        }
        script.ask(a, 1, 10);
        script.ask(b, 2, 20);
        script.run_for(Duration::from_secs(5));
        assert!([a, b, c].iter().all(|&node| script.is_up(node)), "all are back");
        script
    };
    let calm = play(None);
    for node in [a, b, c] {
        assert!(calm.points(node) >= 3);
        for point in 1..=calm.points(node) {
            play(Some((node, point)));
        }
    }
}

#[test]
fn a_held_message_arrives_when_it_is_released() {
    let [a, b] = [1, 2].map(NodeId::new);
    let mut script = Script::<Register, _>::new(2, Watch::default());
    script.hold(move |_, to, _| to == b);
    script.ask(a, 1, 7);
    script.run_for(Duration::from_millis(5));
    assert_eq!((script.held(), script.machine(b).value()), (1, 0));
    script.hold_no_more();
    script.isolate(a);
    assert_eq!(script.release(|from, _, _| from == a), 1);
    script.run_for(Duration::from_millis(5));
    assert_eq!(script.machine(b).value(), 7);
}

#[test]
fn a_paused_node_goes_on_with_what_came_in() {
    let [a, b] = [1, 2].map(NodeId::new);
    let mut script = Script::<Register, _>::new(2, Watch::default());
    script.pause(b);
    script.ask(a, 1, 7);
    script.run_for(Duration::from_millis(5));
    assert_eq!(script.machine(b).value(), 0);
    script.resume(b);
    assert_eq!(script.machine(b).value(), 7);
}

#[test]
fn nothing_is_acknowledged_while_syncs_are_held() {
    let [a, b] = [1, 2].map(NodeId::new);
    let mut script = Script::<Register, _>::new(2, Watch::default());
    script.hold_syncs(b);
    script.ask(a, 1, 7);
    script.run_for(Duration::from_millis(50));
    assert_eq!(script.machine(b).value(), 7);
    script.crash(b);
    script.restart(b);
    assert_eq!(script.machine(b).value(), 0, "what was not synced is lost");
    script.release_syncs(b);
    script.run_until(Duration::from_secs(1), |script| script.machine(b).value() == 7);
}
