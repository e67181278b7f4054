//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod model;
pub mod nor;
pub mod scribe;
pub mod world;
