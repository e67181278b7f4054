//! Raft as one of many groups: when it has nothing to do.

use super::Raft;
use super::output::Plan;
use super::role::State;
use crate::groups::{Member, Rest};
use crate::space::List;
use crate::{Command, Instant, NodeId, Space};

impl<C: Command, S: Space> Member for Raft<C, S> {
    fn node(&self) -> NodeId {
        self.config.id
    }

    fn voters(&self) -> &[NodeId] {
        &self.config.voters
    }

    fn life(&self) -> u64 {
        self.life()
    }

    fn addressee(&self, plan: &Plan) -> Option<NodeId> {
        match *plan {
            Plan::Send { to, .. } => self.node(to),
            Plan::Save(_) | Plan::Tell(_) => None,
        }
    }

    fn rest(&self, absent: &dyn Fn(NodeId) -> bool) -> Option<Rest> {
        let last = self.log.last();
        let settled = self.told == last.index
            && self.due.is_empty()
            && self.gated.is_empty()
            && !self.status_due
            && self.load.is_none()
            && self.incoming.is_none()
            && self.reads.is_idle();
        let leader = self.leader().filter(|_| settled && self.is_abreast(absent))?;
        Some(Rest { leader: self.node(leader)?, term: self.term, last })
    }

    fn shrink(&mut self) {
        // A chunk that was sent is asked for anew if it got lost.
        self.outgoing = None;
        self.log.shrink();
        self.replies.shrink();
        if let State::Leader(leader) = &mut self.state {
            leader.progress.shrink();
        }
    }

    fn holds_on(&self) -> Option<Instant> {
        // Thesis 4.2.3.
        Some(self.timer.since.after_micros(self.config.election_micros()))
    }

    fn may_stop(&self) -> bool {
        let State::Leader(leader) = &self.state else { return true };
        // Thesis 6.2: nobody goes to rest who might have to step down as soon as it wakes up.
        let mut heard = leader.heard;
        heard.insert(self.me);
        !self.config.check_quorum || self.quorum.is_met(heard)
    }
}

impl<C: Command, S: Space> Raft<C, S> {
    /// Of a leader, whether all others that are there hold what it holds and know that it is committed; of a follower,
    /// whether it owes its leader nothing. That it holds what its leader does is for the leader to say.
    fn is_abreast(&self, absent: &dyn Fn(NodeId) -> bool) -> bool {
        let last = self.log.last().index;
        match &self.state {
            State::Candidate(_) => false,
            State::Follower(follower) => !follower.answer && !follower.have && follower.rejected.is_none(),
            State::Leader(leader) => {
                let level = |(slot, progress): (usize, &super::peer::Progress)| {
                    let same = progress.matched == last && progress.commit_told == self.commit;
                    let done = same && !progress.beat && progress.read.is_none();
                    slot == self.me || done || self.node(slot).is_some_and(absent)
                };
                !leader.wants_round && leader.progress.iter().enumerate().all(level)
            }
        }
    }
}
