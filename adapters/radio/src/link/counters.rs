//! What a link counts.

/// What was sent, received and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames sent.
    pub frames_sent: u32,
}
