//! Who wrote each account, in order, as the states of the nodes say.

use super::accounts::{Account, FIRST};
use crate::subject::{Check, holds};
use quorate::GroupId;
use std::collections::BTreeMap;

/// The writers of each account: the first at 0.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    writers: BTreeMap<(GroupId, u8), Vec<u64>>,
    balances: BTreeMap<(GroupId, u8), i64>,
    /// The version that a deed left behind.
    versions: BTreeMap<(u64, GroupId, u8), u64>,
}

impl Ledger {
    /// An account is seen in the state of a node. `amount` tells what a deed adds to it, and whether only once.
    pub(super) fn see(
        &mut self,
        (group, number): (GroupId, u8),
        account: &Account,
        amount: impl Fn(u64) -> Option<(i64, bool)>,
    ) -> Check {
        let writers = self.writers.entry((group, number)).or_default();
        let known = writers.len() as u64;
        let words = |what: &str| format!("account {number} of {group} at {}: {what}", account.version);
        if account.version <= known {
            let last = account.version.checked_sub(1).and_then(|at| writers.get(at as usize));
            return holds(
                last == account.recent.last(),
                "all replicas of an account are written alike",
                || words(&format!("{last:?} and {:?}", account.recent.last())),
            );
        }
        let missing = (account.version - known) as usize;
        holds(missing <= account.recent.len(), "the world sees every write", || words("too many at once"))?;
        let fresh = &account.recent[account.recent.len() - missing..];
        let before = account.recent.len().checked_sub(missing + 1).map(|at| account.recent[at]);
        holds(
            before.is_none() || before.as_ref() == writers.last(),
            "an account's writers never change",
            || words(&format!("{before:?}, and before {:?}", writers.last())),
        )?;
        let balance = self.balances.entry((group, number)).or_insert(FIRST);
        for tag in fresh {
            let amount = amount(*tag);
            holds(amount.is_some(), "nothing is done that was not asked, or was said not to be", || {
                words(&format!("by #{tag}"))
            })?;
            let (amount, once) = amount.unwrap_or_default();
            *balance += amount;
            writers.push(*tag);
            let twice = self.versions.insert((*tag, group, number), writers.len() as u64);
            holds(twice.is_none() || !once, "what is done is done once", || words(&format!("by #{tag}")))?;
        }
        holds(*balance == account.balance, "a balance is the sum of what was added", || {
            words(&format!("{} instead of {balance}", account.balance))
        })
    }

    /// The version that a deed made of an account, if it wrote it.
    pub(super) fn version(&self, tag: u64, group: GroupId, account: u8) -> Option<u64> {
        self.versions.get(&(tag, group, account)).copied()
    }

    /// All accounts that were written, with their writers in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ((GroupId, u8), &[u64])> {
        self.writers.iter().map(|(of, writers)| (*of, writers.as_slice()))
    }

    /// What is on an account.
    pub(super) fn balance(&self, group: GroupId, account: u8) -> i64 {
        self.balances.get(&(group, account)).copied().unwrap_or(FIRST)
    }
}
