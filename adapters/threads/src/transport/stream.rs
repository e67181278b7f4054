//! Reading what a peer says.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use quorate::NodeId;
use quorate::codec::Malformed;
use quorate_driver::frames::{self, LENGTH_BYTES, READ_BYTES, whole_frames};
use quorate_driver::sync::Arc;
use quorate_driver::{Sender, Tally};
use tracing::warn;

/// Whole frames from one peer, as they were received.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) from: NodeId,
    pub(crate) frames: Vec<u8>,
    /// Over which they came; none in a hub.
    pub(crate) connection: Option<Arc<Connection>>,
}

impl frames::Piece for Piece {
    fn from(&self) -> NodeId {
        self.from
    }

    fn frames(&self) -> &[u8] {
        &self.frames
    }

    fn reject(&self, malformed: Malformed) {
        warn!(peer = %self.from, "closing a connection: {malformed}");
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }
}

/// A connection that any thread can close.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    closed: AtomicBool,
}

impl Connection {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, closed: AtomicBool::new(false) }
    }

    /// Ends every read and write on the connection, those under way too.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // An error says that it is closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }
}

/// Why reading from a peer ended.
#[derive(Debug)]
pub(crate) enum End {
    Closed,
    BadLength(usize),
    Io(io::Error),
}

/// Reads frames and passes them on, until the stream ends or lies about a length.
pub(crate) fn receive(
    connection: &Arc<Connection>,
    from: NodeId,
    limit: usize,
    pieces: &Sender<Piece>,
    tally: &Tally,
) -> End {
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    // Bounded by the stream, and by who closes it.
    loop {
        match (&connection.stream).read(&mut buffer[filled..]) {
            Ok(0) => return End::Closed,
            Ok(read) => {
                tally.bytes_in.add(read);
                filled += read;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return End::Io(error),
        }
        let whole = match whole_frames(&buffer[..filled], limit) {
            Ok(whole) => whole,
            Err(len) => {
                tally.malformed_length.add(1);
                return End::BadLength(len);
            }
        };
        if whole > 0 {
            let piece =
                Piece { from, frames: buffer[..whole].to_vec(), connection: Some(Arc::clone(connection)) };
            // A peer that dials again and again while the machine is busy leaves nobody behind who waits for room.
            if pieces.send_while(piece, || connection.is_open()).is_err() {
                return End::Closed;
            }
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
            buffer.truncate(filled.max(READ_BYTES));
            buffer.shrink_to(READ_BYTES);
        }
        if filled == buffer.len() {
            // A frame that is longer than what is read at once, and not over the limit.
            buffer.resize((2 * filled).min(limit + LENGTH_BYTES), 0);
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::BadLength(len) => write!(f, "a frame of {len} bytes is announced"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}
