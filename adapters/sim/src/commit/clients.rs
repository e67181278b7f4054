//! What clients want, and an operator.

use super::bank::{OPEN, Step, Work};
use super::subject::{Asked, BEGIN, Machine, OPERATOR, Transfers};
use crate::subject::Desk;
use quorate::two_phase::participant::Request;
use quorate::two_phase::{Side, Transaction, coordinator};
use quorate::{Age, Instant, NodeId};
use std::collections::BTreeMap;
use std::time::Duration;

impl Transfers {
    fn any_node(&self, desk: &mut Desk<Machine>) -> NodeId {
        self.nodes[desk.rng.below(self.nodes.len() as u64) as usize]
    }

    /// A transaction by chance: an audit, a transfer within a node, or one between nodes, some of which may only look.
    fn draw(&self, desk: &mut Desk<Machine>) -> BTreeMap<NodeId, Work> {
        let mut parts = BTreeMap::<NodeId, Work>::new();
        if desk.rng.below(12) == 0 {
            let look = (0..OPEN as u8).map(|account| Step { account, change: 0 });
            return self.nodes.iter().map(|&node| (node, Work(look.clone().collect()))).collect();
        }
        let mut add = |node, account, change| {
            let steps = &mut parts.entry(node).or_insert_with(|| Work(Vec::new())).0;
            match steps.iter_mut().find(|step| step.account == account) {
                Some(step) => step.change += change,
                None => steps.push(Step { account, change }),
            }
        };
        let places = if desk.rng.below(4) == 0 { 1 } else { 2 + desk.rng.below(2) };
        let within = (places == 1).then(|| self.any_node(desk));
        let mut left = 0;
        for place in 0..places.max(2) {
            let (node, account) = (within.unwrap_or(self.any_node(desk)), desk.rng.below(OPEN as u64));
            let change = if place + 1 == places.max(2) { -left } else { desk.rng.below(60) as i64 - 30 };
            left += change;
            add(node, account as u8, change);
        }
        for _ in 0..desk.rng.below(3) {
            add(self.any_node(desk), desk.rng.below(OPEN as u64) as u8, 0);
        }
        parts
    }

    pub(super) fn begin(
        &mut self,
        node: NodeId,
        parts: BTreeMap<NodeId, Work>,
        age: Option<Age>,
        desk: &mut Desk<Machine>,
    ) {
        let transaction = Transaction::of(parts.clone()).expect("each node once");
        let transaction = match age {
            Some(age) => transaction.aged(age),
            None => transaction,
        };
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        self.ask(node, Asked::Begin(parts, age), request, desk);
    }

    pub(super) fn on_begin_timer(&mut self, desk: &mut Desk<Machine>) {
        let next = Duration::from_micros(desk.rng.below(2 * self.gap));
        desk.after(next, BEGIN);
        for _ in 0..=desk.rng.below(3) {
            let node = self.any_node(desk);
            let again = if desk.rng.below(2) == 0 { self.retry.pop() } else { None };
            let (parts, age) = match again {
                Some((parts, age)) => (parts, Some(age)),
                None => (self.draw(desk), None),
            };
            self.begin(node, parts, age, desk);
        }
        if desk.rng.below(10) == 0
            && let Some((&tx, _)) = self.tales.iter().rev().find(|(_, tale)| tale.outcome.is_none())
        {
            let request = Side::Coordinator(coordinator::Request::Cancel(tx));
            self.ask(tx.coordinator, Asked::Cancel, request, desk);
        }
    }

    /// An operator loses patience.
    pub(super) fn on_operator_timer(&mut self, now: Instant, desk: &mut Desk<Machine>) {
        desk.after(Duration::from_millis(300), OPERATOR);
        let patience = Duration::from_millis(200);
        let stuck = self.promised.iter().find(|(_, since)| since.after(patience) <= now).map(|(key, _)| *key);
        if let Some((node, tx)) = stuck {
            // Told that it may have been done before, the operator does not have it done again.
            let commit = desk.rng.below(2) == 0 && !self.tale(tx).did.contains(&node);
            self.say(node, Request::Force { tx, commit }, Vec::new(), desk);
        }
    }
}
