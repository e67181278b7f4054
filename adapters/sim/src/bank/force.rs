//! An operator who settles by hand what is in doubt, and what must be told of it when it turns out different.

use super::deed::Deed;
use super::ledger::Ledger;
use crate::chance::Chance;
use crate::subject::{Check, holds};
use quorate::{GroupId, NodeId, TxId};
use std::collections::{BTreeMap, BTreeSet};

/// How many doubts an operator looks at, at most.
const SEEN: usize = 16;

/// A promise that is in doubt somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) node: NodeId,
    pub(super) group: GroupId,
    pub(super) tx: TxId,
    /// Of the deed.
    pub(super) tag: u64,
}

/// What an operator sees and does.
#[derive(Debug, Default)]
pub(super) struct Force {
    /// Whether there is one in this run.
    pub(super) is_on: bool,
    doubts: Vec<Doubt>,
    asked: BTreeMap<u64, (Doubt, bool)>,
    /// What was settled by hand.
    forced: BTreeMap<(GroupId, TxId), (u64, bool)>,
    contradicted: BTreeSet<(GroupId, TxId)>,
}

impl Force {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    pub(super) fn see(&mut self, doubt: Doubt) {
        if !self.doubts.contains(&doubt) {
            self.doubts.truncate(SEEN - 1);
            self.doubts.insert(0, doubt);
        }
    }

    /// Settles something, under a number for the request.
    pub(super) fn draw(&mut self, number: u64, rng: &mut Chance) -> Option<(Doubt, bool)> {
        if self.doubts.is_empty() {
            return None;
        }
        let doubt = self.doubts.swap_remove(rng.below(self.doubts.len() as u64) as usize);
        let commit = rng.below(2) == 0;
        self.asked.insert(number, (doubt, commit));
        Some((doubt, commit))
    }

    /// Whether anything was, or may have been, settled by hand.
    pub(super) fn meddled(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether somebody may have settled a deed by hand.
    pub(super) fn touched(&self, tag: u64) -> bool {
        self.asked.values().any(|(doubt, _)| doubt.tag == tag)
    }

    /// What an operator asked for is told. Tells whether it was settled.
    pub(super) fn on_told(&mut self, number: u64, settled: Option<bool>) -> Result<bool, crate::Broken> {
        let Some((doubt, commit)) = self.asked.get(&number) else { return Ok(false) };
        holds(settled.is_none_or(|settled| settled == *commit), "what is forced is what was said", || {
            format!("{doubt:?}: {settled:?}")
        })?;
        if settled.is_some() {
            self.forced.insert((doubt.group, doubt.tx), (doubt.tag, *commit));
        }
        Ok(settled.is_some())
    }

    pub(super) fn on_contradicted(&mut self, group: GroupId, tx: TxId, forced: bool) -> Check {
        self.contradicted.insert((group, tx));
        let mut asked = self.asked.values();
        holds(
            asked.any(|(doubt, commit)| (doubt.group, doubt.tx, *commit) == (group, tx, forced)),
            "what is contradicted was forced",
            || format!("{tx} in {group}: {forced}"),
        )
    }

    /// Once all is over: what was settled otherwise than others ended it was told.
    pub(super) fn check(&self, deeds: &BTreeMap<u64, Deed>, ledger: &Ledger) -> Check {
        for ((group, tx), (tag, commit)) in &self.forced {
            let Some(deed) = deeds.get(tag) else { continue };
            let by_hand =
                |group| self.asked.values().any(|(doubt, _)| doubt.group == group && doubt.tx == *tx);
            // Who only looks has nothing to be contradicted about, and what was settled under several names was done by hand.
            let is_another = |(doubt, _): &(Doubt, bool)| doubt.tag == *tag && doubt.tx != *tx;
            if !deed.moves().any(|(of, ..)| of == *group) || self.asked.values().any(is_another) {
                continue;
            }
            let others = deed.moves().filter(|(group, ..)| !by_hand(*group));
            let done: Vec<_> =
                others.map(|(group, account, _)| ledger.version(*tag, group, account).is_some()).collect();
            let here = deed.moves().filter(|(of, ..)| of == group);
            let done_here =
                here.map(|(of, account, _)| ledger.version(*tag, of, account)).any(|done| done.is_some());
            // What was given up and begun again may have been done under another name.
            let Some(decided) = done.first().copied().filter(|_| done_here == *commit) else { continue };
            holds(
                decided == *commit || self.contradicted.contains(&(*group, *tx)),
                "a contradiction is told",
                || format!("{group} was forced to {commit} for {tx}: {deed:?}, others: {done:?}"),
            )?;
        }
        Ok(())
    }
}
