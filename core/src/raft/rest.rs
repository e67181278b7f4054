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
            // What the log has caught up with is not gone on with.
            && self.incoming.as_ref().is_none_or(|incoming| incoming.of.at.index <= self.commit)
            && self.reads.is_idle();
        let leader = self.leader().filter(|_| settled && self.is_abreast(absent))?;
        Some(Rest { leader: self.node(leader)?, term: self.term, last })
    }

    fn shrink(&mut self) {
        // A chunk that was sent is asked for anew if it got lost.
        self.outgoing = None;
        self.incoming = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Config, Content, Entry, Message, Round};
    use crate::space::Fixed;
    use crate::{Batch, Index, Input, Machine, Output, Position, SnapshotId, Term};

    type Node = Raft<u32, Fixed<3, 8>>;

    fn hear(machine: &mut Node, message: Message<'_, u32>) {
        machine.handle(Instant::default(), Input::Message { from: NodeId::new(2), message });
        loop {
            let mut claim = None;
            while let Some(output) = machine.poll() {
                if let Output::Save(write) = output {
                    claim = Some(write.split().1);
                }
            }
            let Some(claim) = claim else { return };
            machine.handle(Instant::default(), Input::Saved(claim.assert_durable()));
        }
    }

    #[test]
    fn half_a_snapshot_that_the_log_has_caught_up_with_keeps_nobody_awake() {
        let voters = [1, 2, 3].map(NodeId::new);
        let config = Config::new(voters[0], &voters);
        let mut machine = Node::new(config, 7, Instant::default()).expect("sound settings");
        let (term, round) = (Term::new(1), Round(1));
        let at = Position { term, index: Index::new(3) };
        hear(
            &mut machine,
            Message::Chunk { term, round, of: SnapshotId::new(at, 100), offset: 0, bytes: &[7; 9] },
        );
        let entries = [1, 2, 3].map(|command| Entry { term, content: Content::Command(command) });
        let append = |entries, prev, commit| {
            let answer = true;
            Message::Append { term, prev, entries, commit: Index::new(commit), round, answer }
        };
        hear(&mut machine, append(Batch::of(&entries), Position::default(), 0));
        assert_eq!(machine.rest(&|_| false), None, "it is not known yet whether it is committed");
        hear(&mut machine, append(Batch::empty(), at, 3));
        assert_eq!(machine.rest(&|_| false).map(|rest| rest.last), Some(at));
        assert!(machine.incoming.is_some(), "no receipt came since");
        machine.shrink();
        assert!(machine.incoming.is_none());
    }
}
