//! Whether what clients saw can have happened one after the other: strict serializability.
//!
//! For each account the order of its writers is known, and for each that looked which of them it saw last. Who wrote goes
//! before who saw it, and that one before who wrote next. Who had been told goes before who asked later. If all this is no
//! circle, there is an order of all deeds that explains everything (Adya; Herlihy and Wing); if it is, there is none.

use super::deed::{Ask, Deed, End};
use super::ledger::Ledger;
use crate::subject::{Broken, Check};
use quorate::{GroupId, Instant};
use std::collections::BTreeMap;

/// Who goes before whom. Deeds first, then a place for each moment at which something was told.
struct Order {
    after: Vec<Vec<usize>>,
}

/// Checks all deeds against the orders of their accounts and against time.
pub(super) fn check(deeds: &BTreeMap<u64, Deed>, ledger: &Ledger) -> Check {
    let has_effect = |deed: &&Deed| match deed.end {
        End::Done(_) => true,
        End::Never => false,
        End::Open | End::Unknown => {
            deed.moves().any(|(group, account, _)| ledger.version(deed.tag, group, account).is_some())
        }
    };
    let all: Vec<&Deed> = deeds.values().filter(has_effect).collect();
    let place: BTreeMap<u64, usize> = all.iter().enumerate().map(|(at, deed)| (deed.tag, at)).collect();
    let mut moments: Vec<Instant> = all.iter().filter_map(|deed| deed.told).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut order = Order { after: vec![Vec::new(); all.len() + moments.len()] };
    for (_, writers) in ledger.iter() {
        for pair in writers.windows(2) {
            order.put(place.get(&pair[0]).copied(), place.get(&pair[1]).copied());
        }
    }
    let writers: BTreeMap<(GroupId, u8), &[u64]> = ledger.iter().collect();
    let writer = |group, account, version: u64| {
        let tag = writers.get(&(group, account))?.get(version.checked_sub(1)? as usize)?;
        place.get(tag).copied()
    };
    for (at, deed) in all.iter().enumerate() {
        let told = if let End::Done(seen) = &deed.end { seen.as_slice() } else { &[] };
        for (group, seen) in told {
            let saw = writer(*group, seen.account, seen.version);
            if saw != Some(at) {
                order.put(saw, Some(at));
                order.put(Some(at), writer(*group, seen.account, seen.version + 1));
            }
        }
        if let Some(told) = deed.told {
            let moment = moments.partition_point(|moment| *moment < told);
            order.put(Some(at), Some(all.len() + moment));
        }
        if let Some(earlier) = moments.partition_point(|moment| *moment < deed.called).checked_sub(1) {
            order.put(Some(all.len() + earlier), Some(at));
        }
    }
    for moment in 1..moments.len() {
        order.put(Some(all.len() + moment - 1), Some(all.len() + moment));
    }
    let Some(circle) = order.circle() else { return Ok(()) };
    let names = circle.iter().filter_map(|at| all.get(*at)).map(|deed| {
        let what = match &deed.ask {
            Ask::Transact(_) => "transaction",
            Ask::Command(..) => "command",
            Ask::Query(..) => "query",
        };
        format!("{what} #{} ({:?}..{:?}) {:?}", deed.tag, deed.called, deed.told, deed.end)
    });
    let names: Vec<_> = names.collect();
    Err(Broken::new(
        "histories are strictly serializable",
        format!("each before the next: {}", names.join("; ")),
    ))
}

impl Order {
    fn put(&mut self, one: Option<usize>, next: Option<usize>) {
        if let (Some(one), Some(next)) = (one, next) {
            self.after[one].push(next);
        }
    }

    /// Some circle, if there is one.
    fn circle(&self) -> Option<Vec<usize>> {
        let mut before = vec![0_usize; self.after.len()];
        self.after.iter().flatten().for_each(|next| before[*next] += 1);
        let mut free: Vec<usize> = (0..before.len()).filter(|at| before[*at] == 0).collect();
        let mut left = before.len();
        while let Some(at) = free.pop() {
            left -= 1;
            for next in &self.after[at] {
                before[*next] -= 1;
                if before[*next] == 0 {
                    free.push(*next);
                }
            }
        }
        if left == 0 {
            return None;
        }
        // Whoever is left has somebody before it: going back ends up in a circle.
        let is_left = |at: &usize| before[*at] > 0;
        let back = |at: usize| (0..before.len()).find(|one| is_left(one) && self.after[*one].contains(&at));
        let mut path = vec![(0..before.len()).find(is_left)?];
        loop {
            let one = back(*path.last()?)?;
            if let Some(met) = path.iter().position(|at| *at == one) {
                let mut circle = path.split_off(met);
                circle.reverse();
                return Some(circle);
            }
            path.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::accounts::{Account, Seen, Work};
    use super::*;

    const ONE: GroupId = GroupId::new(0);

    fn deed(tag: u64, ask: Ask, called: u64, told: u64, version: u64) -> (u64, Deed) {
        let seen = Seen { account: 0, version, balance: 0 };
        let (called, told) = (Instant::from_micros(called), Some(Instant::from_micros(told)));
        let end = End::Done(vec![(ONE, seen)]);
        (tag, Deed { tag, client: 0, ask, called, told, end })
    }

    fn write(tag: u64) -> Ask {
        Ask::Command(ONE, Work { tag, moves: vec![(0, 0)], looks: Vec::new() })
    }

    fn ledger(tags: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        let mut account = Account::default();
        for tag in tags {
            account.version += 1;
            account.recent.push(*tag);
            ledger.see((ONE, 0), &account, |_| Some((0, true))).expect("one after the other");
        }
        ledger
    }

    #[test]
    fn a_look_that_misses_what_was_told_before_is_found_out() {
        let ledger = ledger(&[1, 2]);
        let looks = |called, version| deed(3, Ask::Query(ONE, vec![0]), called, 100, version);
        let with = |look| [deed(1, write(1), 0, 10, 1), deed(2, write(2), 20, 30, 2), look].into();
        assert_eq!(check(&with(looks(40, 2)), &ledger), Ok(()));
        assert_eq!(check(&with(looks(25, 1)), &ledger), Ok(()));
        assert!(check(&with(looks(40, 1)), &ledger).is_err());
    }

    #[test]
    fn writers_in_the_wrong_order_are_found_out() {
        let deeds = [deed(1, write(1), 20, 30, 2), deed(2, write(2), 0, 10, 1)].into();
        assert_eq!(check(&deeds, &ledger(&[2, 1])), Ok(()));
        assert!(check(&deeds, &ledger(&[1, 2])).is_err());
    }
}
