//! Trouble: what happens to whom, and how it ends.

use crate::drive::{id_of, slot_of};
use crate::faults::Trouble;
use crate::node::{Fuse, Pace};
use crate::queue::Happening;
use crate::subject::{Check, Subject};
use crate::tally::Fault;
use crate::world::World;
use quorate::{Hosted, Instant};

impl<M: Hosted + 'static, S: Subject<M>> World<M, S> {
    pub(crate) fn on_nemesis(&mut self) -> Check {
        if self.scene.is_calm {
            return Ok(());
        }
        let after = self.scene.faults.pause.draw(&mut self.scene.rng);
        self.scene.queue.after(after, Happening::Nemesis);
        let troubles = self.scene.faults.troubles.len() as u64;
        let trouble = self.scene.faults.troubles[self.scene.rng.below(troubles) as usize];
        let victim = self.victim();
        self.scene.trace.tell(self.scene.queue.now(), || format!("trouble: {trouble:?}, {}", id_of(victim)));
        self.strike(trouble, victim)
    }

    /// A node: in two of five cases the one that hurts most.
    fn victim(&mut self) -> usize {
        let favourite = self.subject.favourite().filter(|_| self.scene.rng.below(5) < 2);
        favourite.map_or_else(|| self.any_node(), slot_of)
    }

    fn any_node(&mut self) -> usize {
        self.scene.rng.below(self.nodes.len() as u64) as usize
    }

    fn strike(&mut self, trouble: Trouble, victim: usize) -> Check {
        match trouble {
            Trouble::Crash => self.light_fuse(victim),
            Trouble::RestartStorm => {
                self.scene.hit(Fault::RestartStorm);
                let left = 3 + self.scene.rng.below(8) as u8;
                self.on_storm(left)
            }
            Trouble::RestartAll => {
                self.scene.hit(Fault::RestartAll);
                for node in 0..self.nodes.len() {
                    self.crash(node)?;
                    let down = 1 + self.scene.rng.below(500_000);
                    self.come_back(node, down);
                }
                Ok(())
            }
            Trouble::Pause => {
                self.scene.hit(Fault::Paused);
                let span = 10_000 + self.scene.rng.below(3_000_000);
                self.pause(victim, span);
                Ok(())
            }
            Trouble::Slow => self.slow(victim),
            Trouble::Stall => {
                self.scene.hit(Fault::Stalled);
                let until = self.scene.queue.now() + 100_000 + self.scene.rng.below(4_000_000);
                self.nodes[victim].syncing.stalled_until = until;
                Ok(())
            }
            Trouble::ClockJump => {
                self.scene.hit(Fault::ClockJumped);
                let (now, back) = (self.scene.queue.now(), self.scene.rng.below(500_000));
                self.nodes[victim].clock.jump_back(now, back);
                self.nodes[victim].wake_at = None;
                self.arm(victim);
                Ok(())
            }
            Trouble::Clog => {
                self.scene.hit(Fault::Clogged);
                let other = self.any_node();
                let link = self.scene.network.clog(victim, other);
                let span = 10_000 + self.scene.rng.below(2_000_000);
                self.scene.queue.after(span, Happening::Unclog { link });
                Ok(())
            }
            Trouble::Split | Trouble::OneWay | Trouble::Bridge | Trouble::Flapping | Trouble::QuorumLoss => {
                self.partition(trouble, victim);
                Ok(())
            }
        }
    }

    /// Has a node crash: now, at one of its next persistence points, or among the outputs of a drain.
    fn light_fuse(&mut self, victim: usize) -> Check {
        let rng = &mut self.scene.rng;
        let points = &mut self.nodes[victim].points;
        match rng.below(4) {
            0 => return self.crash_and_return(victim),
            1 => points.fuse = Some(Fuse::Outputs(1 + rng.below(6) as u32)),
            _ => points.fuse = Some(Fuse::Point(points.passed + 1 + rng.below(6))),
        }
        Ok(())
    }

    /// Crashes a node that is back in no time, and soon another.
    pub(crate) fn on_storm(&mut self, left: u8) -> Check {
        if self.scene.is_calm || left == 0 {
            return Ok(());
        }
        let victim = self.any_node();
        self.crash(victim)?;
        let down = 1 + self.scene.rng.below(20_000);
        self.come_back(victim, down);
        let next = 1 + self.scene.rng.below(60_000);
        self.scene.queue.after(next, Happening::Storm { left: left - 1 });
        Ok(())
    }

    fn slow(&mut self, victim: usize) -> Check {
        match self.nodes[victim].pace {
            // A slow node that is struck again is cured.
            Pace::Slow { .. } => self.go_on(victim),
            Pace::Brisk => {
                self.scene.hit(Fault::Slowed);
                let each = 500 + self.scene.rng.below(20_000);
                self.nodes[victim].pace = Pace::Slow { each, busy: false };
                Ok(())
            }
            Pace::Paused => Ok(()),
        }
    }

    fn partition(&mut self, trouble: Trouble, victim: usize) {
        let sides = self.scene.rng.bits();
        let side = |node: usize| sides >> node & 1;
        let network = &mut self.scene.network;
        let mut flaps = 0;
        let fault = match trouble {
            Trouble::OneWay => {
                let mute = sides & 1 == 0;
                network.partition(|from, to| if mute { from == victim } else { to == victim });
                Fault::OneWay
            }
            Trouble::Bridge => {
                network.partition(|from, to| from != victim && to != victim && side(from) != side(to));
                Fault::Bridge
            }
            Trouble::QuorumLoss => {
                // Each for itself, or in pairs where pairs are no majority.
                let together = usize::from(sides & 1 == 0 && self.nodes.len() > 4);
                network.partition(|from, to| from >> together != to >> together);
                Fault::QuorumLost
            }
            Trouble::Flapping => {
                network.partition(|from, to| from == victim || to == victim);
                flaps = 2 * (2 + (sides % 8) as u8);
                Fault::Flapping
            }
            _ => {
                network.partition(|from, to| side(from) != side(to));
                Fault::Split
            }
        };
        self.scene.hit(fault);
        self.scene.partition += 1;
        let lasts =
            if flaps > 0 { 20_000 + self.scene.rng.below(150_000) } else { self.scene.rng.below(3_000_000) };
        self.scene.queue.after(lasts, Happening::Partition { generation: self.scene.partition, flaps });
    }

    /// A partition ends; one that flaps starts again a few times, around the favourite of the moment.
    pub(crate) fn on_partition_change(&mut self, generation: u32, flaps: u8) {
        if generation != self.scene.partition || self.scene.is_calm {
            return;
        }
        let cut = flaps > 0 && flaps % 2 == 1;
        let victim = if cut { self.victim() } else { usize::MAX };
        self.scene.network.partition(|from, to| from == victim || to == victim);
        if let Some(flaps) = flaps.checked_sub(1) {
            let lasts = 20_000 + self.scene.rng.below(150_000);
            self.scene.queue.after(lasts, Happening::Partition { generation, flaps });
        }
    }

    /// The faults stop: everything is mended, and all nodes come up, or all but a minority that stays down.
    pub(crate) fn calm_down(&mut self) -> Check {
        self.scene.is_calm = true;
        self.scene.rng.end_tape();
        self.desk.rng.end_tape();
        self.scene.faults.lazy = 0;
        self.scene.network.calm(&mut self.scene.queue);
        self.scene.trace.tell(self.scene.queue.now(), || "the faults stop".into());
        let count = self.nodes.len();
        let down = if self.scene.faults.minority_stays_down { (count - 1) / 2 } else { 0 };
        let first = self.any_node();
        let stays_down = |node: usize| (node + count - first) % count < down;
        for node in 0..count {
            if stays_down(node) {
                self.crash(node)?;
                self.nodes[node].returns = false;
                continue;
            }
            self.nodes[node].points.fuse = None;
            if self.nodes[node].is_up() {
                self.go_on(node)?;
            } else {
                self.come_back(node, 1);
            }
        }
        let healthy: Vec<_> = (0..count).filter(|&node| !stays_down(node)).map(id_of).collect();
        self.subject.on_calm(Instant::from_micros(self.scene.queue.now()), &healthy, &mut self.desk);
        self.clear_desk()
    }
}
