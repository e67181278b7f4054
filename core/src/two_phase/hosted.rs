//! Two-phase commit for drivers that know nothing of it, and its messages and records as bytes.
//!
//! A message is a tag and its fields, a record a version, a tag and its fields; numbers are postcard's. The tags are the
//! order of the variants. `docs/wire.md` and `docs/storage.md` describe them.

use super::message::{Parties, Promise};
use super::{Config, Coordinator, Message, Node, Participant, Record, Restated, Side, Vote, coordinator};
use crate::codec::{
    Full, Malformed, Sink, VERSION, flag, put, put_batch, put_numbers, take, take_batch, take_numbers,
};
use crate::{
    Age, Answering, Batch, Command, Done, Errand, Fault, GroupId, Hosted, Instant, NodeId, Place, Records,
    Space, Stored, TxId,
};
use serde::{Serialize, de::DeserializeOwned};

/// What a driver asks of a machine without snapshots, the same for both.
macro_rules! hosted {
    ($machine:ident) => {
        impl<W: Command + Serialize + DeserializeOwned, S: Space> Hosted for $machine<W, S> {
            type Settings = Config<S>;

            fn blank(settings: &Config<S>, now: Instant) -> Self {
                Self::blank(settings.clone(), now)
            }

            fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
                stored.records.try_for_each_record(|bytes| self.replay(take_record(bytes)?))?;
                self.begin_life(seed)
            }

            fn put_message(message: &Message<'_, W>, sink: &mut impl Sink) -> Result<(), Full> {
                put_message(message, sink)
            }

            fn take_message(bytes: &[u8]) -> Result<Message<'_, W>, Malformed> {
                take_message(bytes)
            }

            fn put_record(record: &Record<'_, W>, sink: &mut impl Sink) -> Result<(), Full> {
                put_record(record, sink)
            }

            fn place<'r>(record: &'r Record<'_, W>) -> Place<'r> {
                place(record)
            }

            fn errand<'e>(_: &'e Self::Event<'_>) -> Option<Errand<'e>> {
                None
            }

            fn finish(&mut self, _: Instant, _: Done<'_>) -> Result<(), Fault> {
                Ok(())
            }
        }
    };
}

hosted!(Coordinator);
hosted!(Participant);

pub(super) const fn place<'r, W>(record: &Record<'_, W>) -> Place<'r> {
    match record {
        Record::Restart(_) => Place::Restart { keep: None },
        Record::Numbered { .. }
        | Record::Committed { .. }
        | Record::Ended { .. }
        | Record::Promised { .. }
        | Record::Refused { .. }
        | Record::Kept { .. }
        | Record::Forced { .. }
        | Record::Past { .. } => Place::Log,
    }
}

/// The two machines of a node have a log each: a restart of one leaves what the other wrote.
impl<W: Command + Serialize + DeserializeOwned, S: Space> Hosted for Node<W, S> {
    type Settings = Config<S>;

    fn blank(settings: &Config<S>, now: Instant) -> Self {
        Self::blank(settings.clone(), now)
    }

    fn take_in(&mut self, seed: u64, stored: Stored<'_, impl Records>) -> Result<(), Fault> {
        stored.records.try_for_each_record(|bytes| {
            let (&side, bytes) = bytes.split_first().ok_or(Malformed::Content)?;
            self.replay(match side {
                0 => Side::Coordinator(take_record(bytes)?),
                1 => Side::Participant(take_record(bytes)?),
                _ => return Err(Malformed::Content.into()),
            })
        })?;
        self.begin_life(seed)
    }

    fn put_message(message: &Message<'_, W>, sink: &mut impl Sink) -> Result<(), Full> {
        put_message(message, sink)
    }

