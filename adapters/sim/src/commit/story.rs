//! What happened to each transaction, as one who sees all nodes tells it, and what must hold.

use super::bank::{Bank, OPEN, OPENING, Seen, Work};
use crate::subject::{Broken, Check, holds};
use quorate::two_phase::coordinator::Outcome;
use quorate::{NodeId, TxId};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction.
#[derive(Debug, Default)]
pub(super) struct Tale {
    pub(super) parts: BTreeMap<NodeId, Work>,
    /// Who said that it can.
    pub(super) yes: BTreeSet<NodeId>,
    /// Who did it, and when it was undone by nobody.
    pub(super) did: BTreeSet<NodeId>,
    /// What was told to those who had promised.
    pub(super) decided: Option<bool>,
    pub(super) outcome: Option<Outcome>,
    /// What an operator settled, and where.
    pub(super) forced: BTreeMap<NodeId, bool>,
    pub(super) contradicted: BTreeSet<NodeId>,
    /// An operator had a reader let go before it was over.
    pub(super) let_go: bool,
    /// What each node saw when it last said that it can.
    pub(super) saw: BTreeMap<NodeId, Vec<Seen>>,
    /// Votes that were sent and whose end their application was not told.
    pub(super) open_votes: BTreeSet<NodeId>,
    /// Who heard a decision.
    pub(super) heard: BTreeSet<NodeId>,
}

impl Tale {
    fn is_forced(&self) -> bool {
        !self.forced.is_empty()
    }

    fn all_can(&self) -> bool {
        self.parts.keys().all(|node| self.yes.contains(node))
    }

    pub(super) fn writers(&self) -> impl Iterator<Item = NodeId> {
        self.parts.iter().filter(|(_, work)| work.writes()).map(|(node, _)| *node)
    }

    pub(super) fn is_committed(&self) -> bool {
        !self.did.is_empty() || self.outcome == Some(Outcome::Committed)
    }

    /// A participant that had promised is told.
    pub(super) fn on_decided(&mut self, tx: TxId, node: NodeId, commit: bool) -> Check {
        let voted = self.open_votes.remove(&node);
        let is_writer = self.parts.get(&node).is_some_and(Work::writes);
        if commit && self.parts.len() == 1 {
            // Decided when it is done.
            return Ok(());
        }
        // What was done before and forgotten is let go of when a late message had it promised again.
        if !is_writer || self.forced.contains_key(&node) || (!commit && self.did.contains(&node)) {
            return Ok(());
        }
        let before = *self.decided.get_or_insert(commit);
        holds(before == commit, "all decide the same, once and for all", || {
            format!("{node} is told {commit} of {tx}: {self:?}")
        })?;
        let is_own = node == tx.coordinator || self.parts.len() == 1 || !voted;
        holds(is_own || self.heard.contains(&node), "who is in doubt does not decide alone", || {
            format!("{node} decides {tx}")
        })?;
        holds(!commit || self.all_can() || self.is_forced(), "only what all can do is done", || {
            format!("{tx}: {self:?}")
        })
    }

    /// A participant did it.
    pub(super) fn on_did(&mut self, tx: TxId, node: NodeId) -> Check {
        holds(self.did.insert(node), "what is done is done once", || format!("{tx} at {node}"))?;
        if self.parts.len() == 1 {
            let before = *self.decided.get_or_insert(true);
            holds(before || self.is_forced(), "all decide the same, once and for all", || {
                format!("{tx} at {node}")
            })?;
        }
        let is_aborted = matches!(self.outcome, Some(Outcome::Aborted(_)));
        holds(!is_aborted || self.is_forced(), "what was told to be given up is not done", || {
            format!("{tx} at {node}: {self:?}")
        })
    }

    /// The coordinator's application is told.
    pub(super) fn on_outcome(&mut self, tx: TxId, outcome: Outcome) -> Check {
        holds(self.outcome.replace(outcome).is_none(), "an outcome is told once", || tx.to_string())?;
        match outcome {
            Outcome::Committed => holds(
                self.all_can() && self.decided != Some(false),
                "what was told to be done all can do",
                || format!("{tx}: {self:?}"),
            ),
            Outcome::Aborted(_) => holds(
                (self.did.is_empty() && self.decided != Some(true)) || self.is_forced(),
                "what was told to be given up is not done",
                || format!("{tx}: {self:?}"),
            ),
            Outcome::Unknown => Ok(()),
        }
    }

