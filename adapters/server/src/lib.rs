//! The front end of `quorate`: replicated groups of keys and locks, served to the clients of the Redis protocol.
//!
//! [`Front`] speaks the protocol and knows nothing of replication: it serves any [`Store`]. It knows which of its groups
//! has a key ([`Placement`]), and asks one group, or makes a transaction of what concerns several. [`Replica`] is one
//! node of a replicated store, [`Single`] one in memory, for tests.
//!
//! # Limits
//!
//! A request has at most 1,024 parts and 2 MiB; a longer one is a protocol error, after which the connection is
//! closed. Within that, what a key, a value or a transaction may take is in [`quorate::keyspace::limits`], and
//! what is beyond gets an error that names the limit. A connection holds no more than one such request and a read,
//! 128 requests in flight, and one reply over 64 KiB. There are at most [`CONNECTIONS`] of them.
//! [`SESSIONS`] lock sessions may be open, [`LOCKS`] locks be held, and [`WAITERS`] sessions wait for them.

mod answer;
mod command;
mod connection;
mod disk;
mod front;
mod line;
mod locks;
mod members;
mod placement;
mod replica;
mod resp;
mod scripts;
mod service;
mod session;
mod single;
mod store;
mod waits;

pub use disk::{DiskError, open_disk};
pub use front::{CONNECTIONS, Front};
pub use members::Members;
pub use placement::{GROUPS, Placement};
pub use replica::{PEERS, Plan, Replica};
pub use resp::{Protocol, Value};
pub use service::{LOCKS, SESSIONS, WAITERS};
pub use single::Single;
pub use store::{Forced, InDoubt, Settled, Store, Unavailable};
