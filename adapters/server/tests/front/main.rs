//! The front end over a socket, with a store in memory behind it.

mod commands;
mod connections;
mod replicated;
mod support;
