//! A machine with all that hangs on it, turn by turn: take in what arrived, poll until dry, hand over.

use std::fmt;

use quorate::{Done, Input, Instant, Stored, codec};

use crate::clock::{Clock, random_seed};
use crate::drain::{Drained, Outlets, drain};
use crate::frames::{Piece, hear};
use crate::link::Departure;
use crate::reason::{StartError, StopReason};
use crate::request::{Asked, Control, Driven, Reply, RequestError};
use crate::storage::Storage;
use crate::storage::thread::{Completion, Queue};
use crate::writes::Writes;

/// Most of each kind that is taken in before the machine is polled.
const BATCH: usize = 1024;

/// A machine, where what it says goes, and the way to its storage.
///
/// It has no thread and no task: a driver fills [`Arrived`] as far as the [`Appetite`] goes, and calls
/// [`turn`](Self::turn); then it waits until more has arrived or the deadline has passed.
pub struct Engine<M: Driven, R, D> {
    machine: M,
    outlets: Outlets<M, R, D>,
    writes: Writes,
    storage: Queue,
}

/// What arrived and is still to be taken in.
pub struct Arrived<M: Driven, R, P> {
    /// From storage.
    pub completions: Vec<Completion>,
    /// From peers.
    pub pieces: Vec<P>,
    /// For the node.
    pub control: Vec<Control<M>>,
    /// For the machine.
    pub requests: Vec<Asked<M, R>>,
}

/// How much a machine can take in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appetite {
    /// How many completions, and as many looks and shutdowns. Never none, so that a busy node can go on, and stop.
    pub completions: usize,
    /// How many pieces.
    pub pieces: usize,
    /// How many requests.
    pub requests: usize,
}

/// Restores a machine from what storage holds.
///
/// # Errors
/// Storage cannot be read, or what it holds cannot be used.
pub fn restore<M: Driven>(
    settings: &M::Settings,
    clock: Clock,
    storage: &mut dyn Storage,
) -> Result<M, StartError> {
    let contents = storage.load().map_err(StartError::Storage)?;
    let records = contents.records.iter().map(Vec::as_slice);
    let stored = Stored { records, snapshots: &contents.snapshots };
    M::restore(settings, random_seed(), clock.now(), stored).map_err(StartError::Fault)
}

impl<M: Driven, R: Reply<M>, D: Departure> Engine<M, R, D> {
    /// A machine that was restored, ready to run.
    #[must_use]
    pub fn new(machine: M, outlets: Outlets<M, R, D>, storage: Queue) -> Self {
        Self { machine, outlets, writes: Writes::default(), storage }
    }

