//! What is concurrent around the machines, explored by loom: every order in which threads can run, and every value
//! that a weakly ordered load can see. Run in this folder by `cargo test --release`.
//!
//! What is explored is the very source of `quorate-driver` and `quorate-threads`: under `cfg(loom)`, which
//! `.cargo/config.toml` sets, their `sync` module is loom's. Each test is a claim; `mutants` breaks them one by one,
//! and tells which test notices.
#![forbid(unsafe_code)]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub mod disk;

/// More orders than this are not explored: the claim is too large, and has to be made smaller.
const EXECUTIONS: usize = 300_000;

/// Steps of all threads in one order.
const STEPS: usize = 10_000;

/// Tries a claim in every order of its threads.
///
/// # Panics
/// The claim does not hold in one of them, or there are too many.
pub fn explore(claim: impl Fn() + Send + Sync + 'static) {
    check(None, claim);
}

/// Tries a claim in every order in which threads are interrupted that often, where they neither wait nor end. Most
/// of what goes wrong at all goes wrong with two interruptions; more take hours.
///
/// # Panics
/// As [`explore`].
pub fn explore_within(interruptions: usize, claim: impl Fn() + Send + Sync + 'static) {
    check(Some(interruptions), claim);
}

fn check(interruptions: Option<usize>, claim: impl Fn() + Send + Sync + 'static) {
    let (start, executions) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = interruptions;
    builder.max_branches = STEPS;
    builder.check(move || {
        let before = counted.fetch_add(1, Ordering::Relaxed);
        assert!(before < EXECUTIONS, "more than {EXECUTIONS} orders: the claim is too large");
        claim();
    });
    let (thread, bound) =
        (std::thread::current(), interruptions.map(|bound| format!(" of {bound} interruptions")));
    // Not through `println`, which is shown for claims that fail only.
    let _ = writeln!(
        std::io::stderr(),
        "{}: {} orders{} in {:.1} s",
        thread.name().unwrap_or("a claim"),
        executions.load(Ordering::Relaxed),
        bound.unwrap_or_default(),
        start.elapsed().as_secs_f64()
    );
}
