//! All that can reach a machine, taken in together.

use quorate::Instant;
use quorate_driver::storage_thread::Completion;
use quorate_driver::sync::atomic::{AtomicBool, Ordering};
use quorate_driver::sync::{self, Arc};
use quorate_driver::{Appetite, Arrived, Bell, Clock, Control, Driven, Receiver};

use crate::handle::{Asked, Reply};
use crate::transport::stream::Piece;

/// The mailboxes of a machine, and the one bell that all of them ring.
pub(crate) struct Inbox<M: Driven> {
    pub(crate) arrived: Arrived<M, Reply<M>, Piece>,
    pub(crate) completions: Receiver<Completion>,
    pub(crate) pieces: Receiver<Piece>,
    pub(crate) control: Receiver<Control<M>>,
    pub(crate) requests: Receiver<Asked<M>>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) killed: Arc<AtomicBool>,
    pub(crate) clock: Clock,
}

impl<M: Driven> Inbox<M> {
    /// Waits until something arrived or the deadline has passed, and takes in all that is there.
    pub(crate) fn fill(&mut self, deadline: Option<Instant>, appetite: Appetite) {
        let until = deadline.and_then(|deadline| self.clock.timer(deadline));
        // Bounded by the deadline, and by what arrives: who brings something rings afterwards, so that the next wait
        // ends at once.
        while !self.take(appetite) && !self.is_killed() && !self.is_deserted() {
            if until.is_some_and(|until| until <= sync::Instant::now()) {
                return;
            }
            self.bell.wait(until);
        }
    }

    /// Takes in all that is there; whether there was anything.
    pub(crate) fn take(&mut self, appetite: Appetite) -> bool {
        let Appetite { completions, pieces, requests } = appetite;
        let arrived = &mut self.arrived;
        let taken = self.completions.take(&mut arrived.completions, completions)
            + self.pieces.take(&mut arrived.pieces, pieces)
            + self.control.take(&mut arrived.control, completions)
            + self.requests.take(&mut arrived.requests, requests);
        taken > 0
    }

    /// Whether the node is to stop as in a crash.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Whether the storage thread has failed, or died, and all that it said was taken in.
    pub(crate) fn is_deserted(&self) -> bool {
        self.completions.is_finished()
    }

    /// Takes no more requests, and gives back those that the machine has not seen.
    pub(crate) fn close(mut self) -> Vec<Asked<M>> {
        self.requests.close();
        let mut unseen = std::mem::take(&mut self.arrived.requests);
        self.requests.take(&mut unseen, usize::MAX);
        unseen
    }
}
