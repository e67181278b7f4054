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
        self.unsaved.join(at);
    }

    /// What is over but not saved takes places that are wanted.
    pub(super) fn make_room(&mut self) {
        if !self.unsaved.is_empty() {
            self.ledger.stage();
        }
    }

    fn plan_save(&mut self) -> Option<Plan> {
        self.records += 1;
        if self.records > 8 * S::CALLS as u64 {
            self.records = 1;
            while self.write().is_some() {}
            return Some(Plan::Save(self.ledger.write(Saving::Restart, true)));
        }
        let at = self.write();
        assert!(at.is_some(), "what is staged is in line to be saved");
        let closes = self.unsaved.is_empty();
        Some(Plan::Save(self.ledger.write(Saving::Of(at?), closes)))
    }

    /// The next place to be saved.
    fn write(&mut self) -> Option<usize> {
        let at = self.unsaved.leave()?;
        if let Some((_, part)) = self.live.get_mut(at) {
            if matches!(part.stage, Stage::Over) && !part.is_only {
                // Nothing depends on it: its place is free.
                self.ready.join(at);
            } else if self.written.join(at) {
                part.awaited = part.mark;
            }
        }
        Some(at)
    }

    // Outputs.

    fn plan_aside(&mut self) -> Option<Plan> {
        if self.retaking > 0 {
            return None;
        }
        let reply = self.is_ready.then(|| self.replies.pop_front()).flatten();
        self.has_aside = !self.replies.is_empty();
        if !core::mem::replace(&mut self.is_ready, true) {
            return Some(Plan::Ready);
        }
        let (to, reply) = reply?;
        let say = match reply {
            Reply::Done(tx) => Say::Done(tx, true),
            Reply::No(tx) => Say::Vote(tx, Vote::No),
            Reply::Ended(tx, commit, of) => Say::Ended(tx, commit, of),
        };
        Some(Plan::Send { to, say })
    }

    /// Whether all that the part here is, is durable.
    pub(super) fn is_open(&self, at: usize) -> bool {
        let is_durable = self.live.get(at).is_some_and(|(_, part)| self.ledger.is_durable(part.mark));
        is_durable && !self.unsaved.has(at)
    }

    /// The next place that may have something to say.
    fn next(&mut self) -> Option<usize> {
        if let Some(at) = self.ready.leave() {
            return Some(at);
        }
        while let Some(at) = self.written.first() {
            let part = self.live.get_mut(at).map(|(_, part)| part);
            if part.as_ref().is_some_and(|part| !self.ledger.is_durable(part.awaited)) {
                return None;
            }
            self.written.leave();
            match part {
                // It was written again since, or is another in the place of what was.
                Some(part) if !self.ledger.is_durable(part.mark) => {
                    part.awaited = part.mark;
                    self.written.join(at);
                }
                Some(_) | None => return Some(at),
            }
        }
        None
    }

    /// What the part here wants done, if anything. It is put in line again while it has more to say.
    fn plan_at(&mut self, at: usize) -> Option<Plan> {
        let is_open = self.is_open(at);
        let (tx, part) = self.live.get_mut(at)?;
        if let Some(telling) = part.telling
            && (is_open || !part.is_told_when_durable())
        {
            part.telling = None;
            // What is told is lent from it: it is not forgotten before.
            if part.says() || part.is_over() {
                self.ready.join(at);
            }
            if !self.is_ready {
                self.retaking = self.retaking.saturating_sub(1);
            }
            if let Stage::Forced { .. } = part.stage {
                self.end_forced(at);
            }
            return Some(Plan::Tell(at, telling));
        }
        if !is_open || part.wounds || !core::mem::take(&mut part.answers) {
            return self.plan_ask(at, is_open);
        }
        part.said = self.now;
        let say = part.answer(tx);
        if say.is_some() && part.says() {
            self.ready.join(at);
        } else {
            self.settle(at, is_open);
        }
        Some(Plan::Send { to: tx.coordinator, say: say? })
    }

    /// What the part here wants said besides its answer.
    #[inline(never)]
    fn plan_ask(&mut self, at: usize, is_open: bool) -> Option<Plan> {
        let (tx, part) = self.live.get_mut(at)?;
        let said = if core::mem::take(&mut part.wounds) {
            Some((tx.coordinator, Say::Wound(tx)))
        } else if is_open {
            part.ask(tx, &self.config.nodes)
        } else {
            None
        };
        if said.is_some() && part.says() {
            self.ready.join(at);
        } else {
            self.settle(at, is_open);
        }
        said.map(|(to, say)| Plan::Send { to, say })
    }

    /// The part here has nothing more to say: it is forgotten, if it is over.
    fn settle(&mut self, at: usize, is_open: bool) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        match part.stage {
            Stage::Done { .. } if is_open && part.is_only => part.stage = Stage::Kept,
            Stage::Done { .. } | Stage::Settled { .. } if is_open => self.live.remove(at),
            Stage::Over if part.telling.is_none() && !self.unsaved.has(at) => self.live.remove(at),
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

impl<W> Part<W> {
    /// What the coordinator is told.
    const fn answer(&self, tx: TxId) -> Option<Say> {
        Some(match self.stage {
            Stage::Promised | Stage::Forced { .. } => Say::Vote(tx, Vote::Yes(self.promise)),
            Stage::Reading | Stage::Settled { reads: true } => Say::Vote(tx, Vote::ReadOnly),
            Stage::Settled { reads: false } | Stage::Refused => Say::Vote(tx, Vote::No),
            Stage::Done { commit } => Say::Done(tx, commit),
            Stage::Kept => Say::Done(tx, true),
            Stage::Asked | Stage::Committing | Stage::Over => return None,
        })
    }

    /// Who is asked or told next, and what.
    fn ask(&mut self, tx: TxId, nodes: &[NodeId]) -> Option<(NodeId, Say)> {
        let slot = self.due.round_from(0)?;
        self.due.remove(slot);
        let to = nodes.get(slot).copied()?;
        let say = match self.stage {
            Stage::Promised | Stage::Forced { .. } => Say::Ask(tx, self.promise),
            Stage::Refused if to != tx.coordinator => Say::Ended(tx, false, Promise::ANY),
            Stage::Asked | Stage::Reading | Stage::Refused | Stage::Kept => Say::Ask(tx, Promise::ANY),
            Stage::Committing | Stage::Done { .. } | Stage::Settled { .. } | Stage::Over => return None,
        };
        Some((to, say))
    }

    /// What was forced is told when it is durable that it was, and the only one when it is that it will not do it.
    const fn is_told_when_durable(&self) -> bool {
        match self.stage {
            Stage::Forced { .. } => true,
            Stage::Over => self.is_only,
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Refused => false,
        }
    }

    /// Whether it has something to say, now or later.
    const fn says(&self) -> bool {
        self.answers || self.wounds || self.telling.is_some() || !self.due.is_empty()
    }

    const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over | Stage::Settled { .. } | Stage::Done { .. })
    }
}

impl<W: Command, S: Space> Staged for Participant<W, S> {
    type Plan = Plan;

    #[inline(always)]
    fn plan(&mut self) -> Option<Plan> {
        if self.ledger.has_unsaved() {
            return self.plan_save();
        }
        // First, or who keeps saying things again would answer nobody.
        if self.has_aside
            && let Some(plan) = self.plan_aside()
        {
            return Some(plan);
        }
        while let Some(at) = self.next() {
            if let Some(plan) = self.plan_at(at) {
                return Some(plan);
            }
        }
        None
    }

    #[inline(always)]
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
