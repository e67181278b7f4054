//! What boards do.

pub mod client;
pub mod node;
pub mod resource;
