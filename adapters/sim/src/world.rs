//! The world: nodes, network, disks and clocks, moved on one happening at a time.

use crate::chance::Chance;
use crate::clock::Clock;
use crate::drive::slot_of;
use crate::faults::Faults;
use crate::network::Network;
use crate::node::Node;
use crate::queue::{Happening, Queue};
use crate::store::Job;
use crate::subject::{At, Broken, Check, Desk, Subject, holds};
use crate::tally::{Fault, Tally};
use crate::trace::Trace;
use quorate::{ClusterId, GroupId, Hosted, Instant, NodeId, Position};
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The cluster of every world.
pub(crate) const CLUSTER: ClusterId = ClusterId::new(0x5EED);

/// More steps than any run needs.
const MOST_STEPS: u64 = 20_000_000;

/// How often the liveness phase looks whether all is well, in microseconds.
const CHECK_EVERY: u64 = 100_000;

/// A simulated world for any machine: the same seed, faults and subject give the same run, byte for byte, on every
/// machine and in every build.
///
/// A run has two phases. While the faults go on, the subject checks what must always hold. Then they stop, for all
/// nodes or for a quorum of them, and what must come to pass has to.
///
/// `examples/register.rs` shows a whole machine with its subject. With those, a test of many worlds is:
///
/// ```
/// # #[path = "../examples/register.rs"]
/// # mod register;
/// # use register::{Register, Watch};
/// use quorate_sim::{Faults, World};
///
/// # fn main() {
/// for seed in 0..20 {
///     let mut world = World::<Register, _>::drawn(seed, 3, Watch::default());
///     let report = world.run().expect("no invariant is broken");
///     assert!(report.events > 0);
/// }
/// # }
/// ```
pub struct World<M: Hosted, S> {
    pub(crate) nodes: Vec<Node<M>>,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) subject: S,
    pub(crate) desk: Desk<M>,
    pub(crate) scene: Scene,
    pub(crate) hold: Option<crate::script::Hold<M>>,
    pub(crate) held: Vec<u32>,
}

/// Everything around the nodes.
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) rng: Chance,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    pub(crate) is_calm: bool,
    /// The partition that is on; a change scheduled for an earlier one is void.
    pub(crate) partition: u32,
}

impl Scene {
    pub(crate) fn at(&self, node: NodeId) -> At {
        At { now: Instant::from_micros(self.queue.now()), node }
    }

    pub(crate) fn hit(&mut self, fault: Fault) {
        self.tally.hit(fault as usize);
    }

    /// Whether something of this likelihood happens. Draws nothing for what never does.
    pub(crate) fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.rng.below(1_000_000) < u64::from(millionths)
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many things happened.
    pub events: u64,
    /// Simulated time.
    pub simulated: std::time::Duration,
    /// How often each [`Fault`] happened.
    pub faults: Tally,
    /// How often each rare path of the subject was reached.
    pub paths: Tally,
    /// A hash of everything that happened: equal for equal runs.
    pub digest: u64,
}

/// An invariant that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen instead.
    pub detail: String,
    /// The seed of the run.
    pub seed: u64,
    /// The step at which it broke.
    pub step: u64,
    /// The simulated time at which it broke.
    pub now: Instant,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, detail, seed, step, now } = self;
        write!(
            f,
            "violated: {invariant}\n  seen: {detail}\n  seed {seed}, step {step}, after {} us",
            now.as_micros()
        )
    }
}

impl std::error::Error for Violation {}

