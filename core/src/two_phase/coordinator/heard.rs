//! What participants say, and what to do when they say nothing.

use super::super::message::{Promise, Vote};
use super::super::{Config, Counters};
use super::{Cause, Coordinator, Outcome, Reply, Stage, Underway};
use crate::quorum::Slots;
use crate::space::Window;
use crate::{Age, Command, NodeId, Space, TxId};

impl<W: Command, S: Space> Coordinator<W, S> {
    /// The place of a transaction that is under way with this node, and which part of it is the node's.
    fn find(&self, tx: TxId, from: NodeId) -> Option<(usize, usize)> {
        let at = self.live.find(tx)?;
        let (_, entry) = self.live.get(at)?;
        Some((at, entry.parts.of(from)?))
    }

    /// About what is not under way with this node. Presumed abort: what is not remembered was never decided. But in one that is
    /// under way it takes no part, and hears nothing of how it ends.
    #[cold]
    fn on_other(&mut self, from: NodeId, tx: TxId, latest: Age, of: Option<Promise>) {
        let is_ours = tx.coordinator == self.config.id && self.config.nodes.contains(&from);
        if !is_ours || self.live.find(tx).is_some() {
            return self.drop(from);
        }
        self.latest = self.latest.max(latest);
        of.into_iter().for_each(|of| self.answer(from, Reply { tx, commit: false, of }));
    }

    /// What no correct peer says, or who is none.
    #[cold]
    pub(super) fn drop(&mut self, from: NodeId) {
        let is_stranger = !self.config.nodes.contains(&from);
        let Counters { strangers, nonsense, .. } = &mut self.counters;
        *if is_stranger { strangers } else { nonsense } += 1;
    }

    #[inline(always)]
    pub(super) fn on_vote(&mut self, from: NodeId, tx: TxId, vote: Vote, latest: Age) {
        let Some((at, part)) = self.find(tx, from) else {
            return self.on_other(from, tx, latest, vote.promise());
        };
        self.latest = self.latest.max(latest);
        let Some((_, entry)) = self.live.get_mut(at) else { return };
        match (entry.stage, vote) {
            (Stage::Voting { .. } | Stage::Delegated, Vote::No) => {
                self.abort(at, Cause::Refused(from));
                self.forget(at, part);
            }
            (Stage::Voting { yes, .. }, Vote::Yes(promise)) => {
                // One that promises anew has lost its first promise.
                let is_anew = yes.contains(part) && entry.parts.promise(part) != promise;
                entry.parts.keep(part, promise);
                if is_anew { self.abort(at, Cause::Refused(from)) } else { self.on_can(at, part, false) }
            }
            (Stage::Voting { .. }, Vote::ReadOnly) => self.on_can(at, part, true),
            (Stage::Delegated, Vote::Yes(promise)) => {
                // It would not do it at once, and waits to be told: nobody else has to agree.
                entry.parts.keep(part, promise);
                self.decide(at, Slots::first(1));
            }
            (Stage::Delegated, Vote::ReadOnly) => self.end(at, true, Slots::NONE, false),
            (Stage::Deciding { .. } | Stage::Ending { .. }, Vote::Yes(promise)) => {
                self.repeat(at, part, from, promise)
            }
            (Stage::Ending { commit, .. }, Vote::ReadOnly) => {
                self.answer(from, Reply { tx, commit, of: Promise::ANY })
            }
            (Stage::Deciding { .. }, Vote::ReadOnly)
            | (Stage::Deciding { .. } | Stage::Ending { .. }, Vote::No) => {}
        }
    }

    /// A participant can do its part.
    #[inline(always)]
    fn on_can(&mut self, at: usize, part: usize, reads: bool) {
        let Some((_, entry)) = self.live.get_mut(at) else { return };
        let Stage::Voting { mut open, mut yes } = entry.stage else { return };
        open.remove(part);
        if !reads {
            yes.insert(part);
        }
        entry.stage = Stage::Voting { open, yes };
        if !open.is_empty() {
            return;
        }
        if yes.is_empty() { self.end(at, true, yes, false) } else { self.decide(at, yes) }
    }

    /// All do it, once that is durable. Also where one alone writes: it may have done it when both crash, and an abort that is
    /// presumed would reverse that.
    fn decide(&mut self, at: usize, yes: Slots) {
        let Some((_, entry)) = self.live.get_mut(at) else { return };
        let mark = self.ledger.stage();
        (entry.stage, entry.due) = (Stage::Deciding { yes, mark }, Slots::NONE);
        self.unsaved.join(at);
    }

