//! Who rests, and what wakes them: see the module above for why it is safe.

use super::{Groups, Member, Rest, Resting};
use crate::{Batch, Input, Instant, NodeId};
use core::time::Duration;

/// How many beats in a row may say that fewer groups rest there than here, as they do while a message that wakes one is
/// on its way, or was lost and is sent again.
const AMISS_MOST: u32 = 4;

/// For how long a leader keeps still so that another can be elected.
pub(super) const OFFER_MICROS: u64 = 300_000;

/// How long a leader waits after it wanted another to lead, before it wants it again.
const OFFER_PAUSE_MICROS: u64 = 10_000_000;

/// How a group stands to resting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stance {
    /// There is something to do, or there may be.
    Awake,
    /// This node leads, and has seen nothing to do in this state since then.
    Calm { rest: Rest, since: Instant },
    /// The leader said that it rests in this state. If it is the same here, so does this node; or another leads.
    Asked { rest: Rest, heir: Option<NodeId> },
    /// Its clock stands still since then. A leader may want another to lead.
    Resting { rest: Rest, since: Instant, heir: Option<NodeId> },
}

impl<M: Member> Groups<M> {
    /// A group has nothing to do for now: it may be that it rests.
    pub(super) fn consider_rest(&mut self, at: usize) {
        let (id, now, grace) = (self.id, self.now, self.limits.grace_micros);
        let Some(group) = self.groups.get_mut(at) else { return };
        if let Stance::Resting { rest, heir, .. } = group.stance {
            // Once it leads no more, it is as awake as the others.
            if heir.is_some() && group.machine.rest(&|_| true) != Some(rest) {
                self.thaw(at);
            }
            return;
        }
        let (peers, absence) = (&self.peers, self.limits.absence_micros());
        let absent = |node| peers.iter().any(|peer| peer.id == node && peer.is_absent(now, absence));
        let rest = group.machine.rest(&absent);
        let stance = core::mem::replace(&mut group.stance, Stance::Awake);
        match (rest, stance) {
            (Some(rest), Stance::Asked { rest: asked, heir }) if rest == asked => match heir {
                Some(heir) => self.hurry(at, heir),
                None => self.freeze(at, rest, 0, None),
            },
            (Some(rest), Stance::Calm { rest: before, since }) if rest == before => {
                let without =
                    group.voters().filter(|&(_, node)| absent(node)).fold(0, |all, (bit, _)| all | bit);
                // An answer that is still to come would wake it at once.
                let all_answered = group.unanswered & !without == 0;
                if now >= since.after_micros(grace) && all_answered && group.machine.may_stop() {
                    let heir = group.heir(without).filter(|_| group.offer <= now);
                    self.freeze(at, rest, without, heir);
                } else {
                    group.stance = stance;
                }
            }
            (Some(rest), Stance::Awake | Stance::Calm { .. }) if rest.leader == id => {
                group.stance = Stance::Calm { rest, since: now };
            }
            (Some(_) | None, _) => {}
        }
    }

    /// Stops the clock of a group.
    fn freeze(&mut self, at: usize, rest: Rest, without: u64, heir: Option<NodeId>) {
        let Some(group) = self.groups.get_mut(at) else { return };
        group.stance = Stance::Resting { rest, since: self.now, heir };
        // Those who are to elect another are not told to rest.
        group.without = if heir.is_some() { u64::MAX } else { without };
        if heir.is_some() {
            group.offer = self.now.after_micros(OFFER_PAUSE_MICROS);
        }
        group.machine.shrink();
        if self.resting == 0 {
            self.beat = self.now.after_micros(self.limits.beat_micros);
        }
        self.resting += 1;
        for peer in self.peers.iter_mut() {
            let bit = group.bit(peer.id) & !without;
            if rest.leader == peer.id {
                peer.led += 1;
            } else if rest.leader == self.id && bit != 0 {
                peer.leads += usize::from(heir.is_none());
                if group.owed & bit == 0 {
                    group.owed |= bit;
                    peer.owed.push(at); // each group once
                }
            }
        }
        self.words = true;
    }

    /// Whether this node leads a group, and keeps still so that another is elected.
    pub(super) fn is_offering(&self, at: usize) -> bool {
        let group = self.groups.get(at);
        group.is_some_and(|group| matches!(group.stance, Stance::Resting { heir: Some(_), .. }))
    }

    /// Another node is to lead: its election timer is over at once, and the others hold on to the leader that was no longer.
    /// All that happens is that time passes.
    fn hurry(&mut self, at: usize, heir: NodeId) {
        let (id, now) = (self.id, self.now);
        let Some(group) = self.groups.get_mut(at) else { return };
        let machine = &group.machine;
        let until = if heir == id { machine.deadline() } else { machine.holds_on() };
        let left = until.map_or(Duration::ZERO, |until| until.since(group.time(now)));
        group.ahead_micros += crate::time::micros(left);
        let time = group.time(now);
        group.machine.handle(time, Input::Wake);
        self.queue(at);
    }

