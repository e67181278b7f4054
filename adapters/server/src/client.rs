//! A client of one node, for the commands that ask one.

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use std::io::{Error, ErrorKind, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a node may take to take a connection in, and to answer what needs no quorum.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// A connection to a node.
#[derive(Debug)]
pub(crate) struct Client {
    socket: TcpStream,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let socket = within(PATIENCE, TcpStream::connect(address)).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket })
    }

    /// Asks for something, and waits for the answer. Given up on the way, the connection is of no more use.
    pub(crate) async fn ask<P: AsRef<str>>(&mut self, parts: &[P]) -> Result<OwnedFrame> {
        let mut request = format!("*{}\r\n", parts.len());
        for part in parts.iter().map(AsRef::as_ref) {
            request += &format!("${}\r\n{part}\r\n", part.len());
        }
        self.socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while answer.len() < ANSWER_BYTES {
            if self.socket.read_buf(&mut answer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some((frame, _)) = decode(&answer).map_err(|_| Error::from(ErrorKind::InvalidData))? {
                return Ok(frame);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }
}

/// Asks a node for something that it knows.
pub(crate) async fn ask(address: &str, request: &[&str]) -> Result<OwnedFrame> {
    ask_within(PATIENCE, address, request).await
}

/// Asks a node for something that takes it as long as that.
pub(crate) async fn ask_within(time: Duration, address: &str, request: &[&str]) -> Result<OwnedFrame> {
    let mut client = Client::connect(address).await?;
    match within(time, client.ask(request)).await? {
        OwnedFrame::Error(error) => Err(Error::other(error)),
        frame => Ok(frame),
    }
}

/// The nodes of a cluster, of which one is asked, and where each listens for clients, if that is known.
pub(crate) async fn members(address: &str) -> std::result::Result<Vec<(u64, Option<String>)>, String> {
    let answer = ask(address, &["QUORATE.MEMBERS"]).await.map_err(|error| format!("{address}: {error}"))?;
    let member = |member: &OwnedFrame| match items(member)? {
        [id, listens] => Some((number(id)?, text(listens))),
        _ => None,
    };
    let members = items(&answer).and_then(|members| members.iter().map(member).collect());
    members.ok_or_else(|| format!("{address}: not a node of quorate"))
}

/// The items of an answer.
pub(crate) fn items(frame: &OwnedFrame) -> Option<&[OwnedFrame]> {
    match frame {
        OwnedFrame::Array(items) => Some(items),
        _ => None,
    }
}

/// What follows a name in an answer of pairs.
pub(crate) fn field<'f>(frame: &'f OwnedFrame, name: &str) -> Option<&'f OwnedFrame> {
    let (pairs, _) = items(frame)?.as_chunks::<2>();
    pairs.iter().find(|[field, _]| text(field).as_deref() == Some(name)).map(|[_, value]| value)
}

/// What comes of something that may take only so long.
pub(crate) async fn within<T>(time: Duration, what: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(time, what).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
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
