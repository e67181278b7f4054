//! The air between radio nodes, simulated: loss, delay, collisions and jamming.
#![forbid(unsafe_code)]
