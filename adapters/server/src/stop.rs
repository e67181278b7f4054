//! When to stop: as soon as anyone asks.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for an interrupt from the keyboard, or for the system's wish to terminate.
pub(crate) async fn asked() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    Ok(())
}
