//! The lock table, through [`quorate::Application`] alone: what it promises, and what other systems got wrong.
#![cfg(all(feature = "alloc", feature = "serde"))]

mod bytes;
mod model;
mod properties;
mod queues;
mod rare;
mod script;
mod sessions;
mod tokens;
