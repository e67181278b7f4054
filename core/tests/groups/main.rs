//! Many groups on each of three nodes.

mod alone;
mod apart;
mod bytes;
mod homes;
mod resting;
mod restoring;
#[path = "../support/sum.rs"]
mod sum;
mod support;
