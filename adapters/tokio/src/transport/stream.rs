//! Frames in a stream of bytes: a length of four bytes, little-endian, then the frame.

use bytes::{Bytes, BytesMut};
use quorate::NodeId;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, mpsc};

use crate::counters::Tally;

pub(crate) const LENGTH_BYTES: usize = 4;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Whole frames from one peer, as they were received.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) from: NodeId,
    pub(crate) frames: Bytes,
    pub(crate) connection: Arc<Connection>,
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

/// How many bytes at the front of `bytes` are whole frames.
fn whole_frames(bytes: &[u8], limit: usize) -> Result<usize, usize> {
    let mut rest = bytes;
    while let Some((len, behind)) = split_length(rest) {
        if len == 0 || len > limit {
            return Err(len);
        }
        match behind.get(len..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    Ok(bytes.len() - rest.len())
}

/// The first of some whole frames, and those behind it.
pub(crate) fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = split_length(bytes)?;
    rest.split_at_checked(len)
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    // A length that does not fit is over every limit.
    Some((usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_frame_waits_for_its_other_half() {
        let stream = [2, 0, 0, 0, 7, 8, 3, 0, 0, 0, 9];
        for cut in 0..stream.len() {
            assert_eq!(whole_frames(&stream[..cut], 10), Ok(if cut < 6 { 0 } else { 6 }), "cut at {cut}");
        }
        assert_eq!(split_frame(&stream), Some((&[7, 8][..], &stream[6..])));
    }

    #[test]
    fn a_length_over_the_limit_or_of_nothing_is_a_lie() {
        assert_eq!(whole_frames(&[11, 0, 0, 0], 10), Err(11));
        assert_eq!(whole_frames(&[0, 0, 0, 0], 10), Err(0));
        assert_eq!(whole_frames(&[1, 0, 0, 0, 5, 0xFF, 0xFF, 0xFF, 0xFF], 10), Err(u32::MAX as usize));
    }
}
