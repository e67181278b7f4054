//! Two-phase commit: several nodes do something, or none of them does.
//!
//! J. Gray, *Notes on Data Base Operating Systems*, 1978; C. Mohan, B. Lindsay, R. Obermarck, *Transaction Management in the
//! R\* Distributed Database Management System*, ACM TODS 11(4), 1986 (presumed abort, read-only votes); P. Bernstein, V.
//! Hadzilacos, N. Goodman, *Concurrency Control and Recovery in Database Systems*, 1987, chapter 7 (cooperative
//! termination).
//!
//! **Promises.** All who decide decide the same, and a decision is never reversed. It is to commit only if all said that they
//! can; with no failure, if all said so, it is. A yes is durable before it is sent, a decision to commit before anyone
//! hears it. Once failures are repaired, everyone decides.
//!
//! **Assumes.** Nodes crash and come back with what was durable; they do not lie. Messages may be lost, doubled,
//! reordered and late, without bound. Clocks matter for progress only.
//!
//! ```text
//! coordinator    Voting ----- all can, several write -----> Deciding --- durable ---> Ending --- all did it ---> (forgotten)
//!                  |  `------ all can, one or none writes ------------------------------^
//!                  `--------- one cannot, too late, wounded ---> told to all, forgotten: no record means abort
//!
//! participant    Asked --- the application can ---> Promised --- durable: yes --- decided ---> Decided --- done, durable ---> (forgotten)
//!                  |  `--- nothing to write ------> Reading ---- decided ---> (forgotten)
//!                  `------ it cannot: no, forgotten
//! ```
//!
//! **Blocks.** A participant that promised waits for its coordinator, or for another participant that knows. If all who know
//! are down it waits, and holds what it holds; an operator may [force](participant::Request::Force) it. Where that is not good
//! enough, the coordinator's log has to be replicated: see `sharded`.
//!
//! **Leaves out**: a tree of coordinators, and handing the decision to the last agent.

mod config;
pub mod coordinator;
#[cfg(feature = "serde")]
mod hosted;
mod line;
mod live;
mod message;
mod node;
pub mod participant;
mod record;
mod transaction;

pub use config::{Config, Counters};
pub use coordinator::Coordinator;
pub use message::{Message, Parties, Promise, Vote};
pub use node::{Node, Side};
pub use participant::Participant;
pub use record::{Record, Restated};
pub use transaction::{Transaction, Unfit};
