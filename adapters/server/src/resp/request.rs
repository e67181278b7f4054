//! Requests: arrays of bulk strings.
//!
//! The codec decodes any frame, however deep, from its first byte on each time. So what has arrived is first walked,
//! each byte once: only a whole request of a bounded size gets to the codec.

use bytes::{Buf, BytesMut};
use quorate::keyspace::Blob;
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;
use std::fmt;

/// The largest request: what a connection buffers.
pub(crate) const REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// The most parts of a request.
pub(crate) const PARTS: usize = 1024;

/// A length and its line end: `*1024\r\n` is seven bytes.
const HEADER_BYTES: usize = 16;
/// What a buffer may keep while there is nothing in it.
const IDLE_BYTES: usize = 64 * 1024;

/// What is wrong with the bytes of a connection. Nothing after it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// Not this byte, but that.
    Unexpected { expected: u8, got: u8 },
    /// Not a number of parts, or more than [`PARTS`].
    Parts,
    /// Not a length, or a request of more than [`REQUEST_BYTES`].
    Length,
    /// The codec says so.
    Malformed,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::Unexpected { expected, got } => {
                write!(f, "expected '{}', got '{}'", char::from(*expected), got.escape_ascii())
            }
            Self::Parts => write!(f, "invalid multibulk length, at most {PARTS} parts"),
            Self::Length => write!(f, "invalid bulk length, a request is at most {REQUEST_BYTES} bytes"),
            Self::Malformed => f.write_str("malformed request"),
        }
    }
}

/// What arrived and was not yet taken: at most [`REQUEST_BYTES`] and one read.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    buffer: BytesMut,
    walk: Walk,
}

impl Requests {
    /// Where to read into.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BYTES {
            self.buffer = BytesMut::new();
        }
        &mut self.buffer
    }

    /// Shows the next whole request to `take`, if there is one.
    pub(crate) fn next<T>(
        &mut self,
        take: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<Option<T>, ProtocolError> {
        let Some(length) = self.walk.whole(&self.buffer)? else {
            return Ok(None);
        };
        let bytes = self.buffer.get(..length).unwrap_or_default();
        let taken = match decode_range(bytes) {
            Ok(Some((RangeFrame::Array(parts), _))) => take(&Request { bytes, parts: &parts }),
            Ok(_) | Err(_) => return Err(ProtocolError::Malformed),
        };
        self.buffer.advance(length);
        Ok(Some(taken))
    }
}

/// How far the buffer was looked at.
#[derive(Debug, Default)]
struct Walk {
    /// Where the next header is.
    at: usize,
    /// How many parts there are to come, once that is known.
    left: Option<usize>,
}

impl Walk {
    /// The length of the request at the start of `buffer`, once all of it is there.
    fn whole(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.left.is_none() {
            let Some((parts, end)) = header(buffer, 0, b'*', ProtocolError::Parts)? else {
                return Ok(None);
            };
            if parts == 0 || parts > PARTS {
                return Err(ProtocolError::Parts);
            }
            *self = Self { at: end, left: Some(parts) };
        }
        while self.left > Some(0) {
            let Some((length, start)) = header(buffer, self.at, b'$', ProtocolError::Length)? else {
                return Ok(None);
            };
            let end = start.saturating_add(length).saturating_add(2);
            if end > REQUEST_BYTES {
                return Err(ProtocolError::Length);
            }
            if end > buffer.len() {
                return Ok(None);
            }
            *self = Self { at: end, left: self.left.map(|left| left - 1) };
        }
        let length = self.at;
        *self = Self::default();
        Ok(Some(length))
    }
}

/// The number in the header at `at`, and where it ends.
fn header(
    buffer: &[u8],
    at: usize,
    kind: u8,
    wrong: ProtocolError,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((&got, rest)) = buffer.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if got != kind {
        return Err(ProtocolError::Unexpected { expected: kind, got });
    }
    let Some(digits) = rest.iter().take(HEADER_BYTES).position(|byte| *byte == b'\r') else {
        return if rest.len() < HEADER_BYTES { Ok(None) } else { Err(wrong) };
    };
    let (number, end) = rest.split_at(digits);
    match end.get(1) {
        None => return Ok(None),
        Some(b'\n') => (),
        Some(_) => return Err(wrong),
    }
    let number =
        str::from_utf8(number).ok().filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.and_then(|number| number.parse().ok()).ok_or(wrong)?;
    Ok(Some((number, at + 1 + digits + 2)))
}

