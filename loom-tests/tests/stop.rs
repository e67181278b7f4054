//! The stop signal: given once, and everybody is told the same, whenever they begin to wait.

use std::time::Duration;

use loom::thread;
use quorate_driver::StopSignal;
use quorate_driver::sync::{Arc, let_all_time_pass};
use quorate_loom_tests::{explore, explore_within};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn all_who_wait_are_told_and_who_begins_meanwhile_too() {
    explore(|| {
        let signal = Arc::new(StopSignal::default());
        let waiting = [(); 2].map(|()| {
            let signal = Arc::clone(&signal);
            thread::spawn(move || signal.wait())
        });
        assert!(signal.give(7));
        assert_eq!(waiting.map(|thread| thread.join().expect("no panic")), [7, 7]);
        assert_eq!(signal.wait(), 7, "who comes late is told as well");
    });
}

#[test]
fn of_two_reasons_one_counts_and_it_is_what_everybody_hears() {
    explore(|| {
        let signal = Arc::new(StopSignal::default());
        let giving = [1, 2].map(|reason| {
            let signal = Arc::clone(&signal);
            thread::spawn(move || signal.give(reason).then_some(reason))
        });
        let heard = signal.wait();
        let given = giving.map(|thread| thread.join().expect("no panic"));
        assert!(given == [Some(heard), None] || given == [None, Some(heard)], "{given:?}, {heard} heard");
        assert_eq!(signal.reason(), Some(heard));
    });
}

#[test]
fn a_signal_is_not_left_to_the_time_of_a_wait() {
    explore(|| {
        let signal = Arc::new(StopSignal::default());
        let giver = Arc::clone(&signal);
        let giving = thread::spawn(move || giver.give(7));
        assert_eq!(signal.wait_timeout(SECOND), Some(7), "no time has passed");
        assert!(giving.join().expect("no panic"));
    });
}

#[test]
fn a_wait_ends_with_the_signal_or_with_its_time() {
    explore_within(3, || {
        let signal = Arc::new(StopSignal::default());
        let giver = Arc::clone(&signal);
        let giving = thread::spawn(move || giver.give(7));
        let passing = thread::spawn(let_all_time_pass);
        assert!(matches!(signal.wait_timeout(SECOND), Some(7) | None));
        assert_eq!(signal.wait(), 7);
        assert!(giving.join().expect("no panic"));
        passing.join().expect("no panic");
    });
}
