//! What must come to pass once the faults have stopped.

use super::accounts::Work;
use super::deed::{Ask, End};
use super::subject::{Clients, Machine, hash};
use crate::subject::{Broken, Check, Desk, holds};
use quorate::raft::Role;
use quorate::{GroupId, Instant, NodeId};
use std::time::Duration;

/// How long a transaction may take when nothing is in its way but a slow node.
const QUICK: Duration = Duration::from_secs(5);

/// How far the liveness phase has come.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// The transaction that is asked when all is over.
    probe: Option<u64>,
    /// The look at all accounts that follows it.
    look: Option<u64>,
}

impl Clients {
    /// Every request ended, nothing in doubt or remembered, all nodes alike, all groups at rest; and then once more, after a
    /// transaction over all groups that has to be quick.
    pub(super) fn waits(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        let Some(calm) = &self.calm else { return Ok(None) };
        if let Some(tag) = calm.look.or(calm.probe).filter(|tag| self.is_open(*tag)) {
            let deed = &self.deeds[&tag];
            let quick = now.since(deed.called) < QUICK;
            holds(quick, "a transaction that nothing is in the way of is quick", || format!("{deed:?}"))?;
            return Ok(Some(format!("{deed:?}")));
        }
        let (probe, look) = (calm.probe, calm.look);
        for tag in probe.into_iter().chain(look) {
            let end = &self.deeds[&tag].end;
            holds(
                matches!(end, End::Done(_)),
                "a transaction that nothing is in the way of is done",
                || format!("{:?}", self.deeds[&tag]),
            )?;
        }
        if probe.is_some() && look.is_none() {
            let ask = self.branches.look_at_all(self.tags + 1);
            let look = self.probe(now, machines, ask, desk);
            self.calm = Some(Calm { probe, look: Some(look) });
            return Ok(Some("all is looked at".into()));
        }
        let missing = self.missing(machines);
        if missing.is_some() {
            return Ok(missing);
        }
        if probe.is_none() {
            self.check_alike(machines)?;
            let ask = self.round();
            let probe = self.probe(now, machines, ask, desk);
            self.calm = Some(Calm { probe: Some(probe), look: None });
            return Ok(Some("a fresh transaction was just asked".into()));
        }
        self.check_alike(machines)?;
        self.check_all()?;
        Ok(None)
    }

    fn is_open(&self, tag: u64) -> bool {
        self.deeds.get(&tag).is_some_and(|deed| deed.end == End::Open)
    }

    fn probe(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        ask: Ask,
        desk: &mut Desk<Machine>,
    ) -> u64 {
        let at = desk.rng.below(machines.len() as u64) as usize;
        self.ask(0, machines[at].0, now, ask, desk)
    }

    /// Takes from one who has, and gives to all the other groups.
    fn round(&self) -> Ask {
        let tag = self.tags + 1;
        let groups = self.branches.groups as i64;
        let rich =
            self.branches.all().find(|(group, account)| self.ledger.balance(*group, *account) >= groups);
        let (from, account) = rich.unwrap_or_default();
        let part = |number| {
            let group = GroupId::new(number);
            let moves = if group == from { vec![(account, 1 - groups)] } else { vec![(0, 1)] };
            (group, Work { tag, moves, looks: Vec::new() })
        };
        Ask::Transact((0..self.branches.groups).map(part).collect())
    }

    fn missing(&self, machines: &[(NodeId, &Machine)]) -> Option<String> {
        let up = |node: NodeId| machines.iter().any(|&(id, _)| id == node);
        let owed = self.tickets.keys().filter(|(node, _)| up(*node)).count();
        let conducted: usize = machines.iter().map(|(_, machine)| machine.conducted()).sum();
        let doubts = machines.iter().map(|(_, machine)| machine.in_doubt().count()).sum::<usize>();
        let all = || machines.iter().flat_map(|(_, machine)| machine.groups().iter());
        let shards = || all().map(|(_, group)| group.application());
        let busy = shards().filter(|shard| !shard.is_idle() || !shard.application().is_idle()).count();
        let leaders = all().filter(|(_, group)| group.status().role == Role::Leader).count();
        let awake: usize = machines
            .iter()
            .map(|(_, machine)| machine.groups().iter().len() - machine.groups().resting())
            .sum();
        let done = owed + conducted + doubts + busy + awake == 0 && leaders as u64 == self.branches.groups;
        (!done).then(|| {
            format!(
                "{owed} answers owed, {conducted} conducted, {doubts} in doubt, {busy} shards hold something, {awake} \
                 awake, {leaders} leaders of {}",
                self.branches.groups
            )
        })
    }

    /// All replicas of a group are the same.
    fn check_alike(&self, machines: &[(NodeId, &Machine)]) -> Check {
        for number in 0..self.branches.groups {
            let group = GroupId::new(number);
            let states = machines.iter().filter_map(|(_, machine)| machine.groups().get(group));
            let mut states = states.map(|member| (member.applied(), hash(&member.freeze())));
            let first = states.next();
            holds(states.all(|state| Some(state) == first), "all replicas are alike in the end", || {
                group.to_string()
            })?;
        }
        Ok(())
    }
}
