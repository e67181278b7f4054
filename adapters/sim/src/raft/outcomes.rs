//! What nodes told, against what they were asked.

use super::subject::{COMPACT, Machine, Path, Proposals, slot};
use crate::subject::{At, Check, Desk, holds};
use quorate::raft::{Content, Event, ReadTicket, Role};
use quorate::{Index, NodeId, Position};
use std::time::Duration;

impl Proposals {
    pub(super) fn on_committed(&mut self, at: At, event: &Event<'_, u64>, desk: &mut Desk<Machine>) -> Check {
        let Event::Committed { first, entries } = event else { return Ok(()) };
        let mut index = *first;
        entries.try_for_each(|entry| {
            self.state.apply(at.node, index, entry)?;
            self.settle(at, Position { term: entry.term, index }, entry.content.clone())?;
            index = index.next();
            Ok(())
        })?;
        if index.get() % self.snapshot_every < entries.len() as u64 {
            self.write_snapshot(at.node, desk);
        }
        Ok(())
    }

    fn write_snapshot(&self, node: NodeId, desk: &mut Desk<Machine>) {
        let (at, bytes) = self.state.snapshot(node);
        desk.write_snapshot(node, at, bytes);
    }

    /// Writes the snapshots that were due and got lost.
    pub(super) fn compact(&self, desk: &mut Desk<Machine>) {
        for &node in &self.nodes {
            let patience = if self.owed[slot(node)].is_full { 0 } else { self.snapshot_every };
            if self.state.told(node).get() > self.history.snapshot(node).get() + patience {
                self.write_snapshot(node, desk);
            }
        }
        desk.after(Duration::from_millis(200), COMPACT);
    }

    /// An entry was told: the proposals that waited for its place have their outcome.
    fn settle(&mut self, at: At, told: Position, content: Content<u64>) -> Check {
        while let Some(&(position, payload)) = self.owed[slot(at.node)].proposals.front() {
            if position.index > told.index {
                break;
            }
            self.owed[slot(at.node)].proposals.pop_front();
            if position == told {
                let same = matches!(content, Content::Command(command) if command == payload);
                holds(same, "a proposal is told as it was made", || {
                    format!("{} proposed {payload} at {told}, and tells {content:?}", at.node)
                })?;
            } else {
                self.hit(Path::ProposalLost);
            }
        }
        Ok(())
    }

    pub(super) fn on_readable(&mut self, at: At, through: ReadTicket, from: Index) -> Check {
        if self.owed[slot(at.node)].role != Some(Role::Leader) {
            self.hit(Path::FollowerRead);
        }
        while let Some(&(ticket, committed)) = self.owed[slot(at.node)].reads.front() {
            if ticket > through {
                break;
            }
            self.owed[slot(at.node)].reads.pop_front();
            holds(from >= committed, "a read sees all that was committed before it was asked", || {
                format!("{} serves a read from {from}, {committed} was committed before", at.node)
            })?;
        }
        Ok(())
    }
}
