//! Many groups in one log.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use super::{all_records, open, record};
use crate::error::Error;
use crate::log::Log;
use crate::memory::{MemoryDisk, chooser};
use crate::names::Name;
use crate::options::SnapshotId;

fn segments(disk: &MemoryDisk) -> usize {
    disk.file_names().into_iter().filter(|name| matches!(Name::parse(name), Name::Segment(_))).count()
}

/// Fills at least one segment with records of a group, a sync after each, and then restarts it.
fn use_group(log: &mut Log, group: u64) {
    for number in 0..3 {
        log.append(group, &record(2 + 5 * number)).unwrap();
        log.sync().unwrap();
    }
    log.restart(group, b"restated", None).unwrap();
    log.sync().unwrap();
}

#[test]
fn after_a_restart_there_is_only_the_new_of_its_group_and_all_of_the_others() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let other: Vec<_> = (0..9).map(|number| (2, record(number))).collect();
    for (_, record) in &other {
        log.append(1, record).unwrap();
        log.append(2, record).unwrap();
        log.sync().unwrap();
    }
    log.restart(1, b"new", None).unwrap();
    log.append(1, b"newer").unwrap();
    log.sync().unwrap();
    let mut expected = other;
    expected.extend([(1, b"new".to_vec()), (1, b"newer".to_vec())]);
    assert_eq!(all_records(&log), expected);
    let (log, recovered) = open(&disk.crashed(&mut chooser(1))).unwrap();
    assert_eq!((recovered.records, all_records(&log)), (11, expected));
}

#[test]
fn a_restart_that_was_not_synced_takes_nothing_away() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(1, b"old").unwrap();
    log.sync().unwrap();
    log.restart(1, b"new", None).unwrap();
    assert_eq!(all_records(&log), [(1, b"old".to_vec())]);
    let (log, _) = open(&disk.copy()).unwrap();
    assert_eq!(all_records(&log), [(1, b"old".to_vec())]);
}

#[test]
fn a_restart_whose_sync_failed_hides_nothing_that_was_synced() {
    use crate::memory::Fault;
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(1, b"old").unwrap();
    log.sync().unwrap();
    log.restart(1, b"new", None).unwrap();
    disk.fail(Some(Fault { at: disk.changes(), kind: std::io::ErrorKind::Other, once: true }));
    assert!(log.sync().is_err());
    assert_eq!(all_records(&log), [(1, b"old".to_vec())]);
}

#[test]
fn a_segment_goes_when_no_group_needs_it_and_not_before() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(7, b"cold").unwrap();
    log.sync().unwrap();
    for round in 0..4 {
        use_group(&mut log, 1);
        assert!(segments(&disk) > round, "the cold group needs the first");
    }
    log.restart(7, b"warm", None).unwrap();
    log.sync().unwrap();
    assert_eq!(segments(&disk), 1, "nobody needs the others");
    let found = all_records(&log);
    assert_eq!(found.last(), Some(&(7, b"warm".to_vec())));
    let (log, _) = open(&disk.copy()).unwrap();
    assert_eq!(all_records(&log), found);
}

#[test]
fn a_log_does_not_grow_without_bound_if_cold_groups_restate_what_they_have() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for group in 100..110 {
        log.append(group, b"cold").unwrap();
    }
    log.sync().unwrap();
    let (mut asked, mut most) = (BTreeMap::<u64, usize>::new(), 0);
    for _ in 0..60 {
        use_group(&mut log, 1);
        for group in log.laggards() {
            *asked.entry(group).or_default() += 1;
            log.restart(group, b"cold", None).unwrap();
        }
        log.sync().unwrap();
        most = most.max(segments(&disk));
    }
    // Each round takes about two segments. Without the cold groups there would be as few as two.
    assert!(most <= 8, "{most} segments");
    assert_eq!(asked.keys().copied().collect::<Vec<_>>(), (100..110).collect::<Vec<_>>());
    assert!(asked.values().all(|times| (10..=30).contains(times)), "{asked:?}");
    let found = all_records(&log);
    assert_eq!(found.iter().filter(|(_, record)| record == b"cold").count(), 10);
}

#[test]
fn laggards_are_asked_some_at_a_time_and_again_only_when_the_log_has_grown() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for group in 100..300 {
        log.append(group, b"").unwrap();
    }
    log.sync().unwrap();
    let first = loop {
        use_group(&mut log, 1);
        let laggards = log.laggards();
        if !laggards.is_empty() {
            break laggards;
        }
    };
    assert_eq!(first, (100..164).collect::<Vec<_>>());
    assert!(log.laggards().is_empty(), "they were asked");
    // All but one do as they are asked; the one may have its reasons.
    for group in &first[1..] {
        log.restart(*group, b"", None).unwrap();
    }
    log.sync().unwrap();
    assert!(log.laggards().is_empty(), "one has not restated yet");
    use_group(&mut log, 1);
    let second = log.laggards();
    assert_eq!((second[0], second[1], second.len()), (100, 164, 64), "the log has grown");
    log.restart(100, b"", None).unwrap();
    log.restart(164, b"", None).unwrap();
    for group in &second[2..] {
        log.restart(*group, b"", None).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(log.laggards()[0], 227, "all of them did, so the next are asked");
}

