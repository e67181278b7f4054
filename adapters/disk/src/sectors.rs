//! A snapshot's file: a header, then its bytes in sectors that each carry their own checksum.
//!
//! A sector is written at once or not at all, so a last sector that is filled up later never loses what it had.

use std::io;

use crc32fast::Hasher;

use crate::files::DataFile;
use crate::format::{
    BadHeader, SNAPSHOT_MAGIC, VERSION_1, VERSION_2, decode_header, encode_header, header_bytes, u32_at,
    version_of,
};
use crate::options::{Identity, SnapshotId};

const SECTOR_BYTES: usize = 512;
/// Bytes of the snapshot in a sector; its length and its checksum follow.
const DATA_BYTES: usize = SECTOR_BYTES - 8;
/// Sectors read at once.
const CHUNK_SECTORS: usize = 128;
/// Fields of the longest header: that of version 2, which names the group.
const MOST_FIELDS: usize = 4;

/// The end of a snapshot that is being written.
pub(crate) struct Sectors {
    seed: u32,
    /// Bytes of the snapshot so far.
    pub(crate) bytes: u64,
    /// What the last sector holds, if it is not full.
    last: Vec<u8>,
}

impl Sectors {
    /// The end of one of which there is nothing yet.
    pub(crate) fn new(identity: Identity, group: u64, term: u64, index: u64) -> Self {
        Self { seed: seed(identity, group, term, index), bytes: 0, last: Vec::new() }
    }

    /// Goes on behind the sectors of the file that are whole.
    pub(crate) fn resume(file: &dyn DataFile, identity: Identity, of: SnapshotId) -> io::Result<Self> {
        let mut whole = Self::new(identity, of.group, of.term, of.index);
        let mut first = 0;
        while let Some(sectors) = read_sectors(file, first)? {
            for (at, sector) in sectors.chunks(SECTOR_BYTES).enumerate() {
                let Some(data) = decode_sector(whole.seed, first + at as u64, sector) else {
                    return Ok(whole);
                };
                whole.bytes += data.len() as u64;
                if data.len() < DATA_BYTES {
                    whole.last = data.to_vec();
                    return Ok(whole);
                }
            }
            first += CHUNK_SECTORS as u64;
        }
        Ok(whole)
    }

    /// Writes again all that there is, and syncs it. A sync may have failed, and then the operating system takes it for
    /// clean although it is not on disk; to sync it without writing it would do nothing.
    pub(crate) fn rewrite(&self, file: &dyn DataFile, identity: Identity, of: SnapshotId) -> io::Result<()> {
        write_header(file, identity, of)?;
        let (mut first, end) = (0, self.bytes.div_ceil(DATA_BYTES as u64));
        while let Some(mut sectors) = read_sectors(file, first)?.filter(|_| first < end) {
            let whole = (end - first).min(CHUNK_SECTORS as u64) as usize;
            sectors.truncate(whole * SECTOR_BYTES);
            file.write_at(&sectors, position(first))?;
            first += CHUNK_SECTORS as u64;
        }
        file.sync()
    }

    /// Writes `bytes` behind what there is. A failure changes nothing of that.
    pub(crate) fn append(&mut self, file: &dyn DataFile, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let first = self.bytes / DATA_BYTES as u64;
        let mut data = self.last.clone();
        data.extend_from_slice(bytes);
        let sectors = data.chunks(DATA_BYTES).zip(first..);
        let encoded: Vec<u8> =
            sectors.flat_map(|(data, sector)| encode_sector(self.seed, sector, data)).collect();
        file.write_at(&encoded, position(first))?;
        self.bytes += bytes.len() as u64;
        self.last = data.split_off(data.len() - data.len() % DATA_BYTES);
        Ok(())
    }
}

/// States whose snapshot it is, and which. That of the first group does not name it.
pub(crate) fn write_header(file: &dyn DataFile, identity: Identity, of: SnapshotId) -> io::Result<()> {
    let SnapshotId { group, term, index, size } = of;
    let header = match group {
        0 => encode_header(SNAPSHOT_MAGIC, VERSION_1, identity, [term, index, size]),
        group => encode_header(SNAPSHOT_MAGIC, VERSION_2, identity, [term, index, size, group]),
    };
    file.write_at(&header, 0)
}

/// Whose snapshot a file holds, and which.
pub(crate) fn read_header(file: &dyn DataFile) -> io::Result<Result<(Identity, SnapshotId), BadHeader>> {
    let mut bytes = [0; header_bytes(MOST_FIELDS)];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(take_header(&bytes[..read]))
}

fn take_header(bytes: &[u8]) -> Result<(Identity, SnapshotId), BadHeader> {
    let (identity, [term, index, size], group) = match version_of(SNAPSHOT_MAGIC, bytes)? {
        VERSION_1 => {
            let (identity, fields) = decode_header::<3>(bytes)?;
            (identity, fields, 0)
        }
        VERSION_2 => {
            let (identity, [term, index, size, group]) = decode_header::<MOST_FIELDS>(bytes)?;
            (identity, [term, index, size], group)
        }
        version => return Err(BadHeader::Version(version)),
    };
    Ok((identity, SnapshotId { group, term, index, size }))
}