/// A command and its arguments, where they were read.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    bytes: &'a [u8],
    parts: &'a [RangeFrame],
}

impl<'a> Request<'a> {
    /// How many parts, the name of the command counted.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// A part; empty beyond the end.
    pub(crate) fn part(&self, index: usize) -> &'a [u8] {
        match self.parts.get(index) {
            Some(RangeFrame::BulkString((start, end))) => self.bytes.get(*start..*end).unwrap_or_default(),
            Some(_) | None => &[],
        }
    }

    /// A part, copied.
    pub(crate) fn blob(&self, index: usize) -> Blob {
        self.part(index).into()
    }

    /// The parts from `index` on, copied.
    pub(crate) fn blobs(&self, index: usize) -> Vec<Blob> {
        (index..self.len()).map(|index| self.blob(index)).collect()
    }

    /// Whether a part is this word, in capitals or not.
    pub(crate) fn is(&self, index: usize, word: &str) -> bool {
        self.part(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// A part as an integer.
    pub(crate) fn integer(&self, index: usize) -> Option<i64> {
        let digits = str::from_utf8(self.part(index)).ok().filter(|digits| !digits.starts_with('+'))?;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn requests(bytes: &[u8]) -> Requests {
        Requests { buffer: bytes.into(), walk: Walk::default() }
    }

    fn parts(request: &Request<'_>) -> Vec<Vec<u8>> {
        (0..request.len()).map(|index| request.part(index).to_vec()).collect()
    }

    #[test]
    fn half_a_request_waits_for_the_other_half_wherever_it_is_cut() {
        let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n";
        for cut in 0..whole.len() {
            let (first, second) = whole.split_at(cut);
            let mut requests = requests(first);
            let mut taken: Vec<_> =
                std::iter::from_fn(|| requests.next(parts).expect("well formed")).collect();
            requests.buffer().extend_from_slice(second);
            taken.extend(std::iter::from_fn(|| requests.next(parts).expect("well formed")));
            let set = vec![b"SET".to_vec(), b"k".to_vec(), vec![]];
            assert_eq!(taken, [set, vec![b"PING".to_vec()]], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_at_once() {
        let unexpected = |expected, got| ProtocolError::Unexpected { expected, got };
        for (bytes, error) in [
            (&b"GET / HTTP/1.1\r\n"[..], unexpected(b'*', b'G')),
            (b"*1\r\n*1\r\n", unexpected(b'$', b'*')),
            (b"*1\r\n:1\r\n", unexpected(b'$', b':')),
            (b"*0\r\n", ProtocolError::Parts),
            (b"*-1\r\n", ProtocolError::Parts),
            (b"*1025\r\n", ProtocolError::Parts),
            (b"*1\rx", ProtocolError::Parts),
            (b"*11111111111111111", ProtocolError::Parts),
            (b"*1\r\n$-1\r\n", ProtocolError::Length),
            (b"*1\r\n$+1\r\n", ProtocolError::Length),
            (b"*1\r\n$2097153\r\n", ProtocolError::Length),
            (b"*2\r\n$1\r\nx\r\n$2097140\r\n", ProtocolError::Length),
            (b"*1\r\n$99999999999999999999\r\n", ProtocolError::Length),
        ] {
            let told = requests(bytes).next(parts);
            assert_eq!(told, Err(error), "{}", bytes.escape_ascii());
        }
    }

    quickcheck! {
        fn any_bytes_are_requests_or_an_error(bytes: Vec<u8>, prefix: bool) -> bool {
            let bytes = [if prefix { &b"*2\r\n$1\r\n"[..] } else { b"" }, &bytes].concat();
            let mut requests = requests(&bytes);
            while let Ok(Some(parts)) = requests.next(parts) {
                assert!(!parts.is_empty());
            }
            true
        }
    }
}
