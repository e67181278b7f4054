//! A client of the lock table in virtual time.

use quorate::codec::Sink;
use quorate::lock::{Name, SessionId, Token, Ttl};
use quorate::{ClusterId, Instant, NodeId};
use quorate_air::{Air, Antenna, Station};
use quorate_radio::remote::{Holder, Patience, Progress};
use quorate_radio::{Kind, Link, LinkConfig, Phy, Radio};
use std::time::Duration;

/// A client hears up to seven nodes.
type ClientLink = Link<8, 512, 320>;

/// A board that takes a lock once.
pub struct Client {
    holder: Holder<7>,
    link: ClientLink,
    antenna: Antenna,
    pub station: Station,
    since: Instant,
    /// How long it took to be granted the lock.
    pub took: Option<Duration>,
    /// Grants that it was told of.
    pub grants: Vec<(Token, SessionId)>,
    pub next: Instant,
}

impl Client {
    /// A client that wants a lock from now on.
    pub fn new(
        cluster: ClusterId,
        nodes: &[NodeId],
        station: Station,
        air: &Air,
        seed: u64,
        now: Instant,
    ) -> Self {
        let id = NodeId::new(100 + station.number() as u64);
        let config = LinkConfig::new(cluster, id, 1, Phy::IEEE_802_15_4);
        let name = Name::new(format!("lock-{}", station.number())).expect("short");
        let ttl = Ttl::new(Duration::from_secs(5)).expect("within the limits");
        let mut holder = Holder::new(nodes, name, ttl, Patience::default(), 1, seed);
        holder.want(true);
        Self {
            holder,
            link: ClientLink::new(config, seed).expect("sound settings"),
            antenna: air.antenna(station),
            station,
            since: now,
            took: None,
            grants: Vec::new(),
            next: now,
        }
    }

    /// Takes in what arrived, and asks what is to be asked.
    pub fn turn(&mut self, now: Instant) {
        let mut frame = [0; 127];
        while let Ok(Some(length)) = self.antenna.receive(&mut frame) {
            let Some(received) = self.link.receive(now, &mut frame[..length]) else { continue };
            if received.kind != Kind::Answer {
                continue;
            }
            if let Some(Progress::Granted(token)) = self.holder.take(now, received.from, received.message) {
                self.took.get_or_insert(now.since(self.since));
                self.grants.push((token, self.holder.session().expect("it was granted to one")));
            }
        }
        if let Some((to, ask)) = self.holder.due(now) {
            self.link.post(now, to, Kind::Ask, |room| room.put(ask));
        }
        let Ok(()) = self.link.transmit(now, &mut self.antenna);
        let next = [self.holder.deadline(), self.link.deadline()].into_iter().flatten().min();
        self.next = next.unwrap_or_else(|| now.after(Duration::from_secs(1)));
    }
}
