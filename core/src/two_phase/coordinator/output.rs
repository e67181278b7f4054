//! What must be durable, and what is to be said.

use super::super::message::{Message, Parties, Promise};
use super::super::record::{Record, Restated};
use super::{Coordinator, Event, Plan, Reply, Saving, Stage};
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

    /// The next decision to be saved: it counts once it is durable.
    fn decided(&mut self) -> Option<usize> {
        let at = self.unsaved.leave()?;
        self.written.join(at);
        Some(at)
    }

    /// What the transaction here wants said, if anything.
    fn plan_at(&mut self, at: usize) -> Option<Plan> {
        let (tx, entry) = self.live.get_mut(at)?;
        if let Some(outcome) = entry.outcome.take() {
            return Some(Plan::Tell(Event::Ended { tx, age: entry.age, outcome }));
        }
        let part = entry.due.round_from(0)?;
        entry.due.remove(part);
        Some(Plan::Say { at, part })
    }

    /// Whether the transaction here has nothing more to say, and is not over.
    fn is_quiet(&self, at: usize) -> bool {
        self.live.get(at).is_some_and(|(_, entry)| {
            let is_over = matches!(entry.stage, Stage::Ending { open, .. } if open.is_empty());
            entry.due.is_empty() && entry.outcome.is_none() && !is_over
        })
    }

    /// Forgets a transaction if it is over.
    fn settle(&mut self, at: usize) {
        let Some((tx, entry)) = self.live.get(at) else { return };
        let Stage::Ending { open, is_recorded, .. } = entry.stage else { return };
        if !open.is_empty() {
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

impl<W: Command, S: Space> Staged for Coordinator<W, S> {
    type Plan = Plan;

    fn plan(&mut self) -> Option<Plan> {
        if self.ledger.has_unsaved() {
            return self.plan_save();
        }
        if let Some((to, Reply { tx, commit, of })) = self.replies.pop_front() {
            return Some(Plan::Answer { to, tx, commit, of });
        }
        if let Some((tx, by)) = self.contradicted.pop_front() {
            return Some(Plan::Tell(Event::Contradicted { tx, by }));
        }
        // A number is used by nobody else once it is durable that it may be used.
        if !self.ledger.is_durable(self.numbered_mark) {
            return None;
        }
        while let Some(at) = self.ready.first() {
            if let Some(plan) = self.plan_at(at) {
                if self.is_quiet(at) {
                    self.ready.leave();
                }
                return Some(plan);
            }
            self.ready.leave();
            self.settle(at);
        }
        // What is over may have to be saved by now.
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
            Stage::Deciding { .. } => Message::Decision { tx, commit: false, of: Promise::ANY },
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
