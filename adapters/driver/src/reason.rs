//! Why a node does not run.

use std::any::Any;
use std::error::Error;
use std::{fmt, io};

use quorate::Fault;

use crate::storage::StorageError;

/// Why a node stopped. It does not start again by itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked for it.
    Shutdown,
    /// It was dropped without a shutdown, or its runtime ended.
    Killed,
    /// A write, a sync or a read failed. What was acknowledged is durable; start the node anew to restore it from
    /// its records.
    Storage(StorageError),
    /// What storage holds cannot be used: the node must be refilled from the others.
    Fault(Fault),
    /// The machine made something that no buffer takes: its limits and those of the driver do not fit.
    TooLarge,
    /// A bug: an assertion of the machine or of an observer failed, with this message.
    Panicked(String),
}

impl StopReason {
    /// What a panic says, as the reason.
    #[must_use]
    pub fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "a panic without a message".into()))
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("the node was shut down"),
            Self::Killed => f.write_str("the node was dropped without a shutdown"),
            Self::Storage(error) => write!(f, "the node stopped because its storage failed: {error}"),
            Self::Fault(fault) => write!(f, "the node stopped: {fault}"),
            Self::TooLarge => f.write_str("the node stopped: a record or a snapshot could not be encoded"),
            Self::Panicked(message) => write!(f, "the node stopped because of a bug: {message}"),
        }
    }
}

impl Error for StopReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Fault(fault) => Some(fault),
            Self::Shutdown | Self::Killed | Self::TooLarge | Self::Panicked(_) => None,
        }
    }
}

/// Why a node did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its own address cannot be listened on.
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// Storage could not be read.
    Storage(StorageError),
    /// What storage holds, or the settings, cannot be used.
    Fault(Fault),
    /// A bug: restoring the machine panicked.
    Restoring,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
            Self::Storage(error) => write!(f, "cannot read the storage: {error}"),
            Self::Fault(fault) => write!(f, "the node cannot be restored: {fault}"),
            Self::Restoring => f.write_str("restoring the machine panicked"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Thread(source) => Some(source),
            Self::Storage(error) => Some(error),
            Self::Fault(fault) => Some(fault),
            Self::Restoring => None,
        }
    }
}
