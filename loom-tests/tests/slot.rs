//! The reply slot: whoever waits gets the value or is told that none comes, and the value is dropped once, wherever.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use loom::thread;
use quorate_driver::slot;
use quorate_driver::sync::atomic::{AtomicBool, Ordering};
use quorate_driver::sync::{Arc, let_all_time_pass};
use quorate_loom_tests::{explore, explore_within};

const SECOND: Duration = Duration::from_secs(1);

/// A value that counts its ends. Not loom's, since it orders nothing.
#[derive(Debug)]
struct Value(std::sync::Arc<AtomicUsize>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_gets_the_value() {
    explore(|| {
        let (filler, waiter) = slot();
        let filling = thread::spawn(move || filler.fill(7));
        assert_eq!(waiter.wait(), Some(7));
        assert_eq!(filling.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn who_waits_is_told_that_nothing_comes() {
    explore(|| {
        let (filler, waiter) = slot::<u64>();
        let going = thread::spawn(move || drop(filler));
        assert_eq!(waiter.wait(), None);
        going.join().expect("no panic");
    });
}

#[test]
fn a_value_ends_once_whoever_goes_first() {
    explore(|| {
        let ends = std::sync::Arc::new(AtomicUsize::new(0));
        let (filler, waiter) = slot();
        let value = Value(std::sync::Arc::clone(&ends));
        let filling = thread::spawn(move || filler.fill(value));
        drop(waiter);
        let filled = filling.join().expect("no panic");
        let still_there = usize::from(filled.is_err());
        assert_eq!(ends.load(Ordering::Relaxed), 1 - still_there, "taken over, it ends with the slot");
        drop(filled);
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_filler_sees_that_nobody_waits_before_it_fills_in_vain() {
    explore(|| {
        let (filler, waiter) = slot();
        let has_gone = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&has_gone);
        let going = thread::spawn(move || {
            drop(waiter);
            gone.store(true, Ordering::Release);
        });
        let (has_gone, abandoned) = (has_gone.load(Ordering::Acquire), filler.is_abandoned());
        assert!(abandoned || !has_gone, "it has gone");
        assert!(filler.fill(7).is_err() || !abandoned, "who has gone does not come back");
        going.join().expect("no panic");
    });
}

#[test]
fn a_value_is_not_left_to_the_time_of_a_wait() {
    explore(|| {
        let (filler, waiter) = slot();
        let filling = thread::spawn(move || filler.fill(7));
        assert_eq!(waiter.wait_timeout(SECOND).ok(), Some(Some(7)), "no time has passed");
        assert_eq!(filling.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn a_wait_that_runs_out_meanwhile_can_be_taken_up_again() {
    explore_within(3, || {
        let (filler, waiter) = slot();
        let filling = thread::spawn(move || filler.fill(7));
        let passing = thread::spawn(let_all_time_pass);
        let value = waiter.wait_timeout(SECOND).unwrap_or_else(|waiter| waiter.wait());
        assert_eq!(value, Some(7));
        assert_eq!(filling.join().expect("no panic"), Ok(()));
        passing.join().expect("no panic");
    });
}

#[test]
fn who_gives_up_waiting_leaves_no_value_behind() {
    explore_within(3, || {
        let ends = std::sync::Arc::new(AtomicUsize::new(0));
        let (filler, waiter) = slot();
        let value = Value(std::sync::Arc::clone(&ends));
        let filling = thread::spawn(move || drop(filler.fill(value)));
        let passing = thread::spawn(let_all_time_pass);
        drop(waiter.wait_timeout(SECOND));
        filling.join().expect("no panic");
        passing.join().expect("no panic");
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    });
}
