//! The driver: hands inputs to a machine, carries its outputs out, and brings receipts and errands back.

use crate::network::Fate;
use crate::node::{INBOX, Item, JOBS, Node, Pace, Points};
use crate::queue::Happening;
use crate::store::{Job, Store};
use crate::subject::{Answer, Ask, Broken, Check, Subject, Told, holds};
use crate::tally::Fault;
use crate::world::{CLUSTER, Scene, World};
use quorate::codec::{self, Header, Malformed};
use quorate::{ClusterId, Errand, Hosted, Input, NodeId, Output, Write};

/// More outputs than any drain has.
const MOST_OUTPUTS: u32 = 100_000;

/// What came of asking a machine for its next output.
#[derive(PartialEq, Eq)]
enum Polled {
    CarriedOut,
    Nothing,
    Crash(Fault),
}

impl<M: Hosted + 'static, S: Subject<M>> World<M, S> {
    pub(crate) fn on_arrival(&mut self, slot: u32) -> Check {
        let node = usize::from(self.scene.network.frame(slot).to);
        if self.waits(node, Happening::Arrival { frame: slot }) {
            return Ok(());
        }
        let frame = self.scene.network.arrive(slot);
        let outcome = self.deliver(node, &frame.bytes, frame.damaged);
        self.scene.network.reuse(slot, frame);
        if outcome? { self.after_input(node) } else { Ok(()) }
    }

    /// Hands a frame to a machine, if the frame codec lets it through.
    fn deliver(&mut self, node: usize, frame: &[u8], damaged: bool) -> Result<bool, Broken> {
        let Self { nodes, scene, subject, .. } = self;
        let Node { id, machine, clock, .. } = &mut nodes[node];
        let Some(machine) = machine else { return Ok(false) };
        match codec::open(frame, CLUSTER, *id) {
            Ok(_) if damaged => Err(Broken::new("a damaged frame is rejected", format!("{frame:02x?}"))),
            Ok((from, body)) => {
                let message = M::take_message(body)
                    .map_err(|error| Broken::new("a message decodes", format!("{error} in {body:02x?}")))?;
                let now = scene.queue.now();
                scene
                    .trace
                    .tell(now, || format!("{id} <- {from}: {}", subject.tell(Told::Message(&message))));
                subject.on_delivered(scene.at(*id), from, &message)?;
                machine.handle(clock.read(scene.queue.now()), Input::Message { from, message });
                Ok(true)
            }
            Err(Malformed::Cluster(_)) => {
                scene.hit(Fault::ForeignRejected);
                Ok(false)
            }
            Err(Malformed::Addressee(_)) => {
                scene.hit(Fault::StrayRejected);
                Ok(false)
            }
            Err(error) => {
                scene.hit(Fault::DamageRejected);
                holds(damaged, "an intact frame is accepted", || error.to_string())?;
                Ok(false)
            }
        }
    }

    pub(crate) fn on_ask(&mut self, ask: Ask<M>) -> Check {
        let slot = slot_of(ask.node);
        let Self { nodes, scene, subject, desk, .. } = self;
        let node = &mut nodes[slot];
        let at = scene.at(node.id);
        let waits = node.keeps_waiting();
        let Some(machine) = node.machine.as_mut().filter(|_| !waits || node.inbox.len() < INBOX) else {
            return subject.on_answer(at, ask.tag, Answer::Unreachable, desk);
        };
        if waits {
            node.inbox.push_back(Item::Ask(ask));
            return Ok(());
        }
        scene.trace.tell(scene.queue.now(), || {
            format!("{} is asked #{} {}", ask.node, ask.tag, subject.tell(Told::Request(&ask.request)))
        });
        let answer = match machine.request(node.clock.read(scene.queue.now()), ask.request) {
            Ok(ticket) => Answer::Taken(ticket),
            Err(refusal) => Answer::Refused(refusal),
        };
        subject.on_answer(at, ask.tag, answer, desk)?;
        self.after_input(slot)
    }

    /// Whether a wake is for a deadline that stands. One that was overtaken is no event: the deadline has moved on.
    pub(crate) fn is_due(&mut self, slot: usize) -> bool {
        let Self { nodes, scene, .. } = self;
        let node = &mut nodes[slot];
        let now = scene.queue.now();
        if node.wake_at != Some(now) {
            return false;
        }
        node.wake_at = None;
        let deadline = node.machine.as_ref().and_then(M::deadline);
        let Some(deadline) = deadline.filter(|_| node.pace != Pace::Paused) else { return false };
        if node.clock.read(now) >= deadline {
            return true;
        }
        let early = scene.chance(scene.faults.early_wakes);
        if early {
            scene.hit(Fault::WokenEarly);
        } else {
            self.arm(slot);
        }
        early
    }

    pub(crate) fn on_wake(&mut self, slot: usize) -> Check {
        let Node { machine, clock, .. } = &mut self.nodes[slot];
        let Some(machine) = machine else { return Ok(()) };
        machine.handle(clock.read(self.scene.queue.now()), Input::Wake);
        self.after_input(slot)
    }

    /// Puts what happens to a node into its inbox if the node has no time for it. A full inbox drops frames.
    pub(crate) fn waits(&mut self, node: usize, what: Happening) -> bool {
        let Self { nodes, scene, .. } = self;
        let node = &mut nodes[node];
        if !node.keeps_waiting() {
            return false;
        }
        match what {
            Happening::Arrival { frame: slot } if node.inbox.len() >= INBOX => {
                scene.hit(Fault::Overflowed);
                let frame = scene.network.arrive(slot);
                scene.network.reuse(slot, frame);
            }
            _ => node.inbox.push_back(Item::Happening(what)),
        }
        true
    }

    /// A machine took something in: polls it, at once or later.
    pub(crate) fn after_input(&mut self, node: usize) -> Check {
        let Self { nodes, scene, .. } = self;
        let driven = &mut nodes[node];
        if driven.poll_is_due {
            scene.hit(Fault::LazyPoll);
            return Ok(());
        }
        if scene.chance(scene.faults.lazy) {
            scene.put_poll_off(node, driven);
            return Ok(());
        }
        self.drain(node)
    }

    pub(crate) fn on_poll_due(&mut self, node: usize, life: u32) -> Check {
        if self.nodes[node].life != life || self.waits(node, Happening::Poll { node: node as u8, life }) {
            return Ok(());
        }
        self.nodes[node].poll_is_due = false;
        self.drain(node)
    }

    /// Carries out what a machine wants done, up to all of it.
    pub(crate) fn drain(&mut self, node: usize) -> Check {
        let most = match self.scene.chance(self.scene.faults.lazy / 2) {
            true => 1 + self.scene.rng.below(4) as u32,
            false => MOST_OUTPUTS,
        };
        for _ in 0..most {
            match self.carry_out(node)? {
                Polled::CarriedOut => {}
                Polled::Nothing => return self.after_drain(node),
                Polled::Crash(point) => {
                    self.scene.hit(point);
                    return self.crash_and_return(node);
                }
            }
        }
        holds(most < MOST_OUTPUTS, "a poll is drained in bounded time", || "too many outputs".into())?;
        self.scene.hit(Fault::PartialDrain);
        self.scene.put_poll_off(node, &mut self.nodes[node]);
        self.rest(node);
        Ok(())
    }

    fn after_drain(&mut self, node: usize) -> Check {
        self.rest(node);
        let Self { nodes, scene, subject, .. } = self;
        let Node { id, machine, .. } = &nodes[node];
        machine.as_ref().map_or(Ok(()), |machine| subject.after_step(scene.at(*id), machine))
    }

    /// What a driver does when it stops polling: it has the disk sync, sets its alarm, and a slow one takes its time.
    fn rest(&mut self, slot: usize) {
        self.begin_sync(slot);
        self.arm(slot);
        let Node { pace, life, .. } = &mut self.nodes[slot];
        if let Pace::Slow { each, busy } = pace {
            *busy = true;
            self.scene.queue.after(*each, Happening::Resume { node: slot as u8, life: *life });
        }
    }

    /// Carries out the next output of a machine.
    fn carry_out(&mut self, slot: usize) -> Result<Polled, Broken> {
        let Self { nodes, scene, subject, desk, hold, held, .. } = self;
        let Node { id, machine, store, points, jobs, life, .. } = &mut nodes[slot];
        let (now, at) = (scene.queue.now(), scene.at(*id));
        let Some(output) = machine.as_mut().and_then(M::poll) else { return Ok(Polled::Nothing) };
        match output {
            Output::Save(write) => {
                scene
                    .trace
                    .tell(now, || format!("{id} saves {}", subject.tell(Told::Record(write.record()))));
                subject.on_record(at, write.record())?;
                if let Some(point) = scene.save::<M>(write, store, points)? {
                    return Ok(Polled::Crash(point));
                }
            }
            Output::Send { to, message } => {
                scene.trace.tell(now, || format!("{id} -> {to}: {}", subject.tell(Told::Message(&message))));
                subject.on_sent(at, to, &message)?;
                let is_held = hold.as_ref().is_some_and(|hold| hold(*id, to, &message));
                held.extend(scene.send::<M>(slot, slot_of(to), is_held, &message));
            }
            Output::Event(event) => {
                scene.trace.tell(now, || format!("{id} tells {}", subject.tell(Told::Event(&event))));
                if let Some(errand) = M::errand(&event)
                    && jobs.len() < JOBS
                    && !jobs.iter().any(|job| job.is(&errand))
                {
                    let job = match errand {
                        // As drivers do that write one image at a time.
                        Errand::Write { group, .. }
                            if jobs.iter().any(|job| job.is_image_of_another(group))
                                && scene.rng.below(2) == 0 =>
                        {
                            Job::TurnedAway(group)
                        }
                        errand => Job::of(errand),
                    };
                    scene.begin_job(slot, *life, jobs, job);
                }
                subject.on_event(at, event, desk)?;
            }
        }
        Ok(if points.output() { Polled::Crash(Fault::CrashAmongOutputs) } else { Polled::CarriedOut })
    }

    /// Schedules the wake for a machine's deadline, unless one that comes earlier is scheduled.
    pub(crate) fn arm(&mut self, slot: usize) {
        let Self { nodes, scene, .. } = self;
        let node = &mut nodes[slot];
        let Some(deadline) = node.machine.as_ref().and_then(M::deadline) else { return };
        let now = scene.queue.now();
        let mut at = node.clock.when(deadline).max(now + 1);
        if node.wake_at.is_some_and(|scheduled| scheduled <= at) {
            return;
        }
        if !scene.is_calm && scene.chance(scene.faults.early_wakes) {
            at = now + 1 + scene.rng.below(at - now);
        } else if scene.faults.late_wakes > 0 && !scene.is_calm {
            at += scene.rng.below(scene.faults.late_wakes);
            scene.hit(Fault::WokenLate);
        }
        node.wake_at = Some(at);
        scene.queue.at(at, Happening::Wake { node: slot as u8 });
    }
}

