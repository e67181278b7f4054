//! The lock service in the world: clients with sessions, and what they are promised.

mod client;
mod grants;
mod leases;
mod promises;
mod subject;

pub use subject::{Clients, Machine, Path, Table};
