//! What the log promises, on a disk in memory that crashes and fails as told.

mod crash;
mod damage;
mod faults;
mod format;
mod groups;
mod snapshots;

use std::sync::Arc;

use crate::error::Error;
use crate::log::Log;
use crate::memory::MemoryDisk;
use crate::options::{Identity, Options};
use crate::recovery::Recovered;

const IDENTITY: Identity = Identity { cluster: 0xC1, node: 7 };

/// Two records of 1,000 bytes fill a segment.
const SMALL: Options =
    Options { segment_bytes: 4096 + 2560, max_record_bytes: 1024, reserve_bytes: 512, max_bytes: u64::MAX };

fn open(disk: &Arc<MemoryDisk>) -> Result<(Log, Recovered), Error> {
    disk.open_log(IDENTITY, SMALL)
}

fn records(log: &Log) -> Vec<Vec<u8>> {
    all_records(log).into_iter().map(|(_, record)| record).collect()
}

/// With their groups.
fn all_records(log: &Log) -> Vec<(u64, Vec<u8>)> {
    log.records().collect::<Result<_, _>>().expect("a log that opens can be read")
}

/// A record that differs from all others; some are long, so that segments fill up.
fn record(number: usize) -> Vec<u8> {
    let length = [0, 10, 900, 30, 600][number % 5];
    let mut record = (number as u64).to_le_bytes().to_vec();
    record.extend((0..length).map(|at| (at * 31 + number * 7) as u8));
    record
}
