//! Nodes and clients on one air in virtual time.

use super::client::Client;
use super::rules::Rules;
use quorate::Blank;
use quorate::lock::Table;
use quorate::replicated::Ticket;
use quorate::space::Heap;
use quorate::{ClusterId, Instant, NodeId, Replicated, Rng, raft::Role};
use quorate_air::{Air, Antenna, Conditions, Medium, MemoryFlash, Station};
use quorate_radio::remote::Desk;
use quorate_radio::{Flash, FlashOptions, Link, LinkConfig, Node, Phy, Told, settings};
use std::time::Duration;

/// As on a board, but on the heap: the limits and what is done are the same.
type Space = Heap<7, 32>;
type Machine = Replicated<Table<Space>, Space>;
type NodeLink = Link<16, 2_048, 1_024>;
type Run<'n> = Node<'n, Machine, Antenna, Flash<MemoryFlash>, 16, 2_048, 1_024>;

const CLUSTER: ClusterId = ClusterId::new(7);
/// Pages of each node's flash.
const PAGES: u32 = 64;
/// Clients of one world.
const CLIENTS: usize = 3;
/// Turns that a node takes at one moment: more would mean that it never sleeps.
const TURNS: usize = 64;

/// How long it took, in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From power-on to a leader that a quorum knows.
    pub leader: Duration,
    /// From power-on of nodes and client to its first grant.
    pub cold: Duration,
    /// From power-on of a client to its first grant, the nodes running for long.
    pub running: Duration,
    /// From the end of the leader to another that a quorum knows.
    pub failover: Duration,
    /// From the end of the leader to the first grant of a client that asks from then on.
    pub outage: Duration,
    /// The share of time that the air was busy while nothing was asked.
    pub idle_air: f64,
}

/// A node, while it is on.
struct Board<'n> {
    node: Run<'n>,
    desk: Desk<Ticket, 4, 128>,
    id: NodeId,
    station: Station,
    next: Instant,
    on: bool,
}

/// Boards on an air.
struct World<'n> {
    air: Air,
    now: Instant,
    boards: Vec<Board<'n>>,
    clients: Vec<Client>,
    rules: Rules,
}

/// Runs one world: nodes and a client start, another client comes, the leader dies, another client comes.
///
/// # Errors
/// What must never be was seen, or something took too long.
pub fn run(nodes: u8, conditions: Conditions, seed: u64) -> Result<Times, String> {
    let count = usize::from(nodes);
    let ids: Vec<NodeId> = (1..=u64::from(nodes)).map(NodeId::new).collect();
    let air = Air::new(Medium::new(conditions, count + CLIENTS, seed), count + CLIENTS);
    let mut rng = Rng::new(seed);
    let start = Instant::from_micros(1_000);
    let blank = |&id: &NodeId| Blank::<Machine>::new(&settings(id, &ids), start);
    let mut machines: Vec<Blank<Machine>> = ids.iter().map(blank).collect();
    let mut scratch = vec![vec![0; 4_096]; count];
    let link = |&id: &NodeId| {
        let config = LinkConfig::new(CLUSTER, id, 1, Phy::IEEE_802_15_4);
        NodeLink::new(config, seed ^ id.get() << 40).expect("sound settings")
    };
    let mut links: Vec<NodeLink> = ids.iter().map(link).collect();
    let mut world =
        World { air, now: start, boards: Vec::new(), clients: Vec::new(), rules: Rules::default() };
    let places = machines.iter_mut().zip(&mut links).zip(&mut scratch);
    for ((at, &id), ((machine, link), scratch)) in ids.iter().enumerate().zip(places) {
        let station = Station::new(at).ok_or("too many nodes")?;
        let (record_bytes, snapshot_bytes) = (2_304, 4_096);
        let options =
            FlashOptions { cluster: CLUSTER, node: id, from: 0, pages: PAGES, record_bytes, snapshot_bytes };
        let flash = Flash::open(MemoryFlash::blank(PAGES as usize), options);
        let flash = flash.map_err(|error| format!("{id} has no flash: {error:?}"))?;
        let mut node = Run::new(link, world.air.antenna(station), flash, scratch);
        node.start(machine, rng.next()).map_err(|error| format!("{error:?}"))?;
        // Boards are not switched on in the same microsecond.
        let next = start.after(Duration::from_micros(rng.below(20_000)));
        world.boards.push(Board { node, desk: Desk::default(), id, station, next, on: true });
    }
    world.times(&ids, &mut rng)
}

