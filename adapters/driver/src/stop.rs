//! The signal that something has ended, and how.

use std::time::Duration;

use crate::sync::{Condvar, Instant, Mutex, lock, wait, wait_timeout};

/// A signal that is given once, with a reason, to any number of waiters.
///
/// ```
/// use quorate_driver::StopSignal;
///
/// let signal = StopSignal::default();
/// assert!(signal.give("it was asked to"));
/// assert!(!signal.give("it was asked again"));
/// assert_eq!(signal.wait(), "it was asked to");
/// ```
#[derive(Debug)]
pub struct StopSignal<T> {
    reason: Mutex<Option<T>>,
    given: Condvar,
}

impl<T> Default for StopSignal<T> {
    fn default() -> Self {
        Self { reason: Mutex::new(None), given: Condvar::default() }
    }
}

impl<T: Clone> StopSignal<T> {
    /// Gives the signal, and says whether it was the first time. Later reasons are dropped.
    pub fn give(&self, reason: T) -> bool {
        let mut given = lock(&self.reason);
        if given.is_some() {
            return false;
        }
        *given = Some(reason);
        drop(given);
        self.given.notify_all();
        true
    }

    /// The reason, if the signal was given.
    #[must_use]
    pub fn reason(&self) -> Option<T> {
        lock(&self.reason).clone()
    }

    /// Waits for the signal.
    pub fn wait(&self) -> T {
        let mut reason = lock(&self.reason);
        // Bounded by the signal.
        loop {
            match &*reason {
                Some(reason) => return reason.clone(),
                None => reason = wait(&self.given, reason),
            }
        }
    }

    /// Waits for the signal, but not longer than that.
    pub fn wait_timeout(&self, time: Duration) -> Option<T> {
        let until = Instant::now().checked_add(time);
        let mut reason = lock(&self.reason);
        // Bounded by the signal, and by the time.
        loop {
            let left = until.map_or(time, |until| until.saturating_duration_since(Instant::now()));
            if reason.is_some() || left.is_zero() {
                return reason.clone();
            }
            reason = wait_timeout(&self.given, reason, left);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_signal_or_with_its_time() {
        let signal = StopSignal::default();
        assert_eq!(signal.wait_timeout(Duration::from_millis(1)), None);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| signal.wait_timeout(Duration::MAX));
            assert!(signal.give(1));
            assert_eq!(waiting.join().expect("no panic"), Some(1));
        });
        assert_eq!((signal.give(2), signal.reason()), (false, Some(1)));
    }
}
