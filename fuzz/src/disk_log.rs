//! A log of three groups on a disk that loses power, fails and rots: what was synced comes back or the log does not open, and nothing
//! comes back that was never appended.

mod damage;
mod history;

use crate::Tape;
use damage::Damage;
use history::{History, Record};
use quorate_disk::memory::{Fault, MemoryDisk};
use quorate_disk::{Error, Identity, Log, Options, SnapshotId};
use std::io::{ErrorKind, Write};
use std::sync::Arc;

const IDENTITY: Identity = Identity { cluster: 0xC1, node: 7 };
/// Two records of 1,000 bytes fill a segment.
const OPTIONS: Options =
    Options { segment_bytes: 4096 + 2560, max_record_bytes: 1024, reserve_bytes: 512, max_bytes: u64::MAX };
/// More steps than tell anything new.
const MOST_STEPS: usize = 80;

/// What happens to a log, a byte each.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let mut disk = MemoryDisk::new();
    let mut history = History::default();
    let mut log = Some(open(&disk, &mut history));
    // A disk as it once was, for files that come back from then.
    let mut once = disk.copy();
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            break;
        }
        let what = tape.byte();
        match what % 32 {
            0..=20 => {
                if let Some(log) = &mut log {
                    use_log(log, &disk, what, &mut tape, &mut history);
                }
            }
            21 => {
                let at = disk.changes() + tape.below(12);
                let kind = [ErrorKind::Other, ErrorKind::StorageFull][tape.below(2)];
                disk.fail(Some(Fault { at, kind, once: tape.flag() }));
            }
            22 => disk.limit(tape.flag().then(|| disk.used() + 64 * u64::from(tape.byte()))),
            23 => once = disk.copy(),
            24 | 25 => {
                // In peace.
                drop(log.take());
                disk = disk.copy();
                disk.limit(None);
                log = Some(open(&disk, &mut history));
            }
            26 | 27 => {
                // The process dies.
                disk = die(disk.copy(), log.take());
                judge(&disk, &once, true, &mut tape, &history);
                log = Some(open(&disk, &mut history));
            }
            _ => {
                let mut choose = |choices: usize| usize::from(tape.byte()) % choices;
                disk = die(disk.crashed(&mut choose), log.take());
                judge(&disk, &once, false, &mut tape, &history);
                log = Some(open(&disk, &mut history));
            }
        }
    }
}

/// What is left of a disk once its log is gone, which has no more say in it.
fn die(left: Arc<MemoryDisk>, log: Option<Log>) -> Arc<MemoryDisk> {
    drop(log);
    left.limit(None);
    left
}

/// Opens a log that was never damaged: all that was synced is there.
fn open(disk: &Arc<MemoryDisk>, history: &mut History) -> Log {
    let (log, recovered) = disk.open_log(IDENTITY, OPTIONS).unwrap_or_else(|error| panic!("{error}"));
    let found = records(&log).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(recovered.records, found.len() as u64);
    history.recover(&found);
    history.recover_snapshots(&log, &recovered.snapshots);
    log
}

fn records(log: &Log) -> Result<Vec<Record>, Error> {
    log.records().collect()
}

/// Opens copies of a disk that were damaged in one way or in several.
fn judge(disk: &Arc<MemoryDisk>, once: &MemoryDisk, exact: bool, tape: &mut Tape<'_>, history: &History) {
    for _ in 0..tape.below(4) {
        let damaged = disk.copy();
        let done: Vec<Damage> =
            (0..1 + tape.below(3)).filter_map(|_| damage::inflict(&damaged, once, tape)).collect();
        let opened = damaged.open_log(IDENTITY, OPTIONS).and_then(|(log, _)| records(&log));
        match opened {
            Ok(found) if done.contains(&Damage::Stale) => history.assert_appended(&found),
            // The mark is exact, and one thing is wrong.
            Ok(found) if exact && done.len() == 1 => history.assert_keeps(&found),
            Ok(found) => history.assert_not_invented(&found),
            Err(Error::Corrupt { .. } | Error::Version { .. }) => {
                assert!(!done.is_empty(), "an unharmed log opens");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Does something with a log, which may fail.
fn use_log(log: &mut Log, disk: &MemoryDisk, what: u8, tape: &mut Tape<'_>, history: &mut History) {
    let group = u64::from(what / 32 % 3);
    match what % 32 {
        0..=7 => {
            let record = history.record(usize::from(tape.byte()) * 4);
            if log.append(group, &record).is_ok() {
                history.appended((group, record));
            }
        }
        8..=13 => {
            let done = log.sync();
            history.synced(done.is_ok());
        }
        14 | 15 => {
            let (record, keep) = (history.record(tape.byte().into()), history.whole(tape.byte()));
            if log.restart(group, &record, keep).is_ok() {
                history.restarted((group, record), keep);
            }
        }
        16 | 17 => {
            let (of, bytes) = (id(group, tape), usize::from(tape.byte()) * 3);
            let offset = match tape.byte() {
                anywhere @ 240.. => u64::from(anywhere) * 8,
                _ => history.next_piece(of),
            };
            let bytes = bytes.min(of.size.saturating_sub(offset) as usize);
            let piece = &history::snapshot(of)[(offset.min(of.size)) as usize..][..bytes];
            match log.snapshot_write(of, offset, piece) {
                Ok(()) => history.placed(of, offset, piece.len() as u64),
                Err(Error::OutOfOrder { .. }) => {}
                Err(_) => history.not_placed(of),
            }
        }
        18 | 19 => {
            let of = id(group, tape);
            let finished = log.snapshot_writer(group, of.term, of.index).and_then(|mut writer| {
                let _ = writer.write_all(&history::snapshot(of));
                writer.finish()
            });
            if finished.is_ok_and(|finished| finished == of) {
                history.written(of);
            }
        }
        _ => {
            // Reading changes nothing, and a log that failed can still be read.
            disk.fail(None);
            let found = records(log).unwrap_or_else(|error| panic!("{error}"));
            history.assert_synced(&found);
        }
    }
}

/// One of a few snapshots of a group.
fn id(group: u64, tape: &mut Tape<'_>) -> SnapshotId {
    let number = tape.below(6) as u64;
    SnapshotId {
        group,
        term: 1 + number / 3,
        index: 10 + number,
        size: [1, 600, 504, 1_300, 2_000, 6_000][number as usize],
    }
}
