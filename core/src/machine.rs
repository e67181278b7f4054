//! The contract between a protocol and whoever runs it: one trait, four methods, two enums.

use crate::{Instant, NodeId, Receipt, Write};

/// A protocol as a state machine without I/O.
///
/// The application makes requests, which may be refused. The world reports facts through [`handle`], which may
/// not. What the machine wants done comes out of [`poll`], lent: a driver encodes it where it lies, or carries it
/// out, before it calls again. Outputs may be carried out in any order and concurrently; only saves are ordered
/// among themselves. `handle` may be called any number of times before `poll`.
///
/// [`handle`]: Machine::handle
/// [`poll`]: Machine::poll
///
/// The whole of a driver with blocking storage:
///
/// ```
/// use quorate::{Input, Instant, Machine, NodeId, Output};
///
/// fn drain<M: Machine>(
///     machine: &mut M,
///     now: Instant,
///     mut save: impl FnMut(M::Record<'_>),
///     mut send: impl FnMut(NodeId, M::Message<'_>),
///     mut tell: impl FnMut(M::Event<'_>),
///     mut sync: impl FnMut(),
/// ) {
///     loop {
///         let mut pending = None;
///         while let Some(output) = machine.poll() {
///             match output {
///                 Output::Save(write) => {
///                     let (record, claim) = write.split();
///                     save(record);
///                     pending = Some(claim); // the later claim stands for the earlier ones
///                 }
///                 Output::Send { to, message } => send(to, message),
///                 Output::Event(event) => tell(event),
///             }
///         }
///         let Some(claim) = pending else { return };
///         sync();
///         machine.handle(now, Input::Saved(claim.assert_durable()));
///     }
/// }
/// ```
pub trait Machine {
    /// What the application may ask.
    type Request;
    /// What it gets at once when the request is taken up. An outcome follows as an event.
    type Ticket;
    /// What it gets when the request is refused: what was asked, back again, and why. Nothing changed.
    type Refusal;
    /// What peers tell each other.
    type Message<'a>
    where
        Self: 'a;
    /// What must survive a crash. Restart is replay of the records, in order.
    type Record<'a>
    where
        Self: 'a;
    /// What the application is told.
    type Event<'a>
    where
        Self: 'a;

    /// Asks for something.
    ///
    /// # Errors
    /// A refusal that owns what was asked; the machine is as it was.
    fn request(&mut self, now: Instant, request: Self::Request) -> Result<Self::Ticket, Self::Refusal>;

    /// Takes in a fact. Nonsense from a peer is dropped and counted.
    fn handle(&mut self, now: Instant, input: Input<Self::Message<'_>>);

    /// The next thing to do, or `None` when all is done until something is handled or requested.
    fn poll(&mut self) -> Option<Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>>>;

    /// When to wake the machine if nothing else happens. May move at any call.
    fn deadline(&self) -> Option<Instant>;
}

/// What a machine hands out.
pub type Shown<'a, M> =
    Output<<M as Machine>::Message<'a>, <M as Machine>::Record<'a>, <M as Machine>::Event<'a>>;

/// A machine whose [`poll`](Machine::poll) can be had in its two halves, for machines made of machines: one may look for
/// the machine that has something to do, and may keep what concerns only itself.
pub trait Staged: Machine {
    /// What is to be done, not lent yet. It holds until the machine is next told, asked or planned.
    type Plan;

    /// Decides what to do next, and takes it as done.
    fn plan(&mut self) -> Option<Self::Plan>;

    /// Lends what was decided just before.
    fn show(&self, plan: Self::Plan) -> Shown<'_, Self>;
}

/// A fact from the world.
#[derive(Debug)]
pub enum Input<M> {
    /// A peer said this.
    Message {
        /// Who said it, as the transport knows it.
        from: NodeId,
        /// What was said.
        message: M,
    },
    /// A write became durable, and every write before it.
    Saved(Receipt),
    /// Time passed.
    Wake,
}

/// A thing to do.
#[derive(Debug)]
#[must_use]
pub enum Output<M, R, E> {
    /// Make this durable, after all saves before it, and bring the receipt back as [`Input::Saved`].
    Save(Write<R>),
    /// Send this; it may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What to say.
        message: M,
    },
    /// Tell the application.
    Event(E),
}
