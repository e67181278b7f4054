//! Two-phase commit in the world: transfers and audits of accounts at every node, and what must hold.

mod applications;
mod bank;
mod clients;
mod notes;
mod path;
mod story;
mod subject;
mod told;

pub use bank::{Step, Work};
pub use path::Path;
pub use subject::{Machine, Transfers};
