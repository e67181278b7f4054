//! A bank in the world: accounts in several groups, transfers between them, and what their clients are promised.

mod accounts;
mod calm;
mod deed;
mod force;
mod ledger;
mod order;
mod promises;
mod stages;
mod subject;

pub use accounts::{Bank, Overdrawn, Seen, Work};
pub use subject::{Clients, Machine, Path};
