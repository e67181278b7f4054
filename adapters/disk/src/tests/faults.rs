//! Disks that fail, and disks that are full.

use std::io::{ErrorKind, Write};

use super::{SMALL, open, record, records};
use crate::error::Error;
use crate::memory::{Fault, MemoryDisk};
use crate::options::SnapshotId;

fn fail_next(disk: &MemoryDisk, skip: usize, kind: ErrorKind) {
    disk.fail(Some(Fault { at: disk.changes() + skip, kind, once: true }));
}

#[test]
fn a_failed_write_or_sync_poisons_the_log() {
    // The write, the sync, the mark; whatever the kind.
    for (change, kind) in
        [(0, ErrorKind::Other), (1, ErrorKind::Other), (2, ErrorKind::Other), (1, ErrorKind::StorageFull)]
    {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        log.append(0, b"synced").unwrap();
        log.sync().unwrap();
        log.append(0, b"not synced").unwrap();
        fail_next(&disk, change, kind);
        assert!(log.sync().is_err());
        let of = SnapshotId { group: 0, term: 1, index: 1, size: 1 };
        assert!(matches!(log.sync(), Err(Error::Poisoned)));
        assert!(matches!(log.append(0, b"x"), Err(Error::Poisoned)));
        assert!(matches!(log.restart(0, b"x", None), Err(Error::Poisoned)));
        assert!(matches!(log.snapshot_write(of, 0, b"x"), Err(Error::Poisoned)));
        assert!(matches!(log.snapshot_writer(0, 1, 1), Err(Error::Poisoned)));
        assert_eq!(records(&log)[0], b"synced");
    }
}

#[test]
fn a_batch_whose_sync_failed_is_written_again_before_it_is_handed_out() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(0, b"in memory only").unwrap();
    fail_next(&disk, 1, ErrorKind::Other);
    assert!(log.sync().is_err());
    drop(log);
    let (log, _) = open(&disk).unwrap();
    assert_eq!(records(&log), [b"in memory only"]);
    // A crash that loses all that is not durable does not lose it any more.
    let (log, _) = open(&disk.crashed(&mut |_| 0)).unwrap();
    assert_eq!(records(&log), [b"in memory only"]);
}

#[test]
fn a_snapshot_whose_sync_failed_is_not_resumed() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let of = SnapshotId { group: 0, term: 1, index: 9, size: 4000 };
    log.snapshot_write(of, 0, &[1; 1000]).unwrap();
    fail_next(&disk, 0, ErrorKind::Other);
    assert!(log.sync().is_err());
    drop(log);
    let (log, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.snapshots, log.snapshot_len(of)), (vec![], 0));
}

#[test]
fn a_snapshot_whose_sync_failed_and_that_stayed_is_written_again_before_it_is_resumed() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let of = SnapshotId { group: 0, term: 1, index: 5, size: 2000 };
    log.snapshot_write(of, 0, &[7; 1200]).unwrap();
    // The sync fails, and so does the removal of the file.
    disk.fail(Some(Fault { at: disk.changes(), kind: ErrorKind::Other, once: false }));
    assert!(log.sync().is_err());
    drop(log);
    let disk = disk.copy();
    let (log, _) = open(&disk).unwrap();
    let resumed = log.snapshot_len(of);
    drop(log);
    // A crash that loses all that is not durable does not lose it any more.
    let (log, _) = open(&disk.crashed(&mut |_| 0)).unwrap();
    assert_eq!((resumed, log.snapshot_len(of)), (1200, 1200));
}

