//! Each message and each record as the bytes that `docs/wire.md` and `docs/storage.md` describe, and what becomes of them
//! when they are cut or flipped.
//!
//! A change here is a change of the format: it needs a new `codec::VERSION`.

use super::cluster::{Machine_, node};
use quorate::codec::{Malformed, take_all};
use quorate::two_phase::{Config, Message, Parties, Promise, Record, Side, Vote};
use quorate::{Age, Batch, Hosted, Input, Instant, Machine, NodeId, Stored, TxId};

const TX: TxId = TxId { coordinator: NodeId::new(2), number: 300 };

fn promise(number: u8) -> Promise {
    take_all(&[number]).expect("a small number is one byte")
}

fn blank() -> Machine_ {
    let ids = [1, 2, 3].map(node);
    Machine_::new(Config::new(ids[0], &ids), 7, Instant::default()).expect("the settings are good")
}

/// Every cut of these bytes, and every flip of a bit.
fn damaged(golden: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cuts = (0..golden.len()).map(|len| golden[..len].to_vec());
    let flips = (0..golden.len() * 8).map(|bit| {
        let mut bytes = golden.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    cuts.chain(flips)
}

/// A message is these bytes, these bytes are that message, and damaged ones harm nobody.
fn says(message: &Message<'_, u32>, golden: &[u8]) {
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    Machine_::put_message(message, &mut bytes).expect("a vector has room");
    assert_eq!(bytes, golden);
    Machine_::put_message(&Machine_::take_message(golden).expect("a message"), &mut again).expect("room");
    assert_eq!(again, golden);
    assert_eq!(Machine_::take_message(&[golden, &[0]].concat()).err(), Some(Malformed::Trailing));
    assert!((0..golden.len()).all(|len| Machine_::take_message(&golden[..len]).is_err()));
    for bytes in damaged(golden) {
        if let Ok(message) = Machine_::take_message(&bytes) {
            let mut machine = blank();
            machine.handle(Instant::default(), Input::Message { from: node(2), message });
            while machine.poll().is_some() {}
        }
    }
}

fn restore(records: &[&[u8]]) -> Result<Machine_, quorate::Fault> {
    let settings = Config::new(node(1), &[1, 2, 3].map(node));
    let stored = Stored { records: records.iter().copied(), snapshots: &[] };
    <Machine_ as Hosted>::restore(&settings, 7, Instant::default(), stored)
}

/// A record is these bytes, and damaged ones are refused or harm nobody.
fn keeps<'a>(record: &Side<Record<'a, u32>, Record<'a, u32>>, golden: &[u8]) {
    let mut bytes = Vec::new();
    Machine_::put_record(record, &mut bytes).expect("a vector has room");
    assert_eq!(bytes, golden);
    is_taken(golden);
}

/// Node 1's transactions below 400 may have begun, and its part in node 2's is promised.
const BEFORE: [&[u8]; 2] = [&[0, 1, 0, 0x90, 3], &[1, 1, 3, 2, 0xAC, 2, 5, 1, 9, 2, 1, 0, 3, 0, 1, 0xC8, 1]];

fn is_taken(golden: &[u8]) {
    let [numbered, promised] = BEFORE;
    assert!(restore(&[numbered, promised, golden]).is_ok());
    for bytes in damaged(golden) {
        let Ok(mut machine) = restore(&[numbered, promised, &bytes]) else { continue };
        machine.handle(Instant::from_micros(10_000_000), Input::Wake);
        while machine.poll().is_some() {}
    }
    assert!(restore(&[numbered, promised, &[golden, &[0]].concat()]).is_err());
}

#[test]
fn messages_to_participants_are_these_bytes() {
    let (parties, work) = ([1, 3].map(node), [200]);
    says(
        &Message::Prepare {
            tx: TX,
            floor: 299,
            only: false,
            age: Age::new(9),
            parties: Parties::of(&parties),
            work: Batch::of(&work),
        },
        &[0, 2, 0xAC, 2, 0xAB, 2, 0, 9, 2, 1, 0, 3, 0, 1, 0xC8, 1],
    );
    says(&Message::Decision { tx: TX, commit: true, of: promise(5) }, &[2, 2, 0xAC, 2, 1, 5]);
    says(&Message::Decision { tx: TX, commit: false, of: promise(0) }, &[2, 2, 0xAC, 2, 0, 0]);
}

#[test]
fn messages_of_participants_are_these_bytes() {
    let latest = Age::new(9);
    says(&Message::Vote { tx: TX, vote: Vote::No, latest }, &[1, 2, 0xAC, 2, 0, 0, 9]);
    says(&Message::Vote { tx: TX, vote: Vote::ReadOnly, latest }, &[1, 2, 0xAC, 2, 1, 0, 9]);
    says(&Message::Vote { tx: TX, vote: Vote::Yes(promise(5)), latest }, &[1, 2, 0xAC, 2, 2, 5, 9]);
    says(&Message::Done { tx: TX, commit: true }, &[3, 2, 0xAC, 2, 1]);
    says(&Message::Ask { tx: TX, of: promise(5) }, &[4, 2, 0xAC, 2, 5]);
    says(&Message::Wound { tx: TX }, &[5, 2, 0xAC, 2]);
}

#[test]
fn records_of_a_coordinator_are_these_bytes() {
    let (tx, parties) = (TxId { coordinator: node(1), number: 300 }, [2, 3].map(node));
    keeps(&Side::Coordinator(Record::Numbered { through: 300 }), &[0, 1, 0, 0xAC, 2]);
    keeps(
        &Side::Coordinator(Record::Committed { tx, parties: Parties::of(&parties) }),
        &[0, 1, 1, 1, 0xAC, 2, 2, 2, 0, 3, 0],
    );
    keeps(&Side::Coordinator(Record::Ended { tx }), &[0, 1, 2, 1, 0xAC, 2]);
}

#[test]
fn records_of_a_participant_are_these_bytes() {
    let (parties, work) = ([1, 3].map(node), [200]);
    let promised = |promise| {
        Side::Participant(Record::Promised {
            tx: TX,
            promise,
            is_first: true,
            age: Age::new(9),
            parties: Parties::of(&parties),
            work: Batch::of(&work),
        })
    };
    keeps(&promised(promise(5)), &[1, 1, 3, 2, 0xAC, 2, 5, 1, 9, 2, 1, 0, 3, 0, 1, 0xC8, 1]);
    keeps(&promised(promise(0)), &[1, 1, 3, 2, 0xAC, 2, 0, 1, 9, 2, 1, 0, 3, 0, 1, 0xC8, 1]);
    keeps(&Side::Participant(Record::Ended { tx: TX }), &[1, 1, 2, 2, 0xAC, 2]);
    keeps(&Side::Participant(Record::Refused { tx: TX }), &[1, 1, 4, 2, 0xAC, 2]);
    keeps(&Side::Participant(Record::Kept { tx: TX }), &[1, 1, 5, 2, 0xAC, 2]);
    keeps(&Side::Participant(Record::Forced { tx: TX, commit: true }), &[1, 1, 6, 2, 0xAC, 2, 1]);
    keeps(&Side::Participant(Record::Past { coordinator: node(2), number: 300 }), &[1, 1, 7, 2, 0xAC, 2]);
}

#[test]
fn a_restart_is_the_records_that_stand_for_all_before() {
    let coordinator = [0, 1, 8, 0, 0xAD, 2, 1, 1, 0xAC, 2, 1, 2, 5];
    is_taken(&coordinator);
    let restored = restore(&[&[0, 1, 1, 1, 7, 1, 2, 5], &coordinator]).expect("sound");
    let all: Vec<_> = restored.coordinator().transactions().map(|(tx, _)| tx.number).collect();
    assert_eq!(all, [300]);
    let participant = [1, 1, 8, 7, 2, 9, 4, 2, 0xAC, 2, 5, 2, 0xAD, 2];
    is_taken(&participant);
    assert_eq!(restore(&[&participant]).expect("sound").participant().transactions().count(), 2);
    // A restart within a restart, and a version to come.
    assert!(restore(&[&[1, 1, 8, 8]]).is_err());
    assert!(restore(&[&[1, 2, 2, 2, 7]]).is_err());
}
