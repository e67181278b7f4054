//! Processes: they come up from what their disk holds, crash, pause and go on.

use crate::node::{Item, Pace};
use crate::queue::Happening;
use crate::subject::{Answer, Ask, Broken, Check, Subject};
use crate::tally::Fault;
use crate::world::World;
use quorate::{Hosted, Stored};

impl<M: Hosted + 'static, S: Subject<M>> World<M, S> {
    /// Brings a node up from what its disk holds.
    pub(crate) fn restore(&mut self, slot: usize) -> Check {
        let Self { nodes, scene, subject, .. } = self;
        let node = &mut nodes[slot];
        let (now, at) = (scene.queue.now(), scene.at(node.id));
        let snapshots = node.store.snapshots();
        let stored = Stored { records: node.store.records(), snapshots: &snapshots };
        let machine =
            M::restore(&node.settings, scene.rng.bits(), node.clock.read(now), stored).map_err(|fault| {
                Broken::new("a node restores from what its disk holds", format!("{}: {fault}", at.node))
            })?;
        scene.trace.tell(now, || format!("{} comes up", at.node));
        subject.on_restored(at, &machine)?;
        node.machine = Some(machine);
        node.returns = false;
        self.drain(slot)
    }

    pub(crate) fn on_restart(&mut self, node: usize) -> Check {
        if self.nodes[node].is_up() || !self.nodes[node].returns {
            return Ok(());
        }
        if self.scene.rng.below(2) == 0 {
            self.nodes[node].clock = self.scene.fresh_clock();
        }
        self.restore(node)
    }

    /// Crashes a node that comes back after a while.
    pub(crate) fn crash_and_return(&mut self, node: usize) -> Check {
        self.crash(node)?;
        let down = match self.scene.rng.below(4) {
            0 => 1 + self.scene.rng.below(1_000),
            1 | 2 => 1_000 + self.scene.rng.below(300_000),
            _ => 100_000 + self.scene.rng.below(2_000_000),
        };
        self.come_back(node, down);
        Ok(())
    }

    /// Has a node that is down come up after a while.
    pub(crate) fn come_back(&mut self, node: usize, after: u64) {
        self.nodes[node].returns = true;
        self.scene.queue.after(after, Happening::Restart { node: node as u8 });
    }

    /// Crashes a node: it forgets all but what is durable, and perhaps some of what was written and not synced.
    pub(crate) fn crash(&mut self, slot: usize) -> Check {
        let Self { nodes, scene, subject, desk, .. } = self;
        let node = &mut nodes[slot];
        if !node.is_up() {
            return Ok(());
        }
        let unsynced = node.store.unsynced();
        let torn = scene.faults.disk.torn && !scene.faults.disk.lies;
        let kept = if torn { scene.rng.below(unsynced as u64 + 1) as usize } else { 0 };
        let at = scene.at(node.id);
        if kept > 0 {
            subject.on_durable(at, kept)?;
        }
        let lost = node.store.crash(kept);
        scene.hit(Fault::Crash);
        if lost > 0 {
            scene.hit(Fault::RecordsLost);
        }
        if lost > 0 && kept > 0 {
            scene.hit(Fault::TornTail);
        }
        scene.trace.tell(scene.queue.now(), || format!("{} crashes, {lost} records lost", at.node));
        for item in node.die() {
            match item {
                Item::Happening(Happening::Arrival { frame: slot }) => {
                    let frame = scene.network.arrive(slot);
                    scene.network.reuse(slot, frame);
                }
                Item::Happening(_) => {}
                Item::Ask(Ask { tag, .. }) => subject.on_answer(at, tag, Answer::Unreachable, desk)?,
            }
        }
        subject.on_crash(at, desk)
    }

    /// Stops a node where it stands, for a while.
    pub(crate) fn pause(&mut self, slot: usize, span: u64) {
        let node = &mut self.nodes[slot];
        if node.is_up() && node.pace == Pace::Brisk {
            node.pace = Pace::Paused;
            self.scene.trace.tell(self.scene.queue.now(), || format!("{} stands still", node.id));
            self.scene.queue.after(span, Happening::Resume { node: slot as u8, life: node.life });
        }
    }

    /// A pause ends, or a slow node is done with an input.
    pub(crate) fn on_resume(&mut self, slot: usize, life: u32) -> Check {
        let node = &mut self.nodes[slot];
        if node.life != life {
            return Ok(());
        }
        match &mut node.pace {
            Pace::Brisk => Ok(()),
            Pace::Paused => {
                self.scene.trace.tell(self.scene.queue.now(), || format!("{} goes on", node.id));
                self.go_on(slot)
            }
            Pace::Slow { busy, .. } => {
                *busy = false;
                self.take_up_inbox(slot)
            }
        }
    }

    /// Lets a node work at full speed again.
    pub(crate) fn go_on(&mut self, slot: usize) -> Check {
        self.nodes[slot].pace = Pace::Brisk;
        self.take_up_inbox(slot)?;
        self.arm(slot);
        Ok(())
    }

    /// Hands a node what waited for it, in the order in which it came, until it has to wait again.
    fn take_up_inbox(&mut self, slot: usize) -> Check {
        while !self.nodes[slot].keeps_waiting()
            && let Some(item) = self.nodes[slot].inbox.pop_front()
        {
            match item {
                Item::Ask(ask) => self.on_ask(ask)?,
                Item::Happening(Happening::Arrival { frame }) => self.on_arrival(frame)?,
                Item::Happening(Happening::Receipt { node, life }) => self.on_receipt(node.into(), life)?,
                Item::Happening(Happening::Errand { node, life }) => {
                    self.on_errand_done(node.into(), life)?
                }
                Item::Happening(Happening::Poll { node, life }) => self.on_poll_due(node.into(), life)?,
                Item::Happening(other) => unreachable!("{other:?} does not wait for a node"),
            }
        }
        Ok(())
    }
}
