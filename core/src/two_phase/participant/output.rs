//! What must be durable, and what is to be said.

use super::super::message::{Message, Parties, Promise, Vote};
use super::super::record::{Record, Restated};
use super::{Event, Part, Participant, Plan, Reply, Saving, Say, Stage, Telling};
use crate::space::Window;
use crate::{Batch, Command, NodeId, Output, Space, Staged, TxId};

impl<W: Command, S: Space> Participant<W, S> {
    // What must be durable.

    /// What the part here is must be saved before it is relied on.
    pub(super) fn save(&mut self, at: usize) {
        let mark = self.ledger.stage();
        if let Some((_, part)) = self.live.get_mut(at) {
            part.mark = mark;
        }
        self.save_later(at);
    }

    /// What the part here is may be saved with what is saved next.
    pub(super) fn save_later(&mut self, at: usize) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        if !core::mem::replace(&mut part.is_saving, true) {
            let fits = self.saving.push_back(at).is_ok();
            assert!(fits, "each place is in line once");
        }
        self.live.rouse(at);
    }

    /// What is over but not saved takes places that are wanted.
    pub(super) fn make_room(&mut self) {
        if !self.saving.is_empty() {
            self.ledger.stage();
        }
    }

    pub(super) fn on_saved(&mut self) {
        while let Some(&(at, mark)) = self.gated.get(0)
            && self.ledger.is_durable(mark)
        {
            self.gated.pop_front();
            self.live.rouse(at);
        }
        if self.is_gated_too_long {
            (0..self.live.places()).for_each(|at| self.live.rouse(at));
            // Who was not in line is roused by every receipt until all is durable.
            self.is_gated_too_long = !self.ledger.is_durable(self.ledger.mark());
        }
    }

    pub(super) fn plan_save(&mut self) -> Option<Plan> {
        if !self.ledger.has_unsaved() {
            return None;
        }
        self.records += 1;
        if self.records > 8 * S::CALLS as u64 {
            self.records = 1;
            while self.saved().is_some() {}
            return Some(Plan::Save(self.ledger.write(Saving::Restart, true)));
        }
        let at = self.saved();
        assert!(at.is_some(), "what is staged is in line to be saved");
        let closes = self.saving.is_empty();
        Some(Plan::Save(self.ledger.write(Saving::Of(at?), closes)))
    }

    /// The next place to be saved.
    pub(super) fn saved(&mut self) -> Option<usize> {
        let at = self.saving.pop_front()?;
        let mark = self.ledger.mark();
        if let Some((_, part)) = self.live.get_mut(at) {
            part.is_saving = false;
        }
        self.is_gated_too_long |= self.gated.push_back((at, mark)).is_err();
        self.live.rouse(at);
        Some(at)
    }

    // Outputs.

    /// What the part here wants done, if anything.
    pub(super) fn plan_at(&mut self, at: usize) -> Option<Plan> {
        let now = self.now;
        let (tx, part) = self.live.get_mut(at)?;
        let is_open = !part.is_saving && self.ledger.is_durable(part.mark);
        // What was forced is told when it is durable that it was, and the only one when it is that it will not do it.
        let is_gated = match part.stage {
            Stage::Forced { .. } => true,
            Stage::Over => part.is_only,
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Refused => false,
        };
        let is_tellable = is_open || !is_gated;
        if let Some(telling) = part.telling.filter(|_| is_tellable) {
            part.telling = None;
            return Some(Plan::Tell(at, telling));
        }
        if core::mem::take(&mut part.wounds) {
            return Some(Plan::Send { to: tx.coordinator, say: Say::Wound(tx) });
        }
        if !is_open {
            return None;
        }
        if core::mem::take(&mut part.answers) {
            part.said = now;
            let say = match part.stage {
                Stage::Promised | Stage::Forced { .. } => Say::Vote(tx, Vote::Yes(part.promise)),
                Stage::Reading => Say::Vote(tx, Vote::ReadOnly),
                Stage::Settled { reads: true } => Say::Vote(tx, Vote::ReadOnly),
                Stage::Settled { reads: false } | Stage::Refused => Say::Vote(tx, Vote::No),
                Stage::Done { commit } => Say::Done(tx, commit),
                Stage::Kept => Say::Done(tx, true),
                Stage::Asked | Stage::Committing | Stage::Over => return None,
            };
            return Some(Plan::Send { to: tx.coordinator, say });
        }
        let slot = part.due.round_from(0)?;
        part.due.remove(slot);
        let to = self.config.nodes.get(slot).copied()?;
        let say = match part.stage {
            Stage::Promised | Stage::Forced { .. } => Say::Ask(tx, part.promise),
            Stage::Refused if to != tx.coordinator => Say::Ended(tx, false, Promise::ANY),
            Stage::Asked | Stage::Reading | Stage::Refused | Stage::Kept => Say::Ask(tx, Promise::ANY),
            Stage::Committing | Stage::Done { .. } | Stage::Settled { .. } | Stage::Over => return None,
        };
        Some(Plan::Send { to, say })
    }

    /// The first in line has just said something: if that was all, it need not be asked again.
    pub(super) fn rest_if_done(&mut self, at: usize, plan: &Plan) {
        let Some((_, part)) = self.live.get(at) else { return };
        let is_done = part.telling.is_none() && !part.wounds && !part.answers && part.due.is_empty();
        // What is told of is still to be shown.
        let is_shown = matches!(plan, Plan::Send { .. });
        let stays = matches!(part.stage, Stage::Asked | Stage::Committing);
        if is_done && (is_shown || stays) {
            self.live.rest();
            if is_shown {
                self.settle(at);
            }
        }
    }

    /// Forgets a part that is over.
    pub(super) fn settle(&mut self, at: usize) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        let is_open = !part.is_saving && self.ledger.is_durable(part.mark);
        match part.stage {
            Stage::Done { .. } if is_open && part.is_only => part.stage = Stage::Kept,
            Stage::Done { .. } | Stage::Settled { .. } if is_open => {
                self.live.remove(at);
            }
            Stage::Over if !part.is_saving && part.telling.is_none() => {
                self.live.remove(at);
            }
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Refused
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }
}

