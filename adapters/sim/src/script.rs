//! Scripts: schedules told step by step, in a world where nothing goes wrong by itself.

use crate::drive::slot_of;
use crate::faults::Faults;
use crate::network::Fate;
use crate::node::{Fuse, Pace};
use crate::subject::{Ask, Check, Subject};
use crate::world::{CLUSTER, World};
use quorate::{Hosted, Instant, Machine, NodeId, Position, codec};
use std::time::Duration;

/// Whether a message, from the first node to the second, is to be held.
pub(crate) type Hold<M> = Box<dyn for<'m> Fn(NodeId, NodeId, &<M as Machine>::Message<'m>) -> bool>;

/// A schedule told step by step: a network with a latency of a millisecond, honest disks that take a fifth of one,
/// good clocks, and no fault but those that the script asks for. A crash loses all that is not durable.
///
/// The invariants of the subject are checked all the while; every method panics when one is broken.
///
/// ```
/// # #[path = "../examples/register.rs"]
/// # mod register;
/// # use register::{Register, Watch};
/// use quorate::NodeId;
/// use quorate_sim::Script;
/// use std::time::Duration;
///
/// # fn main() {
/// let [a, b, c] = [1, 2, 3].map(NodeId::new);
/// let mut script = Script::<Register, _>::new(3, Watch::default());
/// script.isolate(c);
/// script.ask(a, 1, 42);
/// script.run_for(Duration::from_millis(10));
/// assert_eq!(script.machine(b).value(), 42);
/// assert_eq!(script.machine(c).value(), 0);
/// script.heal();
/// script.ask(b, 2, 43);
/// script.run_for(Duration::from_millis(10));
/// assert_eq!(script.machine(c).value(), 43);
/// # }
/// ```
pub struct Script<M: Hosted, S> {
    world: World<M, S>,
}

