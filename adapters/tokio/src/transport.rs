//! Peers over TCP.
//!
//! Each node dials every peer, and what it sends to a peer goes over the connection it dialled; nothing but the
//! answer to the handshake comes back on it. So there is one connection for each direction, no race about which of
//! two is kept, and either end may drop its own without asking. `docs/wire.md` has the bytes.

pub(crate) mod accept;
pub(crate) mod dial;
pub(crate) mod stream;

use std::time::Duration;

use tokio::net::TcpStream;

/// What every connection between nodes is set to. None of it is worth failing for.
fn tune(stream: &TcpStream, silence: Duration) {
    let _ = stream.set_nodelay(true);
    // A partition that drops packets would otherwise outlast itself by the retransmission back-off of TCP, which
    // grows to minutes.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(silence));
    #[cfg(not(target_os = "linux"))]
    let _ = silence;
}
