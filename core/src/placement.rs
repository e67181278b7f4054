//! Where things go: which node keeps a key, and which takes the next request.
//!
//! - [`Ring`]: consistent hashing (Karger and others, 1997) with virtual nodes and weights. When a node comes or goes,
//!   only what it gets or had moves, and [`Ring::joined`], [`Ring::leaving`] and [`Ring::moves`] say exactly what.
//! - [`Bounded`]: a ring on which no node takes more than its share and a bit (Mirrokni, Thorup, Zadimoghaddam, 2016).
//! - [`Partition`]: a key to one of so many numbered parts, by jump hashing (Lamping, Veach, 2014).
//! - [`Balancer`]: the next node for a request: at random, in turn, in turn by weight, the better of two, the least
//!   loaded.
//!
//! # What it promises
//!
//! The same key goes to the same place on every machine, in every language and in every version:
//! `docs/protocols/placement.md` has the algorithm and test vectors. The order in which nodes were added changes
//! nothing. Nothing is allocated but where a [`Space`](crate::Space) is on the heap, and everything is bounded.
//!
//! # What it leaves out
//!
//! Agreement on who is there. Two who see different nodes place differently: who needs one answer replicates the list
//! of nodes. The hash has no secret, so who chooses keys chooses where they go.

mod balancer;
mod bounded;
mod hash;
mod moves;
mod partition;
mod ring;

pub use balancer::{Balancer, Rule};
pub use bounded::Bounded;
pub use hash::hash;
pub use moves::{Move, Moves};
pub use partition::Partition;
pub use ring::Ring;

use crate::{GroupId, NodeId};
use core::fmt::Debug;

/// What things are placed on, known by the same number everywhere. Two with the same number are the same.
///
/// Who has names instead of numbers makes a number of a name by [`hash`].
pub trait Placed: Copy + Debug {
    /// Its number.
    fn number(self) -> u64;
}

impl Placed for NodeId {
    fn number(self) -> u64 {
        self.get()
    }
}

impl Placed for GroupId {
    fn number(self) -> u64 {
        self.get()
    }
}

impl Placed for u64 {
    fn number(self) -> u64 {
        self
    }
}

/// Why a change was not made. Nothing is different from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<N> {
    /// A ring without nodes has nowhere to place anything.
    NoNodes,
    /// The node is the last of its ring.
    LastNode(N),
    /// Weights count from 1.
    Weightless(N),
    /// The node is there already.
    Present(N),
    /// There is no such node.
    Absent(N),
    /// There are as many nodes as the type has room for.
    TooManyNodes(N),
    /// The type has no room for as many points.
    TooManyPoints {
        /// The node that needs them.
        node: N,
        /// How many points it was to have.
        weight: u32,
    },
}
