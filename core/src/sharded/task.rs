//! What goes on over several entries, or groups.

use super::transactional::Transactional;
use super::{Key, Ticket};
use crate::locks::Mode;
use crate::{Age, GroupId, Instant, Timestamp, TxId};
use alloc::vec::Vec;

/// What waits in a group, or a transaction.
pub(super) type Name = (Option<GroupId>, TxId);

/// Something that this node sees to.
#[derive(Debug)]
pub(super) struct Task<A: Transactional> {
    pub(super) what: What<A>,
    pub(super) begun: Instant,
    /// Steps that could not be taken, or came to nothing, and are to be taken again.
    pub(super) again: Vec<Step>,
    /// What it is found by.
    pub(super) name: Option<Name>,
    /// How many steps are under way.
    pub(super) under_way: usize,
    /// When it is looked at.
    pub(super) timer: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum What<A: Transactional> {
    /// Something of one group waits in line there.
    Line { ticket: Option<Ticket>, group: GroupId, tx: TxId },
    /// A query waits in line; it has a name there once it was put there.
    Look { ticket: Ticket, group: GroupId, tx: Option<TxId>, query: A::Query, keys: Vec<Key> },
    /// A transaction.
    Span(Span<A>),
    /// A group has promised, and not heard from who conducts.
    Rescue { group: GroupId, home: GroupId, tx: TxId, until: Timestamp, commit: Option<bool> },
    /// A home has decided to do it, and not heard that all did.
    Sweep { home: GroupId, tx: TxId, open: Vec<GroupId> },
    /// A home may forget these.
    Forget { home: GroupId, all: Vec<TxId> },
    /// Nothing is left to do but to hear of what is under way.
    Over,
}

/// A transaction that this node conducts.
#[derive(Debug)]
pub(super) struct Span<A: Transactional> {
    /// Who is to be told, and was not yet.
    pub(super) ticket: Option<Ticket>,
    pub(super) tx: TxId,
    pub(super) age: Age,
    pub(super) home: GroupId,
    pub(super) until: Timestamp,
    pub(super) parts: Vec<Part<A>>,
    pub(super) stage: Stage,
    /// Whether an older one waits for it.
    pub(super) is_wounded: bool,
}

#[derive(Debug)]
pub(super) struct Part<A: Transactional> {
    pub(super) group: GroupId,
    pub(super) work: A::Work,
    pub(super) gain: Option<A::Gain>,
    /// Whether it is being asked for its promise. One that came after it is over would be kept, and might be done again.
    pub(super) is_asked: bool,
    /// Whether its turn came meanwhile.
    pub(super) is_turn: bool,
    /// Whether the group still has to be told how it ends.
    pub(super) is_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The groups are asked for their promises.
    Preparing,
    /// All others have promised, and the home is asked to decide.
    Deciding,
    /// It is decided, and the groups are told.
    Ending { commit: bool, is_recorded: bool },
}

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To have the promise of this part.
    Prepare(usize),
    /// To have the part of the home done, and it decided, in one.
    Commit,
    /// To have it decided, what the home has promised.
    Decide,
    /// To have it ended in this group.
    Finish(GroupId),
    /// To have a query put in line.
    Look,
    /// To have a query answered whose turn it may be.
    Query,
    /// To have carried out what waited.
    Turn,
    /// To learn how it was decided.
    Resolve,
    /// To have it forgotten.
    Forget,
}

impl<A: Transactional> Span<A> {
    /// Whether all but the home have promised.
    pub(super) fn is_promised(&self) -> bool {
        self.parts.iter().all(|part| part.gain.is_some() || part.group == self.home)
    }

    /// The part of the home.
    pub(super) fn own(&mut self) -> Option<&mut Part<A>> {
        self.parts.iter_mut().find(|part| part.group == self.home)
    }

    /// Which part it is.
    pub(super) fn own_at(&self) -> usize {
        self.parts.iter().take_while(|part| part.group != self.home).count()
    }

    /// Who has to remember it, or be told: nobody, if nothing is changed.
    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.parts.iter().filter(|_| self.writes()).map(|part| part.group).collect()
    }

    /// Whether any part changes anything.
    pub(super) fn writes(&self) -> bool {
        let mut writes = false;
        self.parts
            .iter()
            .for_each(|part| A::keys(&part.work, &mut |_, mode| writes |= mode == Mode::Exclusive));
        writes
    }
}
