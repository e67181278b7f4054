//! A transaction, from the first promise until its home forgets it.

use super::command::{Reply, weight_of_forget};
use super::conduct::{FORGOTTEN, LOOK};
use super::shard::ReplyOf;
use super::task::{Span, Stage, Step, What};
use super::{Failure, LIMIT, Outcome, Sharded, Transactional};
use crate::{GroupId, Space, TxId, replicated};
use alloc::vec::Vec;

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    pub(super) fn span(&mut self, task: u64) -> Option<&mut Span<A>> {
        match &mut self.tasks.get_mut(&task)?.what {
            What::Span(span) => Some(span),
            _ => None,
        }
    }

    pub(super) fn on_prepared(&mut self, task: u64, at: usize, reply: ReplyOf<A>) {
        let Some(span) = self.span(task) else { return };
        let Some(part) = span.parts.get_mut(at).filter(|_| span.stage == Stage::Preparing) else { return };
        let outcome = match reply {
            Reply::Gains(gain) => {
                part.gain = Some(gain);
                let step = if part.group == span.home { Step::Decide } else { Step::Commit };
                if span.is_promised() {
                    self.decide(task, step);
                }
                return;
            }
            // Its turn comes later.
            Reply::Waits { .. } => {
                let is_turn = core::mem::take(&mut part.is_turn);
                self.counters.waited += 1;
                // Or it has come already.
                if is_turn {
                    self.take(task, Step::Prepare(at));
                }
                return;
            }
            Reply::Objects(objection) => Outcome::Aborted { group: part.group, objection },
            Reply::Full => Outcome::Failed(Failure::Full),
            // Others have had it given up.
            Reply::Decided(Some(false)) => return self.on_given_up(task),
            Reply::Plain(_) | Reply::Decided(_) | Reply::Undecided | Reply::Finished | Reply::Unknown => {
                Outcome::Failed(Failure::TimedOut)
            }
        };
        self.end_span(task, outcome);
        self.finish(task, false, false);
    }

    /// Nothing is done of it: it was asked about, as if nobody conducted it any more, or decided too late. If there is time, it
    /// is tried again: this node may have thought it earlier than it is at home, after a restart say. It knows better now.
    pub(super) fn on_given_up(&mut self, task: u64) {
        self.counters.too_late += 1;
        let begun = self.tasks.get(&task).map(|task| task.begun).unwrap_or_default();
        if begun.after(LIMIT) > self.now {
            return self.begin_again(task);
        }
        self.end_span(task, Outcome::Failed(Failure::TimedOut));
        self.finish(task, false, false);
    }

    /// All others have promised. So it is decided, at home, that all of them held at one moment: also who only looks has to
    /// know.
    pub(super) fn decide(&mut self, task: u64, step: Step) {
        let Some(span) = self.span(task) else { return };
        span.stage = Stage::Deciding;
        self.take(task, step);
    }

    /// The home was asked to do its part and decide, in one.
    pub(super) fn on_committed(&mut self, task: u64, reply: ReplyOf<A>) {
        let Some(span) = self.span(task).filter(|span| span.stage == Stage::Deciding) else { return };
        let (at, is_wounded, home) = (span.own_at(), span.is_wounded, span.home);
        let Some(own) = span.own() else { return };
        // Unless it waits, nothing is left of it there.
        own.is_open = matches!(reply, Reply::Waits { .. });
        let outcome = match reply {
            Reply::Gains(gain) => {
                own.gain = Some(gain);
                return self.on_decided(task, &Reply::Decided(Some(true)));
            }
            // Somebody has its keys. It waits with promises that an older one may want.
            Reply::Waits { .. } => {
                span.stage = Stage::Preparing;
                if is_wounded {
                    self.counters.wounded += 1;
                    return self.begin_again(task);
                }
                return self.on_prepared(task, at, reply);
            }
            Reply::Objects(objection) => Outcome::Aborted { group: home, objection },
            Reply::Full => Outcome::Failed(Failure::Full),
            Reply::Plain(_) | Reply::Decided(_) | Reply::Undecided | Reply::Finished | Reply::Unknown => {
                return self.on_decided(task, &reply);
            }
        };
        self.end_span(task, outcome);
        self.finish(task, false, false);
    }

    pub(super) fn on_decided(&mut self, task: u64, reply: &ReplyOf<A>) {
        let Some(span) = self.span(task).filter(|span| span.stage == Stage::Deciding) else { return };
        match reply {
            Reply::Decided(Some(true)) => {
                let writes = span.writes();
                // Its own part is done with the decision.
                span.own().into_iter().for_each(|part| part.is_open = false);
                self.end_committed(task);
                self.finish(task, true, writes);
            }
            Reply::Decided(Some(false)) => self.on_given_up(task),
            _ => {
                // Others have ended it meanwhile, or an operator has.
                self.counters.too_late += 1;
                self.end_span(task, Outcome::Failed(Failure::Unconfirmed));
                self.leave(task);
            }
        }
    }

    pub(super) fn end_committed(&mut self, task: u64) {
        let Some(span) = self.span(task) else { return };
        let gains = span.parts.iter_mut().filter_map(|part| part.gain.take()).collect();
        self.end_span(task, Outcome::Committed { gains });
    }

    pub(super) fn end_span(&mut self, task: u64, outcome: Outcome<A>) {
        if let Some(ticket) = self.span(task).and_then(|span| span.ticket.take()) {
            self.tell(ticket, outcome);
        }
    }

    /// Tells all groups how it ends.
    pub(super) fn finish(&mut self, task: u64, commit: bool, is_recorded: bool) {
        let Some(span) = self.span(task) else { return };
        span.stage = Stage::Ending { commit, is_recorded };
        let open: Vec<_> = span.parts.iter().filter(|part| part.is_open).map(|part| part.group).collect();
        open.into_iter().for_each(|group| self.take(task, Step::Finish(group)));
        self.end_if_finished(task);
    }

    pub(super) fn end_if_finished(&mut self, task: u64) {
        let Some(span) = self.span(task).filter(|span| !span.parts.iter().any(|part| part.is_open)) else {
            return;
        };
        let (home, tx, stage) = (span.home, span.tx, span.stage);
        self.leave(task);
        if let Stage::Ending { is_recorded: true, .. } = stage {
            self.forget(home, tx);
        }
    }

    /// This node has nothing more to do with a transaction.
    pub(super) fn leave(&mut self, task: u64) {
        let Some(tx) = self.span(task).map(|span| span.tx) else { return };
        self.by_name.remove(&(None, tx));
        self.conducted -= 1;
        if let Some(task) = self.tasks.get_mut(&task) {
            (task.what, task.name) = (What::Over, None);
        }
    }

    /// It is in the way of an older one.
    pub(super) fn on_wounded(&mut self, tx: TxId) {
        let Some(&task) = self.by_name.get(&(None, tx)) else { return };
        let Some(span) = self.span(task) else { return };
        // If it is not decided, the home will say so.
        span.is_wounded = true;
        if span.stage == Stage::Preparing && span.ticket.is_some() {
            self.counters.wounded += 1;
            self.begin_again(task);
        }
    }

    /// It is given up, and tried again, as old as it is.
    pub(super) fn begin_again(&mut self, task: u64) {
        let begun = self.tasks.get(&task).map(|task| task.begun).unwrap_or_default();
        let Some(span) = self.span(task) else { return };
        let (ticket, age) = (span.ticket.take(), span.age);
        let parts: Vec<_> = span.parts.iter().map(|part| (part.group, part.work.clone())).collect();
        self.finish(task, false, false);
        if let Some(ticket) = ticket {
            self.begin(ticket, age, begun, parts);
        }
    }

    /// Of all groups, a home hears at once what it may forget.
    pub(super) fn forget(&mut self, home: GroupId, tx: TxId) {
        let all = self.over.entry(home).or_default();
        all.push(tx);
        let limit = self.groups.get(home).map_or(0, replicated::Replicated::limit);
        if all.len() >= FORGOTTEN || weight_of_forget(all.len() + 1) > limit {
            return self.forget_at(home);
        }
        self.forgetting = self.forgetting.or(Some(self.now.after(LOOK)));
    }

    pub(super) fn forget_at(&mut self, home: GroupId) {
        if let Some(all) = self.over.remove(&home) {
            let task = self.task(What::Forget { home, all }, self.now);
            self.take(task, Step::Forget);
        }
    }
}
