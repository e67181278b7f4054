//! Time under loom, which has none: it stands still until a thread of the model lets all of it pass.
//!
//! A model in which nobody does shows that a notice alone ends a wait; one in which somebody does, at any moment, shows
//! what happens when the time of a wait runs out.

use std::sync::LockResult;
use std::time::Duration;

use loom::sync::{Mutex, MutexGuard};

loom::lazy_static! {
    static ref TIME: Mutex<Time> = Mutex::new(Time { has_passed: false, asleep: Vec::new() });
}

struct Time {
    has_passed: bool,
    /// Where somebody sleeps for a limited time.
    asleep: Vec<Condvar>,
}

/// A moment: of the beginning, when all time has passed, or between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self(if super::lock(&TIME).has_passed { Duration::MAX } else { Duration::ZERO })
    }

    /// So much later, but not later than the end of all time.
    #[must_use]
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        Some(Self(self.0.saturating_add(time)))
    }

    /// How much later this is than another moment.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// How long ago this was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}

/// loom's, with waits that end when their time has passed.
#[derive(Clone, Debug, Default)]
pub struct Condvar(std::sync::Arc<loom::sync::Condvar>);

impl Condvar {
    /// As the standard library's.
    ///
    /// # Errors
    /// None: a thread that panics ends the exploration.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    /// As the standard library's; but only the end of all time ends it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let mut time = super::lock(&TIME);
        if time.has_passed {
            return Ok((guard, ()));
        }
        time.asleep.push(self.clone());
        drop(time);
        let guard = super::wait(self, guard);
        super::lock(&TIME).wake(self);
        Ok((guard, ()))
    }

    /// As the standard library's.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// As the standard library's.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

impl Time {
    /// Strikes out one of those who sleep there; which one does not matter.
    fn wake(&mut self, condvar: &Condvar) {
        let at = self.asleep.iter().position(|asleep| std::sync::Arc::ptr_eq(&asleep.0, &condvar.0));
        self.asleep.swap_remove(at.expect("who wakes up slept"));
    }
}

/// Lets all time pass: every limited wait ends, those to come at once.
pub fn let_all_time_pass() {
    super::lock(&TIME).has_passed = true;
    // Bounded by those who sleep: who has said so but does not sleep yet is woken the next time.
    loop {
        let asleep = super::lock(&TIME).asleep.clone();
        if asleep.is_empty() {
            return;
        }
        asleep.iter().for_each(Condvar::notify_all);
        loom::thread::yield_now();
    }
}
