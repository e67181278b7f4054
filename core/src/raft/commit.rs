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
        let agreed = self.quorum.agreed(|slot| {
            if slot == self.me {
                Some(durable)
            } else {
                leader.progress.get(slot).map(|progress| progress.matched)
            }
        });
        let Some(agreed) = agreed.filter(|&agreed| agreed > self.commit) else { return };
        // Raft 5.4.2: only entries of this term commit by counting; those before it commit with them.
        if self.log.term_at(agreed) != Some(self.term) {
            return;
        }
        self.commit = agreed;
        if self.config.commit_notice == CommitNotice::AtOnce {
            self.due = self.others();
        }
    }
}