impl<M: Hosted + 'static, S: Subject<M>> World<M, S> {
    /// A world of `nodes` nodes, numbered from 1, with the faults that the seed draws.
    ///
    /// # Panics
    /// If there are no nodes or more than 64.
    pub fn drawn(seed: u64, nodes: usize, subject: S) -> Self {
        Self::new(seed, nodes, Faults::drawn(&mut Chance::seeded(seed)), subject)
    }

    /// A world of `nodes` nodes, numbered from 1, with these faults.
    ///
    /// # Panics
    /// If there are no nodes or more than 64.
    pub fn new(seed: u64, nodes: usize, faults: Faults, subject: S) -> Self {
        Self::decided_by(Chance::seeded(seed ^ 0x0051_3A71), seed, nodes, faults, subject)
    }

    /// A world of `nodes` nodes, numbered from 1, with these faults, whose course is decided by `chance` until the faults
    /// stop: a tape decides what goes wrong and when, but not what must come to pass afterwards. A violation names `seed`.
    ///
    /// ```
    /// # #[path = "../examples/register.rs"]
    /// # mod register;
    /// # use register::{Register, Watch};
    /// use quorate_sim::{Chance, Faults, World};
    ///
    /// # fn main() {
    /// let mut chance = Chance::taped(7, b"bytes that a fuzzer made up".to_vec());
    /// let faults = Faults::drawn(&mut chance);
    /// let mut world = World::<Register, _>::decided_by(chance, 7, 3, faults, Watch::default());
    /// world.run().expect("no invariant is broken");
    /// # }
    /// ```
    ///
    /// # Panics
    /// If there are no nodes or more than 64.
    pub fn decided_by(mut chance: Chance, seed: u64, nodes: usize, faults: Faults, subject: S) -> Self {
        assert!((1..=64).contains(&nodes), "a world has 1 to 64 nodes");
        let ids: Vec<NodeId> = (1..=nodes as u64).map(NodeId::new).collect();
        let network = Network::new(nodes, &faults.weather, &mut chance);
        let desk = Desk::new(chance.split());
        let tally = Tally::of(Fault::NAMES);
        let mut scene = Scene {
            seed,
            faults,
            rng: chance,
            queue: Queue::default(),
            network,
            tally,
            trace: Trace::default(),
            is_calm: false,
            partition: 0,
        };
        let nodes = ids.iter().map(|&id| Node::new(id, subject.settings(id, &ids), scene.fresh_clock()));
        Self { nodes: nodes.collect(), ids, subject, desk, scene, hold: None, held: Vec::new() }
    }

    /// Tells every step in words to `sink`.
    pub fn tell_to(&mut self, sink: impl Write + Send + 'static) {
        self.scene.trace.tell_to(Box::new(sink));
    }

    /// Runs both phases. A panic of the machine is a violation like any other.
    ///
    /// # Errors
    /// An invariant is broken, or the liveness phase waits for something in vain.
    pub fn run(&mut self) -> Result<Report, Violation> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.through()));
        let check = outcome.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Broken::new("nothing panics", text.unwrap_or_default()))
        });
        check.map_err(|broken| self.violation(broken))?;
        Ok(self.report())
    }

    /// What the run came to so far.
    pub fn report(&self) -> Report {
        Report {
            events: self.scene.trace.steps(),
            simulated: std::time::Duration::from_micros(self.scene.queue.now()),
            faults: self.scene.tally.clone(),
            paths: self.subject.tally(),
            digest: self.scene.trace.digest(),
        }
    }

    /// The subject, to look at after a run.
    pub const fn subject(&self) -> &S {
        &self.subject
    }

    pub(crate) fn violation(&self, broken: Broken) -> Violation {
        Violation {
            invariant: broken.invariant,
            detail: broken.detail,
            seed: self.scene.seed,
            step: self.scene.trace.steps(),
            now: Instant::from_micros(self.scene.queue.now()),
        }
    }

    fn through(&mut self) -> Check {
        self.start()?;
        self.subject.on_work(&mut self.desk);
        self.clear_desk()?;
        if !self.scene.faults.troubles.is_empty() {
            self.scene.queue.after(100_000, Happening::Nemesis);
        }
        let end = self.scene.faults.duration.as_micros() as u64;
        while self.step(end)? {}
        self.calm_down()?;
        self.live(self.scene.queue.now() + self.subject.patience().as_micros() as u64)
    }

    /// Brings all nodes up.
    pub(crate) fn start(&mut self) -> Check {
        self.subject.on_start(&self.ids);
        for node in 0..self.nodes.len() {
            self.restore(node)?;
        }
        self.clear_desk()
    }

    /// The liveness phase: goes on until nothing is waited for.
    fn live(&mut self, limit: u64) -> Check {
        loop {
            self.scene.queue.after(CHECK_EVERY, Happening::Check);
            let due = self.scene.queue.now() + CHECK_EVERY;
            while self.step(due)? {}
            // A disk that stands still since before is a fault that has not stopped.
            if self.nodes.iter().any(|node| node.syncing.stalled_until >= due) {
                continue;
            }
            let up = self.nodes.iter().filter_map(|node| Some((node.id, node.machine.as_ref()?)));
            let up: Vec<(NodeId, &M)> = up.collect();
            let now = Instant::from_micros(self.scene.queue.now());
            let Some(missing) = self.subject.waits_for(now, &up, &mut self.desk)? else { return Ok(()) };
            self.clear_desk()?;
            holds(due <= limit, "when the faults stop, what must come to pass does", || missing)?;
        }
    }

    /// Lets the next thing happen, if it happens by `limit`.
    pub(crate) fn step(&mut self, limit: u64) -> Result<bool, Broken> {
        let Some(what) = self.scene.queue.next(limit) else { return Ok(false) };
        if let Happening::Wake { node } = what
            && !self.is_due(node.into())
        {
            return Ok(true);
        }
        self.scene.trace.step(self.scene.queue.now());
        holds(self.scene.trace.steps() < MOST_STEPS, "a run comes to an end", || "too many steps".into())?;
        self.happen(what)?;
        self.clear_desk()?;
        Ok(true)
    }

    fn happen(&mut self, what: Happening) -> Check {
        match what {
            Happening::Arrival { frame } => self.on_arrival(frame),
            Happening::Wake { node } => self.on_wake(node.into()),
            Happening::Poll { node, life } => self.on_poll_due(node.into(), life),
            Happening::Synced { node, life, upto } => self.on_synced(node.into(), life, upto),
            Happening::Receipt { node, life } => self.on_receipt(node.into(), life),
            Happening::Errand { node, life } => self.on_errand_done(node.into(), life),
            Happening::Resume { node, life } => self.on_resume(node.into(), life),
            Happening::Restart { node } => self.on_restart(node.into()),
            Happening::Storm { left } => self.on_storm(left),
            Happening::Timer { timer } => {
                let now = Instant::from_micros(self.scene.queue.now());
                self.subject.on_timer(now, timer, &mut self.desk)
            }
            Happening::Nemesis => self.on_nemesis(),
            Happening::Partition { generation, flaps } => {
                self.on_partition_change(generation, flaps);
                Ok(())
            }
            Happening::Unclog { link } => {
                self.scene.network.unclog(link, &mut self.scene.queue);
                Ok(())
            }
            Happening::Check => Ok(()),
        }
    }

    /// Does what the subject wants done, and what it wants done about that.
    pub(crate) fn clear_desk(&mut self) -> Check {
        loop {
            for (after, timer) in self.desk.timers.drain(..) {
                self.scene.queue.after(after, Happening::Timer { timer });
            }
            while let Some((node, at, bytes)) = self.desk.images.pop() {
                self.write_image(slot_of(node), at, bytes);
            }
            let Some(ask) = self.desk.asks.pop_front() else { return Ok(()) };
            self.on_ask(ask)?;
        }
    }
}

impl<M: Hosted, S> World<M, S> {
    /// Has a node's disk write an image, one at a time, and none before the machine has said what follows from the
    /// last one: what is written then is not meant by a restart that comes later.
    fn write_image(&mut self, slot: usize, at: Position, bytes: Vec<u8>) {
        let Node { machine, life, jobs, poll_is_due, .. } = &mut self.nodes[slot];
        let writes = jobs.iter().any(|job| matches!(job, Job::Write { .. } | Job::Written(_)));
        if machine.is_some() && !writes && !*poll_is_due {
            self.scene.begin_job(slot, *life, jobs, Job::Write { group: GroupId::default(), at, bytes });
        }
    }
}

impl Scene {
    /// The clock of a process that starts: with an epoch and a rate of its own.
    pub(crate) fn fresh_clock(&mut self) -> Clock {
        let bound = self.faults.drift;
        let drift = self.rng.below(u64::from(bound) * 2 + 1) as i32 - bound as i32;
        if drift != 0 {
            self.hit(Fault::ClockDrifted);
        }
        Clock::new(self.queue.now(), self.rng.below(1_000_000_000), drift)
    }
}
