//! Snapshots beside the log.

use std::io::Write;
use std::sync::Arc;

use super::open;
use crate::error::Error;
use crate::log::Log;
use crate::memory::{MemoryDisk, chooser};
use crate::names;
use crate::options::SnapshotId;

const OF: SnapshotId = SnapshotId { group: 0, term: 2, index: 40, size: 3000 };

fn contents() -> Vec<u8> {
    (0..OF.size).map(|at| (at * 7 + at / 504) as u8).collect()
}

/// A log with the first `bytes` of the snapshot, in pieces of 130, a sync after every third.
fn partial(bytes: usize) -> Arc<MemoryDisk> {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for (count, piece) in contents()[..bytes].chunks(130).enumerate() {
        log.snapshot_write(OF, count as u64 * 130, piece).unwrap();
        if count % 3 == 2 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    assert_eq!(log.snapshot_len(OF), bytes as u64);
    disk
}

#[test]
fn a_snapshot_is_resumed_where_its_durable_part_ends() {
    for bytes in [1, 503, 504, 505, 1300, 2999] {
        let disk = partial(bytes);
        let (mut log, _) = open(&disk.crashed(&mut |_| 0)).unwrap();
        assert_eq!(log.snapshot_len(OF), bytes as u64);
        log.snapshot_write(OF, bytes as u64, &contents()[bytes..]).unwrap();
        assert_eq!(log.snapshot_len(OF), bytes as u64, "not durable yet");
        log.sync().unwrap();
        assert_eq!(log.snapshot_len(OF), OF.size);
        assert_eq!(log.snapshot_read(OF, 0, 9999).unwrap(), contents());
    }
}

#[test]
fn a_snapshot_that_is_all_there_is_whole_once_the_log_is_open() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.snapshot_write(OF, 0, &contents()).unwrap();
    drop(log);
    // The process died before the sync, and nothing that was written is lost.
    let (mut log, recovered) = open(&disk.copy()).unwrap();
    assert_eq!(recovered.snapshots, [(OF, OF.size)]);
    let other = SnapshotId { index: 41, ..OF };
    log.snapshot_write(other, 0, b"another").unwrap();
    log.sync().unwrap();
    assert_eq!(log.snapshot_read(OF, 0, 9999).unwrap(), contents());
}

#[test]
fn a_crash_loses_no_byte_of_a_snapshot_that_was_synced() {
    let bytes = 1300;
    for seed in 0..200 {
        let disk = partial(bytes);
        let (mut log, _) = open(&disk).unwrap();
        log.snapshot_write(OF, bytes as u64, &contents()[bytes..2500]).unwrap();
        let left = disk.crashed(&mut chooser(seed));
        let (log, recovered) = open(&left).unwrap();
        let [(OF, durable)] = recovered.snapshots[..] else { panic!("{recovered:?}") };
        assert!((bytes as u64..=2500).contains(&durable));
        assert_eq!(log.snapshot_read(OF, 0, 9999).unwrap(), contents()[..durable as usize]);
    }
}

#[test]
fn a_piece_that_leaves_a_gap_or_is_too_long_is_refused() {
    let (mut log, _) = open(&partial(260)).unwrap();
    for (offset, length) in [(261, 1), (260, 3000), (0, 3001), (u64::MAX, 1)] {
        let refused = log.snapshot_write(OF, offset, &vec![0; length]);
        assert!(matches!(refused, Err(Error::OutOfOrder { next: 260, .. })), "{offset}");
    }
    log.snapshot_write(OF, 260, b"next").unwrap();
}

#[test]
fn a_piece_that_comes_again_changes_nothing() {
    let (mut log, _) = open(&partial(260)).unwrap();
    for range in [0..130, 100..260, 100..300, 0..3000, 0..3000, 2990..3000] {
        log.snapshot_write(OF, range.start as u64, &contents()[range]).unwrap();
    }
    log.sync().unwrap();
    log.snapshot_write(OF, 0, &contents()).unwrap();
    assert_eq!(log.snapshot_read(OF, 0, 9999).unwrap(), contents());
}

#[test]
fn the_first_piece_of_another_snapshot_replaces_an_unfinished_one() {
    let disk = partial(260);
    let (mut log, _) = open(&disk).unwrap();
    let newer = SnapshotId { index: 41, ..OF };
    assert!(matches!(log.snapshot_write(newer, 260, b"x"), Err(Error::OutOfOrder { next: 0, .. })));
    assert_eq!(log.snapshot_len(OF), 260);
    log.snapshot_write(newer, 0, b"x").unwrap();
    log.sync().unwrap();
    assert_eq!((log.snapshot_len(OF), log.snapshot_len(newer)), (0, 1));
}

