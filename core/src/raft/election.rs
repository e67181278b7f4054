//! Elections (Raft 5.2, 5.4.1), pre-vote (thesis 9.6), and the terms of messages (Raft 5.1).

use super::message::{Content, Entry, Message};
use super::output::Sending;
use super::peer::Progress;
use super::role::{Candidate, Follower, Leader, State};
use super::{Raft, Round};
use crate::quorum::Slots;
use crate::space::List;
use crate::{Command, Instant, Position, Space, Term};

/// When a node that hears of no leader stands for election: drawn anew each time, so that one comes first.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) since: Instant,
    pub(super) timeout_micros: u64,
}

/// What is owed to a peer that asked. The newest wins: the network may lose messages anyway.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Vote { term: Term, granted: bool, pre: bool },
    Stale,
}

impl<C: Command, S: Space> Raft<C, S> {
    /// Raft 5.1: adopts a later term, and tells an earlier one that it is over. Tells whether that is all that there
    /// is to do about the message.
    pub(super) fn is_void(&mut self, from: usize, message: &Message<'_, C>) -> bool {
        let term = message.term();
        match message {
            // A pre-vote speaks of a term that has not begun.
            Message::Vote { pre: true, .. } | Message::VoteReply { pre: true, granted: true, .. } => false,
            Message::Append { .. } | Message::Accepted { .. } | Message::Rejected { .. }
                if term == self.term =>
            {
                false
            }
            // Thesis 4.2.3: who hears a leader lets nobody disturb it.
            Message::Vote { .. } if self.hears_leader() => true,
            _ if term > self.term => {
                self.enter_follower(term, None);
                false
            }
            Message::Vote { .. }
            | Message::Append { .. }
            | Message::Chunk { .. }
            | Message::ReadIndex { .. } => {
                let over = term < self.term;
                if over {
                    self.reply(from, Reply::Stale);
                }
                over
            }
            Message::VoteReply { .. }
            | Message::Accepted { .. }
            | Message::Rejected { .. }
            | Message::Stale { .. }
            | Message::Have { .. }
            | Message::ReadAt { .. } => term < self.term,
        }
    }

    pub(super) fn on_vote(&mut self, from: usize, term: Term, last: Position, pre: bool) {
        // Raft 5.4.1: a leader must have all that is committed, so nobody votes for a shorter log.
        let up_to_date = last >= self.log.last();
        let granted = if pre {
            up_to_date && term > self.term && !self.hears_leader()
        } else {
            let free = self.vote.is_none() || self.vote == self.node(from);
            up_to_date && free && !matches!(self.state, State::Leader(_))
        };
        if granted && !pre {
            if self.vote.is_none() {
                self.vote = self.node(from);
                self.stage_state();
            }
            self.enter_follower(self.term, None);
            self.restart_timer();
        }
        let term = if granted { term } else { self.term };
        self.reply(from, Reply::Vote { term, granted, pre });
    }

    pub(super) fn on_vote_reply(&mut self, from: usize, term: Term, granted: bool, pre: bool) {
        let State::Candidate(candidate) = &mut self.state else { return };
        let standing = if candidate.pre { self.term.next() } else { self.term };
        if !granted || pre != candidate.pre || term != standing {
            return;
        }
        candidate.votes.insert(from);
        candidate.ask.remove(from);
        self.try_win();
    }

    /// Stands for election, unless there is no room for a leader's first entry: then others have to lead.
    fn stand(&mut self) {
        // After the last term of all there is none to be elected in: a peer that speaks of it lies.
        let has_term = self.term < self.term.next();
        if has_term && self.has_room(&Entry { term: self.term, content: Content::Empty }) {
            self.campaign(self.config.pre_vote);
        } else {
            self.restart_timer();
        }
    }

    /// Stands for election, or asks whether it should.
    fn campaign(&mut self, pre: bool) {
        if !pre {
            self.term = self.term.next();
            self.vote = self.node(self.me);
            self.stage_state();
        }
        self.status_due = true;
        self.forget_replies();
        self.restart_timer();
        self.beat = self.now.after_micros(self.config.heartbeat_micros());
        let gate = self.ledger.gate(());
        self.state = State::Candidate(Candidate { pre, votes: Slots::NONE, ask: self.others(), gate });
        self.due = self.others();
        self.reads.leave();
        self.count_own_vote();
    }

    /// The own vote counts once it is durable, like anybody's.
    pub(super) fn count_own_vote(&mut self) {
        let State::Candidate(candidate) = &mut self.state else { return };
        if self.ledger.open(&candidate.gate).is_some() && !candidate.votes.contains(self.me) {
            candidate.votes.insert(self.me);
            self.try_win();
        }
    }

    fn try_win(&mut self) {
        let State::Candidate(candidate) = &self.state else { return };
        if !self.quorum.is_met(candidate.votes) {
            return;
        }
        if candidate.pre { self.campaign(false) } else { self.enter_leader() }
    }

    fn enter_leader(&mut self) {
        let last = self.log.last().index;
        let mut progress = S::Table::<Progress>::default();
        for _ in 0..self.config.voters.len() {
            let fits = progress.push(Progress::after(last)).is_ok();
            assert!(fits, "as many as there are voters");
        }
        self.reads.leave();
        self.state = State::Leader(Leader {
            progress,
            first: last.next(),
            round: Round(1),
            wants_round: self.reads.is_waiting(),
            wanted: Slots::NONE,
            heard: Slots::NONE,
            check: self.now.after_micros(self.config.election_micros()),
        });
        self.status_due = true;
        self.beat = self.now.after_micros(self.config.heartbeat_micros());
        self.forget_replies();
        self.due = self.others();
        // Raft 8: what earlier leaders committed is known to be committed once an entry of this term is.
        let staged = self.log.push(Entry { term: self.term, content: Content::Empty }, self.ledger.stage());
        assert!(staged.is_ok(), "nobody stands for election without room for this");
    }

