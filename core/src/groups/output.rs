//! Outputs: those of the groups, each with its number, and what nodes say of all their groups.

use super::rest::Stance;
use super::{Groups, Member};
use crate::{Batch, GroupId, NodeId, Output, Position, Shown, Staged, Term};

/// Something of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InGroup<T> {
    /// The group.
    pub group: GroupId,
    /// What it is.
    pub inner: T,
}

/// What nodes tell each other.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a, V> {
    /// What one tells the other in a group.
    Group {
        /// The group.
        group: GroupId,
        /// What is told.
        message: V,
    },
    /// The sender lives, and so do the groups that rest, of which it is the leader.
    Beat {
        /// Which life of the sender this is.
        life: u64,
        /// How many groups rest there that it leads and the receiver follows.
        resting: u64,
    },
    /// These groups have nothing to do. The sender leads them, and rests, or wants another node to lead them.
    Rest {
        /// Which life of the sender this is.
        life: u64,
        /// The groups, each with the state in which it rests.
        groups: Batch<'a, Resting>,
    },
}

/// A group that rests, and the state in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resting {
    /// The group.
    pub group: GroupId,
    /// The leader's term.
    pub term: Term,
    /// The last entry.
    pub last: Position,
    /// Who is to lead instead of the sender, if anybody.
    pub heir: Option<NodeId>,
}

/// How many groups are named in one message.
const RESTING_MOST: usize = 256;

/// What is to be done, in numbers.
pub enum Plan<P> {
    /// Something of a group.
    Group { group: GroupId, at: usize, plan: P },
    /// A beat for a peer.
    Beat { to: NodeId, resting: usize },
    /// What is noted in `saying`, for a peer.
    Rest { to: NodeId },
}

impl<M: Member> Staged for Groups<M> {
    type Plan = Plan<M::Plan>;

    fn plan(&mut self) -> Option<Self::Plan> {
        while let Some(at) = self.ready.pop_front() {
            let Some(group) = self.groups.get_mut(at) else { continue };
            let Some(plan) = group.machine.plan() else {
                self.settle(at);
                continue;
            };
            let id = group.id;
            if let Some(to) = group.machine.addressee(&plan) {
                group.unanswered |= group.bit(to);
                self.note_told(to);
            }
            // One output, and it is the next one's turn: who has much to do keeps nobody waiting.
            self.ready.push_back(at);
            return Some(Plan::Group { group: id, at, plan });
        }
        // When there is nothing to do in a group, it may be the time to say so.
        self.plan_words()
    }

    fn show(&self, plan: Self::Plan) -> Shown<'_, Self> {
        match plan {
            Plan::Group { group, at, plan } => {
                let shown = self.groups.get(at).map(|group| group.machine.show(plan));
                assert!(shown.is_some(), "a group that was planned is here");
                match shown {
                    Some(Output::Save(write)) => Output::Save(write.map(|inner| InGroup { group, inner })),
                    Some(Output::Send { to, message }) => {
                        Output::Send { to, message: Message::Group { group, message } }
                    }
                    Some(Output::Event(inner)) => Output::Event(InGroup { group, inner }),
                    None => self.show_beat(self.id, 0),
                }
            }
            Plan::Beat { to, resting } => self.show_beat(to, resting),
            Plan::Rest { to } => {
                let message = Message::Rest { life: self.life, groups: Batch::of(&self.saying) };
                Output::Send { to, message }
            }
        }
    }
}

impl<M: Member> Groups<M> {
    fn show_beat(&self, to: NodeId, resting: usize) -> Shown<'_, Self> {
        Output::Send { to, message: Message::Beat { life: self.life, resting: resting as u64 } }
    }

    /// What is to be said to a peer of all groups, if anything.
    fn plan_words(&mut self) -> Option<Plan<M::Plan>> {
        if !self.words {
            return None;
        }
        for _ in 0..self.peers.len() {
            let Some(peer) = self.peers.get_mut(self.turn) else {
                self.turn = 0;
                continue;
            };
            let to = peer.id;
            if core::mem::take(&mut peer.beat) {
                return Some(Plan::Beat { to, resting: peer.leads });
            }
            if self.note_resting() {
                return Some(Plan::Rest { to });
            }
            self.turn = (self.turn + 1) % self.peers.len();
        }
        self.words = false;
        None
    }

    /// Notes what the peer whose turn it is has to be told of those that rest. Tells whether there is anything.
    fn note_resting(&mut self) -> bool {
        self.saying.clear();
        let Some(peer) = self.peers.get_mut(self.turn) else { return false };
        while self.saying.len() < RESTING_MOST
            && let Some(at) = peer.owed.pop()
        {
            let Some(group) = self.groups.get_mut(at) else { continue };
            group.owed &= !group.bit(peer.id);
            // It may have been woken meanwhile.
            if let Stance::Resting { rest, heir, .. } = group.stance
                && rest.leader == self.id
            {
                self.saying.push(Resting { group: group.id, term: rest.term, last: rest.last, heir });
            }
        }
        !self.saying.is_empty()
    }
}
