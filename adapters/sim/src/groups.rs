//! Many groups on one node in the world: counters that clients add to and read, in bursts, with rests between.

mod count;
mod promises;
mod subject;

pub use count::{Ask, Count};
pub use subject::{Bursts, Machine, Path};
