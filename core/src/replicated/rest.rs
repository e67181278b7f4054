//! A replicated application as one of many groups: when it has nothing to do.

use super::Replicated;
use super::output::Plan;
use crate::application::Application;
use crate::groups::{Member, Rest};
use crate::space::Window;
use crate::{Instant, NodeId, Space};

impl<A: Application, S: Space, const SESSIONS: usize, const REPLIES: usize> Member
    for Replicated<A, S, SESSIONS, REPLIES>
{
    fn node(&self) -> NodeId {
        self.raft.node()
    }

    fn voters(&self) -> &[NodeId] {
        self.raft.voters()
    }

    fn life(&self) -> u64 {
        self.raft.life()
    }

    fn addressee(&self, plan: &Plan<A>) -> Option<NodeId> {
        match plan {
            Plan::Raft(plan) => self.raft.addressee(plan),
            Plan::Forward { to, .. } => Some(*to),
            Plan::Ended { .. } | Plan::Notice(_) | Plan::Loaded | Plan::Snapshot => None,
        }
    }

    fn rest(&self, absent: &dyn Fn(NodeId) -> bool) -> Option<Rest> {
        let idle = self.calls.len() == 0
            && self.given_up.is_none()
            && !self.loaded
            && !self.is_imaging()
            // Time enters the state through the log, so a clock that stood still would be missed by who waits for it.
            && self.application.deadline().is_none();
        self.raft.rest(absent).filter(|rest| idle && rest.last.index == self.applied.index)
    }

    fn shrink(&mut self) {
        self.raft.shrink();
        self.calls.shrink();
        self.queries.shrink();
        self.sessions.shrink();
    }

    fn holds_on(&self) -> Option<Instant> {
        self.raft.holds_on()
    }

    fn may_stop(&self) -> bool {
        self.raft.may_stop()
    }
}
