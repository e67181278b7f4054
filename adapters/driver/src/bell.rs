//! A bell that one thread waits for and any may ring.

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Instant, Mutex, lock, wait, wait_timeout};

/// Nobody rang, nobody waits.
const QUIET: u8 = 0;
/// Nobody rang, and the one thread waits.
const AWAITED: u8 = 1;
/// Somebody rang since the last wait ended.
const RUNG: u8 = 2;

/// A bell that one thread waits for. Rung while nobody waits, it ends the next wait at once: so a thread that looks
/// for work and then waits cannot miss any, if whoever brings work rings after having brought it.
///
/// ```
/// use quorate_driver::Bell;
///
/// let bell = Bell::default();
/// bell.ring();
/// bell.wait(None); // returns at once
/// ```
#[derive(Debug)]
pub struct Bell {
    state: AtomicU8,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Default for Bell {
    fn default() -> Self {
        Self { state: AtomicU8::new(QUIET), lock: Mutex::default(), rung: Condvar::default() }
    }
}

impl Bell {
    /// Ends a wait, this one or the next.
    pub fn ring(&self) {
        // Release: what was brought before is seen by who wakes up. A bell that rings already says it all.
        if self.state.swap(RUNG, Ordering::AcqRel) == AWAITED {
            // Whoever waits is asleep once the lock is free, and not between its look at the state and its sleep.
            drop(lock(&self.lock));
            self.rung.notify_one();
        }
    }

    /// Waits until the bell rings or `until` has passed. Of one thread only.
    pub fn wait(&self, until: Option<Instant>) {
        if self.state.swap(QUIET, Ordering::AcqRel) == RUNG {
            return;
        }
        let mut guard = lock(&self.lock);
        if self.state.compare_exchange(QUIET, AWAITED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // Bounded by the ring, or by time.
            while self.state.load(Ordering::Acquire) == AWAITED {
                guard = match until {
                    None => wait(&self.rung, guard),
                    Some(until) => {
                        let left = until.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            break;
                        }
                        wait_timeout(&self.rung, guard, left)
                    }
                };
            }
        }
        drop(guard);
        self.state.swap(QUIET, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    /// As good as never, and yet it ends.
    fn in_a_minute() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn a_ring_ends_the_wait_that_it_came_before_or_into() {
        let (bell, start) = (Bell::default(), Instant::now());
        bell.ring();
        bell.ring();
        bell.wait(in_a_minute());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| bell.wait(in_a_minute()));
            while bell.state.load(Ordering::Acquire) != AWAITED && start.elapsed().as_secs() < 50 {
                std::thread::yield_now();
            }
            bell.ring();
            waiting.join().expect("no panic");
        });
        assert!(start.elapsed().as_secs() < 50, "a ring was missed");
    }

    #[test]
    fn a_wait_ends_with_its_time_and_two_rings_end_one_wait() {
        let (bell, time) = (Bell::default(), Duration::from_millis(20));
        bell.ring();
        bell.ring();
        bell.wait(in_a_minute());
        let start = Instant::now();
        bell.wait(Some(start + time));
        assert!(start.elapsed() >= time);
    }
}
