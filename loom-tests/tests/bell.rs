//! The bell: whoever brings something and then rings is heard by the one thread that looks and then waits.

use std::time::Duration;

use loom::thread;
use quorate_driver::Bell;
use quorate_driver::sync::atomic::{AtomicBool, Ordering};
use quorate_driver::sync::{Arc, Instant, let_all_time_pass};
use quorate_loom_tests::{explore, explore_within};

const SECOND: Duration = Duration::from_secs(1);

/// A bell, and what is brought before it rings. Relaxed, so that only the bell orders it.
#[derive(Default)]
struct Door {
    bell: Bell,
    brought: [AtomicBool; 2],
}

impl Door {
    fn bring(&self, what: usize) {
        self.brought[what].store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    fn has(&self, what: usize) -> bool {
        self.brought[what].load(Ordering::Relaxed)
    }
}

#[test]
fn a_wait_ends_with_the_ring_and_shows_what_was_brought_before() {
    explore(|| {
        let door = Arc::new(Door::default());
        let outside = Arc::clone(&door);
        let ringing = thread::spawn(move || outside.bring(0));
        door.bell.wait(None);
        assert!(door.has(0), "the wait ended before the ring, or did not show what was brought");
        ringing.join().expect("no panic");
    });
}

#[test]
fn who_looks_and_then_waits_misses_nobody() {
    explore_within(3, || {
        let door = Arc::new(Door::default());
        let ringing = [0, 1].map(|what| {
            let outside = Arc::clone(&door);
            thread::spawn(move || outside.bring(what))
        });
        let mut waits = 0;
        while !(door.has(0) && door.has(1)) {
            door.bell.wait(None);
            waits += 1;
            assert!(waits <= 2, "a ring ends one wait, not more");
        }
        ringing.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn one_thread_after_another_rings_and_each_is_heard() {
    explore(|| {
        let door = Arc::new(Door::default());
        let outside = Arc::clone(&door);
        let ringing = thread::spawn(move || {
            outside.bring(0);
            outside.bring(1);
        });
        while !door.has(0) {
            door.bell.wait(None);
        }
        while !door.has(1) {
            door.bell.wait(None);
        }
        ringing.join().expect("no panic");
    });
}

#[test]
fn a_ring_is_not_left_to_the_time_of_a_wait() {
    explore(|| {
        let door = Arc::new(Door::default());
        let outside = Arc::clone(&door);
        let ringing = thread::spawn(move || outside.bring(0));
        door.bell.wait(Instant::now().checked_add(SECOND));
        assert!(door.has(0), "no time has passed, so it was the ring");
        ringing.join().expect("no panic");
    });
}

#[test]
fn a_wait_without_a_ring_ends_with_its_time_and_not_before() {
    explore(|| {
        let bell = Bell::default();
        bell.ring();
        bell.wait(None);
        let until = Instant::now().checked_add(SECOND).expect("not too far away");
        let passing = thread::spawn(let_all_time_pass);
        bell.wait(Some(until));
        assert!(Instant::now() >= until, "a ring ends one wait");
        passing.join().expect("no panic");
    });
}

#[test]
fn a_ring_when_time_runs_out_is_heard_by_this_wait_or_the_next() {
    explore_within(3, || {
        let door = Arc::new(Door::default());
        let outside = Arc::clone(&door);
        let ringing = thread::spawn(move || outside.bring(0));
        let passing = thread::spawn(let_all_time_pass);
        door.bell.wait(Instant::now().checked_add(SECOND));
        while !door.has(0) {
            door.bell.wait(None);
        }
        ringing.join().expect("no panic");
        passing.join().expect("no panic");
    });
}
