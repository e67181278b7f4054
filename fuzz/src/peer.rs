//! What a peer may say, whatever it is: messages as bytes, most of them to the point.

use crate::Tape;
use quorate::codec::put;
use quorate::raft::Status;

/// Terms by which a message can matter.
fn term(tape: &mut Tape<'_>, status: &Status) -> u64 {
    tape.near(&[status.term.get(), status.term.get(), status.term.get().saturating_add(1), 1])
}

/// Places in the log by which one can.
fn index(tape: &mut Tape<'_>, status: &Status) -> u64 {
    tape.near(&[status.last.get(), status.commit.get(), status.applied.get(), 0])
}

fn position(tape: &mut Tape<'_>, status: &Status) -> (u64, u64) {
    (term(tape, status), index(tape, status))
}

/// A snapshot: a position, and a size that is small most of the time.
fn snapshot(tape: &mut Tape<'_>, status: &Status) -> ((u64, u64), u64) {
    (position(tape, status), tape.near(&[40, 0, 100]))
}

/// Entries as a message or a record has them: how many, then each; a command is what `command` writes.
pub fn put_entries(
    tape: &mut Tape<'_>,
    status: &Status,
    out: &mut Vec<u8>,
    command: &mut dyn FnMut(&mut Tape<'_>, &mut Vec<u8>),
) {
    let count = tape.below(8) as u64;
    put(&count, out).expect("a vector is never full");
    for _ in 0..count {
        put(&term(tape, status), out).expect("a vector is never full");
        if tape.byte() < 32 {
            out.push(0);
        } else {
            out.push(1);
            command(tape, out);
        }
    }
}

/// A message of Raft, of any kind, for a machine of this status.
pub fn put_raft(
    tape: &mut Tape<'_>,
    status: &Status,
    out: &mut Vec<u8>,
    command: &mut dyn FnMut(&mut Tape<'_>, &mut Vec<u8>),
) {
    // More of those that entries come in by.
    let tag = tape.one(&[0, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 2_u8]);
    out.push(tag);
    let at = term(tape, status);
    let done = match tag {
        0 => put(&(at, position(tape, status), tape.flag()), out),
        1 => put(&(at, tape.flag(), tape.flag()), out),
        2 => put(&(at, position(tape, status), index(tape, status), tape.near(&[1, 2, 4]), tape.flag()), out),
        3 => put(&(at, index(tape, status), tape.near(&[1, 2, 4])), out),
        4 => put(&(at, index(tape, status), position(tape, status), tape.near(&[1, 2, 4])), out),
        5 => put(&at, out),
        6 => {
            let (round, of) = (tape.near(&[1, 2, 4]), snapshot(tape, status));
            put(&(at, round, of, tape.near(&[0, 32, 48, of.1]), tape.slice()), out)
        }
        7 => {
            let (round, of) = (tape.near(&[1, 2, 4]), snapshot(tape, status));
            put(&(at, round, of, tape.near(&[0, 48, of.1])), out)
        }
        8 => put(&(at, tape.near(&[1, 2])), out),
        _ => put(&(at, tape.near(&[1, 2]), index(tape, status)), out),
    };
    done.expect("a vector is never full");
    if tag == 2 {
        put_entries(tape, status, out, command);
    }
}
