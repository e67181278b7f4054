//! What the coordinator and other participants say, and what to do when they say nothing.

use super::super::Config;
use super::super::message::{Parties, Promise};
use super::{Part, Participant, Past, Reply, Stage, Telling};
use crate::quorum::Slots;
use crate::space::Window;
use crate::{Age, Batch, Command, NodeId, Space, TxId};

impl<W: Command, S: Space> Participant<W, S> {
    pub(super) fn on_prepare(
        &mut self,
        from: NodeId,
        (tx, floor, only, age): (TxId, u64, bool, Age),
        parties: Parties<'_>,
        work: Batch<'_, W>,
    ) {
        let Some(slot) = self.config.slot(from).filter(|_| from == tx.coordinator) else {
            return self.drop(from);
        };
        let Some(work) = work.first() else { return self.drop(from) };
        self.latest = self.latest.max(age);
        let past = self.past.get_mut(slot).map_or(Past::default(), |past| {
            past.floor = past.floor.max(floor);
            *past
        });
        if tx.number < past.floor {
            self.counters.stale += 1;
            return;
        }
        if let Some(at) = self.live.find(tx) {
            return self.answer_again(at);
        }
        let part = Part {
            is_first: tx.number > past.done,
            is_only: only,
            age,
            parties: parties.among(&self.config.nodes),
            work: Some(work),
            telling: Some(Telling::Prepare),
            ..self.part(Stage::Asked)
        };
        match self.live.insert(tx, part) {
            Ok(at) => {
                self.ready.join(at);
                self.look_later();
            }
            Err(part) => {
                self.make_room();
                // A no of the only one is for good. It comes again.
                if part.is_only { self.counters.unanswered += 1 } else { self.reply(from, Reply::No(tx)) }
            }
        }
    }

    /// The coordinator asks again: what was said may be lost.
    pub(super) fn answer_again(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        match part.stage {
            Stage::Reading | Stage::Promised | Stage::Forced { .. } | Stage::Refused | Stage::Kept => {
                part.answers = true;
                self.ready.join(at);
            }
            Stage::Over if !part.is_only => self.reply(tx.coordinator, Reply::No(tx)),
            Stage::Over | Stage::Asked | Stage::Committing | Stage::Done { .. } | Stage::Settled { .. } => {}
        }
    }

    #[inline(always)]
    pub(super) fn on_decision(&mut self, from: NodeId, tx: TxId, commit: bool, of: Promise) {
        let is_coordinator = from == tx.coordinator;
        let Some((at, part)) = self.live.find(tx).and_then(|at| Some((at, self.live.get_mut(at)?.1))) else {
            if self.config.slot(from).is_none() {
                self.drop(from);
            } else if is_coordinator && commit {
                // Done and forgotten; the answer was lost.
                self.reply(from, Reply::Done(tx));
            }
            return;
        };
        let is_party = |slot| part.is_first && part.parties.contains(slot);
        if !is_coordinator && !self.config.slot(from).is_some_and(is_party) {
            return self.drop(from);
        }
        match part.stage {
            Stage::Asked if !commit => self.let_go(at),
            Stage::Reading => {
                if commit && part.is_first {
                    self.note_ended(tx, true);
                }
                self.let_go(at);
            }
            Stage::Kept | Stage::Refused if !commit => self.forget(at),
            Stage::Kept => {
                part.answers = true;
                self.ready.join(at);
            }
            Stage::Promised if part.promise == of => self.decide(at, commit),
            Stage::Promised if !commit && of == Promise::ANY => self.decide(at, false),
            Stage::Forced { .. } if part.promise == of => self.on_decided_otherwise(at, commit),
            Stage::Forced { .. } if !commit && of == Promise::ANY => self.on_decided_otherwise(at, false),
            // About an earlier promise, which is kept and forgotten.
            Stage::Asked | Stage::Promised | Stage::Forced { .. } if commit => {
                self.reply(tx.coordinator, Reply::Done(tx));
            }
            Stage::Refused | Stage::Over if commit => self.counters.contradictions += 1,
            Stage::Committing | Stage::Done { commit: true } if !commit && of == Promise::ANY => {
                self.counters.contradictions += 1;
            }
            Stage::Asked
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Settled { .. }
            | Stage::Refused
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }

    /// What was promised is decided.
    #[inline(always)]
    pub(super) fn decide(&mut self, at: usize, commit: bool) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        let is_first = part.is_first;
        if commit {
            (part.stage, part.telling) = (Stage::Committing, Some(Telling::Decided(true)));
            self.ready.join(at);
        } else {
            self.let_go(at);
        }
        if is_first {
            self.note_ended(tx, commit);
        }
    }

    /// Nothing is to be done, or nothing to be written. What was promised is forgotten when something else is saved:
    /// if that is lost, the coordinator says so again.
    pub(super) fn let_go(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        let was_told = part.telling.is_none();
        let is_held = matches!(part.stage, Stage::Promised | Stage::Reading);
        part.telling = was_told.then_some(Telling::Decided(false));
        (part.stage, part.answers, part.due) = (Stage::Over, false, Slots::NONE);
        if part.is_only {
            // Told to let go, the only one does not do it at once when it is asked again by a message that was late.
            self.note_done(tx);
            self.save(at);
        } else if is_held {
            self.note_done(tx);
            self.save_later(at);
        }
        self.ready.join(at);
    }