    /// The clock of a group goes on from where it stopped.
    pub(super) fn thaw(&mut self, at: usize) {
        let Some(group) = self.groups.get_mut(at) else { return };
        let Stance::Resting { rest, since, .. } = group.stance else { return };
        group.stance = Stance::Awake;
        group.stood_micros += crate::time::micros(self.now.since(since));
        self.resting -= 1;
        for peer in self.peers.iter_mut() {
            if rest.leader == peer.id {
                peer.led -= 1;
            } else if rest.leader == self.id {
                peer.leads -= usize::from(group.bit(peer.id) & !group.without != 0);
            }
        }
        self.queue(at);
    }

    /// Something is sent to a node, which may or may not answer.
    pub(super) fn note_told(&mut self, to: NodeId) {
        let now = self.now;
        if let Ok(at) = self.peers.binary_search_by_key(&to, |peer| peer.id)
            && let Some(peer) = self.peers.get_mut(at)
        {
            peer.silent = peer.silent.or(Some(now));
        }
    }

    /// A node said something. Tells which of the peers it is.
    pub(super) fn find_present(&mut self, from: NodeId) -> Option<usize> {
        let at = self.peers.binary_search_by_key(&from, |peer| peer.id).ok()?;
        let peer = self.peers.get_mut(at)?;
        let was_absent = peer.is_absent(self.now, self.limits.absence_micros());
        peer.silent = None;
        if was_absent {
            // It is not where the others are, and may even believe that it leads.
            self.thaw_if(|group, _| group.without & group.bit(from) != 0);
        }
        Some(at)
    }

    /// Wakes the groups that rest and of which `is` says so, given the group and its leader.
    fn thaw_if(&mut self, is: impl Fn(&super::Group<M>, NodeId) -> bool) {
        for at in 0..self.groups.len() {
            let Some(group) = self.groups.get(at) else { return };
            if let Stance::Resting { rest, .. } = group.stance
                && is(group, rest.leader)
            {
                self.thaw(at);
            }
        }
    }

    /// Time passed: beats may be due, and a leader's node may have been silent for too long.
    pub(super) fn on_time(&mut self) {
        if self.resting == 0 {
            return;
        }
        if self.now >= self.beat {
            self.beat = self.now.after_micros(self.limits.beat_micros);
            self.words = true;
            self.peers.iter_mut().for_each(|peer| peer.beat = peer.leads > 0);
        }
        for at in 0..self.peers.len() {
            let Some(peer) = self.peers.get(at) else { return };
            let (id, silent) = (peer.id, self.now >= peer.heard.after_micros(self.limits.silence_micros));
            if peer.led > 0 && silent {
                self.thaw_if(|_, leader| leader == id);
            }
        }
    }

    /// When the next beat is due.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        (self.resting > 0 && self.peers.iter().any(|peer| peer.leads > 0)).then_some(self.beat)
    }

    /// When a leader's node will have been silent for too long.
    pub(super) fn next_silence(&self) -> Option<Instant> {
        let leaders = self.peers.iter().filter(|peer| peer.led > 0);
        leaders.map(|peer| peer.heard.after_micros(self.limits.silence_micros)).min()
    }

    /// A node lives that speaks for its groups. Tells which of the peers it is.
    fn hear(&mut self, from: NodeId, life: u64) -> Option<usize> {
        let found = self.find_present(from);
        let Some(peer) = found.and_then(|at| self.peers.get_mut(at)) else {
            self.counters.strangers += 1;
            return None;
        };
        peer.heard = self.now;
        let before = peer.life.replace(life);
        if before.is_some_and(|before| before != life) {
            // What it led it leads no more, and where it followed it knows nobody.
            let id = self.id;
            self.thaw_if(|group, leader| leader == from || leader == id && group.bit(from) != 0);
        }
        found
    }

    pub(super) fn on_beat(&mut self, from: NodeId, life: u64, resting: u64) {
        let Some(peer) = self.hear(from, life).and_then(|at| self.peers.get_mut(at)) else { return };
        if resting >= peer.led as u64 {
            peer.amiss = 0;
            return;
        }
        peer.amiss += 1;
        if peer.amiss > AMISS_MOST {
            peer.amiss = 0;
            self.thaw_if(|_, leader| leader == from);
        }
    }

    /// The leader of these groups says that they rest.
    pub(super) fn on_rest(&mut self, from: NodeId, life: u64, groups: Batch<'_, Resting>) {
        if self.hear(from, life).is_none() {
            return;
        }
        groups.for_each(|&Resting { group, term, last, heir }| {
            let Some(at) = self.place(group) else {
                self.counters.not_hosted += 1;
                return;
            };
            let asked = Rest { leader: from, term, last };
            let Some(group) = self.groups.get_mut(at) else { return };
            match group.stance {
                Stance::Resting { rest, .. } if rest == asked && heir.is_none() => {}
                // Of two that claim to lead, one is wrong.
                Stance::Resting { .. } => self.thaw(at),
                Stance::Awake | Stance::Calm { .. } | Stance::Asked { .. } => {
                    group.stance = Stance::Asked { rest: asked, heir };
                    // What was told before it may still have to be done.
                    self.queue(at);
                }
            }
        });
    }
}
