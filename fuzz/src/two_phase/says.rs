//! What peers may say and disks may hold, whatever it is: bytes, most of them to the point.

use super::Work;
use crate::Tape;
use quorate::TxId;
use quorate::codec::put;
use quorate::space::List;

/// Transactions by which a message can matter, each with what this node promised in it.
pub struct Known<'k> {
    /// Begun here.
    pub begun: &'k [TxId],
    /// Heard of.
    pub heard: &'k [(TxId, u64)],
}

fn put_all(out: &mut Vec<u8>, what: &impl serde::Serialize) {
    put(what, out).expect("a vector is never full");
}

fn put_parties(tape: &mut Tape<'_>, promises: bool, out: &mut Vec<u8>) {
    let mask = tape.byte();
    let mut parties: Vec<u64> = (1..=3).filter(|node| mask & 1 << node != 0).collect();
    if mask >= 0xF0 {
        parties.extend([9, 2]);
    }
    put_all(out, &(parties.len() as u64));
    parties.iter().for_each(|node| put_all(out, &(node, if promises { tape.number() } else { 0 })));
}

fn put_work(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
    let work = <Work as List<u8>>::of(tape.bytes(2).iter().copied());
    put_all(out, &(if tape.byte() >= 0xF8 { 2_u64 } else { 1 }));
    put_all(out, &work);
}

/// A message of any kind, of this node.
pub fn put_message(tape: &mut Tape<'_>, from: u64, known: &Known<'_>, out: &mut Vec<u8>) {
    // More of those that transactions move on by.
    let tag = tape.one(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5_u64]);
    let which = tape.byte();
    let pick = |len: usize| usize::from(which >> 2) % len.max(1);
    let (tx, promise) = match which & 3 {
        0 => (None, 0),
        1 => (known.begun.iter().rev().nth(pick(known.begun.len())).copied(), 0),
        _ => {
            let found = known.heard.iter().rev().nth(pick(known.heard.len()));
            (found.map(|(tx, _)| *tx), found.map_or(0, |(_, promise)| *promise))
        }
    };
    let (coordinator, number) = match tx {
        Some(tx) => (tx.coordinator.get(), tx.number),
        None => (from, tape.near(&[5, 6, 9, 1])),
    };
    put_all(out, &(tag, coordinator, number));
    match tag {
        0 => {
            let floor = tape.near(&[0, 0, 0, 0, 0, 0, number]);
            put_all(out, &(floor, u64::from(tape.byte() < 64), tape.near(&[1, 5, 40])));
            put_parties(tape, false, out);
            put_work(tape, out);
        }
        1 => {
            let vote = tape.one(&[2, 2, 2, 1, 0_u64]);
            put_all(out, &(vote, if vote == 2 { tape.near(&[7, 8]) } else { 0 }, tape.near(&[1, 9])));
        }
        2 => put_all(out, &(u64::from(tape.flag()), tape.one(&[promise, promise, 0, promise ^ 1]))),
        3 => put_all(out, &u64::from(tape.byte() < 200)),
        4 => put_all(out, &tape.one(&[promise, 0, 7])),
        _ => {}
    }
}

/// A record of any kind but a restart: of the coordinator's, if `side` is 0.
pub fn put_record(tape: &mut Tape<'_>, side: u8, out: &mut Vec<u8>) {
    let tags: &[u64] = if side == 0 { &[0, 1, 1, 2] } else { &[3, 3, 3, 2, 4, 5, 6, 7] };
    let tag = if tape.byte() < 4 { tape.below(9) as u64 } else { tape.one(tags) };
    if tag == 0 {
        return put_all(out, &(tag, tape.near(&[1 << 22, 8])));
    }
    put_all(out, &(tag, if side == 0 { 1 } else { tape.near(&[2, 1, 3]) }, tape.near(&[5, 6, 9, 1])));
    match tag {
        1 => put_parties(tape, true, out),
        3 => {
            put_all(out, &(tape.near(&[7, 0]), u64::from(tape.byte() >= 64), tape.near(&[1, 5])));
            put_parties(tape, false, out);
            put_work(tape, out);
        }
        6 => put_all(out, &u64::from(tape.flag())),
        _ => {}
    }
}
