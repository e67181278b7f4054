//! Two-phase commit in the world: transfers and audits of accounts at every node, and what must hold.

mod bank;
mod notes;
mod story;
mod subject;

pub use bank::{Step, Work};
pub use subject::{Machine, Path, Transfers};
