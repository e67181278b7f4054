//! Raft in the world: proposals and reads on any node, compaction, and the invariants of the paper.

mod calm;
mod commits;
mod history;
mod image;
mod outcomes;
mod state;
mod subject;

pub use history::History;
pub use subject::{Machine, Path, Proposals};
