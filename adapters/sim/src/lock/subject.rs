//! Clients of the lock service: what they ask, and how the world is told of them.

use super::client::{Act, Client, Doing, Want};
use super::grants::Grants;
use super::leases::Leases;
use crate::chance::Chance;
use crate::raft::History;
use crate::replicated::drawn;
use crate::subject::{Answer, At, Broken, Check, Desk, Subject, Told};
use crate::tally::Tally;
use crate::trace::Trace;
use quorate::lock::{self, Command, Name, Query, Reply, SessionId};
use quorate::raft::{Config, Record, Role};
use quorate::replicated::{Event, Message, Request, Sequence, Settings, Stamped, Ticket};
use quorate::space::Heap;
use quorate::{Image, Index, Instant, Moment, NodeId, Replicated, Rng};
use std::collections::BTreeMap;
use std::time::Duration;

type Space = Heap<16, 64, 64>;
/// A lock table with limits that are met.
pub type Table = lock::Table<Space, 9, 3, 4>;
/// The lock service.
pub type Machine = Replicated<Table, Space, 10, 8>;

/// The locks.
const KEYS: [&str; 3] = ["anvil", "bellows", "crucible"];
/// How long a client waits for an answer before it asks another node.
const PATIENCE: u64 = 400_000;
/// How many things that were asked are remembered, to compare what is told of them again.
const REMEMBERED: usize = 512;

crate::paths! {
    /// Rare paths that many seeds together must reach.
    pub enum Path {
        /// There was another leader.
        LeaderChanged = "lock: leader changed",
        /// A command was sent to a second node before the first had answered.
        SentAgain = "lock: command sent again elsewhere",
        /// A command was answered twice.
        ToldTwice = "lock: command answered twice, alike",
        /// An outcome was told to be unknown.
        Unconfirmed = "lock: outcome unknown",
        /// A client's session had made room for others.
        Evicted = "lock: client session evicted",
        /// A lease ran out.
        Expired = "lock: session expired",
        /// A lock passed to who waited.
        PassedOn = "lock: lock passed on in line",
        /// A lock that was held was not waited for.
        Held = "lock: refused while held",
        /// A client that went on too long was stopped by its token.
        Fenced = "lock: stale token refused",
        /// The table was full.
        Full = "lock: table full",
        /// A client crashed.
        ClientCrashed = "lock: client crashed",
        /// A node's state went into a snapshot.
        Snapshot = "lock: snapshot written",
        /// A node started from a snapshot.
        Loaded = "lock: snapshot loaded",
        /// A session was closed by its client.
        Closed = "lock: session closed",
    }
}

/// Something that was asked, and the first reply to it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: usize,
    pub(super) number: u64,
    pub(super) reply: Option<(Reply, Moment)>,
}

/// Clients with sessions, who acquire, wait, renew, release, crash, go on too long and try elsewhere.
#[derive(Debug)]
pub struct Clients {
    seed: u64,
    nodes: Vec<NodeId>,
    pub(super) names: Vec<Name>,
    history: History,
    /// How far each node's state was looked at.
    applied: Vec<Index>,
    pub(super) grants: Grants,
    pub(super) leases: Leases,
    pub(super) clients: Vec<Client>,
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) tickets: BTreeMap<(NodeId, Ticket), u64>,
    pub(super) images: BTreeMap<Index, u64>,
    numbers: u64,
    is_calm: bool,
    /// Of the liveness phase: whether the last client has got through.
    last_is_through: bool,
    pub(super) lines: Vec<String>,
    tally: Tally,
}

