//! Power that fails at any point, and what is left then.

use std::sync::Arc;

use quickcheck::quickcheck;

use super::{all_records, open, record, records};
use crate::log::Log;
use crate::memory::{Fault, MemoryDisk, chooser};

/// What a driver did, and what it was told is durable.
#[derive(Default)]
struct History {
    /// All records that were appended; `true` if it was a restart of its group.
    appended: Vec<(bool, (u64, Vec<u8>))>,
    durable: usize,
}

impl History {
    /// What is read back if the log ends after `end` records.
    fn visible(&self, end: usize) -> Vec<(u64, Vec<u8>)> {
        let appended = &self.appended[..end];
        let is_needed = |at: usize, group: u64| {
            !appended[at + 1..].iter().any(|(restart, (other, _))| *restart && *other == group)
        };
        let needed = appended.iter().enumerate().filter(|(at, (_, (group, _)))| is_needed(*at, *group));
        needed.map(|(_, (_, record))| record.clone()).collect()
    }

    /// Everything that is durable, perhaps more, and nothing else.
    fn allows(&self, found: &[(u64, Vec<u8>)]) -> bool {
        (self.durable..=self.appended.len()).any(|end| self.visible(end) == found)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u64),
    Sync,
    Restart(u64),
}

impl Step {
    fn of(byte: u8) -> Self {
        let group = u64::from(byte / 16 % 3);
        match byte % 16 {
            0 => Self::Restart(group),
            1..6 => Self::Sync,
            _ => Self::Append(group),
        }
    }
}

/// Goes on until the disk fails; a sync that failed acknowledges nothing.
fn run(log: &mut Log, steps: &[Step], history: &mut History) {
    for step in steps {
        let record = record(history.appended.len());
        let done = match step {
            Step::Append(group) => {
                log.append(*group, &record).map(|()| history.appended.push((false, (*group, record))))
            }
            Step::Restart(group) => {
                log.restart(*group, &record, None).map(|()| history.appended.push((true, (*group, record))))
            }
            Step::Sync => log.sync().map(|_| history.durable = history.appended.len()),
        };
        if done.is_err() {
            return;
        }
    }
}

fn assert_recovers(disk: &Arc<MemoryDisk>, history: &mut History, context: &str) -> Log {
    let (log, recovered) = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = all_records(&log);
    assert_eq!(recovered.records, found.len() as u64, "{context}");
    assert!(history.allows(&found), "{context}: found {} of {} records", found.len(), history.appended.len());
    let end = (history.durable..=history.appended.len()).rfind(|end| history.visible(*end) == found);
    history.appended.truncate(end.expect("it is allowed"));
    history.durable = history.appended.len();
    log
}

/// Fails the disk from each change on, and recovers from several things that may be left then.
fn crash_everywhere(steps: &[Step], seeds: u64) {
    for at in 0.. {
        let disk = MemoryDisk::new();
        let mut history = History::default();
        disk.fail(Some(Fault { at, kind: std::io::ErrorKind::Other, once: false }));
        let opened = open(&disk);
        if let Ok((mut log, _)) = opened {
            run(&mut log, steps, &mut history);
        }
        let finished = disk.changes() <= at;
        for seed in 0..seeds {
            let left = disk.crashed(&mut chooser(seed * 7919 + at as u64));
            let context = format!("crash at change {at}, seed {seed}");
            let mut history = History { appended: history.appended.clone(), durable: history.durable };
            let mut log = assert_recovers(&left, &mut history, &context);
            // The log goes on, and another crash does no harm.
            run(&mut log, &[Step::Append(0), Step::Sync, Step::Append(1), Step::Append(0)], &mut history);
            let again = left.crashed(&mut chooser(seed));
            assert_recovers(&again, &mut history, &context);
        }
        if finished {
            return;
        }
    }
}

#[test]
fn a_crash_at_any_point_leaves_what_was_synced() {
    let steps: Vec<Step> = [7, 1, 7, 7, 1, 7, 7, 7, 7, 1, 7, 1, 7, 7, 7, 1].map(Step::of).into();
    crash_everywhere(&steps, 12);
}

