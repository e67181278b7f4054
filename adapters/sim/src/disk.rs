//! What disks do in their own time: syncs, receipts, errands.

use crate::node::Node;
use crate::queue::Happening;
use crate::store::Job;
use crate::subject::{Broken, Check, Subject};
use crate::tally::Fault;
use crate::world::{Scene, World};
use quorate::{Done, Hosted, Input};
use std::collections::VecDeque;

impl<M: Hosted + 'static, S: Subject<M>> World<M, S> {
    /// Starts a sync if something is unsynced and the disk is free for it.
    pub(crate) fn begin_sync(&mut self, node: usize) {
        let Self { nodes, scene, .. } = self;
        let Node { store, syncing, life, .. } = &mut nodes[node];
        let disk = scene.faults.disk;
        if store.issued() <= syncing.upto || syncing.held || (syncing.running > 0 && !disk.overlapped) {
            return;
        }
        if syncing.running > 0 {
            scene.hit(Fault::SyncsOverlapped);
        }
        syncing.running += 1;
        syncing.upto = store.issued();
        let takes = disk.sync.draw(&mut scene.rng);
        let ends = scene.queue.now().max(syncing.stalled_until) + takes;
        scene.queue.at(ends, Happening::Synced { node: node as u8, life: *life, upto: syncing.upto });
    }

    pub(crate) fn on_synced(&mut self, slot: usize, life: u32, upto: u64) -> Check {
        let Self { nodes, scene, subject, .. } = self;
        let node = &mut nodes[slot];
        if node.life != life {
            return Ok(());
        }
        let disk = scene.faults.disk;
        node.syncing.running -= 1;
        if !scene.is_calm && scene.chance(disk.fail) {
            scene.hit(Fault::SyncFailed);
            scene.trace.tell(scene.queue.now(), || format!("{} fails to sync", node.id));
            return self.crash_and_return(slot);
        }
        let upto = if disk.batched { node.store.issued() } else { upto };
        node.syncing.upto = node.syncing.upto.max(upto);
        if !disk.lies {
            let count = node.store.sync(upto);
            if count > 1 {
                scene.hit(Fault::SyncBatched);
            }
            subject.on_durable(scene.at(node.id), count)?;
        }
        if node.points.pass() {
            scene.hit(Fault::CrashBeforeReceipt);
            return self.crash_and_return(slot);
        }
        for receipt in node.store.receipts(upto) {
            node.receipts.push_back(receipt);
            let later = disk.receipt.draw(&mut scene.rng);
            if later > 0 {
                scene.hit(Fault::ReceiptDelayed);
            }
            scene.queue.after(later, Happening::Receipt { node: slot as u8, life });
        }
        self.begin_sync(slot);
        Ok(())
    }

    pub(crate) fn on_receipt(&mut self, node: usize, life: u32) -> Check {
        if self.nodes[node].life != life || self.waits(node, Happening::Receipt { node: node as u8, life }) {
            return Ok(());
        }
        let Node { machine, receipts, clock, .. } = &mut self.nodes[node];
        let (Some(machine), Some(receipt)) = (machine, receipts.pop_front()) else { return Ok(()) };
        machine.handle(clock.read(self.scene.queue.now()), Input::Saved(receipt));
        self.after_input(node)
    }

    /// The disk is done with an errand; a snapshot that was written is durable before its machine hears of it.
    pub(crate) fn on_errand_done(&mut self, slot: usize, life: u32) -> Check {
        let written = matches!(self.nodes[slot].jobs.front(), Some(Job::Write { .. }));
        let again = Happening::Errand { node: slot as u8, life };
        if self.nodes[slot].life != life || (!written && self.waits(slot, again)) {
            return Ok(());
        }
        let Self { nodes, scene, subject, .. } = self;
        let Node { id, machine: Some(machine), jobs, store, clock, .. } = &mut nodes[slot] else {
            return Ok(());
        };
        let Some(job) = jobs.pop_front() else { return Ok(()) };
        let now = clock.read(scene.queue.now());
        let outcome = match job {
            Job::Write { group, at, bytes } => {
                let id = store.add_snapshot(group, at, bytes);
                scene.begin_job(slot, life, jobs, Job::Written(id));
                return Ok(());
            }
            Job::Written(id) => machine.finish(now, Done::Written(id)),
            Job::TurnedAway(group) => machine.finish(now, Done::TurnedAway(group)),
            Job::Read { to, of, offset, len } => {
                let from = offset as usize;
                let Some(bytes) = store.snapshot(of).and_then(|all| all.get(from..from + len)) else {
                    return Ok(());
                };
                machine.finish(now, Done::Read { to, of, offset, bytes })
            }
            Job::Load { of } => {
                let Some(bytes) = store.snapshot(of) else { return Ok(()) };
                subject.on_load(scene.at(*id), of, bytes)?;
                machine.finish(now, Done::Loaded { of, bytes })
            }
        };
        outcome.map_err(|fault| Broken::new("a snapshot that was stored can be used", fault))?;
        self.after_input(slot)
    }
}

impl Scene {
    /// Has the disk begin a job.
    pub(crate) fn begin_job(&mut self, slot: usize, life: u32, jobs: &mut VecDeque<Job>, job: Job) {
        jobs.push_back(job);
        let takes = self.faults.disk.sync.draw(&mut self.rng);
        self.queue.after(takes, Happening::Errand { node: slot as u8, life });
    }
}
