//! What coordinator and participants tell each other.

use crate::quorum::Slots;
use crate::{Age, Batch, NodeId, TxId};
use core::fmt;

/// A message between a coordinator and a participant, or between participants.
#[derive(Debug)]
pub enum Message<'a, W> {
    /// To a participant: get ready to do this, and say whether you can.
    Prepare {
        /// The transaction.
        tx: TxId,
        /// All transactions of this coordinator below this number have ended.
        floor: u64,
        /// You are the only one: do it at once, and say whether you did.
        only: bool,
        /// How old the transaction is.
        age: Age,
        /// All who take part.
        parties: Parties<'a>,
        /// What to do: one item.
        work: Batch<'a, W>,
    },
    /// To the coordinator: whether I can.
    Vote {
        /// The transaction.
        tx: TxId,
        /// Whether.
        vote: Vote,
        /// The largest age I have seen.
        latest: Age,
    },
    /// To a participant: how it ends.
    Decision {
        /// The transaction.
        tx: TxId,
        /// All do it, or nobody does.
        commit: bool,
        /// The promise that this settles.
        of: Promise,
    },
    /// To the coordinator: it is done here, and you need not tell me again.
    Done {
        /// The transaction.
        tx: TxId,
        /// Whether it was done here, rather than left undone.
        commit: bool,
    },
    /// To the coordinator, or to another participant: how did it end? I promised, and have not heard.
    Ask {
        /// The transaction.
        tx: TxId,
        /// What I promised.
        of: Promise,
    },
    /// To the coordinator: an older one waits here for this transaction; give it up if it is not decided.
    Wound {
        /// The transaction.
        tx: TxId,
    },
}

impl<W> Message<'_, W> {
    /// The transaction that it is about.
    #[must_use]
    pub const fn tx(&self) -> TxId {
        match *self {
            Self::Prepare { tx, .. }
            | Self::Vote { tx, .. }
            | Self::Decision { tx, .. }
            | Self::Done { tx, .. }
            | Self::Ask { tx, .. }
            | Self::Wound { tx } => tx,
        }
    }
}

/// The number of a yes. A participant that has done its part and forgotten it may be asked again by a message that was
/// late: its next yes bears another number, and the decision about the first does not settle it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Promise(pub(super) u64);

impl Promise {
    /// Whatever was promised: the transaction as a whole is given up.
    pub(super) const ANY: Self = Self(0);
}

/// What a participant says to a coordinator that asked whether it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// I can, and will if you say so, whatever happens to me.
    Yes(Promise),
    /// I can, and there is nothing to write. I hold what I read until I hear the end.
    ReadOnly,
    /// I cannot.
    No,
}

impl Vote {
    /// What holds until the end is heard, if anything does.
    pub(super) const fn promise(self) -> Option<Promise> {
        match self {
            Self::Yes(promise) => Some(promise),
            Self::ReadOnly => Some(Promise::ANY),
            Self::No => None,
        }
    }
}

/// The nodes that take part in a transaction, each with what it promised.
#[derive(Clone, Copy)]
pub struct Parties<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Listed(&'a dyn Listed),
    Chosen(&'a [NodeId], Slots),
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "made by the codec"))]
    Encoded(Batch<'a, (NodeId, Promise)>),
}

/// A list of who takes part.
pub(super) trait Listed {
    /// Shows each.
    fn list(&self, show: &mut dyn FnMut(NodeId, Promise));

    /// Those of these nodes that it lists.
    fn among(&self, nodes: &[NodeId]) -> Slots;
}

impl<'a> Parties<'a> {
    pub(super) const fn listed(parts: &'a dyn Listed) -> Self {
        Self(Form::Listed(parts))
    }

    /// These nodes; the first 64 count.
    #[must_use]
    pub const fn of(nodes: &'a [NodeId]) -> Self {
        Self::chosen(nodes, Slots::first(nodes.len()))
    }

    /// Some of these nodes.
    pub(super) const fn chosen(nodes: &'a [NodeId], chosen: Slots) -> Self {
        Self(Form::Chosen(nodes, chosen))
    }

    #[cfg(feature = "serde")]
    pub(super) const fn encoded(parties: Batch<'a, (NodeId, Promise)>) -> Self {
        Self(Form::Encoded(parties))
    }

    /// Shows each node.
    pub fn for_each(&self, mut show: impl FnMut(NodeId)) {
        self.each(&mut |node, _| show(node));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut count = 0;
        self.for_each(|_| count += 1);
        count
    }

    pub(super) fn each(&self, show: &mut dyn FnMut(NodeId, Promise)) {
        match self.0 {
            Form::Listed(parts) => parts.list(show),
            Form::Chosen(nodes, chosen) => {
                let chosen = nodes.iter().enumerate().filter(|(slot, _)| chosen.contains(*slot));
                chosen.for_each(|(_, &node)| show(node, Promise::ANY));
            }
            Form::Encoded(parties) => parties.for_each(|&(node, promise)| show(node, promise)),
        }
    }

    /// Those of these nodes that take part.
    #[inline(always)]
    pub(super) fn among(&self, nodes: &[NodeId]) -> Slots {
        if let Form::Listed(parts) = self.0 {
            return parts.among(nodes);
        }
        let mut among = Among { nodes, slots: Slots::NONE, next: 0 };
        self.each(&mut |party, _| among.add(party));
        among.slots
    }
}

/// A set of some of these nodes.
pub(super) struct Among<'a> {
    pub(super) nodes: &'a [NodeId],
    pub(super) slots: Slots,
    /// The slot behind the last one: mostly nodes come in the order of the list.
    pub(super) next: usize,
}

impl Among<'_> {
    pub(super) fn add(&mut self, node: NodeId) {
        let is_next = self.nodes.get(self.next) == Some(&node);
        let slot = if is_next { Some(self.next) } else { self.nodes.iter().position(|&other| other == node) };
        if let Some(slot) = slot {
            self.slots.insert(slot);
            self.next = slot + 1;
        }
    }
}

impl fmt::Debug for Parties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        self.for_each(|node| {
            list.entry(&node);
        });
        list.finish()
    }
}