impl Scene {
    /// Writes a record. Tells the persistence point at which the node crashes, if it does.
    fn save<M: Hosted>(
        &mut self,
        write: Write<M::Record<'_>>,
        store: &mut Store,
        points: &mut Points,
    ) -> Result<Option<Fault>, Broken> {
        if points.pass() {
            return Ok(Some(Fault::CrashBeforeWrite));
        }
        let (record, claim) = write.split();
        let encode = |log: &mut Vec<u8>| M::put_record(&record, log).expect("a vector is never full");
        let written = store.write(M::group(&record), M::place(&record), claim, encode);
        written.map_err(|gap| Broken::new("pieces of a snapshot are placed in order", gap))?;
        self.trace.note_bytes(store.last_record());
        Ok(points.pass().then_some(Fault::CrashBeforeDurable))
    }

    fn put_poll_off<M: Hosted>(&mut self, slot: usize, node: &mut Node<M>) {
        node.poll_is_due = true;
        let later = 1 + self.rng.below(5_000);
        self.queue.after(later, Happening::Poll { node: slot as u8, life: node.life });
    }

    /// Puts a message into a frame and the frame on its way; or hands the frame back if a script holds it.
    fn send<M: Hosted>(
        &mut self,
        from: usize,
        to: usize,
        held: bool,
        message: &M::Message<'_>,
    ) -> Option<u32> {
        let fate = match held {
            true => Fate::Arrives,
            false => self.network.fate(from, to, &mut self.rng, &mut self.tally),
        };
        if fate == Fate::Lost {
            return None;
        }
        let cluster = if fate == Fate::Foreign { ClusterId::new(CLUSTER.get() + 1) } else { CLUSTER };
        let header = Header { cluster, from: id_of(from), to: id_of(to) };
        let slot = self.network.fresh(from, to);
        let bytes = &mut self.network.frame(slot).bytes;
        codec::seal(bytes, header, |frame| M::put_message(message, frame)).expect("a vector is never full");
        let sum = bytes.last_chunk::<4>().map_or(0, |sum| u32::from_le_bytes(*sum));
        self.trace.note(u64::from(sum));
        if held {
            return Some(slot);
        }
        self.network.dispatch(slot, fate, &mut self.queue, &mut self.rng, &mut self.tally);
        None
    }
}

/// The node in this slot.
pub(crate) const fn id_of(slot: usize) -> NodeId {
    NodeId::new(slot as u64 + 1)
}

/// The slot of a node. A node that is not of the world has none, and indexing by it is a bug of the subject or of
/// the machine that shows at once.
pub(crate) const fn slot_of(id: NodeId) -> usize {
    id.get().wrapping_sub(1) as usize
}
