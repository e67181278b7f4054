//! Bits that rot, and writes that land in the wrong place.

use std::sync::Arc;

use quickcheck::quickcheck;

use super::{open, record, records};
use crate::error::Error;
use crate::format::{FrameHeader, SegmentHeader, u64_at};
use crate::memory::MemoryDisk;
use crate::names::{self, Name};

const RECORDS: usize = 9;

/// A log of some segments that was closed in peace, with a batch for each record.
fn small_log() -> Arc<MemoryDisk> {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for number in 0..RECORDS {
        log.append(0, &record(number)).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    disk
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.file_names().into_iter().filter(|name| matches!(Name::parse(name), Name::Segment(_))).collect()
}

fn all() -> Vec<Vec<u8>> {
    (0..RECORDS).map(record).collect()
}

/// Opens a damaged log: all of its records, or how many are left, or a fault.
fn judge(disk: &Arc<MemoryDisk>) -> Result<usize, Error> {
    let (log, _) = open(disk)?;
    let found = records(&log);
    assert!(all().starts_with(&found), "a record that was not written");
    Ok(found.len())
}

/// Damages every byte of every segment, one at a time.
fn damage_each_byte(disk: &MemoryDisk, mut check: impl FnMut(&str, usize, Result<usize, Error>)) {
    for name in segments(disk) {
        for at in 0..disk.read(&name).len() {
            // Unused blocks and long records are all alike: one byte in some is enough.
            if at > 68 && at % 4096 > 160 && at % 13 != 0 {
                continue;
            }
            let damaged = disk.copy();
            damaged.tamper(&name, |bytes| bytes[at] ^= 0x11);
            check(&name, at, judge(&damaged));
        }
    }
}

#[test]
fn damage_at_any_byte_is_a_fault_or_does_not_matter() {
    damage_each_byte(&small_log(), |name, at, judged| match judged {
        Ok(found) => assert_eq!(found, RECORDS, "cut by damage at {at} of {name}"),
        Err(Error::Corrupt { .. } | Error::Version { .. }) => {}
        Err(error) => panic!("damage at {at} of {name}: {error}"),
    });
}

#[test]
fn without_the_mark_only_damage_in_the_last_batch_is_taken_for_a_torn_tail() {
    let disk = small_log();
    disk.tamper(names::MARK, |bytes| bytes[20] ^= 1);
    let last = segments(&disk).pop().unwrap();
    let mut cut = 0;
    damage_each_byte(&disk, |name, at, judged| match judged {
        Ok(RECORDS) => {}
        Ok(found) => {
            assert_eq!((name, found), (last.as_str(), RECORDS - 1), "cut by damage at {at}");
            cut += 1;
        }
        Err(Error::Corrupt { .. } | Error::Version { .. }) => {}
        Err(error) => panic!("damage at {at} of {name}: {error}"),
    });
    assert!(cut > 0);
}

#[test]
fn damage_before_a_newer_batch_is_a_fault_although_the_mark_is_old() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mark = disk.read(names::MARK);
    for number in [0, 1, 3] {
        log.append(0, &record(number)).unwrap();
        log.sync().unwrap();
    }
    let crashed = disk.copy();
    crashed.tamper(names::MARK, |bytes| *bytes = mark);
    // The first batch, and the second, whose header now is where nobody looks for it.
    crashed.tamper("0000000000000001.log", |bytes| bytes[4096..4096 + 60].fill(0));
    let Err(Error::Corrupt { offset, .. }) = open(&crashed) else { panic!("cut in silence") };
    assert_eq!(offset, 4096);
}

#[test]
fn damage_in_an_older_segment_is_told_where_it_is() {
    let disk = small_log();
    disk.tamper(names::MARK, |bytes| bytes[20] ^= 1);
    let name = &segments(&disk)[0];
    disk.tamper(name, |bytes| bytes[4096 + 24] ^= 1);
    let Err(Error::Corrupt { file, offset, .. }) = open(&disk) else { panic!("cut in silence") };
    assert_eq!((file.ends_with(name), offset), (true, 4096));
}

#[test]
fn damage_in_the_first_batch_of_a_segment_is_a_fault_although_there_is_no_mark() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mark = disk.read(names::MARK);
    for _ in 0..2 {
        log.append(0, &[7; 1000]).unwrap();
        log.sync().unwrap();
    }
    log.restart(0, &[8; 1000], None).unwrap();
    log.sync().unwrap();
    disk.tamper(names::MARK, |bytes| *bytes = mark);
    disk.tamper("0000000000000002.log", |bytes| bytes[4100] ^= 1);
    assert!(matches!(open(&disk), Err(Error::Corrupt { offset: 4096, .. })));
}