    /// Takes everything in before the machine is polled: so what arrived together is saved with one sync and sent in
    /// one message.
    ///
    /// # Errors
    /// The node has to stop, and this is why: [`stop`](Self::stop) tells everybody.
    pub fn turn<P: Piece>(
        &mut self,
        now: Instant,
        arrived: &mut Arrived<M, R, P>,
    ) -> Result<Drained, StopReason> {
        self.take_completions(now, &mut arrived.completions)?;
        self.take_pieces(now, &mut arrived.pieces);
        self.take_control(&mut arrived.control)?;
        self.take_requests(now, &mut arrived.requests);
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.machine.handle(now, Input::Wake);
        }
        let drained = self.drain(now);
        self.storage.hand_over(&mut self.writes, &mut self.outlets.errands.ready);
        self.outlets.post.flush();
        drained
    }

    /// Has the machine say all that it has to say, also about the images that are next.
    fn drain(&mut self, now: Instant) -> Result<Drained, StopReason> {
        loop {
            let drained = drain(&mut self.machine, &mut self.writes, &mut self.outlets);
            let drained = drained.map_err(|codec::Full| StopReason::TooLarge)?;
            // No more often than groups are in line: none joins it while no image is being written.
            let next = match drained {
                Drained::Dry => self.outlets.errands.next_in_line(),
                Drained::More => None,
            };
            let Some(group) = next else { return Ok(drained) };
            self.machine.finish(now, Done::TurnedAway(group)).map_err(StopReason::Fault)?;
        }
    }

    /// When the next turn is due, if nothing arrives before.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// How much the next turn can take in.
    pub fn appetite(&self) -> Appetite {
        let Outlets { post, waiting, .. } = &self.outlets;
        if self.storage.queued_bytes() >= post.limits.storage_bytes {
            return Appetite { completions: BATCH, pieces: 0, requests: 0 };
        }
        let requests = post.limits.in_flight.saturating_sub(waiting.len()).min(BATCH);
        Appetite { completions: BATCH, pieces: BATCH, requests }
    }

    /// Gives back the requests that the machine has not seen. Whoever waits for an outcome learns the reason when the
    /// reply is dropped. After a shutdown, what was handed to storage becomes durable.
    pub fn stop(self, reason: &StopReason, unseen: impl IntoIterator<Item = Asked<M, R>>) {
        for Asked { request, reply } in unseen {
            // Whoever asked may have gone meanwhile.
            let _ = reply.tell(Err(RequestError::NotTaken { request, reason: reason.clone() }));
        }
        if matches!(reason, StopReason::Shutdown) {
            self.storage.close();
        }
    }

    fn take_completions(&mut self, now: Instant, arrived: &mut Vec<Completion>) -> Result<(), StopReason> {
        for completion in arrived.drain(..) {
            match completion {
                Completion::Saved(receipts) => {
                    for receipt in receipts {
                        self.machine.handle(now, Input::Saved(receipt));
                    }
                }
                Completion::Restate(groups) => {
                    for group in groups {
                        self.machine.restate_group(now, group);
                    }
                }
                Completion::Finished(finished) => {
                    if let Some(done) = self.outlets.errands.finish(&finished, &self.outlets.post.tally) {
                        self.machine.finish(now, done).map_err(StopReason::Fault)?;
                    }
                }
                Completion::Failed(error) => return Err(StopReason::Storage(error)),
            }
        }
        Ok(())
    }

    fn take_pieces(&mut self, now: Instant, arrived: &mut Vec<impl Piece>) {
        let post = &self.outlets.post;
        for piece in arrived.drain(..) {
            let is_cut = post.links.get(&piece.from()).is_none_or(|link| link.is_cut());
            if is_cut {
                continue;
            }
            if let Err(malformed) = hear(&mut self.machine, now, post.us, &piece, &post.tally) {
                post.tally.count_malformed(malformed);
                piece.reject(malformed);
            }
        }
    }

    fn take_control(&mut self, arrived: &mut Vec<Control<M>>) -> Result<(), StopReason> {
        for control in arrived.drain(..) {
            match control {
                Control::Inspect(look) => look(&self.machine),
                Control::Shutdown => return Err(StopReason::Shutdown),
            }
        }
        Ok(())
    }

    fn take_requests(&mut self, now: Instant, arrived: &mut Vec<Asked<M, R>>) {
        let Outlets { waiting, post: crate::drain::Post { tally, .. }, .. } = &mut self.outlets;
        for Asked { request, reply } in arrived.drain(..) {
            if reply.is_abandoned() {
                tally.abandoned.add(1);
                continue;
            }
            tally.requests.add(1);
            match self.machine.request(now, request) {
                Ok(ticket) => match M::at_once(&ticket) {
                    Some(outcome) => {
                        tally.outcomes.add(1);
                        // Whoever asked may have gone meanwhile.
                        let _ = reply.tell(Ok(outcome));
                    }
                    None => {
                        let earlier = waiting.insert(ticket, reply);
                        assert!(
                            earlier.is_none(),
                            "the machine gave ticket {ticket:?} to two requests in flight"
                        );
                    }
                },
                Err(refusal) => {
                    tally.refused.add(1);
                    // Whoever asked may have gone meanwhile.
                    let _ = reply.tell(Err(RequestError::Refused(refusal)));
                }
            }
        }
    }
}

impl<M: Driven, R, P> Default for Arrived<M, R, P> {
    fn default() -> Self {
        Self { completions: Vec::new(), pieces: Vec::new(), control: Vec::new(), requests: Vec::new() }
    }
}

impl<M: Driven, R, D> fmt::Debug for Engine<M, R, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?})", self.outlets)
    }
}

impl<M: Driven, R, P> fmt::Debug for Arrived<M, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { completions, pieces, control, requests } = self;
        let counts = [completions.len(), pieces.len(), control.len(), requests.len()];
        write!(f, "Arrived({counts:?})")
    }
}
