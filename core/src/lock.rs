//! Locks that a cluster keeps: [`Table`], an [`Application`](crate::Application) to be replicated.
//!
//! **A client that only believes it holds a lock is never enough.** It may be paused, cut off or slow, and learn late
//! that its lease ran out. Mutual exclusion is promised through the [`Token`]: each grant of a lock bears a higher one
//! than the grant before, and what the lock protects must refuse a token lower than the highest it has seen.
//!
//! # What it promises
//!
//! - At most one session holds a lock, in the state after any entry.
//! - The token of a grant is the index of the log entry that granted: strictly increasing for each lock, never reused,
//!   across leaders, snapshots, releases and expiries.
//! - First come, first granted. The entry that releases, expires or cancels also grants the next in line, so a free
//!   lock never has a waiter, and nobody is granted whose session has ended.
//! - A session ends only when it is closed, or in an entry stamped at least its lease after its last renewal.
//! - A command that is tried again says again what the first try did, and does nothing more.
//!
//! # What it assumes
//!
//! Time comes only with the log ([`Moment::time`](crate::Moment)). It does not run ahead of real time between any two
//! entries; then no lease is cut short. That it runs at all while a leader lives ends the sessions of clients that
//! died. `docs/decisions/0001-cluster-time.md` says how it is kept.
//!
//! # States
//!
//! ```text
//!             Open                        Acquire, free
//!   (none) ---------> session    free ---------------------> held by A, token t
//!      ^                 |         ^                           |            |
//!      |    Close, or    |         |  A releases or ends,      |            | A releases or ends,
//!      +-- lease is over +         +--- nobody waits ----------+            | B is first in line
//!                                                                           v
//!                                                             held by B, token t' > t
//! ```
//!
//! # What it leaves out
//!
//! Shared (reader) locks, lock hierarchies, deadlock detection, priorities. A lease belongs to a session, not to a
//! lock: who renews keeps all its locks.

mod command;
mod id;
mod lease;
mod name;
mod notices;
mod query;
mod rows;
mod snapshot;
mod table;

pub use command::{Command, Limit, Notice, Reply, Wait};
pub use id::{SessionId, Token, Ttl};
pub use name::Name;
pub use query::{Answer, Held, Lease, Owner, PAGE, Query, Standing, Totals};
pub use table::Table;