impl World<'_> {
    fn times(&mut self, ids: &[NodeId], rng: &mut Rng) -> Result<Times, String> {
        let start = self.now;
        self.power_on(ids, rng.next())?;
        self.until("a leader", |world| world.leader().is_some())?;
        let leader = self.now.since(start);
        self.until("the lock from a cold start", |world| world.clients[0].took.is_some())?;
        let cold = self.clients[0].took.unwrap_or_default();

        self.run_for(Duration::from_secs(2))?;
        let (before, busy) = (self.now, self.air.with(|medium| medium.counters().airtime_micros));
        self.run_for(Duration::from_secs(1))?;
        let busy = self.air.with(|medium| medium.counters().airtime_micros) - busy;
        let idle_air = busy as f64 / self.now.since(before).as_micros() as f64;

        self.power_on(ids, rng.next())?;
        self.until("the lock in a running cluster", |world| world.clients[1].took.is_some())?;
        let running = self.clients[1].took.unwrap_or_default();

        self.run_for(Duration::from_secs(1))?;
        if self.boards.len() < 3 {
            return Ok(Times { leader, cold, running, failover: running, outage: running, idle_air });
        }
        self.until("a leader", |world| world.leader().is_some())?;
        let old = self.leader().ok_or("the leader went")?;
        self.boards[old].on = false;
        let killed = self.now;
        self.power_on(ids, rng.next())?;
        self.until("another leader", |world| world.leader().is_some())?;
        let failover = self.now.since(killed);
        self.until("the lock without the old leader", |world| world.clients[2].took.is_some())?;
        let outage = self.clients[2].took.unwrap_or_default();
        self.run_for(Duration::from_secs(1))?;
        self.rules.conclude()?;
        Ok(Times { leader, cold, running, failover, outage, idle_air })
    }

    /// Switches a client on.
    fn power_on(&mut self, ids: &[NodeId], seed: u64) -> Result<(), String> {
        let station = Station::new(self.boards.len() + self.clients.len()).ok_or("too many clients")?;
        self.clients.push(Client::new(CLUSTER, ids, station, &self.air, seed, self.now));
        Ok(())
    }

    /// The node that a quorum takes for the leader in its term, itself among them.
    fn leader(&self) -> Option<usize> {
        let on = || self.boards.iter().filter(|board| board.on);
        let status = |board: &Board<'_>| board.node.machine().map(|machine| machine.status());
        self.boards.iter().position(|board| {
            let Some(is) = status(board).filter(|is| board.on && is.role == Role::Leader) else {
                return false;
            };
            let follows = |other: &&Board<'_>| {
                status(other).is_some_and(|other| other.term == is.term && other.leader == Some(board.id))
            };
            on().filter(follows).count() > self.boards.len() / 2
        })
    }

    fn until(&mut self, what: &str, seen: impl Fn(&Self) -> bool) -> Result<(), String> {
        let limit = self.now.after(Duration::from_secs(30));
        while !seen(self) {
            if self.now >= limit {
                return Err(format!("not within 30 s: {what}"));
            }
            self.step(limit)?;
        }
        Ok(())
    }

    fn run_for(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now.after(span);
        while self.now < end {
            self.step(end)?;
        }
        Ok(())
    }

    /// Goes on to the next moment at which something happens.
    fn step(&mut self, end: Instant) -> Result<(), String> {
        let boards = self.boards.iter().filter(|board| board.on).map(|board| board.next);
        let clients = self.clients.iter().map(|client| client.next);
        let next = boards.chain(clients).chain(self.air.deadline()).min().unwrap_or(end);
        self.now = self.now.max(next.min(end));
        let now = self.now;
        self.air.advance(now, |_| {});
        for board in &mut self.boards {
            let called = board.next <= now || self.air.has_received(board.station);
            match board.on {
                true if called => board.turn(now, &mut self.rules)?,
                true => {}
                false => self.air.clear(board.station),
            }
        }
        for client in &mut self.clients {
            if client.next <= now || self.air.has_received(client.station) {
                let before = client.grants.len();
                client.turn(now);
                let new = client.grants[before..].iter();
                new.for_each(|&(token, session)| self.rules.on_acknowledged(client.station, token, session));
            }
        }
        Ok(())
    }
}

impl Board<'_> {
    fn turn(&mut self, now: Instant, rules: &mut Rules) -> Result<(), String> {
        for _ in 0..TURNS {
            let (desk, id) = (&mut self.desk, self.id);
            let tell = |told: Told<'_, Machine>| drop(desk.tell(told));
            let next = self.node.turn(now, tell).map_err(|stopped| format!("{id} stopped: {stopped:?}"))?;
            let served = self.desk.serve(now, &mut self.node);
            if let Some(machine) = self.node.machine() {
                rules.on_status(machine.status());
                rules.on_table(machine.application())?;
            }
            let next = next.unwrap_or_else(|| now.after(Duration::from_secs(1)));
            if !served && next > now {
                self.next = next;
                return Ok(());
            }
        }
        Err(format!("{} never sleeps", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_through_a_leader_s_death_whatever_the_air_does() {
        let delay = Duration::from_millis(3);
        let bad = Conditions { loss: 0.2, corruption: 0.1, delay, ..Conditions::default() };
        for seed in 0..20 {
            run(3, bad.clone(), seed).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        }
    }

    #[test]
    fn the_same_seed_takes_the_same_time() {
        let times = |seed| format!("{:?}", run(5, Conditions { loss: 0.3, ..Conditions::default() }, seed));
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
    }
}
