//! All that can reach a machine, taken in together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use quorate::Instant;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::clock::Clock;
use crate::handle::{Asked, Control, Driven};
use crate::storage::thread::Completion;
use crate::transport::stream::Piece;

/// Most of each kind that is taken in before the machine is polled.
const BATCH: usize = 1024;

/// How much the machine can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appetite {
    /// Whether messages are taken in.
    pub(crate) pieces: bool,
    /// How many requests are.
    pub(crate) requests: usize,
}

/// The mailboxes of a machine.
pub(crate) struct Inbox<M: Driven> {
    pub(crate) completions: Mailbox<Completion>,
    pub(crate) pieces: Mailbox<Piece>,
    pub(crate) control: Mailbox<Control<M>>,
    pub(crate) requests: Mailbox<Asked<M>>,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off; `None` when it has, or was never set.
    armed: Option<Instant>,
}

/// What arrived of one kind, and what is still to be taken in.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    pub(crate) receiver: mpsc::Receiver<T>,
    pub(crate) taken: Vec<T>,
}

impl<T> Mailbox<T> {
    const fn new(receiver: mpsc::Receiver<T>) -> Self {
        Self { receiver, taken: Vec::new() }
    }

    /// Takes in up to `limit`; whether there was anything.
    fn fill(&mut self, context: &mut Context<'_>, limit: usize) -> bool {
        matches!(self.receiver.poll_recv_many(context, &mut self.taken, limit), Poll::Ready(count) if count > 0)
    }
}

impl<M: Driven> Inbox<M> {
    pub(crate) fn new(
        clock: Clock,
        completions: mpsc::Receiver<Completion>,
        pieces: mpsc::Receiver<Piece>,
        control: mpsc::Receiver<Control<M>>,
        requests: mpsc::Receiver<Asked<M>>,
    ) -> Self {
        Self {
            completions: Mailbox::new(completions),
            pieces: Mailbox::new(pieces),
            control: Mailbox::new(control),
            requests: Mailbox::new(requests),
            clock,
            timer: Box::pin(sleep(std::time::Duration::ZERO)),
            armed: None,
        }
    }

    /// Waits until something arrived or the deadline has passed, and takes in all that is there.
    pub(crate) async fn fill(&mut self, deadline: Option<Instant>, appetite: Appetite) {
        self.arm(deadline);
        poll_fn(|context| self.poll_fill(context, appetite)).await;
    }

    fn poll_fill(&mut self, context: &mut Context<'_>, appetite: Appetite) -> Poll<()> {
        let mut any = false;
        if self.armed.is_some() && self.timer.as_mut().poll(context).is_ready() {
            self.armed = None;
            any = true;
        }
        any |= self.completions.fill(context, BATCH);
        any |= self.control.fill(context, BATCH);
        if appetite.pieces {
            any |= self.pieces.fill(context, BATCH);
        }
        any |= self.requests.fill(context, appetite.requests.min(BATCH));
        // The sender is dropped only by a storage thread that has failed, or died.
        any |= self.completions.receiver.is_closed() && self.completions.receiver.is_empty();
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
            self.timer.as_mut().reset(at);
            self.armed = Some(deadline);
        }
    }
}
