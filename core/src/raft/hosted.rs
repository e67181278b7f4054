//! Raft for drivers that know nothing of it, and its messages and records as bytes.
//!
//! A message is a tag and its fields, a record a version, a tag and its fields; numbers are postcard's. The tags are
//! the order of the variants. `docs/wire.md` and `docs/storage.md` describe them.

use super::message::Round;
use super::{Config, Event, Message, Raft, Record};
use crate::codec::{
    Full, Malformed, Sink, VERSION, flag, put, put_batch, put_numbers, take, take_batch, take_numbers,
};
use crate::{
    Command, Done, Errand, Fault, Hosted, Index, Instant, Place, Position, Records, SnapshotId, Space,
    Stored, Term,
};
use serde::{Serialize, de::DeserializeOwned};

impl<C: Command + Serialize + DeserializeOwned, S: Space> Hosted for Raft<C, S> {
    type Settings = Config<S>;

    fn blank(settings: &Config<S>, now: Instant) -> Self {
        Self::blank(settings.clone(), now)
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        let mut count = 0;
        self.config.check()?;
        stored.records.try_for_each_record(|bytes| {
            count += 1;
            self.replay(take_record(bytes)?)
        })?;
        self.begin_life(seed, count, stored.snapshots)
    }

    fn restate(&mut self, now: Instant) {
        self.restate(now);
    }

    fn put_message(message: &Message<'_, C>, sink: &mut impl Sink) -> Result<(), Full> {
        put_message(message, sink)
    }

    fn take_message(bytes: &[u8]) -> Result<Message<'_, C>, Malformed> {
        take_message(bytes)
    }

    fn put_record(record: &Record<'_, C>, sink: &mut impl Sink) -> Result<(), Full> {
        put_record(record, sink)
    }

    fn place<'r>(record: &'r Record<'_, C>) -> Place<'r> {
        match *record {
            Record::State { .. } | Record::Append { .. } => Place::Log,
            Record::Restart { snapshot, .. } => Place::Restart { keep: snapshot },
            Record::Chunk { of, offset, bytes } => Place::Snapshot { of, offset, bytes },
        }
    }

    fn errand<'e>(event: &'e Event<'_, C>) -> Option<Errand<'e>> {
        match *event {
            Event::Load { of } => Some(Errand::Load { of }),
            Event::Read { to, of, offset, len } => Some(Errand::Read { to, of, offset, len }),
            Event::Committed { .. } | Event::Readable { .. } | Event::Status(_) => None,
        }
    }

    fn finish(&mut self, now: Instant, done: Done<'_>) -> Result<(), Fault> {
        match done {
            Done::Written(of) => {
                // One that is behind what was compacted meanwhile is of no use.
                let _ = crate::Machine::request(self, now, super::Request::Compact(of));
            }
            // Nothing is remembered of an image that is wanted.
            Done::TurnedAway(_) => {}
            Done::Read { to, of, offset, bytes } => self.chunk(now, to, of, offset, bytes),
            Done::Loaded { of, .. } => {
                self.loaded(now, of);
            }
        }
        Ok(())
    }
}

fn put_message<C: Serialize>(message: &Message<'_, C>, sink: &mut dyn Sink) -> Result<(), Full> {
    let term = message.term().get();
    match *message {
        Message::Vote { last, pre, .. } => {
            put_numbers(&[0, term, last.term.get(), last.index.get(), pre.into()], sink)
        }
        Message::VoteReply { granted, pre, .. } => put_numbers(&[1, term, granted.into(), pre.into()], sink),
        Message::Append { prev, entries, commit, round, answer, .. } => {
            let (prev, commit) = ([prev.term.get(), prev.index.get()], commit.get());
            put_numbers(&[2, term, prev[0], prev[1], commit, round.0, answer.into()], sink)?;
            put_batch(&entries, sink)
        }
        Message::Accepted { matched, round, .. } => put_numbers(&[3, term, matched.get(), round.0], sink),
        Message::Rejected { prev, hint, round, .. } => {
            put_numbers(&[4, term, prev.get(), hint.term.get(), hint.index.get(), round.0], sink)
        }
        Message::Stale { .. } => put_numbers(&[5, term], sink),
        Message::Chunk { round, of, offset, bytes, .. } => {
            put_numbers(&[6, term, round.0], sink)?;
            put_snapshot(of, sink)?;
            put_numbers(&[offset, bytes.len() as u64], sink)?;
            sink.put(bytes)
        }
        Message::Have { round, of, offset, .. } => {
            put_numbers(&[7, term, round.0], sink)?;
            put_snapshot(of, sink)?;
            put_numbers(&[offset], sink)
        }
        Message::ReadIndex { id, .. } => put_numbers(&[8, term, id], sink),
        Message::ReadAt { id, index, .. } => put_numbers(&[9, term, id, index.get()], sink),
    }
}

