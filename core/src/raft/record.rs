//! What must survive a crash. Restart is replay.

use super::Entry;
use crate::{Batch, Index, NodeId, SnapshotId, Term};

/// A record. A log of them, replayed in order, gives the durable state (Raft, figure 2).
#[derive(Clone, Copy, Debug)]
pub enum Record<'a, C> {
    /// Term and vote, together: written in two steps, a crash in between would allow a second vote.
    State {
        /// The current term.
        term: Term,
        /// Whom this node voted for in it.
        vote: Option<NodeId>,
    },
    /// The log goes on after `after` with these entries; what was there before is gone.
    Append {
        /// The entry before the first one.
        after: Index,
        /// The entries.
        entries: Batch<'a, Entry<C>>,
    },
    /// All there is: what came before it is not needed any more.
    Restart {
        /// The current term.
        term: Term,
        /// Whom this node voted for in it.
        vote: Option<NodeId>,
        /// The snapshot that the log goes on from.
        snapshot: Option<SnapshotId>,
        /// The log after the snapshot.
        entries: Batch<'a, Entry<C>>,
    },
    /// A piece of a snapshot that is coming in. Lies beside the log.
    Chunk {
        /// The snapshot.
        of: SnapshotId,
        /// Where the bytes belong.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
}
