//! Commitment (Raft 5.3, 5.4.2).

use super::role::State;
use super::{CommitNotice, Raft};
use crate::{Command, Index, Space};

impl<C: Command, S: Space> Raft<C, S> {
    /// The log of this leader or of a follower is durable up to `reached`: looks whether that makes a quorum.
    pub(super) fn advance_commit(&mut self, reached: Index) {
        let State::Leader(leader) = &self.state else { return };
        if reached <= self.commit {
            return;
        }
        // The leader counts like anybody: with what is durable here (thesis 10.2.1).
        let durable = self.log.durable();
        let at = |slot: usize| {
            if slot == self.me {
                Some(durable)
            } else {
                leader.progress.get(slot).map(|progress| progress.matched)
            }
        };
        // The quorum's mark moved at most to where this node has come; mostly it did, or not at all.
        if !self.quorum.holds(self.commit.next(), at) {
            return;
        }
        let agreed = if self.quorum.holds(reached, at) { Some(reached) } else { self.quorum.agreed(at) };
        // Raft 5.4.2: only entries of this term commit by counting; those before it commit with them.
        let Some(agreed) = agreed.filter(|&agreed| self.log.term_at(agreed) == Some(self.term)) else {
            return;
        };
        self.commit = agreed;
        if self.config.commit_notice == CommitNotice::AtOnce {
            self.due = self.others();
        }
    }
}
