//! What the cluster replicates: the keyspace, and the lock table beside it.

use quorate::keyspace::Keyspace;
use quorate::space::Heap;
use quorate::{Both, lock};

/// How many lock sessions may be open.
pub const SESSIONS: usize = 4096;
/// How many locks may be held at a time.
pub const LOCKS: usize = 4096;
/// How many sessions may wait, over all locks.
pub const WAITERS: usize = 16_384;

/// The lock table. Where its rows are is of no account: it is the family of collections that counts.
pub(crate) type Locks = lock::Table<Heap<1, 1>, SESSIONS, LOCKS, WAITERS>;
/// Both, in one log.
pub(crate) type Service = Both<Keyspace, Locks>;