impl Clients {
    /// A workload that a seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Chance::seeded(seed ^ 0x10CC);
        let count = 2 + rng.below(10);
        Self {
            seed,
            nodes: Vec::new(),
            names: KEYS.map(|key| Name::new(key).expect("it is short")).to_vec(),
            history: History::default(),
            applied: Vec::new(),
            grants: Grants::of(KEYS.len()),
            leases: Leases::default(),
            clients: (1..=count).map(|number| Client::new(number, &mut rng)).collect(),
            asked: BTreeMap::new(),
            tickets: BTreeMap::new(),
            images: BTreeMap::new(),
            numbers: count,
            is_calm: false,
            last_is_through: false,
            lines: Vec::new(),
            tally: Tally::of(Path::NAMES),
        }
    }

    /// What the clients saw: one JSON object a line.
    #[must_use]
    pub fn history(&self) -> &[String] {
        &self.lines
    }

    pub(super) fn hit(&mut self, path: Path) {
        self.tally.hit(path as usize);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn lock(&self, name: &Name) -> usize {
        self.names.iter().position(|known| known == name).expect("the workload has these locks only")
    }

    pub(super) fn key(&self, name: &Name) -> &'static str {
        KEYS[self.lock(name)]
    }

    pub(super) fn be_born_again(&mut self, client: usize, rng: &mut Chance) {
        let number = self.number();
        self.clients[client] = Client::new(number, rng);
    }

    /// Sends what a client does to any node.
    pub(super) fn send(&mut self, client: usize, now: u64, desk: &mut Desk<Machine>) {
        let node = self.nodes[desk.rng.below(self.nodes.len() as u64) as usize];
        let Client { doing: Some(doing), session, number, lease, .. } = &mut self.clients[client] else {
            return;
        };
        doing.last = now;
        let request = match (&doing.act, *session) {
            (Act::Submit { sequence, command }, Some(session)) => Request::Submit {
                session,
                sequence: Sequence::new(*sequence),
                floor: Sequence::new(sequence - 1),
                command: command.clone(),
            },
            (Act::Look { lock }, Some(_)) => {
                let session = lease.unwrap_or(SessionId::new(0));
                Request::Query(Query::Standing { session, name: self.names[*lock].clone() })
            }
            (Act::Read { lock, .. }, Some(_)) => {
                Request::Query(Query::Owner { name: self.names[*lock].clone() })
            }
            (Act::Join, _) | (_, None) => Request::Open { client: *number },
        };
        desk.ask(node, doing.id, request);
    }

    /// A client's turn.
    fn act(&mut self, client: usize, now: u64, desk: &mut Desk<Machine>) {
        if let Some(doing) = &self.clients[client].doing {
            if now > doing.last + PATIENCE {
                self.hit(Path::SentAgain);
                self.send(client, now, desk);
            }
            return;
        }
        if !self.is_calm && desk.rng.below(400) == 0 {
            self.hit(Path::ClientCrashed);
            return self.be_born_again(client, &mut desk.rng);
        }
        self.touch(client);
        let reads = self.clients[client].session.is_some() && desk.rng.below(10) == 0;
        let act = if reads {
            let lock = desk.rng.below(self.names.len() as u64) as usize;
            Some(Act::Read { lock, floor: self.grants.highest(lock) })
        } else {
            self.clients[client].next(now, &self.names, &mut desk.rng)
        };
        let Some(act) = act else { return };
        if let Act::Submit { command: Command::Close { session }, .. } = act {
            self.hit(Path::Closed);
            self.leases.closing(session);
            self.clients[client].lose_lease();
        }
        let id = self.number();
        self.asked.insert(id, Asked { client, number: self.clients[client].number, reply: None });
        if self.asked.len() > REMEMBERED {
            self.asked.pop_first();
        }
        self.clients[client].doing = Some(Doing { id, act, first: now, last: now });
        self.send(client, now, desk);
    }

    /// A client that believes that it holds a lock uses it, without a look at the time.
    fn touch(&mut self, client: usize) {
        if let Want::Holds { lock, token, .. } = self.clients[client].want
            && !self.grants.touch(lock, token)
        {
            self.hit(Path::Fenced);
            self.clients[client].lose_lease();
        }
    }

    /// What is still missing once the faults have stopped: one leader, no answer owed, every session gone that is not
    /// renewed, all replicas alike, and a new client that got a lock.
    fn missing(&self, machines: &[(NodeId, &Machine)]) -> Option<String> {
        let leaders = machines.iter().filter(|(_, machine)| machine.status().role == Role::Leader).count();
        let up = |node: NodeId| machines.iter().any(|&(id, _)| id == node);
        let owed = self.tickets.keys().filter(|(node, _)| up(*node)).count();
        let totals = machines.iter().map(|(_, machine)| machine.application().totals());
        let left: u32 = totals.map(|totals| totals.sessions + totals.locks + totals.waiters).sum();
        let first = machines.first().map(|(_, machine)| (machine.applied(), hash(&machine.freeze())));
        let alike = |machine: &Machine| Some((machine.applied(), hash(&machine.freeze()))) == first;
        let behind = machines.iter().filter(|(_, machine)| !alike(machine)).count();
        let through = self.last_is_through;
        let done = leaders == 1 && owed == 0 && left == 0 && behind == 0 && through;
        (!done).then(|| {
            format!(
                "{leaders} leaders, {owed} answers owed, {left} rows left, {behind} replicas differ, a new client \
                 got a lock: {through}"
            )
        })
    }
}