    /// Follows `leader`, or waits for one. Within a term the vote stays: forgetting it would allow a second one.
    pub(super) fn enter_follower(&mut self, term: Term, leader: Option<usize>) {
        assert!(term >= self.term, "terms do not go back");
        if term > self.term {
            self.term = term;
            self.vote = None;
            self.stage_state();
        }
        self.status_due = true;
        self.forget_replies();
        self.due = Slots::NONE;
        self.gated = Slots::NONE;
        // Raft 5.2: only a leader, or a vote that is given, puts the own candidacy off. A later term alone does not, or a
        // candidate that cannot win would keep those from standing who can.
        if leader.is_some() || matches!(self.state, State::Leader(_)) {
            self.restart_timer();
        }
        self.state = State::Follower(Follower::of(leader));
        self.reads.leave();
    }

    /// Whether a leader is known to be there: then nobody is helped to depose it.
    fn hears_leader(&self) -> bool {
        if !self.config.check_quorum {
            return false;
        }
        match &self.state {
            State::Follower(follower) => {
                follower.leader.is_some()
                    && self.now < self.timer.since.after_micros(self.config.election_micros())
            }
            State::Candidate(_) => false,
            State::Leader(_) => true,
        }
    }

    pub(super) fn restart_timer(&mut self) {
        let least = self.config.election_micros();
        self.timer = Timer { since: self.now, timeout_micros: least.saturating_add(self.rng.below(least)) };
    }

    pub(super) fn on_wake(&mut self) {
        let beats = self.now >= self.beat;
        if beats {
            self.beat = self.now.after_micros(self.config.heartbeat_micros());
            self.remind_load();
        }
        let campaigns = self.now >= self.next_campaign();
        match &mut self.state {
            State::Leader(leader) => {
                if beats {
                    leader.progress.iter_mut().for_each(|progress| progress.beat = true);
                    self.due = self.others();
                    self.remind_chunks();
                }
                self.check_quorum();
            }
            State::Follower(_) | State::Candidate(_) if campaigns => self.stand(),
            State::Candidate(candidate) if beats => {
                candidate.ask = Slots::first(self.config.voters.len());
                candidate.votes.iter().for_each(|voter| candidate.ask.remove(voter));
                candidate.ask.remove(self.me);
                self.due = self.due.or(candidate.ask);
            }
            State::Follower(Follower { leader: Some(leader), .. }) if beats => {
                self.reads.ask_again();
                self.due.insert(*leader);
            }
            State::Follower(_) | State::Candidate(_) => {}
        }
    }

    /// Thesis 6.2: a leader that hears no quorum steps down, so that nobody waits for it.
    fn check_quorum(&mut self) {
        let State::Leader(leader) = &mut self.state else { return };
        if !self.config.check_quorum || self.now < leader.check {
            return;
        }
        let mut heard = leader.heard;
        heard.insert(self.me);
        leader.heard = Slots::NONE;
        leader.check = self.now.after_micros(self.config.election_micros());
        if !self.quorum.is_met(heard) {
            self.enter_follower(self.term, None);
        }
    }

    fn next_campaign(&self) -> Instant {
        self.timer.since.after_micros(self.timer.timeout_micros)
    }

    pub(super) fn next_wake(&self) -> Instant {
        match &self.state {
            State::Leader(leader) if self.config.check_quorum => self.beat.min(leader.check),
            State::Leader(_) => self.beat,
            State::Candidate(_) => self.beat.min(self.next_campaign()),
            State::Follower(follower) => {
                let remind = self.load.is_some() || (follower.leader.is_some() && self.reads.is_waiting());
                if remind { self.beat.min(self.next_campaign()) } else { self.next_campaign() }
            }
        }
    }

    /// The question for a vote, if this peer has to be asked.
    pub(super) fn plan_ask_vote(&mut self, to: usize) -> Option<Sending> {
        let State::Candidate(candidate) = &mut self.state else { return None };
        if self.ledger.open(&candidate.gate).is_none() {
            self.gated.insert(to);
            return None;
        }
        if !candidate.ask.contains(to) {
            return None;
        }
        candidate.ask.remove(to);
        let term = if candidate.pre { self.term.next() } else { self.term };
        Some(Sending::Vote { term, last: self.log.last(), pre: candidate.pre })
    }

    /// The reply that is owed to a peer, once what it depends on is durable.
    pub(super) fn plan_reply(&mut self, to: usize) -> Option<Sending> {
        let slot = self.replies.get_mut(to)?;
        let Some(&reply) = self.ledger.open(slot.as_ref()?) else {
            self.gated.insert(to);
            return None;
        };
        *slot = None;
        Some(match reply {
            Reply::Vote { term, granted, pre } => Sending::VoteReply { term, granted, pre },
            Reply::Stale => Sending::Stale,
        })
    }

    fn reply(&mut self, to: usize, reply: Reply) {
        let gated = self.ledger.gate(reply);
        if let Some(slot) = self.replies.get_mut(to) {
            *slot = Some(gated);
        }
        self.due.insert(to);
    }

    fn forget_replies(&mut self) {
        self.replies.iter_mut().for_each(|reply| *reply = None);
    }
}
