//! A crash at every point of a transaction, a loss, a doubling and a delay of every message, and every pair of these.
//!
//! Without optimisation a share of the pairs is played, another for each point; with it all are.

use super::play::{Manner, Play, Plot};
use Manner::{Ponders, Reads, Refuses, Writes};

fn every_mishap_and_pair(nodes: usize, parts: &'static [(u64, Manner)]) {
    let plot = Plot { nodes, parts };
    let step = if cfg!(debug_assertions) { 13 } else { 1 };
    let (calm, mut singles, mut pairs) = (Play::of(plot, &[]), 0, 0);
    for (at, point) in calm.points.iter().enumerate() {
        for mishap in point.mishaps() {
            let first = Play::of(plot, &[(at, mishap)]);
            singles += 1;
            let seconds = first.points.iter().enumerate().skip(at + 1);
            let all =
                seconds.flat_map(|(then, point)| point.mishaps().into_iter().map(move |next| (then, next)));
            for (then, next) in all.skip(singles % step).step_by(step) {
                Play::of(plot, &[(at, mishap), (then, next)]);
                pairs += 1;
            }
        }
    }
    println!("{} points, {singles} mishaps, {pairs} pairs", calm.points.len());
    assert!(singles > 0 && pairs > 0);
}

#[test]
fn three_that_write() {
    every_mishap_and_pair(4, &[(2, Writes), (3, Writes), (4, Writes)]);
}

#[test]
fn one_of_three_refuses() {
    every_mishap_and_pair(4, &[(2, Writes), (3, Refuses), (4, Writes)]);
}

#[test]
fn one_of_three_reads() {
    every_mishap_and_pair(4, &[(2, Writes), (3, Reads), (4, Writes)]);
}

#[test]
fn one_of_three_writes() {
    every_mishap_and_pair(4, &[(2, Reads), (3, Writes), (4, Reads)]);
}

#[test]
fn all_three_read() {
    every_mishap_and_pair(4, &[(2, Reads), (3, Reads), (4, Reads)]);
}

#[test]
fn one_of_three_takes_its_time() {
    every_mishap_and_pair(4, &[(2, Writes), (3, Ponders(120)), (4, Writes)]);
}

#[test]
fn one_of_three_takes_too_long() {
    every_mishap_and_pair(4, &[(2, Writes), (3, Ponders(450)), (4, Writes)]);
}

#[test]
fn one_alone_writes() {
    every_mishap_and_pair(2, &[(2, Writes)]);
}

#[test]
fn one_alone_refuses() {
    every_mishap_and_pair(2, &[(2, Refuses)]);
}

#[test]
fn one_alone_reads() {
    every_mishap_and_pair(2, &[(2, Reads)]);
}

#[test]
fn the_coordinator_takes_part() {
    every_mishap_and_pair(3, &[(1, Writes), (2, Writes), (3, Writes)]);
}

#[test]
fn the_coordinator_is_alone() {
    every_mishap_and_pair(1, &[(1, Writes)]);
}
