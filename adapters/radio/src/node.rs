//! The driver: takes in what arrived, asks the machine what to do, and does it.
//!
//! It never waits. A main loop calls [`Node::turn`] and sleeps until the moment it returns or an interrupt; a task of
//! embassy does the same with a timer and a signal. What the interrupt of a radio receives goes into the queue that
//! [`Radio::receive`] empties.

use crate::{Kind, Link, Radio, Received, RestoreError, Room, Store};
use core::fmt::Debug;
use quorate::Blank;
use quorate::codec::Full;
use quorate::{Answering, Done, Errand, Fault, Input, Instant, NodeId, Output, Receipt, SnapshotId, Write};

/// Frames that are taken in before the machine is polled.
const FRAMES: usize = 32;

/// Outputs that are carried out before frames are looked for again.
const OUTPUTS: usize = 256;

/// What a turn tells.
pub enum Told<'t, M: Answering + 't> {
    /// A request ended.
    Ended {
        /// Which.
        ticket: M::Ticket,
        /// How.
        outcome: M::Outcome,
    },
    /// The machine tells something of its own accord.
    Event(M::Event<'t>),
    /// A message of, or for, a client that is no peer: [`Kind::Ask`] or [`Kind::Answer`]. Answer it after the turn, by
    /// [`Node::post`].
    Message(Received<'t>),
}

/// Why a node stopped. It holds no machine any more: open its store anew and start again, or show it to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped<S, R> {
    /// The store failed: what was not acknowledged may be there or not.
    Store(S),
    /// A snapshot does not make sense.
    Fault(Fault),
    /// A snapshot is longer than the scratch buffer: raise its size.
    Scratch {
        /// How long it is.
        bytes: u64,
    },
    /// The radio failed.
    Radio(R),
    /// It was never started, or stopped before.
    Idle,
}

/// What a node dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Messages that do not decode, though their frames were right.
    pub malformed: u32,
    /// Reads of snapshots that are not there any more.
    pub errands: u32,
}

/// One node: a machine, its link, its radio and its store.
///
/// What is large lies where the caller keeps it, so that a node can be moved: the machine, the link, and `scratch`,
/// which takes the longest frame, the longest record at a restart, and a whole snapshot.
pub struct Node<
    'n,
    M: Answering,
    R: Radio,
    S: Store,
    const PEERS: usize,
    const QUEUE: usize,
    const MESSAGE: usize,
    const FRAME: usize = 127,
    const PARTIAL: usize = 2,
> {
    machine: Option<&'n mut M>,
    link: &'n mut Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>,
    radio: R,
    store: S,
    scratch: &'n mut [u8],
    dropped: Dropped,
}

/// What an output leaves to be told to the machine, once it is no longer lent.
enum Next {
    Nothing,
    Saved(Receipt),
    Written(SnapshotId),
    Read { to: NodeId, of: SnapshotId, offset: u64, len: usize },
    Load { of: SnapshotId },
}

impl<
    'n,
    M: Answering,
    R: Radio,
    S: Store,
    const PEERS: usize,
    const QUEUE: usize,
    const MESSAGE: usize,
    const FRAME: usize,
    const PARTIAL: usize,
