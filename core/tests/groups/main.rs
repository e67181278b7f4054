//! Many groups on each of three nodes.

mod alone;
mod apart;
mod bytes;
mod homes;
mod resting;
mod restoring;
mod support;
