//! Frames in a stream of bytes: a length of four bytes, little-endian, then the frame.

use quorate::codec::{self, Malformed};
use quorate::{Input, Instant, NodeId};

use crate::counters::Tally;
use crate::identity::Identity;
use crate::request::Driven;

/// Bytes of the length before a frame.
pub const LENGTH_BYTES: usize = 4;

/// How much is read from a connection at once.
pub const READ_BYTES: usize = 64 << 10;

/// Whole frames from one peer, as they were received.
pub trait Piece {
    /// Whose they are, as the transport knows it.
    fn from(&self) -> NodeId;

    /// The frames, each with its length before it.
    fn frames(&self) -> &[u8];

    /// Gives up the connection that they came over: what it said is no frame of its peer's.
    fn reject(&self, malformed: Malformed);
}

/// How many bytes at the front of `bytes` are whole frames.
///
/// # Errors
/// The length that is announced and over the limit, or zero.
pub fn whole_frames(bytes: &[u8], limit: usize) -> Result<usize, usize> {
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

/// Hands the frames of a piece to the machine, decoded where they were received. Those before a bad one are heard.
pub(crate) fn hear<M: Driven>(
    machine: &mut M,
    now: Instant,
    us: Identity,
    piece: &impl Piece,
    tally: &Tally,
) -> Result<(), Malformed> {
    let mut rest = piece.frames();
    // Bounded by the bytes.
    while let Some((frame, behind)) = split_frame(rest) {
        let (from, body) = codec::open(frame, us.cluster, us.id)?;
        if from != piece.from() {
            // The connection is of one node, as the handshake said.
            return Err(Malformed::Addressee(from));
        }
        let message = M::take_message(body)?;
        tally.frames_in.add(1);
        machine.handle(now, Input::Message { from, message });
        rest = behind;
    }
    Ok(())
}

/// The first of some whole frames, and those behind it.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
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