/// Reads `bytes` bytes at `offset`; or where the sector is that is damaged.
pub(crate) fn read(
    file: &dyn DataFile,
    identity: Identity,
    of: SnapshotId,
    offset: u64,
    bytes: usize,
) -> io::Result<Result<Vec<u8>, u64>> {
    let seed = seed(identity, of.group, of.term, of.index);
    let (mut first, mut skip) = (offset / DATA_BYTES as u64, (offset % DATA_BYTES as u64) as usize);
    let mut found = Vec::new();
    while found.len() < bytes {
        let Some(sectors) = read_sectors(file, first)? else { return Ok(Err(position(first))) };
        for (sector, number) in sectors.chunks(SECTOR_BYTES).zip(first..) {
            let data = decode_sector(seed, number, sector).and_then(|data| data.get(skip..));
            match data {
                Some(data) if !data.is_empty() => {
                    found.extend_from_slice(&data[..data.len().min(bytes - found.len())])
                }
                Some(_) | None => return Ok(Err(position(number))),
            }
            skip = 0;
            if found.len() == bytes {
                break;
            }
        }
        first += CHUNK_SECTORS as u64;
    }
    Ok(Ok(found))
}

/// Some sectors from `first` on, the last one perhaps cut short; `None` at the end of the file.
fn read_sectors(file: &dyn DataFile, first: u64) -> io::Result<Option<Vec<u8>>> {
    let mut sectors = vec![0; CHUNK_SECTORS * SECTOR_BYTES];
    let read = file.read_at(&mut sectors, position(first))?;
    sectors.truncate(read);
    Ok((read > 0).then_some(sectors))
}

fn position(sector: u64) -> u64 {
    (1 + sector) * SECTOR_BYTES as u64
}

/// What the checksum of a sector begins with, so that it is right in this snapshot only.
fn seed(identity: Identity, group: u64, term: u64, index: u64) -> u32 {
    let mut hasher = Hasher::new();
    for field in [identity.cluster, identity.node, term, index] {
        hasher.update(&field.to_le_bytes());
    }
    if group != 0 {
        hasher.update(&group.to_le_bytes());
    }
    hasher.finalize()
}

fn checksum(seed: u32, sector: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&sector.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn encode_sector(seed: u32, sector: u64, data: &[u8]) -> [u8; SECTOR_BYTES] {
    let mut bytes = [0; SECTOR_BYTES];
    bytes[..data.len()].copy_from_slice(data);
    bytes[DATA_BYTES..DATA_BYTES + 4].copy_from_slice(&(data.len() as u32).to_le_bytes());
    let checksum = checksum(seed, sector, &bytes[..DATA_BYTES + 4]);
    bytes[DATA_BYTES + 4..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode_sector(seed: u32, sector: u64, bytes: &[u8]) -> Option<&[u8]> {
    let whole = bytes.len() == SECTOR_BYTES
        && u32_at(bytes, DATA_BYTES + 4) == checksum(seed, sector, &bytes[..DATA_BYTES + 4]);
    let length = if whole { u32_at(bytes, DATA_BYTES) as usize } else { return None };
    bytes[..DATA_BYTES].get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Directory;

    #[test]
    fn the_header_of_a_snapshot_has_the_bytes_of_version_1_and_names_another_group_in_version_2() {
        let disk = crate::memory::MemoryDisk::new();
        let identity = Identity { cluster: 1, node: 2 };
        let of = SnapshotId { group: 0, term: 3, index: 4, size: 5 };
        for (name, of, version, bytes) in [
            ("one", of, 1, 8 + 4 + 4 + 16 + 24 + 4),
            ("other", SnapshotId { group: 0x66, ..of }, 2, 8 + 4 + 4 + 16 + 32 + 4),
        ] {
            let file = disk.create(name).unwrap();
            write_header(&*file, identity, of).unwrap();
            let written = disk.read(name);
            assert_eq!((u32_at(&written, 8), written.len()), (version, bytes));
            let fields: Vec<_> = [1, 2, 3, 4, 5, of.group].into_iter().flat_map(u64::to_le_bytes).collect();
            let end = bytes - 4;
            assert_eq!((&written[..8], &written[16..end]), (&b"qrt-snap"[..], &fields[..end - 16]));
            assert_eq!(u32_at(&written, end), crc32fast::hash(&written[..end]));
            assert_eq!(take_header(&written), Ok((identity, of)));
        }
    }

    #[test]
    fn the_bytes_of_a_sector_are_those_of_version_1() {
        let sector = encode_sector(seed(Identity { cluster: 1, node: 2 }, 0, 3, 4), 5, b"piece");
        assert_eq!(&sector[..5], b"piece");
        assert!(sector[5..504].iter().all(|byte| *byte == 0));
        assert_eq!(sector[504..], [5, 0, 0, 0, 0xE9, 0x32, 0x51, 0xED]);
        let of_another = encode_sector(seed(Identity { cluster: 1, node: 2 }, 6, 3, 4), 5, b"piece");
        assert_eq!(of_another[504..], [5, 0, 0, 0, 0x5D, 0x57, 0xF6, 0x3D]);
    }
}
