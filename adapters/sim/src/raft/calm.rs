//! What must come to pass once the faults have stopped.

use super::subject::{Machine, Proposals};
use crate::subject::{Broken, Desk, holds};
use quorate::raft::{Request, Role};
use quorate::{Instant, NodeId, Term};
use std::time::Duration;

/// Twenty election timeouts: so long a leader that everybody follows has to last.
const LASTS: Duration = Duration::from_millis(20 * 300);
/// Ten election timeouts, and what is left over from the faults: a stalled disk, a clock that jumped back.
const ELECTS: Duration = Duration::from_millis(10 * 300 + 6_000);

/// How far the liveness phase has come.
#[derive(Debug)]
pub(super) struct Calm {
    began: Instant,
    /// The leader that everybody follows, and since when.
    leader: Option<(NodeId, Term, Instant)>,
    /// The command that has to get through.
    command: Option<u64>,
    reads_are_asked: bool,
}

impl Calm {
    pub(super) const fn new(began: Instant) -> Self {
        Self { began, leader: None, command: None, reads_are_asked: false }
    }

    /// One leader that everybody follows and that lasts; a fresh proposal and fresh reads of every node; nothing
    /// owed; and the same state everywhere.
    pub(super) fn waits_for(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &Machine)],
        all: &mut Proposals,
        desk: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        let Some(leader) = self.agree(now, machines)? else {
            let roles: Vec<String> =
                machines.iter().map(|(_, machine)| format!("{:?}", machine.status())).collect();
            return Ok(Some(format!("no leader that all follow: {}", roles.join("; "))));
        };
        if !self.command.is_some_and(|command| all.state.commands().any(|told| told == command)) {
            if all.owes([leader].into_iter()) == 0 || self.command.is_none() {
                self.command = Some(all.propose(leader, desk));
            }
            return Ok(Some("a fresh proposal is not told".into()));
        }
        if !self.reads_are_asked {
            self.reads_are_asked = true;
            machines.iter().for_each(|&(node, _)| desk.ask(node, 0, Request::Read));
            return Ok(Some("reads were just asked".into()));
        }
        let owed = all.owes(machines.iter().map(|&(node, _)| node));
        let behind =
            machines.iter().filter(|&&(node, _)| all.state.told(node) < all.history.committed()).count();
        if owed + behind > 0 {
            // A proposal that was lost with its leader ends when the log has grown up to its place.
            all.propose(leader, desk);
            return Ok(Some(format!("{owed} answers are owed, {behind} nodes are behind")));
        }
        let since = self.leader.map_or(now, |(_, _, since)| since);
        Ok((now.since(since) < LASTS).then(|| "the leader is new".into()))
    }

    /// The leader that all follow, if there is one.
    fn agree(&mut self, now: Instant, machines: &[(NodeId, &Machine)]) -> Result<Option<NodeId>, Broken> {
        let first = machines.first().map(|(_, machine)| machine.status());
        let agreed = first.filter(|first| {
            let follows = |(_, machine): &(NodeId, &Machine)| {
                let status = machine.status();
                status.term == first.term && status.leader == first.leader
            };
            let leads = |leader: NodeId| {
                machines.iter().any(|(id, machine)| *id == leader && machine.status().role == Role::Leader)
            };
            machines.iter().all(follows) && first.leader.is_some_and(leads)
        });
        let found = agreed.and_then(|status| Some((status.leader?, status.term)));
        holds(
            found.is_some() || self.leader.is_some() || now.since(self.began) < ELECTS,
            "a leader is elected",
            || format!("none that all follow within {ELECTS:?}"),
        )?;
        let Some((leader, term)) = found else { return Ok(None) };
        if self.leader.is_none_or(|(before, of, _)| (before, of) != (leader, term)) {
            self.leader = Some((leader, term, now));
        }
        Ok(Some(leader))
    }
}
