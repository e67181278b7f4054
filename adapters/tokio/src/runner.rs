//! The task that owns the machine: take in all that is ready, poll until dry, hand over, wait.

use quorate::{Input, Instant, codec};
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::drain::{Drained, Outlets, drain};
use crate::handle::{Asked, Control, Driven, RequestError};
use crate::inbox::{Appetite, Inbox};
use crate::stop::StopReason;
use crate::storage::thread::{Completion, StorageQueue};
use crate::transport::stream::{Piece, split_frame};
use crate::writes::Writes;

pub(crate) struct Runner<M: Driven> {
    pub(crate) machine: M,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<M>,
    pub(crate) outlets: Outlets<M>,
    pub(crate) writes: Writes,
    pub(crate) storage: StorageQueue,
}

impl<M: Driven> Runner<M> {
    /// Runs until somebody asks it to stop, or it cannot go on.
    pub(crate) async fn run(mut self) -> StopReason {
        loop {
            match self.turn() {
                Ok(Drained::Dry) => self.inbox.fill(self.machine.deadline(), self.appetite()).await,
                // The machine has more to say, but nobody may be kept waiting for it.
                Ok(Drained::More) => tokio::task::yield_now().await,
                Err(reason) => {
                    self.stop(&reason);
                    return reason;
                }
            }
        }
    }

    /// Everything is taken in before the machine is polled: so what arrived together is saved with one sync and
    /// sent in one message.
    fn turn(&mut self) -> Result<Drained, StopReason> {
        let now = self.clock.now();
        self.take_completions(now)?;
        self.take_pieces(now);
        self.take_control()?;
        self.take_requests(now);
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.machine.handle(now, Input::Wake);
        }
        let drained = drain(&mut self.machine, &mut self.writes, &mut self.outlets);
        self.storage.hand_over(&mut self.writes, &mut self.outlets.errands.ready);
        self.outlets.post.flush();
        drained.map_err(|codec::Full| StopReason::TooLarge)
    }

    fn take_completions(&mut self, now: Instant) -> Result<(), StopReason> {
        for completion in self.inbox.completions.taken.drain(..) {
            match completion {
                Completion::Saved(receipt) => self.machine.handle(now, Input::Saved(receipt)),
                Completion::Finished(finished) => {
                    if let Some(done) = self.outlets.errands.finish(&finished, &self.outlets.tally) {
                        self.machine.finish(now, done).map_err(StopReason::Fault)?;
                    }
                }
                Completion::Failed(error) => return Err(StopReason::Storage(error)),
            }
        }
        let receiver = &self.inbox.completions.receiver;
        if receiver.is_closed() && receiver.is_empty() {
            return Err(StopReason::Panicked("the storage thread panicked".into()));
        }
        Ok(())
    }

    fn take_pieces(&mut self, now: Instant) {
        for piece in self.inbox.pieces.taken.drain(..) {
            let is_cut = self.outlets.post.links.get(&piece.from).is_none_or(|link| link.is_cut());
            if is_cut {
                continue;
            }
            if let Err(malformed) = hear(&mut self.machine, now, &piece, &self.outlets) {
                self.outlets.tally.count_malformed(malformed);
                warn!(peer = %piece.from, "closing a connection: {malformed}");
                piece.connection.close();
            }
        }
    }

    fn take_control(&mut self) -> Result<(), StopReason> {
        for control in self.inbox.control.taken.drain(..) {
            match control {
                Control::Inspect(look) => look(&self.machine),
                Control::Shutdown => return Err(StopReason::Shutdown),
            }
        }
        Ok(())
    }

    fn take_requests(&mut self, now: Instant) {
        let Outlets { waiting, tally, .. } = &mut self.outlets;
        for Asked { request, reply } in self.inbox.requests.taken.drain(..) {
            if reply.is_closed() {
                tally.abandoned.add(1);
                continue;
            }
            tally.requests.add(1);
            match self.machine.request(now, request) {
                Ok(ticket) => {
                    let earlier = waiting.insert(ticket, reply);
                    assert!(
                        earlier.is_none(),
                        "the machine gave ticket {ticket:?} to two requests in flight"
                    );
                }
                Err(refusal) => {
                    tally.refused.add(1);
                    // Whoever asked may have gone meanwhile.
                    let _ = reply.send(Err(RequestError::Refused(refusal)));
                }
            }
        }
    }

    fn appetite(&self) -> Appetite {
        let Outlets { post, waiting, .. } = &self.outlets;
        if self.storage.queued_bytes() >= post.limits.storage_bytes {
            return Appetite { pieces: false, requests: 0 };
        }
        Appetite { pieces: true, requests: post.limits.in_flight.saturating_sub(waiting.len()) }
    }

    /// Gives back what waits in the mailbox. Whoever waits for an outcome learns the reason when the reply is
    /// dropped.
    fn stop(mut self, reason: &StopReason) {
        debug!("the machine stops: {reason}");
        let requests = &mut self.inbox.requests;
        requests.receiver.close();
        let waiting = std::iter::from_fn(|| requests.receiver.try_recv().ok());
        for Asked { request, reply } in requests.taken.drain(..).chain(waiting) {
            let _ = reply.send(Err(RequestError::NotTaken { request, reason: reason.clone() }));
        }
        if matches!(reason, StopReason::Shutdown) {
            self.storage.close();
        }
    }
}

/// Hands the frames of a piece to the machine, decoded where they were received.
fn hear<M: Driven>(
    machine: &mut M,
    now: Instant,
    piece: &Piece,
    outlets: &Outlets<M>,
) -> Result<(), codec::Malformed> {
    let us = outlets.post.us;
    let mut rest = &piece.frames[..];
    while let Some((frame, behind)) = split_frame(rest) {
        let (from, body) = codec::open(frame, us.cluster, us.id)?;
        if from != piece.from {
            // The connection is of one node, as the handshake said.
            return Err(codec::Malformed::Addressee(from));
        }
        let message = M::take_message(body)?;
        outlets.tally.frames_in.add(1);
        machine.handle(now, Input::Message { from, message });
        rest = behind;
    }
    Ok(())
}
