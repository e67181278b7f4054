//! Those who ask a node for transactions, and its application, which answers what it is asked and says other things besides.

use super::super::Work;
use super::{Life, ME};
use crate::Tape;
use quorate::space::List;
use quorate::two_phase::participant::Request;
use quorate::two_phase::{Node, Side, Transaction, coordinator};
use quorate::{Answering, Machine, NodeId, Space, TxId};

/// Where the application of a participant stands with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Asked,
    Promised,
    /// It can, and only read: it holds that until it is told to let go.
    Reading,
    /// It only read, and an operator has it let go: it is told so next.
    Released,
    Doing,
}

impl Standing {
    /// Whether it has answered, and waits to be told.
    pub(super) const fn waits(self) -> bool {
        matches!(self, Self::Promised | Self::Reading | Self::Released)
    }
}

impl<S: Space> Life<S> {
    // Who asks.

    pub(super) fn begin(&mut self, tape: &mut Tape<'_>) {
        let mask = tape.byte();
        let node = |number: u64| (NodeId::new(number), <Work as List<u8>>::of([number as u8; 3]));
        let mut parts: Vec<_> = (1..=3).filter(|number| mask & 1 << number != 0).map(node).collect();
        match mask >> 4 {
            14 => parts.push((NodeId::new(9), Work::new())),
            15 => parts.push((NodeId::new(2), List::of([0; 9]))),
            _ => {}
        }
        let nodes = parts.iter().map(|(node, _)| *node).collect();
        let Ok(transaction) = Transaction::of(parts) else { return };
        let transaction =
            if mask & 1 == 1 { transaction.aged(quorate::Age::new(tape.near(&[1, 5]))) } else { transaction };
        let request = Side::Coordinator(coordinator::Request::Begin(transaction));
        if let Ok(Side::Coordinator(coordinator::Ticket::Begun(tx))) =
            self.machine.request(self.now(), request)
        {
            self.begun.push(tx);
            self.parts.insert(tx, nodes);
        }
    }

    pub(super) fn cancel(&mut self, tape: &mut Tape<'_>) {
        let Some(&tx) = self.begun.iter().rev().nth(tape.below(4)) else { return };
        let request = Side::Coordinator(coordinator::Request::Cancel(tx));
        if let Ok(ticket) = self.machine.request(self.now(), request) {
            assert_eq!(Node::<Work, S>::at_once(&ticket), Some(None), "a cancellation is over at once");
        }
    }

    // The application.

    /// The application answers what it was asked, or says that it has done what it had to do.
    pub(super) fn answer(&mut self, tape: &mut Tape<'_>) {
        let (which, how) = (tape.below(4), tape.below(8));
        let open: Vec<_> = self.standing.iter().filter(|(_, standing)| !standing.waits()).collect();
        let Some((&tx, standing)) = open.get(which.min(open.len().saturating_sub(1))).copied() else {
            return;
        };
        let request = match (standing, how) {
            (Standing::Doing, _) => Request::Finish(tx),
            // What it did before it says so of.
            (_, 0..7) if self.finished.contains_key(&tx) => Request::Finish(tx),
            (_, 0..=4) => Request::Promise(tx),
            (_, 5) => Request::Read(tx),
            (_, 6) => Request::Refuse(tx),
            (_, _) => Request::Wound(tx),
        };
        self.say(request);
    }

    /// The application, or an operator, says something, whether it fits or not.
    pub(super) fn claim(&mut self, tape: &mut Tape<'_>) {
        let which = tape.byte();
        let known: Vec<_> = self.heard.iter().map(|(tx, _)| *tx).chain(self.begun.iter().copied()).collect();
        let at = usize::from(which >> 3) % known.len().max(1);
        let tx = known.iter().rev().nth(at).copied().unwrap_or(TxId { coordinator: ME, number: 3 });
        self.say(match which & 7 {
            0 => Request::Promise(tx),
            1 => Request::Read(tx),
            2 => Request::Refuse(tx),
            3 => Request::Wound(tx),
            // Only what it has done, or not begun to do, is an application asked to have done.
            4 if !self.standing.get(&tx).is_some_and(|standing| standing.waits()) => Request::Finish(tx),
            _ => Request::Force { tx, commit: which & 8 != 0 },
        });
    }

    fn say(&mut self, request: Request) {
        let Ok(ticket) = self.machine.request(self.now(), Side::Participant(request)) else { return };
        assert_eq!(Node::<Work, S>::at_once(&ticket), Some(None), "what is said is taken up at once");
        match request {
            Request::Promise(tx) => _ = self.standing.insert(tx, Standing::Promised),
            Request::Read(tx) => {
                self.readers.insert((ME, tx));
                self.standing.insert(tx, Standing::Reading);
            }
            Request::Refuse(tx) => _ = self.standing.remove(&tx),
            Request::Finish(tx) => {
                self.standing.remove(&tx);
                if !self.is_finished(tx) {
                    self.finished.insert(tx, self.entries.len());
                }
            }
            Request::Wound(_) => {}
            Request::Force { tx, .. } if self.standing.get(&tx) == Some(&Standing::Reading) => {
                self.standing.insert(tx, Standing::Released);
            }
            Request::Force { tx, .. } => _ = self.forced.insert(tx),
        }
    }
}
