//! What the applications of the nodes do: now, or later.

use super::bank::Seen;
use super::path::Path;
use super::subject::{Asked, Machine, Task, Transfers};
use crate::subject::{Check, Desk};
use quorate::two_phase::Side;
use quorate::two_phase::participant::Request;
use quorate::{NodeId, TxId};
use std::time::Duration;

impl Transfers {
    /// Has an application do something, now or later.
    pub(super) fn put_off(&mut self, node: NodeId, task: Task, desk: &mut Desk<Machine>) -> Check {
        if self.slowness == 0 || desk.rng.below(2) == 0 {
            return self.carry_out(node, task, desk);
        }
        let after = Duration::from_micros(desk.rng.below(self.slowness));
        self.remind(node, task, after, desk);
        Ok(())
    }

    pub(super) fn remind(&mut self, node: NodeId, task: Task, after: Duration, desk: &mut Desk<Machine>) {
        self.numbers += 1;
        let life = self.bank(node).life;
        self.tasks.insert(self.numbers, (node, life, task));
        desk.after(after, self.numbers);
    }

    pub(super) fn carry_out(&mut self, node: NodeId, task: Task, desk: &mut Desk<Machine>) -> Check {
        match task {
            Task::Answer(tx) => {
                let refuses = !self.is_calm && desk.rng.below(40) == 0;
                // Put off in answer to an earlier question, of which nothing is left.
                if self.bank(node).waits(tx) {
                    return Ok(());
                }
                let Some((mut request, seen)) = self.bank(node).answer(tx) else { return Ok(()) };
                if refuses {
                    request = Request::Refuse(tx);
                }
                if matches!(request, Request::Refuse(_)) {
                    self.release(node, tx, desk)?;
                }
                self.say(node, request, seen, desk);
                Ok(())
            }
            Task::GiveUp(tx) if self.bank(node).waits(tx) => {
                self.hit(Path::GaveUp);
                self.say(node, Request::Refuse(tx), Vec::new(), desk);
                self.release(node, tx, desk)
            }
            Task::GiveUp(_) => Ok(()),
            Task::Say(request, seen) => {
                self.say(node, request, seen, desk);
                Ok(())
            }
            Task::Do(tx, work) => {
                if self.bank(node).apply(tx, &work) {
                    self.tale(tx).on_did(tx, node)?;
                }
                self.say(node, Request::Finish(tx), Vec::new(), desk);
                self.release(node, tx, desk)
            }
        }
    }

    pub(super) fn say(&mut self, node: NodeId, request: Request, seen: Vec<Seen>, desk: &mut Desk<Machine>) {
        let life = self.bank(node).life;
        self.ask(node, Asked::Say(life, request, seen), Side::Participant(request), desk);
    }

    pub(super) fn release(&mut self, node: NodeId, tx: TxId, desk: &mut Desk<Machine>) -> Check {
        self.bank(node).release(tx);
        self.look_at_locks(node, desk)
    }

    /// Goes on with those whose turn has come, and wounds those in the way.
    pub(super) fn look_at_locks(&mut self, node: NodeId, desk: &mut Desk<Machine>) -> Check {
        while let Some(tx) = self.bank(node).wounded() {
            self.say(node, Request::Wound(tx), Vec::new(), desk);
        }
        while let Some(tx) = self.bank(node).granted() {
            self.put_off(node, Task::Answer(tx), desk)?;
        }
        Ok(())
    }
}
