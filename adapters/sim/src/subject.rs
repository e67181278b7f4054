//! What is particular to a kind of machine: what it is asked, and what must hold.

use crate::chance::Chance;
use crate::tally::Tally;
use quorate::{Hosted, Instant, Machine, NodeId, Position, SnapshotId};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen instead.
    pub detail: String,
}

impl Broken {
    /// Says which invariant is broken and what was seen.
    pub fn new(invariant: &'static str, detail: impl fmt::Display) -> Self {
        Self { invariant, detail: detail.to_string() }
    }
}

/// The result of a check.
pub type Check = Result<(), Broken>;

/// Checks a condition; what was seen instead is only put into words when it does not hold.
///
/// # Errors
/// The condition does not hold.
pub fn holds(condition: bool, invariant: &'static str, seen: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(Broken::new(invariant, seen())) }
}

/// When and where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The world's time, which no node knows.
    pub now: Instant,
    /// The node.
    pub node: NodeId,
}

/// What a node said to something it was asked.
#[derive(Debug)]
pub enum Answer<M: Machine> {
    /// It took the request up.
    Taken(M::Ticket),
    /// It refused.
    Refused(M::Refusal),
    /// It is down, or went down before it saw the request.
    Unreachable,
}

/// A request for a node, and a number by which the subject knows it again.
pub(crate) struct Ask<M: Machine> {
    pub(crate) node: NodeId,
    pub(crate) tag: u64,
    pub(crate) request: M::Request,
}

/// Where a subject puts what it wants done: requests to nodes, and timers of its own.
pub struct Desk<M: Machine> {
    /// Chance: what clients do by chance is decided here.
    pub rng: Chance,
    pub(crate) asks: VecDeque<Ask<M>>,
    pub(crate) timers: Vec<(u64, u64)>,
    pub(crate) images: Vec<(NodeId, Position, Vec<u8>)>,
}

impl<M: Machine> Desk<M> {
    pub(crate) const fn new(rng: Chance) -> Self {
        Self { rng, asks: VecDeque::new(), timers: Vec::new(), images: Vec::new() }
    }

    /// Asks a node for something, once the current step is done; [`Subject::on_answer`] hears of it by `tag`.
    pub fn ask(&mut self, node: NodeId, tag: u64, request: M::Request) {
        self.asks.push_back(Ask { node, tag, request });
    }

    /// Writes a snapshot beside a node's log; once it is durable, the machine is told that it is written. For machines
    /// whose application is the subject itself.
    pub fn write_snapshot(&mut self, node: NodeId, at: Position, bytes: Vec<u8>) {
        self.images.push((node, at, bytes));
    }

    /// Has [`Subject::on_timer`] called with `timer` after a while.
    pub fn after(&mut self, span: Duration, timer: u64) {
        self.timers.push((span.as_micros() as u64, timer));
    }
}

/// Something that can be told in a trace.
pub enum Told<'t, 'm, M: Machine + 'm> {
    /// A request.
    Request(&'t M::Request),
    /// A message that is sent.
    Message(&'t M::Message<'m>),
    /// A record that is saved.
    Record(&'t M::Record<'m>),
    /// An event.
    Event(&'t M::Event<'m>),
}

impl<M> Told<'_, '_, M>
where
    M: Machine<Request: fmt::Debug> + 'static,
    for<'a> M::Message<'a>: fmt::Debug,
    for<'a> M::Record<'a>: fmt::Debug,
    for<'a> M::Event<'a>: fmt::Debug,
{
    /// As its `Debug` has it.
    #[must_use]
    pub fn in_full(&self) -> String {
        match self {
            Self::Request(request) => format!("{request:?}"),
            Self::Message(message) => format!("{message:?}"),
            Self::Record(record) => format!("{record:?}"),
            Self::Event(event) => format!("{event:?}"),
        }
    }
}

/// What is particular to a kind of machine, implemented once for each: what its nodes are asked, and what must
/// hold. The world calls it at every step; whatever it finds broken ends the run.
///
/// Everything has a default but [`settings`](Self::settings): start with one invariant.
pub trait Subject<M: Hosted> {
    /// The settings of a node.
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> M::Settings;