    /// What was done at once, or refused for a peer, the coordinator has heard, or has forgotten itself.
    pub(super) fn forget(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers, part.due) = (Stage::Over, false, Slots::NONE);
        self.kept -= 1;
        self.note_done(tx);
        self.save_later(at);
    }

    pub(super) fn on_decided_otherwise(&mut self, at: usize, decision: bool) {
        let Some((_, part)) = self.live.get_mut(at) else { return };
        let Stage::Forced { commit, is_done, decided: None } = part.stage else { return };
        part.stage = Stage::Forced { commit, is_done, decided: Some(decision) };
        if commit != decision {
            self.counters.contradictions += 1;
        }
        self.end_forced(at);
    }

    /// What was forced is over once the application knows, it is done here, and known how the others decided.
    pub(super) fn end_forced(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        let Stage::Forced { commit, is_done: true, decided: Some(decided) } = part.stage else { return };
        if part.telling.is_some() {
            return;
        }
        if commit != decided {
            part.telling = Some(Telling::Contradicted { forced: commit });
            self.ready.join(at);
        }
        // Who decided not to do it does not wait for an answer.
        (part.stage, part.answers) = (Stage::Done { commit }, decided);
        self.note_done(tx);
        self.save(at);
    }

    /// Another participant asks how it ended.
    pub(super) fn on_ask(&mut self, from: NodeId, tx: TxId, of: Promise) {
        let Some(slot) = self.config.slot(from) else { return self.drop(from) };
        if let Some(&(_, commit)) = self.recent.iter().find(|(id, _)| *id == tx) {
            return self.reply(from, Reply::Ended(tx, commit, of));
        }
        let can_keep = self.can_keep();
        let Some(at) = self.live.find(tx) else { return };
        let Some((_, part)) = self.live.get_mut(at) else { return };
        if !part.parties.contains(slot) {
            return self.drop(from);
        }
        if !part.is_first {
            return;
        }
        match part.stage {
            // It has said nothing yet, and never will say yes: so nobody does it.
            Stage::Asked if can_keep => {
                self.kept += 1;
                part.telling = part.telling.is_none().then_some(Telling::Decided(false));
                (part.stage, part.answers) = (Stage::Refused, true);
                part.due.insert(slot);
                self.ready.join(at);
                self.save(at);
            }
            Stage::Refused => {
                part.due.insert(slot);
                self.ready.join(at);
            }
            Stage::Asked
            | Stage::Reading
            | Stage::Promised
            | Stage::Committing
            | Stage::Done { .. }
            | Stage::Kept
            | Stage::Settled { .. }
            | Stage::Forced { .. }
            | Stage::Over => {}
        }
    }

    /// What no correct peer says, or who is none.
    #[cold]
    pub(super) fn drop(&mut self, from: NodeId) {
        let counters = &mut self.counters;
        let of =
            if self.config.slot(from).is_none() { &mut counters.strangers } else { &mut counters.nonsense };
        *of += 1;
    }

    /// One that finds no room asks again.
    pub(super) fn reply(&mut self, to: NodeId, reply: Reply) {
        self.has_aside = true;
        if self.replies.push_back((to, reply)).is_err() {
            self.counters.unanswered += 1;
        }
    }

    /// Something is under way: it is looked after.
    pub(super) fn look_later(&mut self) {
        if self.look.is_none() {
            self.look = Some(self.now.after(self.config.resend));
        }
    }

    /// Asks about what was promised and not heard of; forgets what nobody will ask about any more.
    pub(super) fn on_look(&mut self) {
        let Config { resend, vote_timeout, .. } = self.config;
        let me = self.config.slot(self.config.id);
        for at in 0..self.live.places() {
            let Some((tx, part)) = self.live.get(at) else { continue };
            let (is_late, has_ended) =
                (part.said.after(resend) <= self.now, tx.number < self.past(tx.coordinator).floor);
            let coordinator = self.config.slot(tx.coordinator);
            let Some((_, part)) = self.live.get_mut(at) else { continue };
            match part.stage {
                Stage::Refused | Stage::Kept if has_ended => self.forget(at),
                Stage::Asked
                | Stage::Reading
                | Stage::Promised
                | Stage::Refused
                | Stage::Kept
                | Stage::Forced { .. }
                    if is_late =>
                {
                    // The coordinator; and once it should have given up, all who may know: one that has not voted might
                    // refuse, which is not for it to do while its coordinator waits.
                    let is_in_doubt =
                        matches!(part.stage, Stage::Reading | Stage::Promised | Stage::Forced { .. });
                    let is_too_long = resend.saturating_mul(part.asked) >= vote_timeout;
                    if is_in_doubt && is_too_long && part.is_first {
                        part.due = part.parties;
                        me.into_iter().for_each(|me| part.due.remove(me));
                    }
                    coordinator.into_iter().for_each(|slot| part.due.insert(slot));
                    part.asked = part.asked.saturating_add(1);
                    (part.said, part.wounds) = (self.now, part.is_wounded);
                    self.ready.join(at);
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
        // Nothing may come along for a while with which what is over would be saved.
        self.make_room();
        self.look = (self.live.len() > 0).then(|| self.now.after(resend));
    }
}
