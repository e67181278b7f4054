//! All the ways from and to a node, which begin and end together.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{Builder, JoinHandle};

use quorate::NodeId;
use quorate_driver::sync::atomic::AtomicUsize;
use quorate_driver::sync::{Arc, Mutex};
use quorate_driver::{
    Bell, Connections, Identity, Limits, Link, Sender, StartError, StopSignal, Tally, random_seed,
};

use super::accept::{Acceptor, Reception};
use super::dial::Dialer;
use super::stream::Piece;
use super::{Passage, Way, join_all};
use crate::hub::Hub;

/// Who is there besides a node, and how they are reached. `L` is where it listens.
#[derive(Debug)]
pub(crate) struct Network<L> {
    pub(crate) peers: BTreeMap<NodeId, String>,
    pub(crate) listen: Option<L>,
    pub(crate) hub: Option<(Hub, Vec<NodeId>)>,
}

#[derive(Debug)]
pub(crate) enum Listen {
    Address(String),
    Listener(TcpListener),
}

impl<L> Default for Network<L> {
    fn default() -> Self {
        Self { peers: BTreeMap::new(), listen: None, hub: None }
    }
}

impl Network<Listen> {
    /// Listens.
    pub(crate) fn bind(self) -> Result<Network<TcpListener>, StartError> {
        let Self { peers, listen, hub } = self;
        let listen = match listen {
            None => None,
            Some(Listen::Listener(listener)) => Some(listener),
            Some(Listen::Address(address)) => match TcpListener::bind(&address) {
                Ok(listener) => Some(listener),
                Err(source) => return Err(StartError::Listen { address, source }),
            },
        };
        Ok(Network { peers, listen, hub })
    }
}

impl Network<TcpListener> {
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listen.as_ref().and_then(|listener| listener.local_addr().ok())
    }
}

/// The ways of a node that runs. Dropped, it closes them all, and waits for their threads to end.
pub(crate) struct Transport {
    pub(crate) links: BTreeMap<NodeId, Arc<Link<Way>>>,
    us: Identity,
    limits: Limits,
    tally: Arc<Tally>,
    stop: Arc<StopSignal<()>>,
    acceptor: Option<Acceptor>,
    dialers: Vec<(Arc<Dialer>, JoinHandle<()>)>,
}

impl Transport {
    pub(crate) fn new(us: Identity, limits: Limits, tally: Arc<Tally>) -> Self {
        let (links, stop) = (BTreeMap::new(), Arc::new(StopSignal::default()));
        Self { links, us, limits, tally, stop, acceptor: None, dialers: Vec::new() }
    }

    /// Starts to listen and to dial. What started when there is no thread for the rest ends with this transport.
    pub(crate) fn start(&mut self, network: Network<TcpListener>, pieces: Sender<Piece>) -> io::Result<()> {
        let Network { peers, listen, hub } = network;
        let (us, limits) = (self.us, self.limits);
        if let Some((hub, known)) = hub {
            for to in known {
                let (hub, tally, held) = (hub.clone(), Arc::clone(&self.tally), Mutex::default());
                let link = Link::new(Way::Hub(Passage { hub, from: us.id, to, tally, held }));
                link.set_connected(true);
                self.links.insert(to, Arc::new(link));
            }
            hub.enter(us.id, pieces.clone());
        }
        for peer in peers.keys() {
            self.links.insert(*peer, Arc::new(Link::new(Way::Socket(Bell::default()))));
        }
        if let Some(listener) = listen {
            let (known, current) = (peers.keys().copied().collect(), Connections::default());
            let (tally, stop) = (Arc::clone(&self.tally), Arc::clone(&self.stop));
            let handshakes = AtomicUsize::new(0);
            let reception = Reception { us, known, pieces, limits, tally, current, stop, handshakes };
            self.acceptor = Some(Acceptor::start(listener, Arc::new(reception))?);
        }
        for (peer, address) in peers {
            let Some(link) = self.links.get(&peer).map(Arc::clone) else { continue };
            let (tally, stop, current) = (Arc::clone(&self.tally), Arc::clone(&self.stop), Mutex::default());
            let dialer = Arc::new(Dialer { us, peer, address, link, limits, tally, stop, current });
            let (name, body) = (format!("quorate-to-{peer}"), Arc::clone(&dialer));
            let thread = Builder::new().name(name).spawn(move || body.run(random_seed()))?;
            self.dialers.push((dialer, thread));
        }
        Ok(())
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.stop.give(());
        let dialers = std::mem::take(&mut self.dialers);
        dialers.iter().for_each(|(dialer, _)| dialer.close());
        self.acceptor.take().into_iter().for_each(Acceptor::join);
        join_all(dialers.into_iter().map(|(_, thread)| thread));
    }
}
