//! The log on the files of the operating system.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use quorate_disk::{Error, Identity, Log, Options};
use tempfile::TempDir;

const IDENTITY: Identity = Identity { cluster: 1, node: 2 };
const SMALL: Options = Options {
    segment_bytes: 16 << 10,
    max_record_bytes: 4 << 10,
    reserve_bytes: 4 << 10,
    max_bytes: u64::MAX,
};

fn open(directory: &TempDir) -> Log {
    Log::open(directory.path(), IDENTITY, SMALL).unwrap().0
}

fn records(log: &Log) -> Vec<Vec<u8>> {
    log.records().map(|found| found.unwrap().1).collect()
}

#[test]
fn records_survive_many_segments_restarts_and_lives() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for life in 0..5_u8 {
        let mut log = open(&directory);
        assert_eq!(records(&log), expected);
        for number in 0..100 {
            let record = vec![life ^ number; usize::from(number) * 10];
            log.append(0, &record).unwrap();
            expected.push(record);
            if number % 3 == 0 {
                log.sync().unwrap();
            }
        }
        if life % 2 == 1 {
            log.restart(0, &[life], None).unwrap();
            expected = vec![vec![life]];
        }
        log.sync().unwrap();
        assert_eq!(records(&log), expected);
    }
    let names = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
    let segments = names.filter(|name| name.to_string_lossy().ends_with(".log")).count();
    assert!(segments < 8, "{segments} segments are left");
}

#[test]
fn a_batch_larger_than_a_segment_is_synced_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(&directory);
    let expected: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 4 << 10]).collect();
    for record in &expected {
        log.append(0, record).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(records(&log), expected);
    drop(log);
    assert_eq!(records(&open(&directory)), expected);
}

#[test]
fn a_second_log_in_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let second = Log::open(directory.path(), IDENTITY, SMALL);
    assert!(matches!(second, Err(Error::Locked { .. })));
    // A writer holds the directory as well.
    let writer = log.snapshot_writer(0, 1, 1).unwrap();
    drop(log);
    assert!(matches!(Log::open(directory.path(), IDENTITY, SMALL), Err(Error::Locked { .. })));
    drop(writer);
    open(&directory);
}

#[test]
fn a_second_process_is_refused() {
    const DIRECTORY: &str = "QUORATE_DISK_TEST_DIRECTORY";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        // This is the second process.
        let second = Log::open(Path::new(&directory), IDENTITY, SMALL);
        assert!(matches!(second, Err(Error::Locked { .. })));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let _log = open(&directory);
    let mut second = Command::new(std::env::current_exe().unwrap());
    second.args(["--exact", "a_second_process_is_refused"]).env(DIRECTORY, directory.path());
    assert!(second.output().unwrap().status.success());
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(&directory).append(0, b"mine").unwrap();
    for (other, mark) in [
        (Identity { node: 3, ..IDENTITY }, true),
        (Identity { cluster: 9, ..IDENTITY }, true),
        // Every file says whose it is.
        (Identity { node: 3, ..IDENTITY }, false),
    ] {
        if !mark {
            std::fs::remove_file(directory.path().join("mark")).unwrap();
        }
        let Err(error) = Log::open(directory.path(), other, SMALL) else { panic!("{other:?} was let in") };
        assert!(matches!(error, Error::Foreign { found: IDENTITY, expected, .. } if expected == other));
        assert!(error.to_string().contains("belongs to node 2 of cluster 1"), "{error}");
    }
}

#[test]
fn over_the_limit_of_bytes_the_disk_counts_as_full() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 100 << 10, ..SMALL };
    let (mut log, _) = Log::open(directory.path(), IDENTITY, options).unwrap();
    let mut appended = 0;
    let refused = loop {
        match log.append(0, &[7; 2000]) {
            Ok(()) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    log.sync().unwrap();
    assert_eq!(records(&log).len(), appended);

    let mut writer = log.snapshot_writer(0, 1, 1).unwrap();
    let mut written = 0;
    while writer.write_all(&[1; 1 << 14]).is_ok() {
        written += 1;
        assert!(written < 100, "the limit does not hold");
    }
    drop(writer);
    log.restart(0, b"smaller", None).unwrap();
    log.sync().unwrap();
    for _ in 0..14 {
        log.append(0, &[8; 2000]).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(records(&log).len(), 15);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(files.sum::<u64>() <= options.max_bytes);
}

#[test]
fn other_sizes_can_be_chosen_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for size in [16, 40, 8, 24] {
        let options = Options { segment_bytes: size << 10, max_record_bytes: 2 << 10, ..SMALL };
        let (mut log, _) = Log::open(directory.path(), IDENTITY, options).unwrap();
        for number in 0..40 {
            let record = vec![number; 1500];
            log.append(0, &record).unwrap();
            expected.push(record);
        }
        log.sync().unwrap();
        assert_eq!(records(&log), expected);
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for options in [
        Options { segment_bytes: 0, ..SMALL },
        Options { segment_bytes: 8 << 10, ..SMALL },
        Options { max_record_bytes: u32::MAX, segment_bytes: u64::MAX, ..SMALL },
    ] {
        assert!(matches!(Log::open(directory.path(), IDENTITY, options), Err(Error::Options(_))));
    }
}

#[test]
fn a_log_can_be_handed_to_another_thread() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(&directory);
    std::thread::spawn(move || log.append(0, b"from there").and_then(|()| log.sync()).unwrap())
        .join()
        .unwrap();
    assert_eq!(records(&open(&directory)), [b"from there"]);
}