fn take_message<C: DeserializeOwned>(mut bytes: &[u8]) -> Result<Message<'_, C>, Malformed> {
    let input = &mut bytes;
    let tag = take::<u8>(input)?;
    let [term] = take_numbers(input)?;
    let term = Term::new(term);
    let message = match tag {
        0 => {
            let [last_term, last_index, pre] = take_numbers(input)?;
            Message::Vote { term, last: position(last_term, last_index), pre: flag(pre)? }
        }
        1 => {
            let [granted, pre] = take_numbers(input)?;
            Message::VoteReply { term, granted: flag(granted)?, pre: flag(pre)? }
        }
        2 => {
            let [prev_term, prev_index, commit, round, answer] = take_numbers(input)?;
            let (prev, commit) = (position(prev_term, prev_index), Index::new(commit));
            let entries = take_batch(input)?;
            Message::Append { term, prev, entries, commit, round: Round(round), answer: flag(answer)? }
        }
        3 => {
            let [matched, round] = take_numbers(input)?;
            Message::Accepted { term, matched: Index::new(matched), round: Round(round) }
        }
        4 => {
            let [prev, hint_term, hint_index, round] = take_numbers(input)?;
            let hint = position(hint_term, hint_index);
            Message::Rejected { term, prev: Index::new(prev), hint, round: Round(round) }
        }
        5 => Message::Stale { term },
        6 => {
            let [round] = take_numbers(input)?;
            let (of, [offset]) = (take_snapshot(input)?, take_numbers(input)?);
            Message::Chunk { term, round: Round(round), of, offset, bytes: take(input)? }
        }
        7 => {
            let [round] = take_numbers(input)?;
            let (of, [offset]) = (take_snapshot(input)?, take_numbers(input)?);
            Message::Have { term, round: Round(round), of, offset }
        }
        8 => {
            let [id] = take_numbers(input)?;
            Message::ReadIndex { term, id }
        }
        9 => {
            let [id, index] = take_numbers(input)?;
            Message::ReadAt { term, id, index: Index::new(index) }
        }
        _ => return Err(Malformed::Content),
    };
    if bytes.is_empty() { Ok(message) } else { Err(Malformed::Trailing) }
}

const fn position(term: u64, index: u64) -> Position {
    Position { term: Term::new(term), index: Index::new(index) }
}

fn put_snapshot(of: SnapshotId, sink: &mut dyn Sink) -> Result<(), Full> {
    put_numbers(&[of.at.term.get(), of.at.index.get(), of.size], sink)
}

fn take_snapshot(input: &mut &[u8]) -> Result<SnapshotId, Malformed> {
    let [term, index, size] = take_numbers(input)?;
    Ok(SnapshotId::new(position(term, index), size))
}

fn put_record<C: Serialize>(record: &Record<'_, C>, sink: &mut dyn Sink) -> Result<(), Full> {
    sink.put(&[VERSION])?;
    match record {
        Record::State { term, vote } => put(&(0_u8, term, vote), sink),
        Record::Append { after, entries } => {
            put_numbers(&[1, after.get()], sink)?;
            put_batch(entries, sink)
        }
        Record::Restart { term, vote, snapshot, entries } => {
            put(&(2_u8, term, vote, snapshot), sink)?;
            put_batch(entries, sink)
        }
        Record::Chunk { of, offset, bytes } => {
            put_numbers(&[3], sink)?;
            put_snapshot(*of, sink)?;
            put_numbers(&[*offset, bytes.len() as u64], sink)?;
            sink.put(bytes)
        }
    }
}

/// A record from its bytes, all of them.
fn take_record<C: DeserializeOwned>(mut bytes: &[u8]) -> Result<Record<'_, C>, Malformed> {
    let input = &mut bytes;
    let version = take::<u8>(input)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let record = match take::<u8>(input)? {
        0 => {
            let (term, vote) = take(input)?;
            Record::State { term, vote }
        }
        1 => Record::Append { after: take(input)?, entries: take_batch(input)? },
        2 => {
            let (term, vote, snapshot) = take(input)?;
            Record::Restart { term, vote, snapshot, entries: take_batch(input)? }
        }
        3 => {
            let (of, [offset]) = (take_snapshot(input)?, take_numbers(input)?);
            Record::Chunk { of, offset, bytes: take(input)? }
        }
        _ => return Err(Malformed::Content),
    };
    if bytes.is_empty() { Ok(record) } else { Err(Malformed::Trailing) }
}