#[test]
fn a_full_disk_refuses_a_record_and_loses_nothing() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    disk.limit(Some(disk.used()));
    let mut appended = Vec::new();
    let refused = loop {
        let record = record(appended.len());
        match log.append(0, &record) {
            Ok(()) => appended.push(record),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    assert!(appended.len() > 2);
    log.sync().unwrap();
    assert_eq!(records(&log), appended);
    assert!(matches!(log.append(0, &[1; 1000]), Err(Error::Full { .. })));
    // Opening it does not need room either.
    let (log, _) = open(&disk.copy()).unwrap();
    assert_eq!(records(&log), appended);
}

#[test]
fn a_restart_has_room_on_a_full_disk_and_makes_room() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    disk.limit(Some(disk.used()));
    for round in 0..20 {
        while log.append(0, &record(2)).is_ok() {}
        log.sync().unwrap();
        // Whoever thinks twice does not use up the room.
        log.restart(0, b"first thought", None).unwrap();
        log.restart(0, &record(round), None).unwrap();
        log.sync().unwrap();
        assert_eq!(records(&log), [record(round)]);
    }
}

#[test]
fn the_reserve_makes_room_for_one_snapshot_until_the_next_restart() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let reserve = SMALL.reserve_bytes as usize;
    // A header and the first sectors fit into the reserve; then no more.
    disk.limit(Some(disk.used() + 1536));
    let mut writer = log.snapshot_writer(0, 1, 5).unwrap();
    writer.write_all(&vec![7; 504 + reserve]).unwrap();
    let of = writer.finish().unwrap();
    assert_eq!(of.size as usize, 504 + reserve);
    assert!(!disk.file_names().contains(&"reserve".into()));
    let mut writer = log.snapshot_writer(0, 1, 6).unwrap();
    writer.write_all(&[7; 5000]).unwrap();
    assert!(matches!(writer.finish(), Err(Error::Full { .. })));
    disk.limit(None);
    log.restart(0, b"from there on", Some(of)).unwrap();
    log.sync().unwrap();
    assert!(disk.file_names().contains(&"reserve".into()));
    assert_eq!(log.snapshot_read(of, 500, 10).unwrap(), [7; 10]);
}

#[test]
fn a_piece_that_finds_the_disk_full_can_be_written_later() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let of = SnapshotId { group: 0, term: 1, index: 9, size: 4000 };
    log.snapshot_write(of, 0, &[1; 100]).unwrap();
    disk.limit(Some(disk.used()));
    assert!(matches!(log.snapshot_write(of, 100, &[2; 3900]), Err(Error::Full { .. })));
    log.append(0, b"goes on").unwrap();
    log.sync().unwrap();
    assert_eq!(log.snapshot_len(of), 100);
    disk.limit(None);
    log.snapshot_write(of, 100, &[2; 3900]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.snapshot_read(of, 99, 3).unwrap(), [1, 2, 2]);
}

#[test]
fn a_snapshot_that_could_not_make_way_for_another_is_still_synced() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let (of, other) = (
        SnapshotId { group: 0, term: 1, index: 5, size: 3 },
        SnapshotId { group: 0, term: 1, index: 6, size: 3 },
    );
    log.snapshot_write(of, 0, b"one").unwrap();
    // File systems that write elsewhere need room to remove a file.
    fail_next(&disk, 0, ErrorKind::StorageFull);
    assert!(matches!(log.snapshot_write(other, 0, b"two"), Err(Error::Full { .. })));
    log.sync().unwrap();
    assert_eq!(log.snapshot_read(of, 0, 3).unwrap(), b"one");
}

#[test]
fn a_record_over_the_limit_is_refused_and_changes_nothing() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(0, b"before").unwrap();
    assert!(matches!(log.append(0, &[0; 1025]), Err(Error::TooLong { bytes: 1025, limit: 1024 })));
    assert!(matches!(log.restart(0, &[0; 1025], None), Err(Error::TooLong { .. })));
    log.append(0, &[1; 1024]).unwrap();
    log.append(0, b"").unwrap();
    log.sync().unwrap();
    assert_eq!(records(&log), [&b"before"[..], &[1; 1024], b""]);
}

#[test]
fn an_encoder_that_panics_leaves_no_half_record() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(0, b"before").unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        log.append_with(0, |buffer| {
            buffer.extend_from_slice(b"half");
            panic!("on purpose");
        })
    }));
    assert!(panicked.is_err());
    log.sync().unwrap();
    log.append(0, b"after").unwrap();
    log.sync().unwrap();
    assert_eq!(records(&log), [&b"before"[..], b"after"]);
}
