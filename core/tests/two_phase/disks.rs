//! Records that no node writes: a fault, and no machine that comes to grief later.

use crate::cluster::{Machine_, Space, node};
use quorate::codec::VERSION;
use quorate::two_phase::participant::{Event, Reason, Request};
use quorate::two_phase::{Config, Side};
use quorate::{Fault, Hosted, Instant, Machine, Output, Stored, TxId};

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

#[test]
fn nothing_is_forced_before_all_is_taken_again() {
    let second = (1, &[3, 1, 6, 8, 1, 2, 0, 1, 4][..]);
    let mut machine = restore(&[PROMISED, second]).expect("its records");
    let [first, second] = [5, 6].map(|number| TxId { coordinator: node(1), number });
    let told = |machine: &mut Machine_| match machine.poll() {
        Some(Output::Event(Side::Participant(Event::Retake { tx, .. }))) => Some(tx),
        Some(Output::Event(Side::Participant(Event::Ready))) => None,
        other => panic!("{other:?}"),
    };
    let force = |machine: &mut Machine_| {
        let request = Request::Force { tx: first, commit: true };
        machine.request(Instant::default(), Side::Participant(request)).map_err(|refusal| match refusal {
            Side::Participant(refusal) => refusal.reason,
            Side::Coordinator(refusal) => panic!("{refusal:?}"),
        })
    };
    assert_eq!(told(&mut machine), Some(first));
    assert_eq!(force(&mut machine), Err(Reason::NotReady));
    assert_eq!(told(&mut machine), Some(second));
    assert_eq!(told(&mut machine), None, "all was told");
    assert!(force(&mut machine).is_ok());
}
