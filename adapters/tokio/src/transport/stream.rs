//! Reading what a peer says.

use bytes::{Bytes, BytesMut};
use quorate::NodeId;
use quorate::codec::Malformed;
use quorate_driver::Tally;
use quorate_driver::frames::{self, READ_BYTES, whole_frames};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, mpsc};
use tracing::warn;

/// Whole frames from one peer, as they were received.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) from: NodeId,
    pub(crate) frames: Bytes,
    pub(crate) connection: Arc<Connection>,
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
        self.connection.close();
    }
}

/// A connection that can be told to close.
#[derive(Debug, Default)]
pub(crate) struct Connection(Notify);

impl Connection {
    pub(crate) fn close(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn closed(&self) {
        self.0.notified().await;
    }
}

/// Why reading from a peer ended.
#[derive(Debug)]
pub(crate) enum End {
    Closed,
    BadLength(usize),
    Io(std::io::Error),
}

/// Reads frames and passes them on, until the stream ends or lies about a length.
pub(crate) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    from: NodeId,
    connection: &Arc<Connection>,
    limit: usize,
    pieces: &mpsc::Sender<Piece>,
    tally: &Tally,
) -> End {
    let mut buffer = BytesMut::new();
    loop {
        // The buffer is handed on and comes back by itself when the machine's task has dropped it.
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(0) => return End::Closed,
            Ok(read) => tally.bytes_in.add(read),
            Err(error) => return End::Io(error),
        }
        let whole = match whole_frames(&buffer, limit) {
            Ok(0) => continue,
            Ok(whole) => whole,
            Err(len) => {
                tally.malformed_length.add(1);
                return End::BadLength(len);
            }
        };
        let frames = buffer.split_to(whole).freeze();
        let piece = Piece { from, frames, connection: Arc::clone(connection) };
        if pieces.send(piece).await.is_err() {
            return End::Closed;
        }
    }
}
