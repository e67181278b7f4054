//! What a radio or a serial line has to do.

use core::fmt::Debug;

/// Sends short frames to whoever hears them, and may lose any.
pub trait Radio {
    /// What the hardware says when it fails.
    type Error: Debug;

    /// The longest frame, in bytes.
    fn mtu(&self) -> usize;

    /// Sends a frame, or says why not now. May return while it is still on the air.
    ///
    /// # Errors
    /// Another is on the air, or the hardware failed.
    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<Self::Error>>;

    /// Takes the oldest frame that came in, whole, into `buffer`, and tells its length; `None` if there is none. One
    /// that does not fit is dropped.
    ///
    /// # Errors
    /// The hardware failed.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Self::Error>;
}

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError<E> {
    /// Somebody else is on the air, or this node still is: try again later.
    Busy,
    /// The hardware failed.
    Failed(E),
}
