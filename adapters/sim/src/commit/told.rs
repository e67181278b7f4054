//! What nodes say of transactions, and what must hold of it.

use super::bank::Work;
use super::path::Path;
use super::story::Tale;
use super::subject::{Asked, Machine, Task, Transfers, slot};
use crate::subject::{At, Check, Desk, holds};
use quorate::two_phase::Side;
use quorate::two_phase::coordinator::{self, Cause, Outcome};
use quorate::two_phase::participant::{self, Request};
use quorate::{Age, TxId};
use std::time::Duration;

impl Transfers {
    pub(super) fn on_taken(
        &mut self,
        at: At,
        asked: Asked,
        ticket: <Machine as quorate::Machine>::Ticket,
    ) -> Check {
        match (asked, ticket) {
            (Asked::Begin(parts, age), Side::Coordinator(coordinator::Ticket::Begun(tx))) => {
                // A number that nobody has heard of may be used again after a crash.
                let before = self.tales.insert(tx, Tale { parts, ..Tale::default() });
                let is_fresh = before.is_none_or(|tale| tale.yes.is_empty() && tale.outcome.is_none());
                holds(is_fresh, "a number is used once", || tx.to_string())?;
                if age.is_some() {
                    self.aged.insert(tx);
                }
                if self.is_calm && self.last.is_none() {
                    self.last = Some(tx);
                }
                Ok(())
            }
            (Asked::Say(_, request, seen), Side::Participant(_)) => {
                match request {
                    Request::Promise(tx) | Request::Read(tx) => {
                        // Asked again by a message that was late, it sees what does not count.
                        let is_decided = self.notes.is_decided(tx);
                        let tale = self.tale(tx);
                        let is_late = is_decided || tale.outcome.is_some() || tale.let_go;
                        tale.yes.insert(at.node);
                        if !is_late {
                            tale.saw.insert(at.node, seen);
                        }
                        self.promised.insert((at.node, tx), at.now);
                    }
                    Request::Finish(tx) => self.bank(at.node).finish(tx),
                    // Who made a reader let go answers for what others saw.
                    Request::Force { tx, .. }
                        if !self.tale(tx).parts.get(&at.node).is_some_and(Work::writes) =>
                    {
                        self.tale(tx).let_go = true;
                        self.tale(tx).saw.clear();
                    }
                    Request::Refuse(_) | Request::Wound(_) | Request::Force { .. } => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_prepare(&mut self, at: At, tx: TxId, age: Age, work: &Work, desk: &mut Desk<Machine>) -> Check {
        let node = at.node;
        if self.tale(tx).did.contains(&node) {
            self.hit(Path::LatePrepare);
        }
        if self.bank(node).has_done(tx) {
            self.say(node, Request::Finish(tx), Vec::new(), desk);
            return Ok(());
        }
        match self.bank(node).lock(tx, age, work) {
            Some(true) => self.put_off(node, Task::Answer(tx), desk)?,
            Some(false) => {
                self.hit(Path::Waited);
                // The coordinator does not give up one that it has left to the only node, so the node has to.
                if self.tale(tx).parts.len() == 1 {
                    self.remind(node, Task::GiveUp(tx), Duration::from_secs(2), desk);
                }
            }
            None => self.say(node, Request::Refuse(tx), Vec::new(), desk),
        }
        self.look_at_locks(node, desk)
    }

    pub(super) fn on_told(
        &mut self,
        at: At,
        event: &participant::Event<'_, Work>,
        desk: &mut Desk<Machine>,
    ) -> Check {
        use participant::Event;
        let node = at.node;
        match *event {
            Event::Prepare { tx, age, work } => self.on_prepare(at, tx, age, work, desk),
            Event::Retake { tx, age, work } => {
                self.hit(Path::Retaken);
                self.promised.insert((node, tx), at.now);
                let is_held = self.bank(node).lock(tx, age, work);
                holds(is_held == Some(true), "what is taken again is free", || format!("{tx} at {node}"))
            }
            Event::Ready => {
                let open = self.tales.iter().filter(|(_, tale)| tale.open_votes.contains(&node));
                let is_held = |tx| self.banks[slot(node)].holds(tx) || self.notes.is_over(node, tx);
                let lost = open.map(|(tx, _)| *tx).find(|&tx| !is_held(tx));
                holds(lost.is_none(), "what a vote was sent for is held again", || {
                    format!("{lost:?} at {node}")
                })?;
                for tx in self.banks[slot(node)].done().collect::<Vec<_>>() {
                    self.say(node, Request::Finish(tx), Vec::new(), desk);
                }
                Ok(())
            }
            Event::Decided { tx, commit, work } => {
                self.promised.remove(&(node, tx));
                if let Some(forced) = self.notes.forced(node, tx)
                    && self.tale(tx).forced.insert(node, forced).is_none()
                {
                    self.hit(Path::Forced);
                }
                let is_only = self.tale(tx).parts.len() == 1;
                self.tale(tx).on_decided(tx, node, commit)?;
                if !commit {
                    return self.release(node, tx, desk);
                }
                if is_only {
                    self.hit(if self.notes.is_decided(tx) { Path::NotAtOnce } else { Path::AtOnce });
                }
                self.put_off(node, Task::Do(tx, work.clone()), desk)
            }
            Event::Contradicted { tx, forced } => {
                self.hit(Path::Contradicted);
                let tale = self.tale(tx);
                tale.contradicted.insert(node);
                holds(tale.forced.get(&node) == Some(&forced), "only what was forced is contradicted", || {
                    format!("{tx} at {node}")
                })
            }
        }
    }

    pub(super) fn on_outcome(&mut self, tx: TxId, age: Age, outcome: Outcome) -> Check {
        self.tale(tx).on_outcome(tx, outcome)?;
        self.hit(match outcome {
            Outcome::Committed => Path::Committed,
            Outcome::Aborted(Cause::Refused(_)) => Path::Refused,
            Outcome::Aborted(Cause::TimedOut) => Path::TimedOut,
            Outcome::Aborted(Cause::Wounded) => Path::Wounded,
            Outcome::Aborted(Cause::Cancelled) => Path::Cancelled,
            Outcome::Unknown => Path::Unknown,
        });
        let parts = self.tale(tx).parts.clone();
        if outcome == Outcome::Committed {
            if parts.len() == self.nodes.len() && !parts.values().any(Work::writes) {
                self.hit(Path::Audited);
            }
            if self.aged.contains(&tx) {
                self.hit(Path::Aged);
            }
        }
        if outcome == Outcome::Aborted(Cause::Wounded) && self.retry.len() < 20 {
            self.retry.push((parts, age));
        }
        if self.last == Some(tx) {
            self.is_last_through = outcome == Outcome::Committed;
            self.last = None;
        }
        Ok(())
    }
}
