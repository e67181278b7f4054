//! The bytes, as `docs/storage.md` describes them. All numbers are little-endian.

use crc32fast::Hasher;

use crate::options::Identity;

/// The version of marks, of snapshots where there is one group, and once of segments.
pub(crate) const VERSION_1: u32 = 1;
/// The version of what says which group it is of.
pub(crate) const VERSION_2: u32 = 2;
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"qrt-log\0";
pub(crate) const MARK_MAGIC: [u8; 8] = *b"qrt-mark";
pub(crate) const SNAPSHOT_MAGIC: [u8; 8] = *b"qrt-snap";

/// Room for a segment's header. A block of its own: no later write touches the sectors it is in.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// A batch's header.
pub(crate) const FRAME_BYTES: u64 = 24;
/// The oldest segment that is needed, at the beginning of a batch's body.
pub(crate) const BASE_BYTES: u64 = 8;
/// Where the first record of a batch begins.
pub(crate) const LEAD_BYTES: u64 = FRAME_BYTES + BASE_BYTES;
/// Length of the longest owner.
pub(crate) const OWNER_BYTES: u64 = 10;
/// A record's length, owner included, before the record.
pub(crate) const LENGTH_BYTES: u64 = 4;
/// Batches begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;

/// A length rounded up to where the next batch may begin.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Why a header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    Version(u32),
}

/// A file's header: magic, version, their checksum, identity, `fields`, the checksum of it all.
pub(crate) fn encode_header<const N: usize>(
    magic: [u8; 8],
    version: u32,
    identity: Identity,
    fields: [u64; N],
) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    for field in [identity.cluster, identity.node].iter().chain(&fields) {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Length of a header with `fields` fields, in bytes.
pub(crate) const fn header_bytes(fields: usize) -> usize {
    8 + 4 + 4 + 16 + 8 * fields + 4
}

/// The version that a header states: what it is judged by before what only that version's layout can tell.
pub(crate) fn version_of(magic: [u8; 8], bytes: &[u8]) -> Result<u32, BadHeader> {
    if bytes.len() < 16 || bytes[..8] != magic || u32_at(bytes, 12) != crc32fast::hash(&bytes[..12]) {
        return Err(BadHeader::Damaged);
    }
    Ok(u32_at(bytes, 8))
}

/// Undoes [`encode_header`], for a version that was judged.
pub(crate) fn decode_header<const N: usize>(bytes: &[u8]) -> Result<(Identity, [u64; N]), BadHeader> {
    let end = header_bytes(N) - 4;
    if bytes.len() < end + 4 || u32_at(bytes, end) != crc32fast::hash(&bytes[..end]) {
        return Err(BadHeader::Damaged);
    }
    let identity = Identity { cluster: u64_at(bytes, 16), node: u64_at(bytes, 24) };
    Ok((identity, std::array::from_fn(|field| u64_at(bytes, 32 + 8 * field))))
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Records of version 1 are of group 0.
    pub(crate) version: u32,
    pub(crate) identity: Identity,
    /// Its place among the segments, as in its file name.
    pub(crate) number: u64,
    /// The oldest segment that was needed when it was begun.
    pub(crate) base: u64,
    /// Number of its first batch.
    pub(crate) first_batch: u64,
    /// Drawn at random: neither an old life of the file nor a record can pretend to be a batch of this one.
    pub(crate) salt: u64,
}

pub(crate) const SEGMENT_FIELDS: usize = 4;

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let fields = [self.number, self.base, self.first_batch, self.salt];
        encode_header(SEGMENT_MAGIC, self.version, self.identity, fields)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let version = version_of(SEGMENT_MAGIC, bytes)?;
        if !(VERSION_1..=VERSION_2).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        let (identity, [number, base, first_batch, salt]) = decode_header::<SEGMENT_FIELDS>(bytes)?;
        Ok(Self { version, identity, number, base, first_batch, salt })
    }

    /// What the checksum of a batch begins with, so that it is right in this segment only.
    pub(crate) fn seed(&self) -> u32 {
        let mut hasher = Hasher::new();
        for field in [self.identity.cluster, self.identity.node, self.number, self.salt] {
            hasher.update(&field.to_le_bytes());
        }
        hasher.finalize()
    }
}

