//! Raft for drivers that know nothing of it, and its messages and records as bytes.
//!
//! A message is a tag and its fields, a record a version, a tag and its fields; numbers are postcard's. The tags are
//! the order of the variants. `docs/wire.md` and `docs/storage.md` describe them.

use super::{Config, Event, Message, Raft, Record};
use crate::codec::{Full, Malformed, Sink, VERSION, put, put_batch, take, take_batch};
use crate::{Command, Done, Errand, Fault, Hosted, Instant, Place, Records, Space, Stored};
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
            Done::Read { to, of, offset, bytes } => self.chunk(now, to, of, offset, bytes),
            Done::Loaded { of, .. } => {
                self.loaded(now, of);
            }
        }
        Ok(())
    }
}

fn put_message<C: Serialize>(message: &Message<'_, C>, sink: &mut dyn Sink) -> Result<(), Full> {
    match message {
        Message::Vote { term, last, pre } => put(&(0_u8, term, last, pre), sink),
        Message::VoteReply { term, granted, pre } => put(&(1_u8, term, granted, pre), sink),
        Message::Append { term, prev, entries, commit, round, answer } => {
            put(&(2_u8, term, prev, commit, round, answer), sink)?;
            put_batch(entries, sink)
        }
        Message::Accepted { term, matched, round } => put(&(3_u8, term, matched, round), sink),
        Message::Rejected { term, prev, hint, round } => put(&(4_u8, term, prev, hint, round), sink),
        Message::Stale { term } => put(&(5_u8, term), sink),
        Message::Chunk { term, round, of, offset, bytes } => {
            put(&(6_u8, term, round, of, offset), sink)?;
            put(&(bytes.len() as u64), sink)?;
            sink.put(bytes)
        }
        Message::Have { term, round, of, offset } => put(&(7_u8, term, round, of, offset), sink),
        Message::ReadIndex { term, id } => put(&(8_u8, term, id), sink),
        Message::ReadAt { term, id, index } => put(&(9_u8, term, id, index), sink),
    }
}

fn take_message<C: DeserializeOwned>(mut bytes: &[u8]) -> Result<Message<'_, C>, Malformed> {
    let input = &mut bytes;
    let message = match take::<u8>(input)? {
        0 => {
            let (term, last, pre) = take(input)?;
            Message::Vote { term, last, pre }
        }
        1 => {
            let (term, granted, pre) = take(input)?;
            Message::VoteReply { term, granted, pre }
        }
        2 => {
            let (term, prev, commit, round, answer) = take(input)?;
            Message::Append { term, prev, entries: take_batch(input)?, commit, round, answer }
        }
        3 => {
            let (term, matched, round) = take(input)?;
            Message::Accepted { term, matched, round }
        }
        4 => {
            let (term, prev, hint, round) = take(input)?;
            Message::Rejected { term, prev, hint, round }
        }
        5 => Message::Stale { term: take(input)? },
        6 => {
            let (term, round, of, offset) = take(input)?;
            Message::Chunk { term, round, of, offset, bytes: take(input)? }
        }
        7 => {
            let (term, round, of, offset) = take(input)?;
            Message::Have { term, round, of, offset }
        }
        8 => {
            let (term, id) = take(input)?;
            Message::ReadIndex { term, id }
        }
        9 => {
            let (term, id, index) = take(input)?;
            Message::ReadAt { term, id, index }
        }
        _ => return Err(Malformed::Content),
    };
    if bytes.is_empty() { Ok(message) } else { Err(Malformed::Trailing) }
}

fn put_record<C: Serialize>(record: &Record<'_, C>, sink: &mut dyn Sink) -> Result<(), Full> {
    sink.put(&[VERSION])?;
    match record {
        Record::State { term, vote } => put(&(0_u8, term, vote), sink),
        Record::Append { after, entries } => {
            put(&(1_u8, after), sink)?;
            put_batch(entries, sink)
        }
        Record::Restart { term, vote, snapshot, entries } => {
            put(&(2_u8, term, vote, snapshot), sink)?;
            put_batch(entries, sink)
        }
        Record::Chunk { of, offset, bytes } => put(&(3_u8, of, offset, bytes), sink),
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
            let (of, offset, bytes) = take(input)?;
            Record::Chunk { of, offset, bytes }
        }
        _ => return Err(Malformed::Content),
    };
    if bytes.is_empty() { Ok(record) } else { Err(Malformed::Trailing) }
}
