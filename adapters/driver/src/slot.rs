//! A place for one answer.

use std::fmt;
use std::time::Duration;

use crate::sync::{Arc, Condvar, Instant, Mutex, lock, wait, wait_timeout};

/// A place for one value: one end fills it, once; the other waits for it. Either end knows when the other has gone.
///
/// ```
/// use quorate_driver::slot;
///
/// let (filler, waiter) = slot();
/// std::thread::spawn(move || filler.fill(7));
/// assert_eq!(waiter.wait(), Some(7));
/// ```
pub fn slot<T>() -> (Filler<T>, Waiter<T>) {
    let shared =
        Arc::new(Shared { place: Mutex::new(Place::Empty { awaited: false }), filled: Condvar::default() });
    (Filler(Arc::clone(&shared)), Waiter(shared))
}

/// The end that fills the slot. Dropped, it tells the other that nothing comes.
pub struct Filler<T>(Arc<Shared<T>>);

/// The end that waits.
#[must_use = "what fills the slot is lost"]
pub struct Waiter<T>(Arc<Shared<T>>);

struct Shared<T> {
    place: Mutex<Place<T>>,
    filled: Condvar,
}

enum Place<T> {
    /// Whether the other end is asleep: waking costs a system call.
    Empty {
        awaited: bool,
    },
    Full(T),
    /// Nothing comes: the filler, or the waiter, has gone.
    Abandoned,
}

impl<T> Filler<T> {
    /// Fills the slot, and wakes who waits.
    ///
    /// # Errors
    /// Nobody waits any more: the value comes back.
    pub fn fill(self, value: T) -> Result<(), T> {
        self.0.settle(Place::Full(value)).map_err(|place| match place {
            Place::Full(value) => value,
            Place::Empty { .. } | Place::Abandoned => unreachable!("what comes back is what was put"),
        })
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        matches!(*lock(&self.0.place), Place::Abandoned)
    }
}

impl<T> Waiter<T> {
    /// Waits for the value; `None` if it never comes.
    #[must_use]
    pub fn wait(self) -> Option<T> {
        self.wait_until(None).unwrap_or_else(|_| unreachable!("without a limit it ends with an answer"))
    }

    /// Waits for the value, but not longer than that. `None` if it never comes.
    ///
    /// # Errors
    /// It is not there yet: the waiter comes back.
    pub fn wait_timeout(self, time: Duration) -> Result<Option<T>, Self> {
        self.wait_until(Instant::now().checked_add(time))
    }

    fn wait_until(self, until: Option<Instant>) -> Result<Option<T>, Self> {
        let mut place = lock(&self.0.place);
        // Bounded by the filler, which fills or goes, and by the time.
        while let Place::Empty { awaited } = &mut *place {
            *awaited = true;
            place = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => wait(&self.0.filled, place),
                Some(Duration::ZERO) => {
                    *awaited = false;
                    drop(place);
                    return Err(self);
                }
                Some(left) => wait_timeout(&self.0.filled, place, left),
            };
        }
        match std::mem::replace(&mut *place, Place::Abandoned) {
            Place::Full(value) => Ok(Some(value)),
            Place::Empty { .. } | Place::Abandoned => Ok(None),
        }
    }
}

impl<T> Shared<T> {
    /// Ends the emptiness of the slot, if it is still empty and somebody cares.
    fn settle(&self, settled: Place<T>) -> Result<(), Place<T>> {
        let mut place = lock(&self.place);
        let Place::Empty { awaited } = *place else { return Err(settled) };
        *place = settled;
        drop(place);
        if awaited {
            self.filled.notify_one();
        }
        Ok(())
    }
}

impl<T> Drop for Filler<T> {
    fn drop(&mut self) {
        // An error: it was filled, or nobody waits.
        let _ = self.0.settle(Place::Abandoned);
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *lock(&self.0.place), Place::Abandoned);
        drop(left);
    }
}

impl<T> fmt::Debug for Filler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filler")
    }
}

impl<T> fmt::Debug for Waiter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_end_knows_when_the_other_has_gone() {
        let (filler, waiter) = slot::<u64>();
        assert!(!filler.is_abandoned());
        drop(waiter);
        assert!(filler.is_abandoned());
        assert_eq!(filler.fill(1), Err(1));
        let (filler, waiter) = slot::<u64>();
        drop(filler);
        assert_eq!(waiter.wait(), None);
    }

    #[test]
    fn a_wait_that_ran_out_can_be_taken_up_again() {
        let (filler, waiter) = slot();
        let Err(waiter) = waiter.wait_timeout(Duration::from_millis(1)) else { panic!("nothing was put") };
        filler.fill(7).expect("somebody waits");
        assert_eq!(waiter.wait_timeout(Duration::ZERO).ok(), Some(Some(7)));
    }
}
