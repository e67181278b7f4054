//! The bytes of the format. A change here is a new version of it.

use super::{IDENTITY, all_records, open};
use crate::error::Error;
use crate::format::{
    BadHeader, Entry, FrameHeader, Owner, SegmentHeader, VERSION_1, VERSION_2, decode_header, encode_header,
    split_record, version_of,
};
use crate::memory::MemoryDisk;
use crate::names;
use crate::options::Identity;

const HEADER: SegmentHeader = SegmentHeader {
    version: VERSION_2,
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
fn a_segment_header_has_the_bytes_of_version_2() {
    let expected = concat!(
        "7172742d6c6f6700", // qrt-log
        "0200000041de2aab", // version, checksum so far
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
fn a_batch_has_the_bytes_of_version_2_and_the_mark_those_of_version_1() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.tail.seed = HEADER.seed();
    log.append(0, b"one").unwrap();
    log.append_with(0x12345, |buffer| buffer.extend_from_slice(b"two!")).unwrap();
    log.restart(1, b"three", None).unwrap();
    log.sync().unwrap();
    let batch = concat!(
        "ebf9c0a3",         // checksum
        "5a852bcb",         // checksum of the body
        "25000000",         // length of the body
        "03000000",         // records
        "0100000000000000", // number of the batch
        "0100000000000000", // the oldest segment that is needed
        "04000000",
        "00",
        "6f6e65", // group 0: one
        "07000000",
        "8a8d09",
        "74776f21", // group 0x12345: two!
        "06000000",
        "03",
        "7468726565", // group 1, restart: three
        "000000",     // to a multiple of 8
    );
    assert_eq!(hex(&disk.read("0000000000000001.log")[4096..4096 + 64]), batch);
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
    header[8] = 3;
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Damaged));
    let checksum = crc32fast::hash(&header[..12]);
    header[12..16].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&header), Err(BadHeader::Version(3)));

    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    disk.tamper("0000000000000001.log", |bytes| bytes[..16].copy_from_slice(&header[..16]));
    assert!(matches!(open(&disk), Err(Error::Version { found: 3, .. })));
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
    let header = encode_header(*b"qrt-mark", VERSION_1, identity, [5]);
    assert_eq!(version_of(*b"qrt-mark", &header), Ok(VERSION_1));
    assert_eq!(decode_header::<1>(&header), Ok((identity, [5])));
    assert_eq!(version_of(*b"qrt-snap", &header), Err(BadHeader::Damaged));
}

#[test]
fn every_owner_is_read_back_and_has_one_spelling() {
    for group in (0..64).flat_map(|bit| [0, 1 << bit, (1 << bit) - 1, u64::MAX >> bit]) {
        for restart in [false, true] {
            let owner = Owner { group, restart };
            let mut bytes = Vec::new();
            owner.put(&mut bytes);
            assert!(bytes.len() <= 10);
            let mut framed = (bytes.len() as u32 + 1).to_le_bytes().to_vec();
            framed.extend(&bytes);
            framed.push(7);
            let entry = Entry { owner, record: &[7] };
            assert_eq!(split_record(VERSION_2, &framed), Some((entry, &[][..])));
        }
    }
    // Nothing, a group that goes on with nothing, and groups of more than 64 bits.
    let too_long = [&[0xFF; 9][..], &[0x0F]].concat();
    let too_many = [&[0xFF; 10][..], &[1]].concat();
    for bytes in [&[][..], &[0x80], &[0x80, 0x00], &[0x82, 0x80, 0x00], &too_long, &too_many] {
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend(bytes);
        assert_eq!(split_record(VERSION_2, &framed), None, "{bytes:?}");
    }
}

/// A segment of version 1, with one batch.
fn version_1() -> Vec<u8> {
    let header = SegmentHeader { version: VERSION_1, number: 1, base: 1, first_batch: 1, ..HEADER };
    let mut bytes = header.encode();
    bytes.resize(4096, 0);
    let mut body = Vec::new();
    for record in [&b"one"[..], b"two!"] {
        body.extend((record.len() as u32).to_le_bytes());
        body.extend(record);
    }
    let frame = FrameHeader {
        body_checksum: crc32fast::hash(&body),
        body_bytes: body.len() as u32,
        records: 2,
        batch: 1,
    };
    bytes.extend(frame.encode(header.seed(), 4096));
    bytes.extend(body);
    bytes.resize(4096 + 2560, 0);
    bytes
}

#[test]
fn a_log_of_version_1_is_read_as_that_of_group_0_and_goes_on_in_version_2() {
    let first = "0000000000000001.log";
    let disk = MemoryDisk::new();
    drop(open(&disk).unwrap());
    disk.tamper(first, |bytes| *bytes = version_1());
    disk.tamper(names::MARK, |bytes| *bytes = encode_header(*b"qrt-mark", VERSION_1, IDENTITY, [1]));
    let (one, two) = ((0, b"one".to_vec()), (0, b"two!".to_vec()));
    let three = (5, b"three".to_vec());
    let (mut log, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.records, all_records(&log)), (2, vec![one.clone(), two.clone()]));
    log.append(5, b"three").unwrap();
    log.sync().unwrap();
    assert_eq!(disk.read(first), version_1(), "nothing is added to it");
    let (mut log, _) = open(&disk.copy()).unwrap();
    assert_eq!(all_records(&log), [one, two, three.clone()]);
    log.restart(0, b"again", None).unwrap();
    log.sync().unwrap();
    assert_eq!(all_records(&log), [three, (0, b"again".to_vec())]);
    drop(log);
    // Its records are counted on as ever.
    disk.tamper(first, |bytes| bytes[4096 + 28] ^= 1);
    assert!(matches!(open(&disk.copy()), Err(Error::Corrupt { offset: 4096, .. })));
}