    fn take_message(bytes: &[u8]) -> Result<Message<'_, W>, Malformed> {
        take_message(bytes)
    }

    fn put_record(record: &Self::Record<'_>, sink: &mut impl Sink) -> Result<(), Full> {
        let (side, record) = match record {
            Side::Coordinator(record) => (0, record),
            Side::Participant(record) => (1, record),
        };
        sink.put(&[side])?;
        put_record(record, sink)
    }

    fn group(record: &Self::Record<'_>) -> GroupId {
        GroupId::new(match record {
            Side::Coordinator(_) => 0,
            Side::Participant(_) => 1,
        })
    }

    fn place<'r>(record: &'r Self::Record<'_>) -> Place<'r> {
        let (Side::Coordinator(record) | Side::Participant(record)) = record;
        place(record)
    }

    fn errand<'e>(_: &'e Self::Event<'_>) -> Option<Errand<'e>> {
        None
    }

    fn finish(&mut self, _: Instant, _: Done<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

impl<W: Command + Serialize + DeserializeOwned, S: Space> Answering for Coordinator<W, S> {
    /// Of a transaction, how it ended; of a cancellation, `None`.
    type Outcome = Option<coordinator::Outcome>;

    fn at_once(ticket: &coordinator::Ticket) -> Option<Self::Outcome> {
        (*ticket == coordinator::Ticket::Cancelled).then_some(None)
    }

    fn outcome(event: Self::Event<'_>) -> Result<(coordinator::Ticket, Self::Outcome), Self::Event<'_>> {
        match event {
            coordinator::Event::Ended { tx, outcome, .. } => {
                Ok((coordinator::Ticket::Begun(tx), Some(outcome)))
            }
            coordinator::Event::Contradicted { .. } => Err(event),
        }
    }
}

/// What a participant is asked is over as soon as it is taken up.
impl<W: Command + Serialize + DeserializeOwned, S: Space> Answering for Participant<W, S> {
    type Outcome = ();

    fn at_once((): &()) -> Option<()> {
        Some(())
    }

    fn outcome(event: Self::Event<'_>) -> Result<((), ()), Self::Event<'_>> {
        Err(event)
    }
}

impl<W: Command + Serialize + DeserializeOwned, S: Space> Answering for Node<W, S> {
    /// Of a transaction, how it ended; of anything else, `None`.
    type Outcome = Option<coordinator::Outcome>;

    fn at_once(ticket: &Self::Ticket) -> Option<Self::Outcome> {
        match ticket {
            Side::Coordinator(ticket) => Coordinator::<W, S>::at_once(ticket),
            Side::Participant(()) => Some(None),
        }
    }

    fn outcome(event: Self::Event<'_>) -> Result<(Self::Ticket, Self::Outcome), Self::Event<'_>> {
        match event {
            Side::Coordinator(event) => match Coordinator::<W, S>::outcome(event) {
                Ok((ticket, outcome)) => Ok((Side::Coordinator(ticket), outcome)),
                Err(event) => Err(Side::Coordinator(event)),
            },
            Side::Participant(event) => Err(Side::Participant(event)),
        }
    }
}

const fn numbers(tx: TxId) -> [u64; 2] {
    [tx.coordinator.get(), tx.number]
}

fn put_parties(parties: &Parties<'_>, sink: &mut dyn Sink) -> Result<(), Full> {
    put(&(parties.count() as u64), sink)?;
    let mut fits = Ok(());
    parties.each(&mut |node, promise| {
        if fits.is_ok() {
            fits = put_numbers(&[node.get(), promise.0], sink);
        }
    });
    fits
}

fn take_parties<'a>(input: &mut &'a [u8]) -> Result<Parties<'a>, Malformed> {
    take_batch::<(NodeId, Promise)>(input).map(Parties::encoded)
}

/// One item.
fn take_work<'a, W: DeserializeOwned>(input: &mut &'a [u8]) -> Result<Batch<'a, W>, Malformed> {
    let work = take_batch(input)?;
    if work.len() == 1 { Ok(work) } else { Err(Malformed::Content) }
}

pub(super) fn put_message<W: Serialize>(message: &Message<'_, W>, sink: &mut dyn Sink) -> Result<(), Full> {
    let [coordinator, number] = numbers(message.tx());
    match *message {
        Message::Prepare { floor, only, age, parties, work, .. } => {
            put_numbers(&[0, coordinator, number, floor, only.into(), age.get()], sink)?;
            put_parties(&parties, sink)?;
            put_batch(&work, sink)
        }
        Message::Vote { vote, latest, .. } => {
            let (vote, promise) = match vote {
                Vote::No => (0, 0),
                Vote::ReadOnly => (1, 0),
                Vote::Yes(promise) => (2, promise.0),
            };
            put_numbers(&[1, coordinator, number, vote, promise, latest.get()], sink)
        }
        Message::Decision { commit, of, .. } => {
            put_numbers(&[2, coordinator, number, commit.into(), of.0], sink)
        }
        Message::Done { commit, .. } => put_numbers(&[3, coordinator, number, commit.into()], sink),
        Message::Ask { of, .. } => put_numbers(&[4, coordinator, number, of.0], sink),
        Message::Wound { .. } => put_numbers(&[5, coordinator, number], sink),
    }
}