#[test]
fn a_crash_at_any_point_of_a_restart_leaves_the_old_or_the_new() {
    use Step::Sync;
    let (append, restart) = (Step::Append(0), Step::Restart(0));
    let steps = [
        append, append, append, append, Sync, append, restart, append, Sync, append, append, append, Sync,
        restart, restart, Sync, append, Sync,
    ];
    crash_everywhere(&steps, 12);
}

#[test]
fn a_crash_at_any_point_of_a_restart_of_one_group_leaves_all_of_the_others() {
    use Step::{Append, Restart, Sync};
    let steps = [
        Append(1),
        Append(2),
        Append(3),
        Sync,
        Append(1),
        Append(1),
        Restart(1),
        Append(2),
        Sync,
        Append(1),
        Append(3),
        Restart(2),
        Sync,
        Append(1),
        Append(2),
        Restart(3),
        Append(3),
        Sync,
        Restart(1),
        Append(2),
        Sync,
    ];
    crash_everywhere(&steps, 8);
}

quickcheck! {
    fn any_history_survives_crashes(bytes: Vec<u8>, seed: u64) -> bool {
        let steps: Vec<Step> = bytes.iter().copied().map(Step::of).collect();
        let mut choose = chooser(seed);
        let mut disk = MemoryDisk::new();
        let mut history = History::default();
        for life in steps.chunks(12) {
            let mut log = assert_recovers(&disk, &mut history, &format!("{steps:?} with seed {seed}"));
            let at = disk.changes() + choose(24);
            disk.fail(Some(Fault { at, kind: std::io::ErrorKind::Other, once: false }));
            run(&mut log, life, &mut history);
            drop(log);
            disk = disk.crashed(&mut choose);
        }
        assert_recovers(&disk, &mut history, "the last time");
        true
    }
}

#[test]
fn a_torn_tail_is_cut_and_its_length_is_told() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    log.append(0, b"synced").unwrap();
    log.sync().unwrap();
    let synced = disk.copy();
    log.append(0, &[9; 1000]).unwrap();
    log.sync().unwrap();
    // The first sector of the second batch landed, the others did not, and nobody heard of it.
    let written = disk.read("0000000000000001.log");
    synced.tamper("0000000000000001.log", |bytes| bytes[4096..4608].copy_from_slice(&written[4096..4608]));
    let (log, recovered) = open(&synced).unwrap();
    assert_eq!(recovered.cut, Some(24 + 8 + 4 + 1 + 1000 + 3));
    assert_eq!(records(&log), [b"synced"]);
}

#[test]
fn what_comes_after_a_torn_tail_in_a_segment_of_its_own_is_read() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    let long = |byte| vec![byte; 1000];
    for byte in [1, 2] {
        log.append(0, &long(byte)).unwrap();
        log.sync().unwrap();
    }
    let (name, torn) = ("0000000000000001.log", disk.copy());
    log.append(0, &[3; 300]).unwrap();
    log.sync().unwrap();
    // Only the header of the third batch landed.
    let (before, after) = (torn.read(name), disk.read(name));
    let at = before.iter().zip(&after).position(|(before, after)| before != after).expect("it was written");
    torn.tamper(name, |bytes| bytes[at..at + 24].copy_from_slice(&after[at..at + 24]));
    let (mut log, recovered) = open(&torn).unwrap();
    assert!(recovered.cut.is_some());
    // There is no room for this one behind the second.
    log.append(0, &long(4)).unwrap();
    log.sync().unwrap();
    assert!(torn.file_names().contains(&"0000000000000002.log".into()));
    assert_eq!(records(&log), [1, 2, 4].map(long));
    let (log, recovered) = open(&torn.copy()).unwrap();
    assert_eq!((recovered.records, records(&log)), (3, [1, 2, 4].map(long).to_vec()));
}

#[test]
fn a_process_that_dies_leaves_all_that_was_written() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk).unwrap();
    for number in 0..20 {
        log.append(0, &record(number)).unwrap();
        log.sync().unwrap();
    }
    let (log, recovered) = open(&disk.copy()).unwrap();
    assert_eq!((recovered.records, recovered.cut), (20, None));
    assert_eq!(records(&log), (0..20).map(record).collect::<Vec<_>>());
}
