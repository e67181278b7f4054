//! The handshake: both ends say who they are before anything else.

use std::{fmt, io};

use quorate::codec::VERSION;
use quorate::{ClusterId, NodeId};

use crate::counters::Tally;
use crate::identity::Identity;

const MAGIC: &[u8; 7] = b"quorate";

/// Magic, version, cluster, sender, addressee. The same length in every version.
pub const HELLO_BYTES: usize = 7 + 1 + 3 * 8;

/// A hello, and the verdict.
pub const ANSWER_BYTES: usize = HELLO_BYTES + 1;

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
pub enum Mismatch {
    /// The other end says something else.
    NotQuorate,
    /// The other end speaks this version.
    Version(u8),
    /// The other end is of another cluster.
    Cluster {
        /// The cluster of the other end.
        theirs: ClusterId,
        /// The cluster of this one.
        ours: ClusterId,
    },
    /// The dialled node is another one than the address book says.
    Reached {
        /// The one that answered.
        reached: NodeId,
        /// The one that was dialled.
        wanted: NodeId,
    },
    /// The dialling node wanted another one than this.
    Wanted {
        /// The one that dialled.
        from: NodeId,
        /// The one it wanted.
        wanted: NodeId,
    },
    /// The dialling node is not in the address book.
    Stranger(NodeId),
    /// The other end does not have this node in its address book.
    Unknown,
    /// The other end said nothing in time.
    Silent,
    /// The connection failed.
    Io(io::Error),
}

/// What the dialling end says first.
#[must_use]
pub fn hello(us: Identity, to: NodeId) -> [u8; HELLO_BYTES] {
    Hello::ours(us, to).encode()
}

/// What the dialling end makes of the answer.
///
/// # Errors
/// The two ends do not talk.
pub fn hear_answer(us: Identity, to: NodeId, answer: &[u8; ANSWER_BYTES]) -> Result<(), Mismatch> {
    let (hello, verdict) = (Hello::decode(answer)?, answer[HELLO_BYTES]);
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

/// What the accepting end makes of a hello: who is there, or why the two do not talk; and what it answers. The
/// answer is sent also to a node that is refused, so that its log says why.
///
/// # Errors
/// It is no hello, and gets no answer.
pub fn hear_hello(
    us: Identity,
    is_known: impl Fn(NodeId) -> bool,
    hello: &[u8; HELLO_BYTES],
) -> Result<([u8; ANSWER_BYTES], Result<NodeId, Mismatch>), Mismatch> {
    let hello = Hello::decode(hello)?;
    let verdict = hello.judge(us, is_known);
    let mut answer = [0; ANSWER_BYTES];
    answer[..HELLO_BYTES].copy_from_slice(&Hello::ours(us, hello.from).encode());
    answer[HELLO_BYTES] = verdict as u8;
    let judged = match verdict {
        Verdict::Welcome => Ok(hello.from),
        Verdict::OtherVersion => Err(Mismatch::Version(hello.version)),
        Verdict::OtherCluster => Err(hello.other_cluster(us)),
        Verdict::OtherNode => Err(Mismatch::Wanted { from: hello.from, wanted: hello.to }),
        Verdict::Stranger => Err(Mismatch::Stranger(hello.from)),
    };
    Ok((answer, judged))
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
    /// Counts it by its kind.
    pub fn count(&self, tally: &Tally) {
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
                write!(
                    f,
                    "the other end is of cluster {theirs}, not of {ours}: check the addresses, and that both are started \
                     with the same settings"
                )
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