#[test]
fn what_is_needed_is_not_asked_for_again_and_again() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    // All that is in the log is needed: to restate it would free nothing.
    for number in 0..60 {
        log.append(number % 20, &record(2)).unwrap();
        log.sync().unwrap();
        assert_eq!(log.laggards(), []);
    }
    assert!(segments(&disk) > 20);
}

#[test]
fn snapshots_are_those_of_their_groups() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let made = [0, 1, 2].map(|group| {
        let mut writer = log.snapshot_writer(group, 3, 40).unwrap();
        writer.write_all(&[group as u8; 600]).unwrap();
        writer.finish().unwrap()
    });
    // Two come in at the same time.
    let incoming = [1, 2].map(|group| SnapshotId { group, term: 3, index: 90, size: 1000 });
    for offset in [0, 400] {
        for of in incoming {
            log.snapshot_write(of, offset, &[of.group as u8; 400]).unwrap();
        }
        log.sync().unwrap();
    }
    assert!(matches!(log.restart(1, b"", Some(made[2])), Err(Error::NoSnapshot(_))), "it is another's");
    log.restart(1, b"goes on", Some(made[1])).unwrap();
    log.sync().unwrap();
    let there = [made[0], made[1], made[2], incoming[0], incoming[1]];
    assert_eq!(there.map(|of| log.snapshot_len(of)), [600, 600, 600, 0, 800]);
    log.restart(2, b"goes on", None).unwrap();
    log.sync().unwrap();
    let left = [(made[0], 600), (made[1], 600)];
    let (log, recovered) = open(&disk.copy()).unwrap();
    assert_eq!(recovered.snapshots.iter().copied().collect::<BTreeMap<_, _>>(), BTreeMap::from(left));
    assert_eq!(log.snapshot_read(made[1], 599, 9).unwrap(), [1]);
}

#[test]
fn snapshots_of_hundreds_of_groups_come_in_at_once_and_are_resumed() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let of = |group| SnapshotId { group, term: 1, index: 9, size: 1000 };
    for group in 0..300 {
        log.snapshot_write(of(group), 0, &[group as u8; 700]).unwrap();
    }
    assert!(log.incoming.open() <= 64, "files are bounded");
    log.sync().unwrap();
    let (mut log, recovered) = open(&disk.crashed(&mut |_| 0)).unwrap();
    assert_eq!(recovered.snapshots.len(), 300);
    for group in 0..300 {
        log.snapshot_write(of(group), 700, &[group as u8; 300]).unwrap();
    }
    log.sync().unwrap();
    for group in 0..300 {
        assert_eq!(log.snapshot_read(of(group), 0, 2000).unwrap(), vec![group as u8; 1000]);
    }
}

#[test]
fn what_a_batch_makes_needless_goes_only_once_that_batch_is_durable_at_opening_too() {
    use crate::memory::Fault;
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(7, b"cold").unwrap();
    log.append(7, &[1; 1000]).unwrap();
    log.sync().unwrap();
    log.append(1, &[1; 1000]).unwrap();
    log.sync().unwrap();
    log.restart(1, &[2; 1000], None).unwrap();
    log.sync().unwrap();
    assert_eq!(segments(&disk), 2);
    // It would free the first segment, but its sync fails: it is in memory only.
    log.restart(7, b"warm", None).unwrap();
    disk.fail(Some(Fault { at: disk.changes() + 1, kind: std::io::ErrorKind::Other, once: true }));
    assert!(log.sync().is_err());
    drop(log);
    // The process starts again, and loses power at any point of that.
    for at in 0..40 {
        let again = disk.copy();
        again.fail(Some(Fault { at: again.changes() + at, kind: std::io::ErrorKind::Other, once: false }));
        let opened = open(&again).is_ok();
        for seed in 0..50 {
            let found = all_records(&open(&again.crashed(&mut chooser(seed))).unwrap().0);
            assert!([3, 2].contains(&found.len()), "{} records", found.len());
        }
        if opened {
            return;
        }
    }
    panic!("it ends");
}

#[test]
fn a_crash_while_segments_go_leaves_a_log_that_opens() {
    use crate::memory::Fault;
    // The cold group's restart frees many segments at once.
    let prepare = || {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        log.append(7, b"cold").unwrap();
        for _ in 0..3 {
            use_group(&mut log, 1);
        }
        log.restart(7, b"warm", None).unwrap();
        (disk, log)
    };
    let expected = |disk: &Arc<MemoryDisk>| {
        let found = all_records(&open(disk).unwrap().0);
        let of_cold: Vec<_> =
            found.iter().filter(|(group, _)| *group == 7).map(|(_, record)| record).collect();
        let of_other: Vec<_> =
            found.iter().filter(|(group, _)| *group == 1).map(|(_, record)| record).collect();
        assert_eq!(of_other, [b"restated"]);
        assert!(of_cold == [b"cold"] || of_cold == [b"warm"], "{of_cold:?}");
    };
    for at in 0..40 {
        let (disk, mut log) = prepare();
        disk.fail(Some(Fault { at: disk.changes() + at, kind: std::io::ErrorKind::Other, once: false }));
        let done = log.sync().is_ok();
        drop(log);
        for seed in 0..20 {
            expected(&disk.crashed(&mut chooser(seed * 31 + at as u64)));
        }
        expected(&disk.copy());
        if done {
            assert!(at > 5, "it deletes several");
            return;
        }
    }
    panic!("it ends");
}
