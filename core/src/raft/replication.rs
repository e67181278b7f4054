//! Replication (Raft 5.3): appends on a follower, their answers on the leader.

use super::config::RESERVE;
use super::message::{Content, Entry, Round};
use super::output::Sending;
use super::peer::Stage;
use super::role::{Follower, State};
use super::{Raft, Reason, log};
use crate::{Batch, Command, Index, Position, Space};

impl<C: Command, S: Space> Raft<C, S> {
    /// Appends a command to the leader's own log; sending and saving follow from there.
    pub(super) fn append_command(&mut self, command: C) -> Result<Position, (C, Reason)> {
        let limit = self.config.append_bytes;
        if command.weight() > limit {
            return Err((command, Reason::TooLarge { limit }));
        }
        if !self.takes_up(command.weight()) {
            return Err((command, Reason::Full));
        }
        let entry = Entry { term: self.term, content: Content::Command(command) };
        let at = self.log.push(entry, self.ledger.stage());
        assert!(at.is_ok(), "room was looked for");
        self.due = self.others();
        Ok(at.unwrap_or_default())
    }

    /// Whether the window takes an entry of a leader in. Half of what a leader keeps free of commands is kept free here
    /// too: a node that compacts later than its leader may have to lead next.
    pub(super) fn has_room(&self, entry: &Entry<C>) -> bool {
        let (len, bytes) = (self.log.len(), self.config.window_bytes);
        let weight = self.log.weight() + log::weight(entry);
        match entry.content {
            Content::Empty => len < S::WINDOW && weight <= bytes,
            Content::Command(_) => {
                let kept = S::WINDOW.div_ceil(2 * RESERVE);
                len == 0 || (len + kept < S::WINDOW && weight <= bytes - bytes / (2 * RESERVE as u64))
            }
        }
    }

    /// Whether a leader would take up a command of this weight.
    pub(crate) fn takes_up(&self, weight: usize) -> bool {
        let (entries, bytes) = self.config.proposals();
        let fits = self.log.len() < entries && self.log.weight() + weight as u64 <= bytes;
        fits || self.log.len() == 0
    }

    /// A leader of this term speaks. Tells whether it is to be listened to.
    pub(super) fn follow(&mut self, from: usize, round: Round) -> bool {
        match &self.state {
            State::Follower(Follower { leader: Some(leader), .. }) if *leader == from => {}
            State::Follower(Follower { leader: Some(_), .. }) | State::Leader(_) => {
                // Raft 5.2: a term has one leader. Two would be a broken peer.
                self.counters.nonsense += 1;
                return false;
            }
            State::Follower(_) | State::Candidate(_) => self.enter_follower(self.term, Some(from)),
        }
        self.timer.since = self.now;
        if let State::Follower(follower) = &mut self.state {
            follower.round = follower.round.max(round);
        }
        if self.reads.is_waiting() {
            self.due.insert(from);
        }
        true
    }

    pub(super) fn on_append(
        &mut self,
        from: usize,
        prev: Position,
        entries: Batch<'_, Entry<C>>,
        commit: Index,
        answer: bool,
    ) {
        let base = self.log.base();
        // What is in a snapshot is committed, so it agrees.
        let agrees = prev.index < base.index || self.log.has(prev);
        if !agrees {
            return self.reject(from, prev);
        }
        let before = self.log.last();
        let verified = if entries.is_empty() { Some(prev.index) } else { self.take_entries(prev, entries) };
        let Some(verified) = verified else {
            self.counters.nonsense += 1;
            return;
        };
        let verified = verified.max(base.index);
        // Only what is known to agree with the leader's log is committed here (Raft, figure 2).
        self.commit = self.commit.max(commit.min(verified));
        let nothing_new = self.log.last() == before;
        if let State::Follower(follower) = &mut self.state {
            follower.accepted = follower.accepted.max(verified);
            follower.answer |= answer || (nothing_new && !entries.is_empty());
            if follower.answer {
                self.due.insert(from);
            }
        }
    }

    /// Takes in the entries after `prev`, as far as there is room; tells how far. `None` if no leader sends such.
    fn take_entries(&mut self, prev: Position, entries: Batch<'_, Entry<C>>) -> Option<Index> {
        let mut at = prev;
        let taken = entries.try_take(|entry| {
            let here = Position { term: entry.term, index: at.index.next() };
            if entry.term < at.term || entry.term > self.term {
                return Err(true);
            }
            if here.index <= self.log.last().index
                && here.index >= self.log.base().index
                && !self.log.has(here)
            {
                if here.index <= self.commit {
                    return Err(true);
                }
                // Raft 5.3: only what conflicts goes. A late, short append must not cut what came after it.
                self.log.truncate(at.index);
            }
            if here.index > self.log.last().index {
                if !self.has_room(&entry) {
                    return Err(false);
                }
                let mark = self.ledger.stage();
                let pushed = self.log.push(entry, mark);
                assert!(pushed.is_ok(), "room was looked for");
            }
            at = here;
            Ok(())
        });
        match taken {
            Err(true) => None,
            Ok(()) | Err(false) => Some(at.index),
        }
    }

