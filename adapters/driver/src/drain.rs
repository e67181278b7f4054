//! Carrying out what a machine wants done: the one place that polls.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use quorate::codec::{Full, Header};
use quorate::{NodeId, Output};

use crate::counters::Tally;
use crate::errands::Errands;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::link::{Departure, Link};
use crate::request::{Driven, Reply};
use crate::sync::Arc;
use crate::writes::Writes;

/// Outputs carried out before more is taken in.
const OUTPUTS: usize = 16_384;

/// Whether a machine had more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Drained {
    /// It has said all.
    Dry,
    /// It has more to say, but nobody may be kept waiting for it.
    More,
}

/// Polls a machine until it has nothing more to say, and carries each output out.
///
/// Records end up in `writes` together with their claims, and only a commit of these leads to a receipt.
pub(crate) fn drain<M: Driven>(
    machine: &mut M,
    writes: &mut Writes,
    outlets: &mut Outlets<M, impl Reply<M>, impl Departure>,
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
pub type Observer<M> = Box<dyn FnMut(<M as quorate::Machine>::Event<'_>) + Send>;

/// Where what a machine says goes.
pub struct Outlets<M: Driven, R, D> {
    /// The way to the peers.
    pub post: Post<D>,
    pub(crate) errands: Errands,
    /// Who waits for which outcome. As long as the limit of requests in flight.
    pub(crate) waiting: HashMap<M::Ticket, R>,
    observer: Observer<M>,
}

impl<M: Driven, R: Reply<M>, D> Outlets<M, R, D> {
    /// Outlets that nothing has passed yet.
    #[must_use]
    pub fn new(post: Post<D>, observer: Observer<M>) -> Self {
        Self { post, errands: Errands::default(), waiting: HashMap::new(), observer }
    }

    fn tell(&mut self, event: M::Event<'_>) -> Result<(), Full> {
        let tally = &self.post.tally;
        if let Some(errand) = M::errand(&event) {
            return self.errands.take_up(errand, tally);
        }
        match M::outcome(event) {
            Ok((ticket, outcome)) => {
                tally.outcomes.add(1);
                let told = self.waiting.remove(&ticket).is_some_and(|reply| reply.tell(Ok(outcome)));
                if !told {
                    tally.unclaimed.add(1);
                }
            }
            Err(event) => (self.observer)(event),
        }
        Ok(())
    }
}

impl<M: Driven, R, D> fmt::Debug for Outlets<M, R, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outlets({} wait)", self.waiting.len())
    }
}

/// The way to the peers.
#[derive(Debug)]
pub struct Post<D> {
    /// Who sends.
    pub us: Identity,
    /// The peers that can be reached.
    pub links: BTreeMap<NodeId, Arc<Link<D>>>,
    /// How much may wait.
    pub limits: Limits,
    /// Where what happens is counted.
    pub tally: Arc<Tally>,
}

impl<D: Departure> Post<D> {
    fn send<M: Driven>(&self, to: NodeId, message: &M::Message<'_>) {
        let Some(link) = self.links.get(&to) else {
            return self.tally.dropped_unreachable.add(1);
        };
        let header = Header { cluster: self.us.cluster, from: self.us.id, to };
        link.post(header, &self.limits, &self.tally, |buffer| M::put_message(message, buffer));
    }

    /// Sees to it that what waits departs.
    pub(crate) fn flush(&self) {
        self.links.values().for_each(|link| link.flush());
    }
}
