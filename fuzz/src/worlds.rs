//! Simulated worlds whose course is on the tape: what goes wrong and how much, every delay and every loss, what is
//! asked and when. Where the tape ends, and once the faults have stopped, a seed goes on.

use crate::Tape;
use quorate::Hosted;
use quorate_sim::{Chance, Faults, Subject, World, lock, raft};
use std::time::Duration;

/// Raft alone.
pub fn raft(bytes: &[u8]) {
    run::<raft::Machine, _>(bytes, raft::Proposals::new);
}

/// The lock service.
pub fn lock(bytes: &[u8]) {
    run::<lock::Machine, _>(bytes, lock::Clients::new);
}

/// A byte for the seed, which is the workload's too, one for how many nodes there are, one for how long the faults go on,
/// and the tape.
fn run<M: Hosted + 'static, S: Subject<M>>(bytes: &[u8], subject: impl Fn(u64) -> S) {
    let mut head = Tape::new(bytes);
    let (seed, nodes) = (head.byte().into(), head.one(&[3, 3, 5, 3, 2, 3, 4, 1]));
    let duration = Duration::from_millis(100 + 8 * u64::from(head.byte()));
    let mut chance = Chance::taped(seed, head.rest().to_vec());
    let faults = Faults { duration, ..Faults::drawn(&mut chance) };
    let mut world = World::<M, S>::decided_by(chance, seed, nodes, faults, subject(seed));
    if !cfg!(fuzzing) && std::env::var_os("TRACE").is_some() {
        world.tell_to(std::io::stderr());
    }
    if let Err(violation) = world.run() {
        panic!("{violation}");
    }
}