    /// Thesis 5.3 speaks of going back one entry at a time; naming the last entry that could agree goes back a term
    /// at a time.
    fn reject(&mut self, from: usize, prev: Position) {
        let up_to = if prev.index > self.log.last().index { self.log.last().index } else { prev.index };
        let hint = self.log.find(up_to, prev.term).unwrap_or_else(|| self.log.base());
        if let State::Follower(follower) = &mut self.state {
            follower.rejected = Some((prev.index, hint));
            self.due.insert(from);
        }
    }

    pub(super) fn on_accepted(&mut self, from: usize, matched: Index, round: Round) {
        let State::Leader(leader) = &mut self.state else { return };
        if matched > self.log.last().index {
            self.counters.nonsense += 1;
            return;
        }
        leader.heard.insert(from);
        let Some(progress) = leader.progress.get_mut(from) else { return };
        let piped = matches!(progress.stage, Stage::Replicate);
        let news = progress.on_accepted(matched);
        if !piped || progress.next <= self.log.last().index {
            self.due.insert(from);
        }
        self.on_round(from, round);
        if news {
            self.advance_commit(matched);
        }
    }

    pub(super) fn on_rejected(&mut self, from: usize, prev: Index, hint: Position, round: Round) {
        let State::Leader(leader) = &mut self.state else { return };
        leader.heard.insert(from);
        let Some(progress) = leader.progress.get_mut(from) else { return };
        if prev <= progress.matched && progress.matched > Index::default() {
            self.counters.regressed += 1;
        } else if progress.is_under_way(prev) && !matches!(progress.stage, Stage::Snapshot { .. }) {
            let before = prev.before().unwrap_or_default();
            let agrees = self.log.find(hint.index.min(before), hint.term);
            // If the log does not reach back to where they could agree, `next` lies before it, and a snapshot follows.
            progress.next =
                agrees.map_or(self.log.base().index, |at| at.index.next()).max(progress.matched.next());
            progress.stage = Stage::Probe { sent: false };
            self.due.insert(from);
        }
        self.on_round(from, round);
    }

    /// What to send to a follower next, if anything.
    pub(super) fn plan_append(&mut self, to: usize) -> Option<Sending> {
        if let Some(reply) = self.plan_read_at(to) {
            return Some(reply);
        }
        if let Some(chunk) = self.plan_chunk(to) {
            return Some(chunk);
        }
        let (base, last, commit) = (self.log.base().index, self.log.last().index, self.commit);
        let State::Leader(leader) = &mut self.state else { return None };
        let progress = leader.progress.get_mut(to)?;
        if let Some(of) = self.snapshot
            && progress.next <= base
            && !matches!(progress.stage, Stage::Snapshot { .. })
        {
            // What it needs next is not in the window any more.
            progress.stage = Stage::Snapshot { of, have: 0 };
            leader.wanted.insert(to);
        }
        let after = match progress.stage {
            Stage::Snapshot { .. } => base,
            Stage::Probe { .. } | Stage::Replicate => progress.next.before().unwrap_or_default(),
        };
        let open = after < last
            && match progress.stage {
                Stage::Snapshot { .. } | Stage::Probe { sent: true } => false,
                Stage::Probe { sent: false } => true,
                Stage::Replicate => {
                    self.log.weight_between(progress.matched, after) < self.config.inflight_bytes
                }
            };
        let reach = if open { self.log.reach(after, self.config.append_bytes as u64) } else { after };
        let notice = matches!(progress.stage, Stage::Replicate)
            && self.config.commit_notice == super::CommitNotice::AtOnce
            && progress.commit_told < commit;
        let probe = matches!(progress.stage, Stage::Probe { sent: false });
        if reach == after && !progress.beat && !notice && !probe {
            return None;
        }
        if probe {
            progress.stage = Stage::Probe { sent: true };
        }
        let answer = progress.beat || probe && reach == after;
        progress.beat = false;
        progress.commit_told = commit;
        if !matches!(progress.stage, Stage::Snapshot { .. }) {
            progress.next = reach.next();
        }
        if reach == last {
            self.due.remove(to);
        }
        let prev = Position { term: self.log.term_at(after)?, index: after };
        Some(Sending::Append { prev, to: reach, round: leader.round, answer })
    }

    /// What to tell the leader next, if anything.
    pub(super) fn plan_answer(&mut self, to: usize) -> Option<Sending> {
        let State::Follower(follower) = &mut self.state else { return None };
        if !self.ledger.is_durable(self.state_mark) {
            // The term that an answer bears must be durable too.
            self.gated.insert(to);
            return None;
        }
        let round = follower.round;
        if let Some((prev, hint)) = follower.rejected.take() {
            follower.answer = false;
            return Some(Sending::Rejected { prev, hint, round });
        }
        let matched = follower.accepted.min(self.log.durable());
        if follower.answer || matched > follower.acknowledged {
            follower.answer = false;
            follower.acknowledged = matched;
            if !follower.have && !self.reads.is_waiting() {
                self.due.remove(to);
            }
            return Some(Sending::Accepted { matched, round });
        }
        if follower.have {
            follower.have = false;
            if let Some(have) = self.incoming.as_ref().map(|incoming| incoming.durable(&self.ledger)) {
                let (of, offset) = have;
                return Some(Sending::Have { of, offset, round });
            }
        }
        self.reads.plan_ask()
    }
}