/// A batch's header: its checksum, then these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_checksum: u32,
    pub(crate) body_bytes: u32,
    pub(crate) records: u32,
    pub(crate) batch: u64,
}

impl FrameHeader {
    pub(crate) fn encode(&self, seed: u32, position: u64) -> [u8; FRAME_BYTES as usize] {
        let mut bytes = [0; FRAME_BYTES as usize];
        bytes[4..8].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.batch.to_le_bytes());
        let checksum = frame_checksum(&bytes, seed, position);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header, if these bytes are one that was written for this segment and position.
    pub(crate) fn decode(bytes: &[u8], seed: u32, position: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_BYTES as usize)?;
        (u32_at(bytes, 0) == frame_checksum(bytes, seed, position)).then(|| Self {
            body_checksum: u32_at(bytes, 4),
            body_bytes: u32_at(bytes, 8),
            records: u32_at(bytes, 12),
            batch: u64_at(bytes, 16),
        })
    }

    /// Bytes from the start of this batch to the start of the next.
    pub(crate) fn frame_bytes(&self) -> u64 {
        padded(FRAME_BYTES + u64::from(self.body_bytes))
    }
}

fn frame_checksum(header: &[u8], seed: u32, position: u64) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&position.to_le_bytes());
    hasher.update(&header[4..]);
    hasher.finalize()
}

/// A record in a batch's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'b> {
    pub(crate) owner: Owner,
    pub(crate) record: &'b [u8],
}

/// Whose a record is, and whether it restates all before it of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) group: u64,
    pub(crate) restart: bool,
}

impl Owner {
    /// Seven bits a byte, the lowest first; the lowest of all says whether it is a restart. A set eighth bit says that
    /// more follow.
    pub(crate) fn put(self, buffer: &mut Vec<u8>) {
        let mut low = (self.group as u8 & 0x3F) << 1 | u8::from(self.restart);
        let mut rest = self.group >> 6;
        while rest > 0 {
            buffer.push(low | 0x80);
            low = rest as u8 & 0x7F;
            rest >>= 7;
        }
        buffer.push(low);
    }

    /// Undoes [`put`](Self::put): one spelling for each.
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&first, mut rest) = bytes.split_first()?;
        let (restart, mut group) = (first & 1 == 1, u64::from(first >> 1 & 0x3F));
        let (mut last, mut shift) = (first, 6);
        while last & 0x80 != 0 {
            (last, rest) = rest.split_first().map(|(next, rest)| (*next, rest))?;
            let bits = u64::from(last & 0x7F);
            let is_last_zero = last == 0;
            if shift >= u64::BITS || bits << shift >> shift != bits || is_last_zero {
                return None;
            }
            group |= bits << shift;
            shift += 7;
        }
        Some((Self { group, restart }, rest))
    }
}

/// Takes off a batch's body the oldest segment that it says is needed; version 1 does not say it.
pub(crate) fn split_base(version: u32, body: &[u8]) -> Option<(Option<u64>, &[u8])> {
    if version == VERSION_1 {
        return Some((None, body));
    }
    let (base, rest) = body.split_first_chunk()?;
    Some((Some(u64::from_le_bytes(*base)), rest))
}

/// Takes the first record off what follows in the body; `None` if that does not begin with a whole record.
pub(crate) fn split_record(version: u32, body: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (length, rest) = body.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (owner, record) = match version {
        VERSION_1 => (Owner { group: 0, restart: false }, bytes),
        _ => Owner::split(bytes)?,
    };
    Some((Entry { owner, record }, rest))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
