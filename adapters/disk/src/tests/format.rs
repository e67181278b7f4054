//! The bytes of version 1. A change here is a new version of the format.

use super::{IDENTITY, open};
use crate::error::Error;
use crate::format::{BadHeader, SegmentHeader, decode_header, encode_header};
use crate::memory::MemoryDisk;
use crate::names;
use crate::options::Identity;

const HEADER: SegmentHeader = SegmentHeader {
    identity: IDENTITY,
    number: 3,
    base: 2,
    first_batch: 0x1122,
    salt: 0x0102_0304_0506_0708,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_segment_header_has_the_bytes_of_version_1() {
    let expected = concat!(
        "7172742d6c6f6700", // qrt-log
        "01000000af719fb9", // version, checksum so far
        "c100000000000000", // cluster
        "0700000000000000", // node
        "0300000000000000", // number
        "0200000000000000", // base
        "2211000000000000", // first batch
        "0807060504030201", // salt
        "a5f9ed03",         // checksum
    );
    assert_eq!(hex(&HEADER.encode()), expected);
    assert_eq!(SegmentHeader::decode(&HEADER.encode()), Ok(HEADER));
}

#[test]
fn a_batch_and_the_mark_have_the_bytes_of_version_1() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.tail.seed = HEADER.seed();
    log.append(b"one").unwrap();
    log.append_with(|buffer| buffer.extend_from_slice(b"two!")).unwrap();
    log.sync().unwrap();
    let batch = concat!(
        "51a77227",         // checksum
        "9adbfd43",         // checksum of the body
        "0f000000",         // length of the body
        "02000000",         // records
        "0100000000000000", // number of the batch
        "03000000",
        "6f6e65", // one
        "04000000",
        "74776f21", // two!
        "00",       // to a multiple of 8
    );
    assert_eq!(hex(&disk.read("0000000000000001.log")[4096..4096 + 40]), batch);
    let mark = concat!(
        "7172742d6d61726b", // qrt-mark
        "0100000018dff398", // version, checksum so far
        "c100000000000000", // cluster
        "0700000000000000", // node
        "0100000000000000", // the last durable batch
        "fae5635b",         // checksum
    );
    assert_eq!(hex(&disk.read(names::MARK)), mark);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut header = HEADER.encode();
    header[8] = 2;
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Damaged));
    let checksum = crc32fast::hash(&header[..12]);
    header[12..16].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Version(2)));

    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    disk.tamper("0000000000000001.log", |bytes| bytes[..16].copy_from_slice(&header[..16]));
    assert!(matches!(open(&disk), Err(Error::Version { found: 2, .. })));
}

#[test]
fn a_header_is_damaged_by_any_flipped_bit() {
    let header = HEADER.encode();
    for bit in 0..header.len() * 8 {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(SegmentHeader::decode(&damaged), Err(BadHeader::Damaged), "bit {bit}");
    }
    for length in 0..header.len() {
        assert_eq!(SegmentHeader::decode(&header[..length]), Err(BadHeader::Damaged));
    }
}

#[test]
fn a_header_of_another_kind_of_file_is_damaged() {
    let identity = Identity { cluster: 1, node: 2 };
    let header = encode_header(*b"qrt-mark", identity, [5]);
    assert_eq!(decode_header::<1>(*b"qrt-mark", &header), Ok((identity, [5])));
    assert_eq!(decode_header::<1>(*b"qrt-snap", &header), Err(BadHeader::Damaged));
}
