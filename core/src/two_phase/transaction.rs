//! What a coordinator is asked to bring about.

use super::message::{Among, Listed, Promise};
use crate::quorum::Slots;
use crate::space::List;
use crate::{Age, Command, NodeId, Space};

/// Something for each of several nodes to do: all of them, or none.
///
/// ```
/// use quorate::two_phase::{Transaction, Unfit};
/// use quorate::{NodeId, space::Fixed};
///
/// type Space = Fixed<3, 8>;
/// let [a, b] = [1, 2].map(NodeId::new);
/// let transfer = Transaction::<u32, Space>::of([(a, 5), (b, 7)])?;
/// assert_eq!(Transaction::<u32, Space>::of([(a, 5), (a, 7)]).unwrap_err(), Unfit::Twice(a));
/// # Ok::<(), Unfit>(())
/// ```
#[derive(Debug)]
pub struct Transaction<W: Command, S: Space> {
    pub(super) age: Option<Age>,
    pub(super) parts: Parts<W, S>,
}

/// Why something is no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is for nobody.
    Empty,
    /// It names this node twice: put its work together.
    Twice(NodeId),
    /// It is for too many.
    TooMany {
        /// How many it may be for.
        limit: usize,
    },
}

impl<W: Command, S: Space> Transaction<W, S> {
    /// A transaction of these parts.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(parts: impl IntoIterator<Item = (NodeId, W)>) -> Result<Self, Unfit> {
        let parts = parts.into_iter();
        let mut list = S::Table::with_room(parts.size_hint().0);
        for (node, work) in parts {
            if list.iter().any(|part: &Part<W>| part.node == node) {
                return Err(Unfit::Twice(node));
            }
            let part = Part { node, work: Some(work), promise: Promise::ANY };
            list.push(part).map_err(|_| Unfit::TooMany { limit: S::PEERS })?;
        }
        if list.is_empty() {
            return Err(Unfit::Empty);
        }
        Ok(Self { age: None, parts: Parts(list) })
    }

    /// The same, as old as one that was given up and is tried again: so it gets its turn.
    #[must_use]
    pub fn aged(self, age: Age) -> Self {
        Self { age: Some(age), ..self }
    }

    /// The nodes, and what each has to do.
    pub fn parts(&self) -> impl Iterator<Item = (NodeId, &W)> {
        self.parts.0.iter().filter_map(|part| Some((part.node, part.work.as_ref()?)))
    }
}

/// The parts of a transaction.
#[derive(Debug)]
pub(super) struct Parts<W: Command, S: Space>(pub(super) S::Table<Part<W>>);

/// What one node has to do, and what it promised.
#[derive(Debug)]
pub(super) struct Part<W> {
    pub(super) node: NodeId,
    /// What; of one that was decided in an earlier life, not known any more, nor needed.
    pub(super) work: Option<W>,
    pub(super) promise: Promise,
}

impl<W: Command, S: Space> Parts<W, S> {
    pub(super) fn all(&self) -> Slots {
        Slots::first(self.0.len())
    }

    /// Which of the parts is a node's.
    pub(super) fn of(&self, node: NodeId) -> Option<usize> {
        self.0.iter().position(|part| part.node == node)
    }

    pub(super) fn keep(&mut self, part: usize, promise: Promise) {
        if let Some(part) = self.0.get_mut(part) {
            part.promise = promise;
        }
    }

    pub(super) fn promise(&self, part: usize) -> Promise {
        self.0.get(part).map_or(Promise::ANY, |part| part.promise)
    }
}

impl<W: Command, S: Space> Listed for Parts<W, S> {
    fn list(&self, show: &mut dyn FnMut(NodeId, Promise)) {
        self.0.iter().for_each(|part| show(part.node, part.promise));
    }

    fn among(&self, nodes: &[NodeId]) -> Slots {
        let mut among = Among { nodes, slots: Slots::NONE, next: 0 };
        self.0.iter().for_each(|part| among.add(part.node));
        among.slots
    }
}