    /// One that promised asks how it ended, or says again that it can.
    fn repeat(&mut self, at: usize, part: usize, from: NodeId, promise: Promise) {
        let Some((tx, entry)) = self.live.get_mut(at) else { return };
        let is_it = entry.parts.promise(part) == promise;
        match entry.stage {
            Stage::Ending { commit, .. } if is_it || !commit => {
                self.answer(from, Reply { tx, commit, of: promise });
            }
            // It does not say what it promised: it is told the promise that counts.
            Stage::Ending { .. } if promise == Promise::ANY => {
                entry.due.insert(part);
                self.ready.join(at);
            }
            // It was asked again by a message that was late: the promise that counts is another.
            Stage::Deciding { .. } | Stage::Ending { .. } if !is_it && promise != Promise::ANY => {
                self.answer(from, Reply { tx, commit: false, of: promise });
            }
            Stage::Voting { .. } | Stage::Delegated | Stage::Deciding { .. } | Stage::Ending { .. } => {}
        }
    }

    pub(super) fn on_ask(&mut self, from: NodeId, tx: TxId, of: Promise) {
        match self.find(tx, from) {
            Some((at, part)) => self.repeat(at, part, from, of),
            None => self.on_other(from, tx, Age::default(), Some(of)),
        }
    }

    pub(super) fn on_wound(&mut self, from: NodeId, tx: TxId) {
        match self.find(tx, from) {
            Some((at, _)) => {
                if let Some((_, Underway { stage: Stage::Voting { .. }, .. })) = self.live.get(at) {
                    self.abort(at, Cause::Wounded);
                }
            }
            None => self.on_other(from, tx, Age::default(), None),
        }
    }

    #[inline(always)]
    pub(super) fn on_done(&mut self, from: NodeId, tx: TxId, did: bool) {
        let Some((at, part)) = self.find(tx, from) else {
            return self.on_other(from, tx, Age::default(), None);
        };
        let Some((_, entry)) = self.live.get_mut(at) else { return };
        match entry.stage {
            Stage::Delegated if did => self.end(at, true, Slots::NONE, false),
            Stage::Delegated => self.abort(at, Cause::Refused(from)),
            Stage::Ending { commit: true, mut open, is_recorded } => {
                let is_news = open.contains(part);
                open.remove(part);
                entry.due.remove(part);
                entry.stage = Stage::Ending { commit: true, open, is_recorded };
                if open.is_empty() {
                    self.tell(at, Outcome::Committed);
                    self.ready.join(at);
                }
                if is_news && !did {
                    self.counters.contradictions += 1;
                    // One that finds no room is counted all the same.
                    let _ = self.contradicted.push_back((tx, from));
                    self.has_aside = true;
                }
            }
            Stage::Voting { .. } | Stage::Deciding { .. } => self.counters.nonsense += 1,
            Stage::Ending { commit: false, .. } => {}
        }
    }

    /// Says again what may have been lost, and gives up what takes too long.
    pub(super) fn on_look(&mut self) {
        let Config { resend, vote_timeout, .. } = self.config;
        self.floor = self.count * S::CALLS as u64;
        for at in 0..self.live.places() {
            let Some((tx, entry)) = self.live.get_mut(at) else { continue };
            self.floor = self.floor.min(tx.number);
            let is_late = entry.begun.after(vote_timeout) <= self.now;
            if entry.said.after(resend) <= self.now {
                entry.said = self.now;
                entry.due = match entry.stage {
                    Stage::Voting { open, .. } => open,
                    Stage::Delegated => entry.parts.all(),
                    Stage::Deciding { .. } => Slots::NONE,
                    Stage::Ending { open, .. } => entry.due.or(open),
                };
            }
            match entry.stage {
                Stage::Voting { .. } if is_late => self.abort(at, Cause::TimedOut),
                Stage::Delegated if is_late => self.tell(at, Outcome::Unknown),
                Stage::Voting { .. } | Stage::Delegated | Stage::Deciding { .. } | Stage::Ending { .. } => {}
            }
            self.ready.join(at);
        }
        self.look = (self.live.len() > 0).then(|| self.now.after(resend.min(vote_timeout)));
        assert!(self.unsaved.is_empty() || self.ledger.has_unsaved(), "what is decided is about to be saved");
    }
}
