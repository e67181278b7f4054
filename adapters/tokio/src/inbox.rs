//! All that can reach a machine, taken in together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use quorate::Instant;
use quorate_driver::storage_thread::Completion;
use quorate_driver::{Appetite, Arrived, Clock};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::handle::{Asked, Control, Driven, Reply};
use crate::transport::stream::Piece;

/// The mailboxes of a machine.
pub(crate) struct Inbox<M: Driven> {
    pub(crate) arrived: Arrived<M, Reply<M>, Piece>,
    mailboxes: Mailboxes<M>,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off; `None` when it has, or was never set.
    armed: Option<Instant>,
}

/// The receiving ends of what reaches a machine.
pub(crate) struct Mailboxes<M: Driven> {
    pub(crate) completions: mpsc::Receiver<Completion>,
    pub(crate) pieces: mpsc::Receiver<Piece>,
    pub(crate) control: mpsc::Receiver<Control<M>>,
    pub(crate) requests: mpsc::Receiver<Asked<M>>,
}

impl<M: Driven> Inbox<M> {
    pub(crate) fn new(clock: Clock, mailboxes: Mailboxes<M>) -> Self {
        let timer = Box::pin(sleep(std::time::Duration::ZERO));
        Self { arrived: Arrived::default(), mailboxes, clock, timer, armed: None }
    }

    /// Waits until something arrived or the deadline has passed, and takes in all that is there.
    pub(crate) async fn fill(&mut self, deadline: Option<Instant>, appetite: Appetite) {
        self.arm(deadline);
        poll_fn(|context| self.poll_fill(context, appetite)).await;
    }

    /// Whether the storage thread has failed, or died, and all that it said was taken in.
    pub(crate) fn is_deserted(&self) -> bool {
        self.mailboxes.completions.is_closed() && self.mailboxes.completions.is_empty()
    }

    /// Takes no more requests, and gives back those that the machine has not seen.
    pub(crate) fn close(self) -> impl Iterator<Item = Asked<M>> {
        let mut requests = self.mailboxes.requests;
        requests.close();
        self.arrived.requests.into_iter().chain(std::iter::from_fn(move || requests.try_recv().ok()))
    }

    fn poll_fill(&mut self, context: &mut Context<'_>, appetite: Appetite) -> Poll<()> {
        let Appetite { completions, pieces, requests } = appetite;
        let (mailboxes, arrived) = (&mut self.mailboxes, &mut self.arrived);
        let mut any = false;
        if self.armed.is_some() && self.timer.as_mut().poll(context).is_ready() {
            self.armed = None;
            any = true;
        }
        any |= fill(context, &mut mailboxes.completions, &mut arrived.completions, completions);
        any |= fill(context, &mut mailboxes.control, &mut arrived.control, completions);
        if pieces > 0 {
            any |= fill(context, &mut mailboxes.pieces, &mut arrived.pieces, pieces);
        }
        any |= fill(context, &mut mailboxes.requests, &mut arrived.requests, requests);
        any |= self.is_deserted();
        if any { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sets the timer, unless it goes off early enough as it is: waking early is harmless, and most deadlines move
    /// away again before they are reached.
    fn arm(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        if let Some(at) = self.clock.timer(deadline) {
            self.timer.as_mut().reset(at.into());
            self.armed = Some(deadline);
        }
    }
}

/// Takes in up to `limit`; whether there was anything.
fn fill<T>(
    context: &mut Context<'_>,
    mailbox: &mut mpsc::Receiver<T>,
    taken: &mut Vec<T>,
    limit: usize,
) -> bool {
    matches!(mailbox.poll_recv_many(context, taken, limit), Poll::Ready(count) if count > 0)
}