fn hash(image: &(impl Image + ?Sized)) -> u64 {
    let (mut bytes, mut hash) = (Vec::new(), Trace::default());
    image.write(&mut bytes).expect("a vector is never full");
    hash.note_bytes(&bytes);
    hash.digest()
}

impl Subject<Machine> for Clients {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> Settings<Space> {
        let mut rng = Rng::new(self.seed ^ 0x5E77);
        drawn(Config::new(node, nodes), &mut rng)
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.nodes = nodes.to_vec();
        self.history = History::of(nodes);
        self.applied = vec![Index::default(); nodes.len()];
    }

    fn on_work(&mut self, desk: &mut Desk<Machine>) {
        (0..self.clients.len() as u64).for_each(|client| desk.after(Duration::from_millis(100), client));
    }

    fn on_timer(&mut self, now: Instant, client: u64, desk: &mut Desk<Machine>) -> Check {
        let next = Duration::from_micros(1_000 + desk.rng.below(60_000));
        desk.after(next, client);
        let slot = client as usize;
        // In the liveness phase all end what they are at, and only the last one goes on until it holds a lock.
        let is_last = slot + 1 == self.clients.len();
        self.last_is_through |=
            self.is_calm && is_last && matches!(self.clients[slot].want, Want::Holds { .. });
        if !self.is_calm || self.clients[slot].doing.is_some() || (is_last && !self.last_is_through) {
            self.act(slot, now.as_micros(), desk);
        }
        Ok(())
    }

    fn on_answer(&mut self, at: At, id: u64, answer: Answer<Machine>, _: &mut Desk<Machine>) -> Check {
        // One that was not taken up the client asks elsewhere when its patience is over.
        if let Answer::Taken(ticket) = answer {
            self.tickets.insert((at.node, ticket), id);
        }
        Ok(())
    }

    fn on_sent(&mut self, at: At, to: NodeId, message: &Message<'_, Command>) -> Check {
        let Message::Raft(message) = message else { return Ok(()) };
        let leaders = self.history.leaders();
        self.history.on_sent(at, to, message)?;
        if self.history.leaders() > leaders.max(1) {
            self.hit(Path::LeaderChanged);
        }
        Ok(())
    }

    fn on_record(&mut self, at: At, record: &Record<'_, Stamped<Command>>) -> Check {
        self.history.on_record(at, record)
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.history.on_durable(at, count)
    }

    fn on_event(&mut self, at: At, event: Event<'_, Table, Space, 10, 8>, desk: &mut Desk<Machine>) -> Check {
        match event {
            Event::Ended { ticket, outcome } => self.on_ended(at, ticket, outcome, desk),
            Event::Notice(notice) => self.on_notice(at, &notice),
            Event::Snapshot { at: of, image } => self.on_image(at, of.index, hash(&image)),
            Event::Loaded { .. } => {
                self.hit(Path::Loaded);
                Ok(())
            }
            Event::Status(_) | Event::Load { .. } | Event::Read { .. } => Ok(()),
        }
    }

    fn on_crash(&mut self, at: At, _: &mut Desk<Machine>) -> Check {
        self.history.on_crash(at);
        self.applied[at.node.get() as usize - 1] = Index::default();
        self.tickets.retain(|(node, _), _| *node != at.node);
        Ok(())
    }

    fn on_restored(&mut self, at: At, machine: &Machine) -> Check {
        self.history.on_restored(at, &machine.status())
    }

    fn after_step(&mut self, at: At, machine: &Machine) -> Check {
        let status = machine.status();
        self.history.after_step(at, &status)?;
        let before = std::mem::replace(&mut self.applied[at.node.get() as usize - 1], status.applied);
        if status.applied == before || status.applied == Index::default() {
            return Ok(());
        }
        let table = machine.application();
        table.check().map_err(|rule| Broken::new(rule, at.node))?;
        self.grants.on_state(status.applied, self.names.iter().map(|name| table.owner(name)).collect())
    }

    fn favourite(&self) -> Option<NodeId> {
        self.history.leader()
    }

    fn on_calm(&mut self, _: Instant, healthy: &[NodeId], desk: &mut Desk<Machine>) {
        self.is_calm = true;
        self.nodes = healthy.to_vec();
        self.be_born_again(self.clients.len() - 1, &mut desk.rng);
    }

    fn waits_for(
        &mut self,
        _: Instant,
        machines: &[(NodeId, &Machine)],
        _: &mut Desk<Machine>,
    ) -> Result<Option<String>, Broken> {
        Ok(self.missing(machines))
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn tell(&self, told: Told<'_, '_, Machine>) -> String {
        told.in_full()
    }
}
