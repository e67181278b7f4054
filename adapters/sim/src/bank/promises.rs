//! What clients are told, against what is promised.

use super::accounts::{Bank, Seen};
use super::deed::{Ask, End};
use super::order;
use super::subject::{Clients, Path};
use crate::subject::{At, Broken, Check, holds};
use quorate::GroupId;
use quorate::sharded::{Failure, Outcome};

impl Clients {
    /// A deed ended, as far as a node knows.
    pub(super) fn on_told(&mut self, at: At, tag: u64, outcome: Outcome<Bank>) -> Check {
        let Some(deed) = self.deeds.get(&tag) else {
            return Err(Broken::new("what is told was asked", format!("#{tag}: {outcome:?}")));
        };
        let foreign = || Broken::new("an outcome is of what was asked", format!("{deed:?}: {outcome:?}"));
        let with = |group: GroupId, seen: &[Seen]| seen.iter().map(|seen| (group, *seen)).collect::<Vec<_>>();
        let end = match (&deed.ask, &outcome) {
            (Ask::Command(group, _), Outcome::Replied { reply: Ok(seen), .. })
            | (Ask::Query(group, _), Outcome::Answered(seen)) => End::Done(with(*group, seen)),
            (Ask::Command(..), Outcome::Replied { reply: Err(_), .. }) => End::Never,
            (Ask::Transact(parts), Outcome::Committed { gains }) if gains.len() == parts.len() => {
                let all = parts.iter().zip(gains).flat_map(|((group, _), seen)| with(*group, seen));
                End::Done(all.collect())
            }
            (Ask::Transact(parts), Outcome::Aborted { group, .. }) => {
                holds(parts.iter().any(|(of, _)| of == group), "who objects takes part", || {
                    format!("{group}: {deed:?}")
                })?;
                self.hit(Path::Aborted);
                End::Never
            }
            (_, Outcome::Failed(Failure::TimedOut)) => {
                self.hit(Path::TimedOut);
                End::Never
            }
            (_, Outcome::Failed(Failure::Full)) => End::Never,
            (_, Outcome::Failed(Failure::Unconfirmed)) => {
                self.hit(Path::Unconfirmed);
                End::Unknown
            }
            _ => return Err(foreign()),
        };
        if let End::Done(seen) = &end {
            self.check_money(tag, seen)?;
        }
        let meddled = self.force.touched(tag);
        if let Some(deed) = self.deeds.get_mut(&tag) {
            deed.told = matches!(end, End::Done(_)).then_some(at.now);
            deed.end = end;
            if let End::Never = deed.end
                && !meddled
            {
                let done =
                    deed.moves().find(|(of, account, _)| self.ledger.version(tag, *of, *account).is_some());
                holds(done.is_none(), "what is told to have no effect has none", || {
                    format!("{deed:?} in {done:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Who looks at everything at once sees all the money.
    fn check_money(&self, tag: u64, seen: &[(GroupId, Seen)]) -> Check {
        let is_all = seen.len() == self.branches.all().count();
        if !is_all || self.force.meddled() {
            return Ok(());
        }
        let sum: i64 = seen.iter().map(|(_, seen)| seen.balance).sum();
        holds(sum == self.branches.total(), "money is neither made nor lost", || {
            format!("#{tag} sees {sum} of {}: {seen:?}", self.branches.total())
        })
    }

    /// All has ended: what was told is so, and everything else was done in all groups or in none.
    pub(super) fn check_all(&self) -> Check {
        for deed in self.deeds.values().filter(|deed| !self.force.touched(deed.tag)) {
            let versions: Vec<_> = deed
                .moves()
                .map(|(group, account, _)| (group, account, self.ledger.version(deed.tag, group, account)))
                .collect();
            let done = versions.iter().filter(|(.., version)| version.is_some()).count();
            holds(done == 0 || done == versions.len(), "all of a transaction is done or nothing", || {
                format!("{deed:?}: {versions:?}")
            })?;
            match &deed.end {
                End::Done(told) => {
                    for (group, account, version) in &versions {
                        let seen = told.iter().find(|(of, seen)| (of, &seen.account) == (group, account));
                        holds(
                            version.is_some() && seen.map(|(_, seen)| seen.version) == *version,
                            "what is told to be done is done, as was told",
                            || format!("{deed:?}: {versions:?}"),
                        )?;
                    }
                }
                End::Never => holds(done == 0, "what is told to have no effect has none", || {
                    format!("{deed:?}: {versions:?}")
                })?,
                End::Open | End::Unknown => {}
            }
        }
        self.force.check(&self.deeds, &self.ledger)?;
        self.check_lines()?;
        if self.force.meddled() {
            return Ok(());
        }
        let all = self.branches.all().map(|(group, account)| self.ledger.balance(group, account));
        let sum: i64 = all.sum();
        holds(sum == self.branches.total(), "money is neither made nor lost", || format!("{sum} is left"))?;
        order::check(&self.deeds, &self.ledger)
    }

    /// What one node was asked that concerns one group took effect in the order in which it was asked.
    fn check_lines(&self) -> Check {
        for ((node, _), tags) in &self.lines {
            let mut latest = std::collections::BTreeMap::new();
            for deed in tags.iter().filter_map(|tag| self.deeds.get(tag)) {
                for (group, account, _) in deed.moves() {
                    let Some(version) = self.ledger.version(deed.tag, group, account) else { continue };
                    let before = latest.insert((group, account), version);
                    holds(
                        before < Some(version),
                        "commands of one node that conflict keep their order",
                        || format!("of {node}: {deed:?} makes {version} of an account after {before:?}"),
                    )?;
                }
            }
        }
        Ok(())
    }
}
