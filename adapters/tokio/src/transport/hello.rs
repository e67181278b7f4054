//! The handshake: both ends say who they are before anything else.

use std::{fmt, io};

use quorate::codec::VERSION;
use quorate::{ClusterId, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Identity;
use crate::counters::Tally;

const MAGIC: &[u8; 7] = b"quorate";

/// Magic, version, cluster, sender, addressee. The same length in every version.
const HELLO_BYTES: usize = 7 + 1 + 3 * 8;

/// What one end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hello {
    version: u8,
    cluster: ClusterId,
    from: NodeId,
    to: NodeId,
}

/// What the accepting end says of the other's hello, as a byte behind its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Verdict {
    Welcome = 0,
    OtherVersion = 1,
    OtherCluster = 2,
    OtherNode = 3,
    Stranger = 4,
}

/// Why two ends do not talk.
#[derive(Debug)]
pub(crate) enum Mismatch {
    NotQuorate,
    Version(u8),
    Cluster {
        theirs: ClusterId,
        ours: ClusterId,
    },
    /// The dialled node is another one than the address book says.
    Reached {
        reached: NodeId,
        wanted: NodeId,
    },
    /// The dialling node wanted another one than this.
    Wanted {
        from: NodeId,
        wanted: NodeId,
    },
    Stranger(NodeId),
    /// The other end does not have this node in its address book.
    Unknown,
    Silent,
    Io(io::Error),
}

/// Says hello on a connection that was dialled, and hears the answer.
pub(crate) async fn dial(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    us: Identity,
    to: NodeId,
) -> Result<(), Mismatch> {
    stream.write_all(&Hello::ours(us, to).encode()).await?;
    let mut answer = [0; HELLO_BYTES + 1];
    stream.read_exact(&mut answer).await?;
    let (hello, verdict) = (Hello::decode(&answer)?, answer[HELLO_BYTES]);
    match hello.judge(us, |node| node == to) {
        Verdict::Welcome => {}
        Verdict::OtherVersion => return Err(Mismatch::Version(hello.version)),
        Verdict::OtherCluster => return Err(hello.other_cluster(us)),
        // It answers to whom we said we are, so this is noise.
        Verdict::OtherNode => return Err(Mismatch::NotQuorate),
        Verdict::Stranger => return Err(Mismatch::Reached { reached: hello.from, wanted: to }),
    }
    if verdict == Verdict::Welcome as u8 { Ok(()) } else { Err(Mismatch::Unknown) }
}

/// Hears hello on a connection that was accepted, and answers it. Returns who is there.
///
/// The answer is sent also to a node that is refused, so that its log says why.
pub(crate) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    us: Identity,
    is_known: impl Fn(NodeId) -> bool,
) -> Result<NodeId, Mismatch> {
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).await?;
    let hello = Hello::decode(&bytes)?;
    let verdict = hello.judge(us, is_known);
    let mut answer = Hello::ours(us, hello.from).encode().to_vec();
    answer.push(verdict as u8);
    stream.write_all(&answer).await?;
    match verdict {
        Verdict::Welcome => Ok(hello.from),
        Verdict::OtherVersion => Err(Mismatch::Version(hello.version)),
        Verdict::OtherCluster => Err(hello.other_cluster(us)),
        Verdict::OtherNode => Err(Mismatch::Wanted { from: hello.from, wanted: hello.to }),
        Verdict::Stranger => Err(Mismatch::Stranger(hello.from)),
    }
}

impl Hello {
    const fn ours(us: Identity, to: NodeId) -> Self {
        Self { version: VERSION, cluster: us.cluster, from: us.id, to }
    }

    fn judge(self, us: Identity, is_known: impl Fn(NodeId) -> bool) -> Verdict {
        if self.version != VERSION {
            Verdict::OtherVersion
        } else if self.cluster != us.cluster {
            Verdict::OtherCluster
        } else if self.to != us.id {
            Verdict::OtherNode
        } else if !is_known(self.from) {
            Verdict::Stranger
        } else {
            Verdict::Welcome
        }
    }

    const fn other_cluster(self, us: Identity) -> Mismatch {
        Mismatch::Cluster { theirs: self.cluster, ours: us.cluster }
    }

    fn encode(self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..7].copy_from_slice(MAGIC);
        bytes[7] = self.version;
        bytes[8..16].copy_from_slice(&self.cluster.get().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.from.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.to.get().to_le_bytes());
        bytes
    }

    /// Reads the hello at the front of `bytes`.
    fn decode(bytes: &[u8]) -> Result<Self, Mismatch> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Mismatch::NotQuorate)?;
        let (&version, rest) = rest.split_first().ok_or(Mismatch::NotQuorate)?;
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut number = || numbers.next().ok_or(Mismatch::NotQuorate);
        let (cluster, from, to) = (number()?, number()?, number()?);
        let (cluster, from, to) = (ClusterId::new(cluster), NodeId::new(from), NodeId::new(to));
        Ok(Self { version, cluster, from, to })
    }
}

impl Mismatch {
    pub(crate) fn count(&self, tally: &Tally) {
        match self {
            Self::NotQuorate | Self::Version(_) => tally.refused_protocol.add(1),
            Self::Cluster { .. } => tally.refused_cluster.add(1),
            Self::Reached { .. } | Self::Wanted { .. } | Self::Stranger(_) | Self::Unknown => {
                tally.refused_node.add(1);
            }
            Self::Silent | Self::Io(_) => {}
        }
    }
}

impl From<io::Error> for Mismatch {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotQuorate => f.write_str("the other end does not speak quorate: check the address"),
            Self::Version(theirs) => {
                write!(
                    f,
                    "the other end speaks version {theirs}, this build speaks {VERSION}: upgrade one of them"
                )
            }
            Self::Cluster { theirs, ours } => {
                write!(f, "the other end is of cluster {theirs}, not of {ours}: check the addresses")
            }
            Self::Reached { reached, wanted } => {
                write!(f, "the address of node {wanted} leads to node {reached}: check the address book")
            }
            Self::Wanted { from, wanted } => {
                write!(f, "node {from} takes this node for {wanted}: check its address book")
            }
            Self::Stranger(from) => write!(f, "node {from} is not in the address book"),
            Self::Unknown => f.write_str("the other end refuses this node: check its address book"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello =
        Hello { version: VERSION, cluster: ClusterId::new(7), from: NodeId::new(1), to: NodeId::new(2) };
    const THEM: Identity = Identity { cluster: ClusterId::new(7), id: NodeId::new(2) };

    #[test]
    fn a_hello_is_these_bytes() {
        let mut golden = *b"quorate\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        (golden[8], golden[16], golden[24]) = (7, 1, 2);
        assert_eq!(HELLO.encode(), golden);
        assert_eq!(Hello::decode(&golden).ok(), Some(HELLO));
    }

    #[test]
    fn each_mismatch_has_its_verdict() {
        let judge = |hello: Hello| hello.judge(THEM, |node| node == HELLO.from);
        assert_eq!(judge(HELLO), Verdict::Welcome);
        assert_eq!(judge(Hello { version: 9, ..HELLO }), Verdict::OtherVersion);
        assert_eq!(judge(Hello { cluster: ClusterId::new(8), ..HELLO }), Verdict::OtherCluster);
        assert_eq!(judge(Hello { to: NodeId::new(3), ..HELLO }), Verdict::OtherNode);
        assert_eq!(judge(Hello { from: NodeId::new(3), ..HELLO }), Verdict::Stranger);
    }
}