    /// The run begins: these nodes are about to come up.
    fn on_start(&mut self, nodes: &[NodeId]) {
        let _ = nodes;
    }

    /// The clients begin. Not called in a script, which is its own client.
    fn on_work(&mut self, desk: &mut Desk<M>) {
        let _ = desk;
    }

    /// A timer set at the desk went off.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_timer(&mut self, now: Instant, timer: u64, desk: &mut Desk<M>) -> Check {
        let _ = (now, timer, desk);
        Ok(())
    }

    /// A node answered what it was asked.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_answer(&mut self, at: At, tag: u64, answer: Answer<M>, desk: &mut Desk<M>) -> Check {
        let _ = (at, tag, answer, desk);
        Ok(())
    }

    /// A machine sends a message.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_sent(&mut self, at: At, to: NodeId, message: &M::Message<'_>) -> Check {
        let _ = (at, to, message);
        Ok(())
    }

    /// A message is about to be handed to a machine.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_delivered(&mut self, at: At, from: NodeId, message: &M::Message<'_>) -> Check {
        let _ = (at, from, message);
        Ok(())
    }

    /// A machine hands out a record; it is not durable yet.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_record(&mut self, at: At, record: &M::Record<'_>) -> Check {
        let _ = (at, record);
        Ok(())
    }

    /// The next `count` records of a node became durable, in the order in which they were handed out. The disk
    /// knows it before the machine does.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_durable(&mut self, at: At, count: usize) -> Check {
        let _ = (at, count);
        Ok(())
    }

    /// A machine tells its application something.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_event(&mut self, at: At, event: M::Event<'_>, desk: &mut Desk<M>) -> Check {
        let _ = (at, event, desk);
        Ok(())
    }

    /// A node is about to start from a snapshot, whose bytes these are.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_load(&mut self, at: At, of: SnapshotId, bytes: &[u8]) -> Check {
        let _ = (at, of, bytes);
        Ok(())
    }

    /// A node crashed. Its records that are not durable are lost, and what it was asked and has not answered.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_crash(&mut self, at: At, desk: &mut Desk<M>) -> Check {
        let _ = (at, desk);
        Ok(())
    }

    /// A node came up, new or restored from what its disk holds.
    ///
    /// # Errors
    /// An invariant is broken.
    fn on_restored(&mut self, at: At, machine: &M) -> Check {
        let _ = (at, machine);
        Ok(())
    }

    /// A machine was polled until it had nothing more to do. Called very often: what costs more than a few compares
    /// belongs elsewhere.
    ///
    /// # Errors
    /// An invariant is broken.
    fn after_step(&mut self, at: At, machine: &M) -> Check {
        let _ = (at, machine);
        Ok(())
    }

    /// The node whose trouble would hurt most, such as a leader; it is chosen more often than others.
    fn favourite(&self) -> Option<NodeId> {
        None
    }

    /// The faults have stopped. These nodes stay up; the others stay down.
    fn on_calm(&mut self, now: Instant, healthy: &[NodeId], desk: &mut Desk<M>) {
        let _ = (now, healthy, desk);
    }

    /// What the liveness phase still waits for; `None` when all that must happen has happened. Asked every tenth
    /// of a second.
    ///
    /// # Errors
    /// An invariant is broken.
    fn waits_for(
        &mut self,
        now: Instant,
        machines: &[(NodeId, &M)],
        desk: &mut Desk<M>,
    ) -> Result<Option<String>, Broken> {
        let _ = (now, machines, desk);
        Ok(None)
    }

    /// How long the liveness phase may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// The rare paths reached.
    fn tally(&self) -> Tally {
        Tally::of(&[])
    }

    /// Puts something into words for a trace.
    fn tell(&self, told: Told<'_, '_, M>) -> String {
        match told {
            Told::Request(_) => "request",
            Told::Message(_) => "message",
            Told::Record(_) => "record",
            Told::Event(_) => "event",
        }
        .into()
    }
}
