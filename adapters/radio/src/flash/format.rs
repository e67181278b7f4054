//! The bytes of a page's header, and checksums.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};
use quorate::{ClusterId, NodeId, Position, SnapshotId};

const MAGIC: [u8; 4] = *b"qrtf";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// Bytes of a page's header, before they are padded to whole words.
pub(super) const HEADER_BYTES: usize = 56;

/// Bytes of a snapshot's name, where there may be none.
pub(super) const KEEP_BYTES: usize = 25;

/// Whose flash it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
}

/// What a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The log.
    Log,
    /// The log, and it begins with a restart.
    Restart,
    /// A snapshot that comes in.
    Incoming,
    /// A snapshot that is made here.
    Image,
}

/// What an entry is.
pub(super) mod entry {
    /// A record.
    pub(crate) const RECORD: u8 = 1;
    /// The snapshot to keep, and a record that stands for all before it.
    pub(crate) const RESTART: u8 = 2;
    /// The name of a snapshot.
    pub(crate) const NAME: u8 = 3;
    /// The next bytes of a snapshot.
    pub(crate) const PIECE: u8 = 4;
}

/// The header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The life in which the page was begun.
    pub(super) epoch: u32,
    /// Counts pages as they are begun, from 1.
    pub(super) serial: u32,
    /// The page before it in its chain; 0 for the first.
    pub(super) prev: u32,
    /// How many bytes of that page count.
    pub(super) prev_end: u32,
    /// The chain: 0 for the log, the serial of its first page for a snapshot.
    pub(super) chain: u32,
}

/// What the first bytes of a page are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Ours(Header),
    Foreign,
    Version(u32),
    /// Nothing that was written as a whole.
    Nothing,
}

impl Header {
    pub(super) fn bytes(&self, identity: Identity) -> [u8; HEADER_BYTES] {
        let mut bytes = Fields::default();
        bytes.put(&MAGIC).put(&VERSION.to_le_bytes());
        bytes.seal();
        bytes.put(&identity.cluster.get().to_le_bytes()).put(&identity.node.get().to_le_bytes());
        let kind: u32 = match self.kind {
            Kind::Log => 1,
            Kind::Restart => 2,
            Kind::Incoming => 3,
            Kind::Image => 4,
        };
        for number in [self.epoch, self.serial, self.prev, self.prev_end, self.chain, kind] {
            bytes.put(&number.to_le_bytes());
        }
        bytes.seal();
        bytes.bytes
    }

    /// Whether this page was put behind another.
    pub(super) const fn follows(&self, other: &Self) -> bool {
        self.chain == other.chain && self.prev == other.serial && self.serial > other.serial
    }

    /// What a page begins with.
    pub(super) fn find(bytes: &[u8; HEADER_BYTES], ours: Identity) -> Found {
        let sum = |to: usize| bytes.get(..to).map(Sum::of);
        let (Some(header), Some(version)) = (Self::claimed(bytes), word(bytes, 4)) else {
            return Found::Nothing;
        };
        if word(bytes, 8) != sum(8) {
            return Found::Nothing;
        }
        if version != VERSION {
            return Found::Version(version);
        }
        match (header, word(bytes, SUMMED) == sum(SUMMED)) {
            ((theirs, Some(_)), true) if theirs != ours => Found::Foreign,
            ((_, Some(header)), true) => Found::Ours(header),
            ((_, _), _) => Found::Nothing,
        }
    }

    /// What a page claims to be, if it claims to be one of a store. Nobody has seen yet whether that is true.
    pub(super) fn claimed(bytes: &[u8; HEADER_BYTES]) -> Option<(Identity, Option<Self>)> {
        if bytes.first_chunk() != Some(&MAGIC) {
            return None;
        }
        let (cluster, node) = (ClusterId::new(long(bytes, 12)?), NodeId::new(long(bytes, 20)?));
        let number = |at| word(bytes, at);
        let (epoch, serial, prev, prev_end, chain) =
            (number(28)?, number(32)?, number(36)?, number(40)?, number(44)?);
        let kind = match number(48)? {
            1 => Some(Kind::Log),
            2 => Some(Kind::Restart),
            3 => Some(Kind::Incoming),
            4 => Some(Kind::Image),
            _ => None,
        };
        let header = kind.map(|kind| Self { kind, epoch, serial, prev, prev_end, chain });
        Some((Identity { cluster, node }, header))
    }
}

/// What a header's second checksum covers.
const SUMMED: usize = HEADER_BYTES - 4;

fn word(bytes: &[u8; HEADER_BYTES], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8; HEADER_BYTES], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The snapshot to keep, as bytes.
pub(super) fn keep_bytes(keep: Option<SnapshotId>) -> [u8; KEEP_BYTES] {
    let mut bytes = [0; KEEP_BYTES];
    let (Some(of), Some((first, rest))) = (keep, bytes.split_first_mut()) else { return bytes };
    *first = 1;
    for (to, number) in
        rest.as_chunks_mut::<8>().0.iter_mut().zip([of.at.term.get(), of.at.index.get(), of.size])
    {
        *to = number.to_le_bytes();
    }
    bytes
}

/// The snapshot to keep, if any.
pub(super) fn take_keep(bytes: &[u8; KEEP_BYTES]) -> Option<SnapshotId> {
    let (&first, rest) = bytes.split_first()?;
    let mut numbers = rest.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
    let (term, index, size) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let at = Position { term: quorate::Term::new(term), index: quorate::Index::new(index) };
    (first == 1).then_some(SnapshotId::new(at, size))
}

/// The fields of a header, one after the other.
struct Fields {
    bytes: [u8; HEADER_BYTES],
    used: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self { bytes: [0; HEADER_BYTES], used: 0 }
    }
}

impl Fields {
    fn put(&mut self, field: &[u8]) -> &mut Self {
        let room = self.bytes.iter_mut().skip(self.used);
        room.zip(field).for_each(|(to, from)| *to = *from);
        self.used += field.len();
        self
    }

    /// The checksum of all so far.
    fn seal(&mut self) {
        let sum = Sum::of(self.bytes.get(..self.used).unwrap_or_default());
        self.put(&sum.to_le_bytes());
    }
}

static CRC: Crc<u32, Table<0>> = Crc::<u32, Table<0>>::new(&CRC_32_ISO_HDLC);

/// CRC-32 (IEEE, as in zlib), in its smallest form: flash is slower to write than this.
pub(super) struct Sum(Digest<'static, u32, Table<0>>);

impl Sum {
    pub(super) const fn new() -> Self {
        Self(CRC.digest())
    }

    pub(super) const fn of(bytes: &[u8]) -> u32 {
        CRC.checksum(bytes)
    }

    pub(super) const fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) const fn end(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(Sum::of(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let identity = Identity { cluster: ClusterId::new(7), node: NodeId::new(3) };
        let header = Header { kind: Kind::Image, epoch: 9, serial: 5, prev: 4, prev_end: 100, chain: 2 };
        let bytes = header.bytes(identity);
        assert_eq!(Header::find(&bytes, identity), Found::Ours(header));
        let other = Identity { node: NodeId::new(4), ..identity };
        assert_eq!(Header::find(&bytes, other), Found::Foreign);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::find(&bad, identity), Found::Nothing, "bit {bit}");
        }
    }

    #[test]
    fn what_to_keep_is_read_as_it_was_written() {
        let at = Position { term: quorate::Term::new(3), index: quorate::Index::new(70) };
        for keep in [None, Some(SnapshotId::new(at, 900))] {
            assert_eq!(take_keep(&keep_bytes(keep)), keep);
        }
    }
}