#[test]
fn a_record_that_looks_like_a_batch_is_not_taken_for_one() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    // All but the salt can be guessed: what comes next, and where.
    let guess = SegmentHeader { salt: 0, ..log.tail.header };
    let forged = FrameHeader { body_checksum: 0, body_bytes: 0, records: 0, batch: 9 };
    let position = 4096 + 24 + 8;
    log.append_with(0, |buffer| {
        buffer.extend([0; 4]);
        buffer.extend(forged.encode(guess.seed(), position));
        buffer.extend([1; 900]);
    })
    .unwrap();
    let mark = disk.read(names::MARK);
    log.sync().unwrap();
    let torn = disk.copy();
    torn.tamper(names::MARK, |bytes| *bytes = mark);
    torn.tamper("0000000000000001.log", |bytes| bytes[4608..].fill(0));
    let (log, recovered) = open(&torn).unwrap();
    assert!(recovered.cut.is_some());
    assert!(records(&log).is_empty());
}

#[test]
fn a_log_that_was_cut_to_any_length_is_a_fault() {
    let disk = small_log();
    for name in segments(&disk) {
        for length in (0..disk.read(&name).len()).step_by(7) {
            let cut = disk.copy();
            cut.tamper(&name, |bytes| bytes.truncate(length));
            match judge(&cut) {
                Ok(found) => assert_eq!(found, RECORDS, "{name} cut to {length}"),
                Err(Error::Corrupt { .. }) => {}
                Err(error) => panic!("{name} cut to {length}: {error}"),
            }
        }
    }
}

#[test]
fn a_write_that_landed_in_the_wrong_place_is_a_fault() {
    let disk = small_log();
    let name = &segments(&disk)[0];
    let bytes = disk.read(name);
    let second = 4096 + 24 + 8 + 4 + 1 + record(0).len() + 3;
    assert_eq!(u64_at(&bytes, second + 16), 2, "the second batch begins here");
    // The whole first batch again, where the second one should be; its checksums are right.
    let misplaced = disk.copy();
    let first = bytes[4096..second].to_vec();
    misplaced.tamper(name, |bytes| bytes[second..second + first.len()].copy_from_slice(&first));
    assert!(matches!(judge(&misplaced), Err(Error::Corrupt { .. })));
    // A batch at the right offset of another segment.
    let other = segments(&disk)[1].clone();
    let misplaced = disk.copy();
    misplaced.tamper(&other, |other| other[4096..].copy_from_slice(&bytes[4096..]));
    assert!(matches!(judge(&misplaced), Err(Error::Corrupt { .. })));
    // A whole segment under the name of another.
    let misplaced = disk.copy();
    misplaced.tamper(&other, |other| *other = bytes);
    assert!(matches!(judge(&misplaced), Err(Error::Corrupt { .. })));
}

#[test]
fn a_segment_that_is_gone_is_a_fault() {
    use crate::files::Directory;
    let disk = small_log();
    for name in segments(&disk) {
        let damaged = disk.copy();
        damaged.remove(&name).unwrap();
        assert!(matches!(judge(&damaged), Err(Error::Corrupt { .. })), "{name} was not missed");
    }
    let damaged = disk.copy();
    for name in segments(&disk) {
        damaged.remove(&name).unwrap();
    }
    assert!(matches!(judge(&damaged), Err(Error::Corrupt { .. })));
}

#[test]
fn records_of_an_old_life_of_a_segment_are_never_read() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for life in 0..12 {
        for number in 0..RECORDS {
            log.append(0, &record(number + life)).unwrap();
            log.sync().unwrap();
        }
        log.restart(0, b"again", None).unwrap();
        log.sync().unwrap();
        let (log, recovered) = open(&disk.copy()).unwrap();
        assert_eq!(records(&log), [b"again"]);
        assert_eq!(recovered.cut, None);
    }
}

quickcheck! {
    fn any_bytes_in_place_of_a_file_never_panic(which: usize, noise: Vec<u8>, at: usize) -> bool {
        let disk = small_log();
        let names = disk.file_names();
        let name = &names[which % names.len()];
        disk.tamper(name, |bytes| {
            let at = at % (bytes.len() + 1);
            let end = bytes.len().min(at + noise.len());
            bytes.splice(at..end, noise);
        });
        match judge(&disk) {
            Ok(found) => found == RECORDS,
            Err(error) => matches!(error, Error::Corrupt { .. } | Error::Version { .. }),
        }
    }
}