impl<W: Command, S: Space> Staged for Participant<W, S> {
    type Plan = Plan;

    fn plan(&mut self) -> Option<Plan> {
        if let Some(plan) = self.plan_save() {
            return Some(plan);
        }
        if self.retaking == 0 && !core::mem::replace(&mut self.is_ready, true) {
            return Some(Plan::Ready);
        }
        if let Some((to, reply)) = self.replies.pop_front() {
            let say = match reply {
                Reply::Done(tx) => Say::Done(tx, true),
                Reply::No(tx) => Say::Vote(tx, Vote::No),
                Reply::Ended(tx, commit, of) => Say::Ended(tx, commit, of),
            };
            return Some(Plan::Send { to, say });
        }
        while let Some(at) = self.live.ready() {
            if let Some(plan) = self.plan_at(at) {
                if let Plan::Tell(_, Telling::Retake | Telling::Decided(_)) = plan {
                    self.retaking = self.retaking.saturating_sub(usize::from(!self.is_ready));
                    self.end_forced(at);
                }
                self.rest_if_done(at, &plan);
                return Some(plan);
            }
            self.live.rest();
            self.settle(at);
        }
        None
    }

    fn show(&self, plan: Plan) -> Output<Message<'_, W>, Record<'_, W>, Event<'_, W>> {
        match plan {
            Plan::Save(write) => Output::Save(write.map(|saving| self.record(saving))),
            Plan::Tell(at, telling) => Output::Event(self.event(at, telling)),
            Plan::Ready => Output::Event(Event::Ready),
            Plan::Send { to, say } => Output::Send {
                to,
                message: match say {
                    Say::Vote(tx, vote) => Message::Vote { tx, vote, latest: self.latest },
                    Say::Done(tx, commit) => Message::Done { tx, commit },
                    Say::Ask(tx, of) => Message::Ask { tx, of },
                    Say::Wound(tx) => Message::Wound { tx },
                    Say::Ended(tx, commit, of) => Message::Decision { tx, commit, of },
                },
            },
        }
    }
}

impl<W: Command, S: Space> Participant<W, S> {
    /// To whom something is to be sent, if it is.
    pub(in crate::two_phase) const fn addressee(plan: &Plan) -> Option<NodeId> {
        match *plan {
            Plan::Send { to, .. } => Some(to),
            Plan::Save(_) | Plan::Tell(..) | Plan::Ready => None,
        }
    }

    pub(super) fn event(&self, at: usize, telling: Telling) -> Event<'_, W> {
        let planned = self.live.get(at).and_then(|(tx, part)| Some((tx, part.age, part.work.as_ref()?)));
        let Some((tx, age, work)) = planned else { unreachable!("what is told of is still there") };
        match telling {
            Telling::Retake => Event::Retake { tx, age, work },
            Telling::Prepare => Event::Prepare { tx, age, work },
            Telling::Decided(commit) => Event::Decided { tx, commit, work },
            Telling::Contradicted { forced } => Event::Contradicted { tx, forced },
        }
    }

    pub(super) fn record(&self, saving: Saving) -> Record<'_, W> {
        match saving {
            Saving::Restart => Record::Restart(Restated::of(self)),
            Saving::Of(at) => {
                let Some((tx, part)) = self.live.get(at) else {
                    unreachable!("what is saved is still there")
                };
                self.record_of(tx, part)
            }
        }
    }

    /// What a part is, as a record.
    pub(super) fn record_of<'p>(&'p self, tx: TxId, part: &'p Part<W>) -> Record<'p, W> {
        match part.stage {
            Stage::Promised | Stage::Reading | Stage::Committing => self.promised(tx, part),
            Stage::Forced { commit, .. } => Record::Forced { tx, commit },
            Stage::Refused => Record::Refused { tx },
            Stage::Kept => Record::Kept { tx },
            Stage::Done { .. } if part.is_only => Record::Kept { tx },
            Stage::Done { .. } | Stage::Settled { .. } | Stage::Over | Stage::Asked => Record::Ended { tx },
        }
    }

    pub(super) fn promised<'p>(&'p self, tx: TxId, part: &'p Part<W>) -> Record<'p, W> {
        let parties = Parties::chosen(&self.config.nodes, part.parties);
        let work = Batch::of(part.work.as_slice());
        Record::Promised { tx, promise: part.promise, is_first: part.is_first, age: part.age, parties, work }
    }
}
