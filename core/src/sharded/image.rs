//! A group's part of all transactions as bytes, at the front of its application's snapshot:
//!
//! ```text
//! version u8 | latest age | when to settle | rows | decisions      each a count and its items, as postcard
//! | locks, as they describe themselves | the application's snapshot, all the rest
//! row:      transaction, tag (0 part, 1 command, 2 work, 3 look), due; a part: age, home, until, since, work, stage;
//!           what waits in line: whether it is its turn, what it is
//! decision: transaction, groups, due
//! ```

use super::rows::{Item, Part, Row, Rows, Stage};
use super::shard::{Decision, KeyLocks, Shard};
use super::transactional::Transactional;
use crate::codec::{self, Full, Malformed, Sink, VERSION};
use crate::locks::{Acquired, Mode};
use crate::{Timestamp, TxId};
use alloc::collections::{BTreeMap, BTreeSet};

pub(super) fn put<A: Transactional>(shard: &Shard<A>, sink: &mut dyn Sink) -> Result<(), Full> {
    codec::put(&(VERSION, shard.latest, shard.settles), sink)?;
    codec::put(&(shard.rows.len() as u64), sink)?;
    shard.rows.iter().try_for_each(|(tx, row)| put_row(*tx, row, sink))?;
    codec::put(&shard.decisions, sink)?;
    shard.locks.snapshot(sink)?;
    shard.application.snapshot(sink)
}

fn put_row<A: Transactional>(tx: TxId, row: &Row<A>, sink: &mut dyn Sink) -> Result<(), Full> {
    match row {
        Row::Part(part) => {
            let Part { age, home, until, since, due, work, stage } = part;
            codec::put(&(tx, 0_u8, due, age, home, until, since), sink)?;
            codec::put(&(work, stage), sink)
        }
        Row::Line { item, is_turn, due } => match item {
            Item::Command(command) => codec::put(&(tx, 1_u8, due, is_turn, command), sink),
            Item::Work(work) => codec::put(&(tx, 2_u8, due, is_turn, work), sink),
            Item::Look => codec::put(&(tx, 3_u8, due, is_turn), sink),
        },
    }
}

pub(super) fn take<A: Transactional>(mut bytes: &[u8]) -> Result<Shard<A>, Malformed> {
    let input = &mut bytes;
    let version: u8 = codec::take(input)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let (latest, settles) = codec::take(input)?;
    let mut rows = Rows::default();
    // Each row takes bytes, and decoding ends where they do.
    for _ in 0..codec::take::<u64>(input)? {
        let (tx, row) = take_row::<A>(input)?;
        if rows.insert(tx, row).is_some() {
            return Err(Malformed::Content);
        }
    }
    let decisions: BTreeMap<TxId, Decision> = codec::take(input)?;
    let locks = KeyLocks::restore(input)?;
    // What is decided here is done here.
    if decisions.keys().any(|tx| rows.contains_key(tx)) {
        return Err(Malformed::Content);
    }
    // Whoever holds or waits is known, and whoever is known holds or waits as it should.
    let is_known = locks.transactions().all(|(tx, ..)| rows.contains_key(&tx));
    if !is_known || !rows.iter().all(|(tx, row)| stands(row, locks.standing(*tx))) {
        return Err(Malformed::Content);
    }
    let application = A::restore(bytes)?;
    let (mut promised, mut is_sound) = (0, true);
    for (tx, row) in rows.iter() {
        if let Row::Part(Part { stage: Stage::Promised(_), work, .. }) = row {
            promised += 1;
            is_sound &= application.is_prepared(*tx, work);
        }
        keys(row, &mut |key, mode| is_sound &= locks.is_asked(*tx, key, mode));
    }
    // What is promised is prepared, and nothing else is; and all have asked for their keys.
    if !is_sound || application.prepared() != promised {
        return Err(Malformed::Content);
    }
    let due = due(&rows, &decisions);
    Ok(Shard { application, locks, rows, decisions, due, latest, settles, ..Shard::default() })
}

/// Whether a row may stand with the locks like this.
fn stands<A: Transactional>(row: &Row<A>, acquired: Option<Acquired>) -> bool {
    match row {
        Row::Part(Part { stage: Stage::Promised(_), .. }) | Row::Line { is_turn: true, .. } => {
            acquired == Some(Acquired::Granted)
        }
        // Its turn may have come, and not have been seen to.
        Row::Part(Part { stage: Stage::Waiting, .. }) | Row::Line { is_turn: false, .. } => {
            acquired.is_some()
        }
        Row::Part(Part { stage: Stage::Objecting(_) | Stage::Forced(_), .. }) => acquired.is_none(),
    }
}

/// The keys that a row holds or waits for, as far as it says. Those of a look are with the locks alone.
fn keys<A: Transactional>(row: &Row<A>, visit: &mut dyn FnMut(&[u8], Mode)) {
    match row {
        Row::Part(Part { stage: Stage::Promised(_) | Stage::Waiting, work, .. })
        | Row::Line { item: Item::Work(work), .. } => A::keys(work, visit),
        Row::Line { item: Item::Command(command), .. } => A::command_keys(command, visit),
        Row::Part(Part { stage: Stage::Objecting(_) | Stage::Forced(_), .. })
        | Row::Line { item: Item::Look, .. } => {}
    }
}

fn take_row<A: Transactional>(input: &mut &[u8]) -> Result<(TxId, Row<A>), Malformed> {
    let (tx, tag, due): (TxId, u8, Timestamp) = codec::take(input)?;
    if tag == 0 {
        let (age, home, until, since) = codec::take(input)?;
        let (work, stage) = codec::take(input)?;
        return Ok((tx, Row::Part(Part { age, home, until, since, due, work, stage })));
    }
    let is_turn = codec::take(input)?;
    let item = match tag {
        1 => Item::Command(codec::take(input)?),
        2 => Item::Work(codec::take(input)?),
        3 => Item::Look,
        _ => return Err(Malformed::Content),
    };
    Ok((tx, Row::Line { item, is_turn, due }))
}

/// When to look at what.
fn due<A: Transactional>(
    rows: &Rows<A>,
    decisions: &BTreeMap<TxId, Decision>,
) -> BTreeSet<(Timestamp, TxId)> {
    let rows = rows.iter().map(|(tx, row)| (row.due(), *tx));
    rows.chain(decisions.iter().map(|(tx, decision)| (decision.due, *tx))).collect()
}