#[test]
fn damage_in_a_whole_snapshot_is_a_fault_and_in_an_unfinished_one_a_shorter_part() {
    let (whole, unfinished) = (partial(3000), partial(2999));
    for at in (0..3 * 512).step_by(3) {
        let damaged = whole.copy();
        let (log, _) = open(&damaged).unwrap();
        damaged.tamper(&names::snapshot(OF), |bytes| bytes[at] ^= 4);
        let read = log.snapshot_read(OF, 0, 3000);
        let used = !(60..512).contains(&at);
        assert_eq!(read.is_err(), used, "at {at}");
        drop(log);
        assert_eq!(open(&damaged).is_err(), used, "at {at}");

        let damaged = unfinished.copy();
        damaged.tamper(&names::partial(OF), |bytes| bytes[at] ^= 4);
        match open(&damaged) {
            Ok((log, _)) => {
                let left = log.snapshot_len(OF);
                assert_eq!(log.snapshot_read(OF, 0, 3000).unwrap_or_default(), contents()[..left as usize]);
            }
            Err(error) => assert!(at < 16 && matches!(error, Error::Version { .. }), "at {at}: {error}"),
        }
    }
}

#[test]
fn a_snapshot_is_made_on_another_thread_while_the_log_goes_on() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let mut writer = log.snapshot_writer(0, OF.term, OF.index).unwrap();
    let made = std::thread::spawn(move || {
        writer.write_all(&contents()).unwrap();
        writer.finish().unwrap()
    });
    log.append(0, b"meanwhile").unwrap();
    log.sync().unwrap();
    assert_eq!(made.join().unwrap(), OF);
    assert_eq!(log.snapshot_read(OF, 1000, 100).unwrap(), contents()[1000..1100]);
    let (_, recovered) = open(&disk.crashed(&mut |_| 0)).unwrap();
    assert_eq!(recovered.snapshots, [(OF, OF.size)]);
}

#[test]
fn a_writer_that_is_dropped_or_dies_leaves_nothing() {
    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    let files = disk.file_names();
    let mut writer = log.snapshot_writer(0, 1, 1).unwrap();
    writer.write_all(&[1; 100_000]).unwrap();
    let died = disk.copy();
    drop(writer);
    assert_eq!(disk.file_names(), files);
    let (_, recovered) = open(&died).unwrap();
    assert_eq!(recovered.snapshots, []);
    assert_eq!(died.file_names(), files);
}

#[test]
fn the_last_of_several_restarts_says_what_is_kept_and_none_means_what_comes_later() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let make = |log: &Log, index| {
        let mut writer = log.snapshot_writer(0, 1, index).unwrap();
        writer.write_all(b"state").unwrap();
        writer.finish().unwrap()
    };
    let (one, two) = (make(&log, 1), make(&log, 2));
    log.restart(0, b"from one", Some(one)).unwrap();
    log.restart(0, b"from two", Some(two)).unwrap();
    let later = make(&log, 3);
    log.sync().unwrap();
    assert_eq!([one, two, later].map(|of| log.snapshot_len(of)), [0, 5, 5]);
    log.restart(0, b"from the last", Some(later)).unwrap();
    log.sync().unwrap();
    assert_eq!([one, two, later].map(|of| log.snapshot_len(of)), [0, 0, 5]);
}

#[test]
fn a_durable_restart_deletes_all_snapshots_but_the_one_to_keep() {
    let disk = partial(3000);
    let (mut log, _) = open(&disk).unwrap();
    let mut writer = log.snapshot_writer(0, 9, 99).unwrap();
    writer.write_all(b"newer").unwrap();
    let newer = writer.finish().unwrap();
    let unfinished = SnapshotId { group: 0, term: 9, index: 100, size: 10 };
    log.snapshot_write(unfinished, 0, b"begun").unwrap();
    let missing = SnapshotId { group: 0, term: 9, index: 101, size: 1 };
    assert!(matches!(log.restart(0, b"state", Some(missing)), Err(Error::NoSnapshot(of)) if of == missing));
    log.restart(0, b"state", Some(newer)).unwrap();
    assert_eq!(log.snapshot_len(OF), OF.size, "not before the restart is durable");
    log.sync().unwrap();
    assert_eq!([OF, unfinished, newer].map(|of| log.snapshot_len(of)), [0, 0, 5]);
    let (_, recovered) = open(&disk.copy()).unwrap();
    assert_eq!(recovered.snapshots, [(newer, 5)]);
}
