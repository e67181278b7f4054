//! Many groups on each of three nodes.

mod apart;
mod bytes;
mod resting;
mod restoring;
mod support;
