//! Every bound of the driver.

use std::time::Duration;

/// How much the driver holds, and how long it waits.
///
/// ```
/// use quorate_driver::Limits;
///
/// let limits = Limits { mailbox: 16, ..Limits::default() };
/// assert!(limits.outgoing_bytes >= limits.frame_bytes);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that wait for the machine. Beyond, `Handle::request` waits.
    pub mailbox: usize,
    /// Requests taken up by the machine and not yet ended. Beyond, requests stay in the mailbox.
    pub in_flight: usize,
    /// Longest frame, in bytes, without the length before it. A longer message is dropped, a connection on which a
    /// longer one is announced is closed.
    pub frame_bytes: usize,
    /// Bytes that wait for a connection. Once there are as many, messages to that peer are dropped.
    pub outgoing_bytes: usize,
    /// Pieces of up to 64 KiB, or one larger frame, that were received and wait for the machine. Beyond, nothing more
    /// is read from peers.
    pub incoming_pieces: usize,
    /// Bytes of records that wait for storage. Once there are as many, no request and no message is taken in.
    pub storage_bytes: usize,
    /// Connections that may shake hands at once. Beyond, they are closed. Behind the handshake there is at most one
    /// from each peer.
    pub handshakes: usize,
    /// How long connecting and the handshake may each take.
    pub handshake_time: Duration,
    /// How long a peer may leave bytes unacknowledged (on Linux). Then the connection is given up and made anew.
    pub silence_time: Duration,
    /// The shortest pause between two tries to connect. It doubles with each failure.
    pub shortest_pause: Duration,
    /// The longest pause between two tries to connect.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox: 1024,
            in_flight: 65_536,
            frame_bytes: 4 << 20,
            outgoing_bytes: 8 << 20,
            incoming_pieces: 64,
            storage_bytes: 64 << 20,
            handshakes: 32,
            handshake_time: Duration::from_secs(2),
            silence_time: Duration::from_secs(4),
            shortest_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
        }
    }
}
