//! Carrying out what a machine wants done: the one place that polls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use quorate::codec::{Full, Header};
use quorate::{NodeId, Output};

use crate::counters::Tally;
use crate::errands::Errands;
use crate::handle::{Driven, Reply};
use crate::limits::Limits;
use crate::transport::Identity;
use crate::transport::link::Link;
use crate::writes::Writes;

/// Outputs carried out before more is taken in.
const OUTPUTS: usize = 16_384;

/// Whether a machine had more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Drained {
    Dry,
    More,
}

/// Polls a machine until it has nothing more to say, and carries each output out.
///
/// Records end up in `writes` together with their claims, and only a commit of these leads to a receipt.
pub(crate) fn drain<M: Driven>(
    machine: &mut M,
    writes: &mut Writes,
    outlets: &mut Outlets<M>,
) -> Result<Drained, Full> {
    for _ in 0..OUTPUTS {
        match machine.poll() {
            None => return Ok(Drained::Dry),
            Some(Output::Save(write)) => writes.add::<M>(write)?,
            Some(Output::Send { to, message }) => outlets.post.send::<M>(to, &message),
            Some(Output::Event(event)) => outlets.tell(event)?,
        }
    }
    Ok(Drained::More)
}

/// Who is told of all events that are neither an errand nor an outcome.
pub(crate) type Observer<M> = Box<dyn FnMut(<M as quorate::Machine>::Event<'_>) + Send>;

/// Where what a machine says goes.
pub(crate) struct Outlets<M: Driven> {
    pub(crate) post: Post,
    pub(crate) errands: Errands,
    /// Who waits for which outcome. As long as the limit of requests in flight.
    pub(crate) waiting: HashMap<M::Ticket, Reply<M>>,
    pub(crate) observer: Observer<M>,
    pub(crate) tally: Arc<Tally>,
}

impl<M: Driven> Outlets<M> {
    fn tell(&mut self, event: M::Event<'_>) -> Result<(), Full> {
        if let Some(errand) = M::errand(&event) {
            return self.errands.take_up(errand, &self.tally);
        }
        match M::outcome(event) {
            Ok((ticket, outcome)) => {
                self.tally.outcomes.add(1);
                let told = self.waiting.remove(&ticket).is_some_and(|reply| reply.send(Ok(outcome)).is_ok());
                if !told {
                    self.tally.unclaimed.add(1);
                }
            }
            Err(event) => (self.observer)(event),
        }
        Ok(())
    }
}

/// The way to the peers.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) us: Identity,
    pub(crate) links: BTreeMap<NodeId, Arc<Link>>,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
}

impl Post {
    fn send<M: Driven>(&self, to: NodeId, message: &M::Message<'_>) {
        let Some(link) = self.links.get(&to) else {
            return self.tally.dropped_unreachable.add(1);
        };
        let header = Header { cluster: self.us.cluster, from: self.us.id, to };
        link.post(header, &self.limits, &self.tally, |buffer| M::put_message(message, buffer));
    }

    /// Wakes the connections that have something to send.
    pub(crate) fn flush(&self) {
        self.links.values().for_each(|link| link.flush());
    }
}