> Node<'n, M, R, S, PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>
{
    /// A node without a machine: [`start`](Self::start) it.
    pub fn new(
        link: &'n mut Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>,
        radio: R,
        store: S,
        scratch: &'n mut [u8],
    ) -> Self {
        Self { machine: None, link, radio, store, scratch, dropped: Dropped::default() }
    }

    /// Restores the machine in its place from what the store holds. `seed` must differ from life to life and from node to
    /// node: the epoch of the store, mixed with the node's number and with whatever chance there is, will do.
    ///
    /// # Errors
    /// The store is damaged, or does not hold what the machine can go on from.
    pub fn start(&mut self, place: &'n mut Blank<M>, seed: u64) -> Result<(), RestoreError<S::Error>> {
        self.machine = Some(self.store.restore(place, seed, self.scratch)?);
        Ok(())
    }

    /// The machine, to look at, if it runs.
    pub fn machine(&self) -> Option<&M> {
        self.machine.as_deref()
    }

    /// The link, to look at.
    pub fn link(&self) -> &Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL> {
        self.link
    }

    /// The store, to look at.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The radio.
    pub fn radio(&mut self) -> &mut R {
        &mut self.radio
    }

    /// What was dropped so far, besides what the link dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Asks for something. Take a [`turn`](Self::turn) after it. `None` if there is no machine.
    pub fn request(&mut self, now: Instant, request: M::Request) -> Option<Result<M::Ticket, M::Refusal>> {
        self.machine.as_mut().map(|machine| machine.request(now, request))
    }

    /// Queues a message for a client, or for a node that is asked. Tells whether it was taken up.
    pub fn post(
        &mut self,
        now: Instant,
        to: NodeId,
        kind: Kind,
        put: impl Fn(&mut Room<'_>) -> Result<(), Full>,
    ) -> bool {
        self.link.post(now, to, kind, put)
    }

    /// One turn: takes in what arrived, wakes the machine if it is due, and carries out what it wants. Returns when to
    /// come again if nothing arrives before.
    ///
    /// # Errors
    /// The node cannot go on, and holds no machine any more.
    pub fn turn(
        &mut self,
        now: Instant,
        mut tell: impl FnMut(Told<'_, M>),
    ) -> Result<Option<Instant>, Stopped<S::Error, R::Error>> {
        let turned = self.try_turn(now, &mut tell);
        if turned.is_err() {
            // After a failed write nobody knows what is durable: only what the store says when it is opened anew counts.
            self.machine = None;
        }
        turned
    }

    fn try_turn(
        &mut self,
        now: Instant,
        tell: &mut impl FnMut(Told<'_, M>),
    ) -> Result<Option<Instant>, Stopped<S::Error, R::Error>> {
        // Everything is taken in before the machine is polled, so what arrived together is answered together.
        let more = self.receive(now, tell)?;
        let machine = self.machine.as_mut().ok_or(Stopped::Idle)?;
        if machine.deadline().is_some_and(|deadline| deadline <= now) {
            machine.handle(now, Input::Wake);
        }
        let dry = self.carry_out(now, tell)?;
        self.link.transmit(now, &mut self.radio).map_err(Stopped::Radio)?;
        if more || !dry {
            return Ok(Some(now));
        }
        let machine = self.machine.as_ref().and_then(|machine| machine.deadline());
        Ok([machine, self.link.deadline()].into_iter().flatten().min())
    }

    /// Takes frames in, where they lie. Tells whether there may be more.
    fn receive(
        &mut self,
        now: Instant,
        tell: &mut impl FnMut(Told<'_, M>),
    ) -> Result<bool, Stopped<S::Error, R::Error>> {
        let machine = self.machine.as_mut().ok_or(Stopped::Idle)?;
        for _ in 0..FRAMES {
            let Some(len) = self.radio.receive(self.scratch).map_err(Stopped::Radio)? else {
                return Ok(false);
            };
            let Some(frame) = self.scratch.get_mut(..len) else { continue };
            let Some(received) = self.link.receive(now, frame) else { continue };
            match received.kind {
                Kind::Peer => match M::take_message(received.message) {
                    Ok(message) => machine.handle(now, Input::Message { from: received.from, message }),
                    Err(_) => self.dropped.malformed = self.dropped.malformed.saturating_add(1),
                },
                Kind::Ask | Kind::Answer => tell(Told::Message(received)),
            }
        }
        Ok(true)
    }

    /// Polls the machine and does what it says. Tells whether it has nothing more to say.
    fn carry_out(
        &mut self,
        now: Instant,
        tell: &mut impl FnMut(Told<'_, M>),
    ) -> Result<bool, Stopped<S::Error, R::Error>> {
        for _ in 0..OUTPUTS {
            let machine = self.machine.as_mut().ok_or(Stopped::Idle)?;
            if self.store.is_tight() {
                machine.restate(now);
            }
            let next = match machine.poll() {
                None => return Ok(true),
                Some(Output::Save(write)) => save::<M, S>(&mut self.store, write).map_err(Stopped::Store)?,
                Some(Output::Send { to, message }) => {
                    self.link.post(now, to, Kind::Peer, |room| M::put_message(&message, room));
                    Next::Nothing
                }
                Some(Output::Event(event)) => {
                    take_event::<M, S>(&mut self.store, event, tell).map_err(Stopped::Store)?
                }
            };
            self.follow_up(now, next)?;
        }
        Ok(false)
    }

    /// Tells the machine what came of an output.
    fn follow_up(&mut self, now: Instant, next: Next) -> Result<(), Stopped<S::Error, R::Error>> {
        let machine = self.machine.as_mut().ok_or(Stopped::Idle)?;
        match next {
            Next::Nothing => Ok(()),
            Next::Saved(receipt) => {
                machine.handle(now, Input::Saved(receipt));
                Ok(())
            }
            Next::Written(of) => machine.finish(now, Done::Written(of)).map_err(Stopped::Fault),
            Next::Read { to, of, offset, len } => {
                self.bring(now, of, offset, len as u64, |bytes| Done::Read { to, of, offset, bytes })
            }
            Next::Load { of } => self.bring(now, of, 0, of.size, |bytes| Done::Loaded { of, bytes }),
        }
    }

    /// Reads a part of a snapshot and hands it in. An errand about a snapshot that is gone is dropped.
    fn bring(
        &mut self,
        now: Instant,
        of: SnapshotId,
        offset: u64,
        len: u64,
        done: impl FnOnce(&[u8]) -> Done<'_>,
    ) -> Result<(), Stopped<S::Error, R::Error>> {
        let bytes = usize::try_from(len).ok().and_then(|len| self.scratch.get_mut(..len));
        let bytes = bytes.ok_or(Stopped::Scratch { bytes: len })?;
        if !self.store.read(of, offset, bytes).map_err(Stopped::Store)? {
            self.dropped.errands = self.dropped.errands.saturating_add(1);
            return Ok(());
        }
        let machine = self.machine.as_mut().ok_or(Stopped::Idle)?;
        machine.finish(now, done(bytes)).map_err(Stopped::Fault)
    }
}

/// The record is durable before the machine is asked for anything that depends on it.
fn save<M: Answering, S: Store>(store: &mut S, write: Write<M::Record<'_>>) -> Result<Next, S::Error> {
    write.commit(|record| store.save::<M>(&record)).map(Next::Saved)
}

/// An errand is begun where what it is about is lent; anything else is told.
fn take_event<M: Answering, S: Store>(
    store: &mut S,
    event: M::Event<'_>,
    tell: &mut impl FnMut(Told<'_, M>),
) -> Result<Next, S::Error> {
    match M::errand(&event) {
        Some(Errand::Write { at, image, .. }) => return store.write(at, image).map(Next::Written),
        Some(Errand::Read { to, of, offset, len }) => return Ok(Next::Read { to, of, offset, len }),
        Some(Errand::Load { of }) => return Ok(Next::Load { of }),
        None => {}
    }
    match M::outcome(event) {
        Ok((ticket, outcome)) => tell(Told::Ended { ticket, outcome }),
        Err(event) => tell(Told::Event(event)),
    }
    Ok(Next::Nothing)
}

impl<M: Answering + Debug> Debug for Told<'_, M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ended { ticket, outcome } => write!(f, "Ended({ticket:?}, {outcome:?})"),
            Self::Event(_) => f.write_str("Event"),
            Self::Message(received) => write!(f, "{received:?}"),
        }
    }
}
