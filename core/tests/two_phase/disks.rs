//! Records that no node writes: a fault, and no machine that comes to grief later.

use crate::cluster::{Machine_, Space, node};
use quorate::codec::VERSION;
use quorate::two_phase::Config;
use quorate::{Fault, Hosted, Instant, Stored};

/// A node from these records, each with its side; all are of the version.
fn restore(records: &[(u8, &[u8])]) -> Result<Machine_, Fault> {
    let bytes: Vec<_> = records.iter().map(|(side, record)| [&[*side, VERSION], *record].concat()).collect();
    let records = bytes.iter().map(Vec::as_slice);
    let config = Config::<Space>::new(node(1), &[1, 2, 3].map(node));
    Hosted::restore(&config, 1, Instant::default(), Stored { records, snapshots: &[] })
}

/// Node 1's transaction 5: promised by number 7, as the first time, of age 1; nobody is named, its work is 3.
const PROMISED: (u8, &[u8]) = (1, &[3, 1, 5, 7, 1, 1, 0, 1, 3]);
const FORCED: (u8, &[u8]) = (1, &[6, 1, 5, 1]);
const KEPT: (u8, &[u8]) = (1, &[5, 1, 5]);
/// Transaction 7, of node 2, which promised by number 9.
const COMMITTED: (u8, &[u8]) = (0, &[1, 1, 7, 1, 2, 9]);

#[test]
fn only_what_was_promised_is_forced() {
    assert!(restore(&[PROMISED, FORCED]).is_ok());
    assert!(restore(&[FORCED]).is_err());
    assert!(restore(&[KEPT, FORCED]).is_err());
}

#[test]
fn only_what_can_have_begun_is_decided() {
    assert!(restore(&[(0, &[0, 8]), COMMITTED]).is_ok());
    assert!(restore(&[COMMITTED]).is_err());
    assert!(restore(&[COMMITTED, (0, &[0, 7])]).is_err());
}
