//! Cluster time: how a leader stamps entries.
//!
//! A node estimates cluster time as the time of the last entry it applied and what has passed here since. A leader
//! stamps entries with its estimate, but only once it has applied an entry of its own term: then it has applied all
//! that was ever committed, each after it was stamped, so its estimate is not ahead of any of them. Until then it
//! stamps the last applied time. A leader's own entries do not move its estimate, or the time that an entry takes to
//! commit would be lost with each. `docs/decisions/0001-cluster-time.md` has the argument.

use crate::{Index, Instant, Term, Timestamp};

/// What a node knows of cluster time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The time of the last entry that was applied.
    applied: Timestamp,
    /// A time, and when it was that time here.
    anchor: (Timestamp, Instant),
    /// The term in which this node, as the leader, holds on to its anchor.
    held: Option<Term>,
}

impl Clock {
    /// The time of the last entry that was applied.
    pub(super) const fn applied(&self) -> Timestamp {
        self.applied
    }

    /// The clock of a state that was loaded.
    pub(super) const fn at(time: Timestamp, now: Instant) -> Self {
        Self { applied: time, anchor: (time, now), held: None }
    }

    /// What time it is, about.
    pub(super) fn estimate(&self, now: Instant) -> Timestamp {
        let (time, at) = self.anchor;
        self.applied.max(time.after(now.since(at)))
    }

    /// When it will be `time`, about.
    pub(super) fn when(&self, time: Timestamp) -> Instant {
        let (anchored, at) = self.anchor;
        at.after(time.since(anchored))
    }

    /// The stamp of a new entry.
    pub(super) fn stamp(&self, now: Instant) -> Timestamp {
        if self.held.is_some() { self.estimate(now) } else { self.applied }
    }

    /// Whether time goes on: whether this node is a leader that knows it.
    pub(super) const fn runs(&self) -> bool {
        self.held.is_some()
    }

    /// An entry is applied. Time does not go back, whatever the entry says.
    pub(super) fn on_applied(&mut self, term: Term, stamp: Option<Timestamp>, now: Instant) -> Timestamp {
        self.applied = self.applied.max(stamp.unwrap_or_default());
        if self.held != Some(term) {
            self.held = None;
            self.anchor = (self.applied, now);
        }
        self.applied
    }

    /// Looks whether this node leads, and has applied its first entry.
    pub(super) fn on_role(&mut self, term: Term, first: Option<Index>, applied: Index) {
        let leads = first.is_some_and(|first| first <= applied);
        self.held = leads.then_some(term);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_new_leader_does_not_advance_time_before_its_first_entry_is_applied() {
        let mut clock = Clock::default();
        clock.on_applied(Term::new(1), Some(Timestamp::from_micros(100)), at(0));
        clock.on_role(Term::new(2), Some(Index::new(9)), Index::new(8));
        assert_eq!(clock.stamp(at(50)).as_micros(), 100);
        clock.on_applied(Term::new(2), None, at(60));
        clock.on_role(Term::new(2), Some(Index::new(9)), Index::new(9));
        assert_eq!(clock.stamp(at(70)).as_micros(), 110);
    }

    #[test]
    fn a_leaders_own_entries_do_not_slow_its_clock() {
        let mut clock = Clock::default();
        clock.on_applied(Term::new(1), None, at(0));
        clock.on_role(Term::new(1), Some(Index::new(1)), Index::new(1));
        for step in 1..=10 {
            let stamp = clock.stamp(at(step * 100));
            clock.on_applied(Term::new(1), Some(stamp), at(step * 100 + 90));
        }
        assert_eq!(clock.estimate(at(2000)).as_micros(), 2000);
        assert_eq!(clock.when(Timestamp::from_micros(3000)), at(0).after(Duration::from_micros(3000)));
    }

    #[test]
    fn time_does_not_go_back() {
        let mut clock = Clock::default();
        clock.on_applied(Term::new(1), Some(Timestamp::from_micros(100)), at(0));
        assert_eq!(clock.on_applied(Term::new(2), Some(Timestamp::from_micros(40)), at(1)).as_micros(), 100);
    }
}
