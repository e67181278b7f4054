//! A client as a stream: it says what it has to say and hangs up, and reads replies as they come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest reply: a command's answers together, and their lengths.
const LONGEST: usize = (1 << 20) + (1 << 16);

pub struct Client<'c> {
    left: &'c [u8],
    /// How much arrives at a time.
    piece: usize,
    replies: &'c mut Replies,
}

impl<'c> Client<'c> {
    pub fn new(left: &'c [u8], piece: usize, replies: &'c mut Replies) -> Self {
        Self { left, piece, replies }
    }
}

impl AsyncRead for Client<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.left.split_at(self.left.len().min(self.piece).min(into.remaining()));
        into.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.replies.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Replies as they come in: counted, and looked at byte by byte.
#[derive(Default)]
pub struct Replies {
    partial: Vec<u8>,
    whole: usize,
}

impl Replies {
    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend(bytes);
        let mut from = 0;
        while let Some(end) = end_of(&self.partial, from) {
            from = end;
            self.whole += 1;
        }
        self.partial.drain(..from);
        assert!(self.partial.len() <= LONGEST, "a reply is bounded");
    }

    /// How many there were.
    pub fn count(self) -> usize {
        assert!(self.partial.is_empty(), "half a reply: {:?}", self.partial.escape_ascii().to_string());
        self.whole
    }
}

/// Where the value at `from` ends, if all of it is there.
fn end_of(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let mut values = 1;
    while values > 0 {
        values -= 1;
        let rest = bytes.get(at..)?;
        let (&kind, line) = rest.split_first()?;
        let length = line.windows(2).position(|end| end == b"\r\n")?;
        let text = str::from_utf8(&line[..length]).expect("a line is text");
        assert!(!text.contains(['\r', '\n']), "a line has one end: {text:?}");
        at += 1 + length + 2;
        let number = || text.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {text:?}"));
        match kind {
            b'+' | b'-' => {}
            b':' => _ = number(),
            b'_' => assert!(text.is_empty(), "nothing is nothing: {text:?}"),
            b'$' => {
                if let Ok(length) = usize::try_from(number()) {
                    let end = bytes.get(at + length..at + length + 2)?;
                    assert_eq!(end, b"\r\n", "a bulk string ends where it says");
                    at += length + 2;
                } else {
                    assert_eq!(text, "-1");
                }
            }
            b'*' => values += usize::try_from(number().max(0)).expect("it is positive"),
            b'%' => values += 2 * usize::try_from(number()).expect("it is positive"),
            other => panic!("no value begins so: {:?}", other.escape_ascii().to_string()),
        }
    }
    Some(at)
}
