//! A client of one node, for the commands that ask one.

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use std::io::{Error, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// Asks a node for something that takes no argument.
pub(crate) async fn ask(address: &str, command: &str) -> std::io::Result<OwnedFrame> {
    match tokio::time::timeout(PATIENCE, converse(address, command)).await {
        Ok(answer) => answer,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn converse(address: &str, command: &str) -> std::io::Result<OwnedFrame> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(format!("*1\r\n${}\r\n{command}\r\n", command.len()).as_bytes()).await?;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match decode(&answer).map_err(|_| Error::from(ErrorKind::InvalidData))? {
            Some((OwnedFrame::Error(error), _)) => return Err(Error::other(error)),
            Some((frame, _)) => return Ok(frame),
            None => (),
        }
    }
    Err(ErrorKind::InvalidData.into())
}

/// A number in an answer.
pub(crate) fn number(frame: &OwnedFrame) -> Option<u64> {
    match frame {
        OwnedFrame::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// A text in an answer.
pub(crate) fn text(frame: &OwnedFrame) -> Option<String> {
    match frame {
        OwnedFrame::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}
