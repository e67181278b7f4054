//! Many groups on each of three nodes.

mod alone;
mod apart;
mod bytes;
mod resting;
mod restoring;
mod support;