impl<M: Hosted + 'static, S: Subject<M>> Script<M, S> {
    /// A script for `nodes` nodes, numbered from 1, which are up.
    pub fn new(nodes: usize, subject: S) -> Self {
        Self::with(0, nodes, Faults::none(), subject)
    }

    /// A script with a seed and with faults of its own.
    pub fn with(seed: u64, nodes: usize, faults: Faults, subject: S) -> Self {
        let mut script = Self { world: World::new(seed, nodes, faults, subject) };
        let started = script.world.start();
        script.expect(started);
        script
    }

    /// Tells every step in words on standard error, for when a script fails.
    pub fn tell(&mut self) {
        self.world.tell_to(std::io::stderr());
    }

    fn expect(&self, check: Check) {
        if let Err(broken) = check {
            panic!("{}", self.world.violation(broken));
        }
    }

    /// The world's time.
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.world.scene.queue.now())
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.world.scene.queue.now() + span.as_micros() as u64;
        while self.step(end) {}
    }

    /// Lets time pass until something is so.
    ///
    /// # Panics
    /// If it is not so within `limit`.
    pub fn run_until(&mut self, limit: Duration, is_so: impl Fn(&Self) -> bool) {
        let end = self.world.scene.queue.now() + limit.as_micros() as u64;
        while !is_so(self) {
            assert!(self.step(end), "it did not come to pass within {limit:?}");
        }
    }

    fn step(&mut self, end: u64) -> bool {
        match self.world.step(end) {
            Ok(more) => more,
            Err(broken) => panic!("{}", self.world.violation(broken)),
        }
    }

    /// Asks a node for something; the subject hears of it by `tag`.
    pub fn ask(&mut self, node: NodeId, tag: u64, request: M::Request) {
        let asked = self.world.on_ask(Ask { node, tag, request }).and_then(|()| self.world.clear_desk());
        self.expect(asked);
    }

    /// Has a node's disk write a snapshot, whose machine hears of it once it is durable.
    pub fn write_snapshot(&mut self, node: NodeId, at: Position, bytes: Vec<u8>) {
        self.world.desk.write_snapshot(node, at, bytes);
        let written = self.world.clear_desk();
        self.expect(written);
    }

    /// The machine of a node.
    ///
    /// # Panics
    /// If the node is down.
    pub fn machine(&self, node: NodeId) -> &M {
        self.world.nodes[slot_of(node)].machine.as_ref().expect("the node is up")
    }

    /// Whether a node is up.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.world.nodes[slot_of(node)].is_up()
    }

    /// The subject.
    pub const fn subject(&self) -> &S {
        &self.world.subject
    }

    /// Loses all messages from one node to another from now on; those under way arrive.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.world.scene.network.set_cut(slot_of(from), slot_of(to), true);
    }

    /// Lets messages through again from one node to another.
    pub fn mend(&mut self, from: NodeId, to: NodeId) {
        self.world.scene.network.set_cut(slot_of(from), slot_of(to), false);
    }

    /// Cuts a node off from all others, in both directions.
    pub fn isolate(&mut self, node: NodeId) {
        for other in self.world.ids.clone() {
            self.cut(node, other);
            self.cut(other, node);
        }
    }

    /// Lets only nodes of the same group hear each other. A node in no group is alone.
    pub fn split(&mut self, groups: &[&[NodeId]]) {
        let ids = self.world.ids.clone();
        let together =
            |a: NodeId, b: NodeId| groups.iter().any(|group| group.contains(&a) && group.contains(&b));
        self.world.scene.network.partition(|from, to| !together(ids[from], ids[to]));
    }

    /// Mends all links.
    pub fn heal(&mut self) {
        self.world.scene.network.partition(|_, _| false);
    }

    /// Holds the messages for which `which` says so, from now on, instead of those named before.
    pub fn hold(&mut self, which: impl for<'m> Fn(NodeId, NodeId, &M::Message<'m>) -> bool + 'static) {
        self.world.hold = Some(Box::new(which));
    }

    /// Holds no more messages from now on; those held stay held.
    pub fn hold_no_more(&mut self) {
        self.world.hold = None;
    }

    /// How many messages are held.
    pub const fn held(&self) -> usize {
        self.world.held.len()
    }

    /// Sends those held messages on their way for which `which` says so, in the order in which they were sent, cut
    /// links or not. Tells how many.
    pub fn release(&mut self, which: impl for<'m> Fn(NodeId, NodeId, &M::Message<'m>) -> bool) -> usize {
        let held = std::mem::take(&mut self.world.held);
        let before = held.len();
        for slot in held {
            if self.is_held_frame(slot, &which) {
                let scene = &mut self.world.scene;
                scene.network.dispatch(
                    slot,
                    Fate::Arrives,
                    &mut scene.queue,
                    &mut scene.rng,
                    &mut scene.tally,
                );
            } else {
                self.world.held.push(slot);
            }
        }
        before - self.world.held.len()
    }

    /// Loses those held messages for which `which` says so.
    pub fn lose(&mut self, which: impl for<'m> Fn(NodeId, NodeId, &M::Message<'m>) -> bool) {
        let held = std::mem::take(&mut self.world.held);
        self.world.held = held.into_iter().filter(|&slot| !self.is_held_frame(slot, &which)).collect();
    }

    fn is_held_frame(
        &mut self,
        slot: u32,
        which: &impl for<'m> Fn(NodeId, NodeId, &M::Message<'m>) -> bool,
    ) -> bool {
        let frame = self.world.scene.network.frame(slot);
        let to = self.world.ids[usize::from(frame.to)];
        let (from, body) = codec::open(&frame.bytes, CLUSTER, to).expect("a held frame is intact");
        which(from, to, &M::take_message(body).expect("a held message decodes"))
    }

    /// Crashes a node: all that is not durable is lost.
    pub fn crash(&mut self, node: NodeId) {
        let crashed = self.world.crash(slot_of(node)).and_then(|()| self.world.clear_desk());
        self.expect(crashed);
    }

    /// How many persistence points a node has passed: each save has one before it is written and one after it, and
    /// each sync one before its receipt comes back.
    pub fn points(&self, node: NodeId) -> u64 {
        self.world.nodes[slot_of(node)].points.passed
    }

    /// Has a node crash at its persistence point of this number, and come back.
    pub fn crash_at(&mut self, node: NodeId, point: u64) {
        self.world.nodes[slot_of(node)].points.fuse = Some(Fuse::Point(point));
    }

    /// Brings a node up from what its disk holds.
    ///
    /// # Panics
    /// If the node is up.
    pub fn restart(&mut self, node: NodeId) {
        assert!(!self.is_up(node), "only a node that is down can be restarted");
        let restored = self.world.restore(slot_of(node)).and_then(|()| self.world.clear_desk());
        self.expect(restored);
    }

    /// Stops a node where it stands. Its disk goes on, and what comes in waits for it.
    pub fn pause(&mut self, node: NodeId) {
        self.world.nodes[slot_of(node)].pace = Pace::Paused;
    }

    /// Lets a node that stands still go on with its old belief.
    pub fn resume(&mut self, node: NodeId) {
        let resumed = self.world.go_on(slot_of(node)).and_then(|()| self.world.clear_desk());
        self.expect(resumed);
    }

    /// Lets no sync of a node begin from now on.
    pub fn hold_syncs(&mut self, node: NodeId) {
        self.world.nodes[slot_of(node)].syncing.held = true;
    }

    /// Lets a node's disk sync again.
    pub fn release_syncs(&mut self, node: NodeId) {
        self.world.nodes[slot_of(node)].syncing.held = false;
        self.world.begin_sync(slot_of(node));
    }
}