    /// All is over, and all nodes have said what they had to say.
    pub(super) fn check_end(&self, tx: TxId, decided: bool) -> Check {
        for (node, &forced) in &self.forced {
            // Promised once more after it was done, it was let go of, as is right.
            let is_again = !forced && self.did.contains(node);
            let is_told = forced == decided || is_again || self.contradicted.contains(node);
            holds(is_told, "what an operator settled otherwise is reported", || {
                format!("{tx} at {node}: {self:?}")
            })?;
        }
        if self.is_forced() {
            return Ok(());
        }
        let all = self.writers().all(|node| self.did.contains(&node));
        holds(all || self.did.is_empty(), "all do it, or none", || format!("{tx}: {self:?}"))?;
        let holds_so = self.outcome != Some(Outcome::Committed) || all;
        holds(holds_so, "what was told to be done is done", || format!("{tx}: {self:?}"))
    }
}

/// No money came or went, and nobody who saw all of it saw a different sum.
pub(super) fn check_sums(banks: &[Bank], tales: &BTreeMap<TxId, Tale>) -> Check {
    let total = (banks.len() * OPEN) as i64 * OPENING;
    let sum: i64 = banks.iter().flat_map(|bank| &bank.balances[..OPEN]).sum();
    holds(sum == total, "no money comes or goes", || format!("{sum} instead of {total}"))?;
    for (tx, tale) in tales.iter().filter(|(_, tale)| tale.outcome == Some(Outcome::Committed)) {
        let seen = tale.parts.keys().filter_map(|node| tale.saw.get(node)).flatten();
        let (count, sum) = seen.fold((0, 0), |(count, sum), seen| (count + 1, sum + seen.balance));
        let is_whole = count == banks.len() * OPEN;
        holds(!is_whole || sum == total, "who sees everything sees all the money", || {
            format!("{tx} saw {sum} instead of {total}")
        })?;
    }
    Ok(())
}

/// What was committed could have been done one after the other.
pub(super) fn check_order(banks: &[Bank], tales: &BTreeMap<TxId, Tale>) -> Check {
    let mut after = BTreeMap::<TxId, BTreeSet<TxId>>::new();
    let mut comes = |first: TxId, then: TxId| {
        if first != then {
            after.entry(first).or_default().insert(then);
        }
    };
    for bank in banks {
        for writers in &bank.writers {
            writers.windows(2).for_each(|pair| comes(pair[0], pair[1]));
        }
    }
    for (&tx, tale) in tales.iter().filter(|(_, tale)| tale.is_committed() && tale.parts.len() > 1) {
        for (node, seen) in tale.saw.iter().flat_map(|(node, all)| all.iter().map(move |seen| (node, seen))) {
            let writers = &banks[node.get() as usize - 1].writers[usize::from(seen.account)];
            if let Some(&writer) = seen.version.checked_sub(1).and_then(|at| writers.get(at)) {
                comes(writer, tx);
            }
            if let Some(&writer) = writers.get(seen.version) {
                comes(tx, writer);
            }
        }
    }
    // Takes away who nobody comes before, until nobody is left.
    let mut before = BTreeMap::<TxId, usize>::new();
    after.values().flatten().for_each(|&then| *before.entry(then).or_default() += 1);
    let mut free: Vec<TxId> = after.keys().filter(|tx| !before.contains_key(tx)).copied().collect();
    while let Some(tx) = free.pop() {
        for then in after.remove(&tx).unwrap_or_default() {
            let count = before.get_mut(&then).expect("it was counted");
            *count -= 1;
            if *count == 0 {
                before.remove(&then);
                free.push(then);
            }
        }
    }
    match before.keys().next() {
        None => Ok(()),
        Some(_) => Err(Broken::new("what was committed has an order", format!("{:?}", before.keys()))),
    }
}
