//! The front end over a socket, with a store in memory behind it.

mod commands;
mod connections;
mod groups;
mod lock_command;
mod locks;
mod replicated;
mod support;
