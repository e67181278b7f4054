//! What the clients of a counter are promised: each addition counts once, and what is told is never behind what was told
//! to anyone before it was asked. For a number that only grows that is linearizability.

use crate::subject::{Check, holds};
use quorate::GroupId;
use std::collections::{BTreeMap, BTreeSet};

/// What was asked of one counter, and told.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// How many additions were asked for.
    pub(super) asked: u64,
    /// The totals that were told to who added: each to one.
    replied: BTreeSet<u64>,
    /// The largest number that was told.
    told: u64,
    /// Of what is under way: whether it adds, and what had been told when it was asked.
    under_way: BTreeMap<u64, (bool, u64)>,
}

impl Promises {
    pub(super) fn on_asked(&mut self, id: u64, adds: bool) {
        self.asked += u64::from(adds);
        self.under_way.insert(id, (adds, self.told));
    }

    /// Nothing more will be told of it.
    pub(super) fn on_lost(&mut self, id: u64) {
        self.under_way.remove(&id);
    }

    /// A total is told to who asked.
    pub(super) fn on_told(&mut self, group: GroupId, id: u64, total: u64) -> Check {
        let Some((adds, known)) = self.under_way.remove(&id) else { return Ok(()) };
        holds(total <= self.asked, "nothing is done that was not asked", || {
            format!("{group} is at {total}, {} additions were asked", self.asked)
        })?;
        holds(total >= known + u64::from(adds), "no answer is behind one before it", || {
            format!("{group} tells #{id} {total}, before it was asked {known} was told")
        })?;
        holds(!adds || self.replied.insert(total), "each addition counts once", || {
            format!("{group} tells two that they made it {total}")
        })?;
        self.told = self.told.max(total);
        Ok(())
    }

    /// The least that the counter may be at.
    pub(super) fn floor(&self) -> u64 {
        self.told.max(self.replied.len() as u64)
    }
}
