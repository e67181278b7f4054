//! A node that begins transactions and takes part in them.

use super::{Config, Coordinator, Message, Participant, Record, coordinator, participant};
use crate::{Command, Fault, Input, Instant, Machine, NodeId, Output, Space, Staged};

/// A coordinator and a participant as one machine. What one says to the other does not leave the node.
#[derive(Debug)]
pub struct Node<W: Command, S: Space> {
    id: NodeId,
    now: Instant,
    coordinator: Coordinator<W, S>,
    participant: Participant<W, S>,
}

/// What is the coordinator's, or the participant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side<C, P> {
    /// The coordinator's.
    Coordinator(C),
    /// The participant's.
    Participant(P),
}

impl<W: Command, S: Space> Node<W, S> {
    /// A new node. `seed` must differ from life to life.
    ///
    /// # Errors
    /// The settings make no sense.
    pub fn new(config: Config<S>, seed: u64, now: Instant) -> Result<Self, Fault> {
        Self::restore(config, seed, now, core::iter::empty())
    }

    /// One from its records, in order. `seed` must differ from life to life.
    ///
    /// # Errors
    /// The settings make no sense, or the records are not such a machine's.
    pub fn restore<'r>(
        config: Config<S>,
        seed: u64,
        now: Instant,
        records: impl IntoIterator<Item = Side<Record<'r, W>, Record<'r, W>>>,
    ) -> Result<Self, Fault> {
        let mut machine = Self::blank(config, now);
        records.into_iter().try_for_each(|record| machine.replay(record))?;
        machine.begin_life(seed)?;
        Ok(machine)
    }

    pub(super) fn blank(config: Config<S>, now: Instant) -> Self {
        let (id, coordinator) = (config.id, Coordinator::blank(config.clone(), now));
        Self { id, now, coordinator, participant: Participant::blank(config, now) }
    }

    pub(super) fn begin_life(&mut self, seed: u64) -> Result<(), Fault> {
        self.coordinator.begin_life(seed)?;
        // Two machines on one node tell their receipts apart by it.
        self.participant.begin_life(!seed)
    }

    pub(super) fn replay(&mut self, record: Side<Record<'_, W>, Record<'_, W>>) -> Result<(), Fault> {
        match record {
            Side::Coordinator(record) => self.coordinator.replay(record),
            Side::Participant(record) => self.participant.replay(record),
        }
    }

    /// The coordinator.
    pub const fn coordinator(&self) -> &Coordinator<W, S> {
        &self.coordinator
    }

    /// The participant.
    pub const fn participant(&self) -> &Participant<W, S> {
        &self.participant
    }

    /// Whose a message is: a question goes to the coordinator of what it is about, if that is here.
    fn is_for_coordinator(&self, message: &Message<'_, W>) -> bool {
        match message {
            Message::Vote { .. } | Message::Done { .. } | Message::Wound { .. } => true,
            Message::Ask { tx, .. } => tx.coordinator == self.id,
            Message::Prepare { .. } | Message::Decision { .. } => false,
        }
    }
}

impl<W: Command, S: Space> Machine for Node<W, S> {
    type Request = Side<coordinator::Request<W, S>, participant::Request>;
    type Ticket = Side<coordinator::Ticket, ()>;
    type Refusal = Side<coordinator::Refusal<W, S>, participant::Refusal>;
    type Message<'a> = Message<'a, W>;
    type Record<'a> = Side<Record<'a, W>, Record<'a, W>>;
    type Event<'a> = Side<coordinator::Event, participant::Event<'a, W>>;

    fn request(&mut self, now: Instant, request: Self::Request) -> Result<Self::Ticket, Self::Refusal> {
        self.now = self.now.max(now);
        match request {
            Side::Coordinator(request) => {
                self.coordinator.request(now, request).map(Side::Coordinator).map_err(Side::Coordinator)
            }
            Side::Participant(request) => {
                self.participant.request(now, request).map(Side::Participant).map_err(Side::Participant)
            }
        }
    }

    fn handle(&mut self, now: Instant, input: Input<Message<'_, W>>) {
        self.now = self.now.max(now);
        match input {
            Input::Message { from, message } if self.is_for_coordinator(&message) => {
                self.coordinator.handle(now, Input::Message { from, message });
            }
            Input::Message { from, message } => {
                self.participant.handle(now, Input::Message { from, message });
            }
            Input::Saved(receipt) if receipt.machine() == self.coordinator.life() => {
                self.coordinator.handle(now, Input::Saved(receipt));
            }
            Input::Saved(receipt) => self.participant.handle(now, Input::Saved(receipt)),
            Input::Wake => {
                self.coordinator.handle(now, Input::Wake);
                self.participant.handle(now, Input::Wake);
            }
        }
    }

    fn poll(&mut self) -> Option<Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        [self.coordinator.deadline(), self.participant.deadline()].into_iter().flatten().min()
    }
}

impl<W: Command, S: Space> Staged for Node<W, S> {
    type Plan = Side<coordinator::Plan, participant::Plan>;

    fn plan(&mut self) -> Option<Self::Plan> {
        // Bounded: each message answers another, or is due once.
        loop {
            if let Some(plan) = self.coordinator.plan() {
                if self.coordinator.addressee(&plan) != Some(self.id) {
                    return Some(Side::Coordinator(plan));
                }
                if let Output::Send { message, .. } = self.coordinator.show(plan) {
                    self.participant.handle(self.now, Input::Message { from: self.id, message });
                }
                continue;
            }
            let plan = self.participant.plan()?;
            // It asks and tells others only about their own transactions, and itself only about its own.
            if Participant::<W, S>::addressee(&plan) != Some(self.id) {
                return Some(Side::Participant(plan));
            }
            if let Output::Send { message, .. } = self.participant.show(plan) {
                self.coordinator.handle(self.now, Input::Message { from: self.id, message });
            }
        }
    }

    fn show(&self, plan: Self::Plan) -> Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>> {
        match plan {
            Side::Coordinator(plan) => match self.coordinator.show(plan) {
                Output::Save(write) => Output::Save(write.map(Side::Coordinator)),
                Output::Send { to, message } => Output::Send { to, message },
                Output::Event(event) => Output::Event(Side::Coordinator(event)),
            },
            Side::Participant(plan) => match self.participant.show(plan) {
                Output::Save(write) => Output::Save(write.map(Side::Participant)),
                Output::Send { to, message } => Output::Send { to, message },
                Output::Event(event) => Output::Event(Side::Participant(event)),
            },
        }
    }
}
