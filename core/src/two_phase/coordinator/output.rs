//! What must be durable, and what is to be said.

use super::super::message::{Message, Parties, Promise};
use super::super::record::{Record, Restated};
use super::{Coordinator, Event, Plan, Reply, Saving, Stage, Underway};
use crate::space::Window;
use crate::{Batch, Command, NodeId, Output, Space, Staged};

impl<W: Command, S: Space> Coordinator<W, S> {
    fn plan_save(&mut self) -> Option<Plan> {
        let saving = if self.records > 4 * S::CALLS as u64 {
            Saving::Restart
        } else if let Some(tx) = self.over.pop_front() {
            Saving::Ended(tx)
        } else if core::mem::take(&mut self.is_numbering) {
            Saving::Numbered
        } else {
            Saving::Committed(self.decided()?)
        };
        self.records += 1;
        if let Saving::Restart = saving {
            (self.is_numbering, self.records) = (false, 1);
            while self.over.pop_front().is_some() {}
            while self.decided().is_some() {}
        }
        let closes = self.over.is_empty() && !self.is_numbering && self.unsaved.is_empty();
        Some(Plan::Save(self.ledger.write(saving, closes)))
    }

    fn plan_aside(&mut self) -> Option<Plan> {
        let reply = self.replies.pop_front();
        let contradicted = if reply.is_none() { self.contradicted.pop_front() } else { None };
        self.has_aside = !self.replies.is_empty() || !self.contradicted.is_empty();
        match reply {
            Some((to, Reply { tx, commit, of })) => Some(Plan::Answer { to, tx, commit, of }),
            None => contradicted.map(|(tx, by)| Plan::Tell(Event::Contradicted { tx, by })),
        }
    }

    /// The next decision to be saved: it counts once it is durable.
    fn decided(&mut self) -> Option<usize> {
        let at = self.unsaved.leave()?;
        self.written.join(at);
        Some(at)
    }

    /// What the transaction that is first in line wants said, if anything. It stays in line while it has more to say.
    #[inline(always)]
    fn plan_at(&mut self, at: usize) -> Option<Plan> {
        let Some((tx, entry)) = self.live.get_mut(at) else {
            self.ready.leave();
            return None;
        };
        let plan = if let Some(outcome) = entry.outcome.take() {
            Plan::Tell(Event::Ended { tx, age: entry.age, outcome })
        } else if let Some(part) = entry.due.round_from(0) {
            entry.due.remove(part);
            Plan::Say { at, part }
        } else {
            self.ready.leave();
            self.settle(at);
            return None;
        };
        // What is said is lent from it: it is not forgotten before.
        if entry.due.is_empty() && !entry.is_over() {
            self.ready.leave();
        }
        Some(plan)
    }

    /// Forgets a transaction if it is over.
    fn settle(&mut self, at: usize) {
        let Some((tx, entry)) = self.live.get(at) else { return };
        let Stage::Ending { is_recorded, .. } = entry.stage else { return };
        if !entry.is_over() {
            return;
        }
        self.live.remove(at);
        self.spare.join(at);
        if is_recorded {
            // Saved with what is saved next; if that takes too long, for its own sake.
            let fits = self.over.push_back(tx).is_ok();
            assert!(fits, "what is over is saved before there is too much of it");
            if self.over.len() == S::CALLS {
                self.ledger.stage();
            }
        }
    }
}

impl<W: Command, S: Space> Underway<W, S> {
    /// All who had to have said that they did it.
    const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ending { open, .. } if open.is_empty())
    }
}

impl<W: Command, S: Space> Staged for Coordinator<W, S> {
    type Plan = Plan;

    #[inline(always)]
    fn plan(&mut self) -> Option<Plan> {
        if !self.ledger.has_unsaved() {
            // First, or who keeps saying things again would answer nobody.
            if self.has_aside {
                return self.plan_aside();
            }
            // A number is used by nobody else once it is durable that it may be used.
            while let Some(at) = self.ready.first()
                && self.ledger.is_durable(self.numbered_mark)
            {
                if let Some(plan) = self.plan_at(at) {
                    return Some(plan);
                }
            }
        }
        // Also what is over, if there is too much of it by now.
        if self.ledger.has_unsaved() { self.plan_save() } else { None }
    }

    fn show(&self, plan: Plan) -> Output<Message<'_, W>, Record<'_, W>, Event> {
        match plan {
            Plan::Save(write) => Output::Save(write.map(|saving| self.record(saving))),
            Plan::Say { at, part } => self.say(at, part),
            Plan::Answer { to, tx, commit, of } => {
                Output::Send { to, message: Message::Decision { tx, commit, of } }
            }
            Plan::Tell(event) => Output::Event(event),
        }
    }
}

impl<W: Command, S: Space> Coordinator<W, S> {
    /// To whom something is to be sent, if it is.
    pub(in crate::two_phase) fn addressee(&self, plan: &Plan) -> Option<NodeId> {
        match *plan {
            Plan::Say { at, part } => self.live.get(at)?.1.parts.0.get(part).map(|part| part.node),
            Plan::Answer { to, .. } => Some(to),
            Plan::Save(_) | Plan::Tell(_) => None,
        }
    }

    fn say(&self, at: usize, part: usize) -> Output<Message<'_, W>, Record<'_, W>, Event> {
        let planned = self.live.get(at).and_then(|(tx, entry)| Some((tx, entry, entry.parts.0.get(part)?)));
        let Some((tx, entry, part)) = planned else { unreachable!("what was planned is still there") };
        let message = match entry.stage {
            Stage::Voting { .. } | Stage::Delegated => Message::Prepare {
                tx,
                floor: self.floor,
                only: matches!(entry.stage, Stage::Delegated),
                age: entry.age,
                parties: Parties::listed(&entry.parts),
                work: Batch::of(part.work.as_slice()),
            },
            Stage::Deciding { .. } => unreachable!("a decision is said when it is durable"),
            Stage::Ending { commit, .. } => {
                Message::Decision { tx, commit, of: if commit { part.promise } else { Promise::ANY } }
            }
        };
        Output::Send { to: part.node, message }
    }

    fn record(&self, saving: Saving) -> Record<'_, W> {
        match saving {
            Saving::Numbered => Record::Numbered { through: self.numbered },
            Saving::Committed(at) => {
                let Some((tx, entry)) = self.live.get(at) else {
                    unreachable!("what is decided is under way")
                };
                Record::Committed { tx, parties: Parties::listed(&entry.parts) }
            }
            Saving::Ended(tx) => Record::Ended { tx },
            Saving::Restart => Record::Restart(Restated::of(self)),
        }
    }
}