pub(super) fn take_message<W: DeserializeOwned>(mut bytes: &[u8]) -> Result<Message<'_, W>, Malformed> {
    let input = &mut bytes;
    let [tag, coordinator, number] = take_numbers(input)?;
    let tx = TxId { coordinator: NodeId::new(coordinator), number };
    let message = match tag {
        0 => {
            let [floor, only, age] = take_numbers(input)?;
            let (only, age) = (flag(only)?, Age::new(age));
            Message::Prepare { tx, floor, only, age, parties: take_parties(input)?, work: take_work(input)? }
        }
        1 => {
            let [vote, promise, latest] = take_numbers(input)?;
            let vote = match (vote, promise) {
                (0, 0) => Vote::No,
                (1, 0) => Vote::ReadOnly,
                (2, 1..) => Vote::Yes(Promise(promise)),
                _ => return Err(Malformed::Content),
            };
            Message::Vote { tx, vote, latest: Age::new(latest) }
        }
        2 => {
            let [commit, of] = take_numbers(input)?;
            Message::Decision { tx, commit: flag(commit)?, of: Promise(of) }
        }
        3 => {
            let [commit] = take_numbers(input)?;
            Message::Done { tx, commit: flag(commit)? }
        }
        4 => {
            let [of] = take_numbers(input)?;
            Message::Ask { tx, of: Promise(of) }
        }
        5 => Message::Wound { tx },
        _ => return Err(Malformed::Content),
    };
    if bytes.is_empty() { Ok(message) } else { Err(Malformed::Trailing) }
}

pub(super) fn put_record<W: Serialize>(record: &Record<'_, W>, sink: &mut dyn Sink) -> Result<(), Full> {
    sink.put(&[VERSION])?;
    let Record::Restart(records) = record else { return put_plain(record, sink) };
    put_numbers(&[8], sink)?;
    let mut fits = Ok(());
    records.for_each(&mut |record| {
        if fits.is_ok() {
            fits = put_plain(&record, sink);
        }
    });
    fits
}

fn put_plain<W: Serialize>(record: &Record<'_, W>, sink: &mut dyn Sink) -> Result<(), Full> {
    match *record {
        Record::Numbered { through } => put_numbers(&[0, through], sink),
        Record::Committed { tx, parties } => {
            let [coordinator, number] = numbers(tx);
            put_numbers(&[1, coordinator, number], sink)?;
            put_parties(&parties, sink)
        }
        Record::Ended { tx } => put_numbers(&[2, tx.coordinator.get(), tx.number], sink),
        Record::Promised { tx, promise, is_first, age, parties, work } => {
            let [coordinator, number] = numbers(tx);
            put_numbers(&[3, coordinator, number, promise.0, is_first.into(), age.get()], sink)?;
            put_parties(&parties, sink)?;
            put_batch(&work, sink)
        }
        Record::Refused { tx } => put_numbers(&[4, tx.coordinator.get(), tx.number], sink),
        Record::Kept { tx } => put_numbers(&[5, tx.coordinator.get(), tx.number], sink),
        Record::Forced { tx, commit } => {
            put_numbers(&[6, tx.coordinator.get(), tx.number, commit.into()], sink)
        }
        Record::Past { coordinator, number } => put_numbers(&[7, coordinator.get(), number], sink),
        // Restarts hold no restarts.
        Record::Restart(_) => Err(Full),
    }
}

/// A record from its bytes, all of them.
pub(super) fn take_record<W: DeserializeOwned>(mut bytes: &[u8]) -> Result<Record<'_, W>, Malformed> {
    let input = &mut bytes;
    let version = take::<u8>(input)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    if let Some((8, records)) = input.split_first() {
        let mut rest = records;
        while !rest.is_empty() {
            take_plain::<W>(&mut rest)?;
        }
        return Ok(Record::Restart(Restated::encoded(records, |input| take_plain(input).ok())));
    }
    let record = take_plain(input)?;
    if bytes.is_empty() { Ok(record) } else { Err(Malformed::Trailing) }
}

fn take_plain<'a, W: DeserializeOwned>(input: &mut &'a [u8]) -> Result<Record<'a, W>, Malformed> {
    let [tag, first] = take_numbers(input)?;
    let coordinator = NodeId::new(first);
    match tag {
        0 => return Ok(Record::Numbered { through: first }),
        1..=7 => {}
        _ => return Err(Malformed::Content),
    }
    let [number] = take_numbers(input)?;
    let tx = TxId { coordinator, number };
    Ok(match tag {
        1 => Record::Committed { tx, parties: take_parties(input)? },
        2 => Record::Ended { tx },
        3 => {
            let [promise, is_first, age] = take_numbers(input)?;
            let (promise, is_first, age) = (Promise(promise), flag(is_first)?, Age::new(age));
            Record::Promised {
                tx,
                promise,
                is_first,
                age,
                parties: take_parties(input)?,
                work: take_work(input)?,
            }
        }
        4 => Record::Refused { tx },
        5 => Record::Kept { tx },
        6 => {
            let [commit] = take_numbers(input)?;
            Record::Forced { tx, commit: flag(commit)? }
        }
        _ => Record::Past { coordinator, number },
    })
}
