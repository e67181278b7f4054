//! The task that owns the machine: take in all that is ready, poll until dry, hand over, wait.

use quorate_driver::{Clock, Drained, Engine, StopReason};
use tracing::debug;

use crate::handle::{Driven, Reply};
use crate::inbox::Inbox;
use crate::transport::dial::Wakeup;

pub(crate) struct Runner<M: Driven> {
    pub(crate) engine: Engine<M, Reply<M>, Wakeup>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<M>,
}

impl<M: Driven> Runner<M> {
    /// Runs until somebody asks it to stop, or it cannot go on.
    pub(crate) async fn run(mut self) -> StopReason {
        loop {
            match self.turn() {
                Ok(Drained::Dry) => self.inbox.fill(self.engine.deadline(), self.engine.appetite()).await,
                // The machine has more to say, but nobody may be kept waiting for it.
                Ok(Drained::More) => tokio::task::yield_now().await,
                Err(reason) => {
                    debug!("the machine stops: {reason}");
                    self.engine.stop(&reason, self.inbox.close());
                    return reason;
                }
            }
        }
    }

    fn turn(&mut self) -> Result<Drained, StopReason> {
        let drained = self.engine.turn(self.clock.now(), &mut self.inbox.arrived)?;
        if self.inbox.is_deserted() {
            return Err(StopReason::Panicked("the storage thread panicked".into()));
        }
        Ok(drained)
    }
}
