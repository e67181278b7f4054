//! Many groups on one node: a machine made of machines.
//!
//! Each group is a machine of its own, with its own log, its own leader and its own clock; what the groups of a node share
//! is its driver: one connection to each peer, one log on the disk, one sync for all that have something to save.
//!
//! **Promises.** What a group is told and asked, and what comes out of it, is what it would be if it were alone, but for
//! its clock, which may stand still. A group that is not told or asked anything costs nothing when the node is polled,
//! woken or handed a message: those that have something to do are in a queue, and take turns at it, one output each;
//! those that wait for a moment are in a list ordered by it. A group whose nodes all agree that there is nothing to do
//! rests: it sends nothing and wants no waking, on any of them. For all that rest, one short [`Message::Beat`] goes from
//! each node that leads some of them to each that follows.
//!
//! **Assumes** what its groups assume. A node that follows in thousands of groups is told of each by name when it begins
//! to rest, and never after.
//!
//! ```text
//!                quiet for a while, all have answered: Rest to each follower
//!          +--------------------------------------------------------------------+
//!          |                                                                    v
//!        Awake                                                               Resting      leader
//!        Awake <------------------------------------------------------------ Resting      follower
//!          |     asked or told anything; no beat; a beat of another life        ^
//!          +--------------------------------------------------------------------+
//!                Rest from its leader, and it is just as the leader says
//! ```
//!
//! # Resting, and why it is safe
//!
//! A group rests on a node by its clock standing still. What a group does depends on its clock only by deadlines, and
//! Raft's safety not at all ([`raft`](crate::raft)): a clock may go at any speed, so it may stop. To the group it looks as
//! if no time had passed: timers go on from where they stopped, and never back. Each promise that has to do with time:
//!
//! - *Reads* by read index are confirmed by a round of messages that begins after they were asked. A leader that rests and
//!   is asked for a read wakes up, and so do those that it asks to confirm it. One that was deposed while it rested learns
//!   it from that round, before it serves anything.
//! - *Check-quorum* (thesis 6.2) makes a leader step down that hears no quorum for an election timeout. One that rests does
//!   not count, as it has nothing to tell anybody; from its first waking moment on it does. It goes to rest only when a
//!   quorum was heard since it last looked, so that it does not step down just because it woke up shortly before it looks.
//! - *Votes* are denied by who hears a leader (thesis 4.2.3). A candidate's question wakes all who rest; those that hear
//!   nothing from their leader for what is left of their election timeouts vote for it after all.
//! - *Time in the log* passes only while a leader is awake. A group whose application waits for a moment does not rest.
//!
//! It ends in a leader whatever is lost. A follower rests only while its leader's node says, beat for beat, that it lives,
//! is in the same life as when it said that the group rests, and has no fewer groups resting than the follower believes.
//! If the node crashed, is cut off, or its group woke up and stepped down without reaching anybody, that ends, and the
//! election timer of the follower goes on. A `Rest` that is lost leaves a follower that stands for election, which wakes
//! the leader. So does one that comes back from a crash, and knows nobody.
//!
//! A node that does not answer for two silences is *absent*: groups rest without it, and wake up as soon as anything is
//! heard of it. It is not told to rest, so it goes on to ask for what it needs, or to believe that it leads until it hears
//! better.
//!
//! # Who leads
//!
//! A group may have a *home*. A leader elsewhere that is about to rest wants the home to lead: it keeps still for a moment,
//! the home puts its clock forward to when it stands for election, and the others theirs to when they no longer hold on to
//! the leader. It is an election like any other.
//!
//! **Leaves out.** Groups are fixed for the life of a node.

mod hosted;
mod member;
pub(crate) mod output;
mod peer;
mod rest;

pub use hosted::Settings;
pub use member::{Member, Rest};
pub use output::{InGroup, Message, Resting};

use crate::{GroupId, Input, Instant, Machine, NodeId, Output, Receipt, Staged};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use hosted::Limits;
use peer::Peer;
use rest::Stance;

/// What is asked of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<R> {
    /// The group.
    pub group: GroupId,
    /// What is asked of it.
    pub request: R,
}

/// A request that was not taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<R, F> {
    /// There is no such group here. What was asked, back again.
    NotHosted(Request<R>),
    /// The group refused.
    InGroup {
        /// The group.
        group: GroupId,
        /// What it says.
        refusal: F,
    },
}

/// What was dropped, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages and results of errands for groups that are not here.
    pub not_hosted: u64,
    /// What nodes said of all their groups that share none with this one.
    pub strangers: u64,
    /// Receipts of another machine, or of an earlier life of this one.
    pub foreign_receipts: u64,
}

/// The groups of one node.
#[derive(Debug)]
pub struct Groups<M> {
    id: NodeId,
    now: Instant,
    limits: Limits,
    /// What tells this life of this node from others.
    life: u64,
    /// In the order of their numbers, each once.
    groups: Vec<Group<M>>,
    /// Which group bears which receipts: one life for each.
    lives: BTreeMap<u64, usize>,

    // Who has something to do, and when.
    /// Those that may have something to do, each once, in the order of their turns.
    ready: VecDeque<usize>,
    /// When those that are awake want to be woken, or earlier: each at most once.
    timers: BTreeSet<(Instant, usize)>,

    // What goes on between nodes.
    peers: Vec<Peer>,
    /// How many groups rest here.
    resting: usize,
    /// When the next beat is due, if anybody is owed one.
    beat: Instant,
    /// Whether there may be something to say to a peer.
    words: bool,
    /// Whose turn it is to be spoken to.
    turn: usize,
    /// What is being said of those that rest.
    saying: Vec<Resting>,
    counters: Counters,
}

/// One group, as it is on this node.
#[derive(Debug)]
struct Group<M> {
    id: GroupId,
    machine: M,
    /// Whether it is in the queue.
    ready: bool,
    /// Its place in the list of those that wait for a moment.
    timer: Option<Instant>,
    stance: Stance,
    /// For how long its clock has stood still so far.
    stood_micros: u64,
    /// By how much its clock was put forward so far.
    ahead_micros: u64,
    /// Who is to lead, if it can.
    home: Option<NodeId>,
    /// When who is to lead may next be asked to.
    offer: Instant,
    /// Voters, by their place, who were told something and have not said anything since.
    unanswered: u64,
    /// Voters, by their place, who are to be told that it rests.
    owed: u64,
    /// Voters, by their place, without whom it rests: they were absent.
    without: u64,
}

impl<M: Member> Group<M> {
    fn new(id: GroupId, machine: M) -> Self {
        Self {
            id,
            machine,
            ready: false,
            timer: None,
            stance: Stance::Awake,
            stood_micros: 0,
            ahead_micros: 0,
            home: None,
            offer: Instant::default(),
            unanswered: 0,
            owed: 0,
            without: 0,
        }
    }

    /// What its clock shows.
    const fn time(&self, now: Instant) -> Instant {
        let now = match self.stance {
            Stance::Resting { since, .. } => since,
            Stance::Awake | Stance::Calm { .. } | Stance::Asked { .. } => now,
        };
        now.after_micros(self.ahead_micros).before_micros(self.stood_micros)
    }

    /// When it wants to be woken, by the node's clock.
    fn deadline(&self) -> Option<Instant> {
        if let Stance::Resting { rest, since, heir } = self.stance {
            if heir.is_some() {
                return Some(since.after_micros(rest::OFFER_MICROS));
            }
            // It does not rest where it belongs: that is tried again.
            let leads = rest.leader == self.machine.node();
            return self.heir(self.without).filter(|_| leads).map(|_| self.offer);
        }
        let deadline = self.machine.deadline();
        deadline.map(|at| at.after_micros(self.stood_micros).before_micros(self.ahead_micros))
    }

    /// Who should lead instead of this node, of those who are not `absent`, and can: a leader votes for nobody, so the others
    /// have to be a majority without it.
    fn heir(&self, absent: u64) -> Option<NodeId> {
        let me = self.machine.node();
        let home = self.home.filter(|&home| home != me && self.bit(home) & !absent != 0)?;
        let others = self.voters().filter(|&(bit, node)| node != me && bit & !absent == bit).count();
        (others * 2 > self.machine.voters().len()).then_some(home)
    }

    /// The voters, each with a bit for its place among them.
    fn voters(&self) -> impl Iterator<Item = (u64, NodeId)> {
        (0..u64::BITS).map(|place| 1 << place).zip(self.machine.voters().iter().copied())
    }

    /// The place of a voter among them, as a bit.
    fn bit(&self, node: NodeId) -> u64 {
        self.voters().find(|&(_, voter)| voter == node).map_or(0, |(bit, _)| bit)
    }
}

impl<M: Member> Groups<M> {
    /// What tells this life of this node from others.
    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    /// A group, to look at.
    #[must_use]
    pub fn get(&self, group: GroupId) -> Option<&M> {
        self.groups.get(self.place(group)?).map(|group| &group.machine)
    }

    /// The groups, in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (GroupId, &M)> {
        self.groups.iter().map(|group| (group.id, &group.machine))
    }

    /// Whether a group rests here: it wants no waking, and nobody is sent anything on its behalf.
    #[must_use]
    pub fn is_resting(&self, group: GroupId) -> bool {
        let group = self.place(group).and_then(|at| self.groups.get(at));
        group.is_some_and(|group| matches!(group.stance, Stance::Resting { .. }))
    }

    /// How many groups rest here.
    #[must_use]
    pub const fn resting(&self) -> usize {
        self.resting
    }

    /// What was dropped so far, but for what groups count themselves.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn place(&self, group: GroupId) -> Option<usize> {
        self.groups.binary_search_by_key(&group, |group| group.id).ok()
    }

    /// A clock that goes back is clamped.
    fn tell_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A group is told something: it is awake, and may have something to do.
    fn rouse(&mut self, at: usize) -> Option<(&mut M, Instant)> {
        self.thaw(at);
        self.queue(at);
        let now = self.now;
        self.groups.get_mut(at).map(|group| {
            let time = group.time(now);
            (&mut group.machine, time)
        })
    }

    /// A group may have something to do.
    fn queue(&mut self, at: usize) {
        if let Some(group) = self.groups.get_mut(at)
            && !core::mem::replace(&mut group.ready, true)
        {
            self.ready.push_back(at); // at most as many as there are groups
        }
    }

    /// A group has nothing to do for now.
    fn settle(&mut self, at: usize) {
        if let Some(group) = self.groups.get_mut(at) {
            group.ready = false;
        }
        self.consider_rest(at);
        self.set_timer(at);
    }

    /// Notes when a group wants to be woken. That it is woken too early is harmless, so what is put off is left as it is.
    fn set_timer(&mut self, at: usize) {
        let Some(group) = self.groups.get_mut(at) else { return };
        let wanted = group.deadline();
        if let Some(timer) = group.timer {
            if wanted.is_some_and(|wanted| wanted >= timer) {
                return;
            }
            self.timers.remove(&(timer, at));
        }
        group.timer = wanted;
        self.timers.extend(wanted.map(|wanted| (wanted, at))); // one for each group
    }

    fn on_message(&mut self, from: NodeId, group: GroupId, message: M::Message<'_>) {
        self.find_present(from);
        let Some(at) = self.place(group) else {
            self.counters.not_hosted += 1;
            return;
        };
        if let Some(group) = self.groups.get_mut(at) {
            group.unanswered &= !group.bit(from);
        }
        if self.is_offering(at) {
            // What the others say to elect another does not make it speak up.
            self.queue(at);
        } else {
            self.rouse(at);
        }
        let now = self.now;
        if let Some(group) = self.groups.get_mut(at) {
            group.machine.handle(group.time(now), Input::Message { from, message });
        }
    }

    fn on_saved(&mut self, receipt: Receipt) {
        let Some(&at) = self.lives.get(&receipt.machine()) else {
            self.counters.foreign_receipts += 1;
            return;
        };
        // One that rests has nothing under way but what it was asked to say again: nothing waits for that.
        self.queue(at);
        let now = self.now;
        if let Some(group) = self.groups.get_mut(at) {
            group.machine.handle(group.time(now), Input::Saved(receipt));
        }
    }

    fn on_wake(&mut self) {
        while let Some(&(due, at)) = self.timers.first()
            && due <= self.now
        {
            self.timers.pop_first();
            let Some(group) = self.groups.get_mut(at) else { continue };
            group.timer = None;
            if group.deadline().is_none_or(|deadline| deadline > self.now) {
                self.set_timer(at);
            } else if let Some((machine, now)) = self.rouse(at) {
                machine.handle(now, Input::Wake); // its next timer is set when it has nothing to do
            }
        }
        self.on_time();
    }
}

impl<M: Member> Machine for Groups<M> {
    type Request = Request<M::Request>;
    type Ticket = (GroupId, M::Ticket);
    type Refusal = Refusal<M::Request, M::Refusal>;
    type Message<'a>
        = Message<'a, M::Message<'a>>
    where
        M: 'a;
    type Record<'a>
        = InGroup<M::Record<'a>>
    where
        M: 'a;
    type Event<'a>
        = InGroup<M::Event<'a>>
    where
        M: 'a;

    fn request(&mut self, now: Instant, request: Self::Request) -> Result<Self::Ticket, Self::Refusal> {
        self.tell_time(now);
        let (id, now) = (request.group, self.now);
        let Some(at) = self.place(id) else { return Err(Refusal::NotHosted(request)) };
        let Some(group) = self.groups.get_mut(at) else { return Err(Refusal::NotHosted(request)) };
        // What is refused changes nothing, so it wakes nobody.
        let ticket = group
            .machine
            .request(group.time(now), request.request)
            .map_err(|refusal| Refusal::InGroup { group: id, refusal })?;
        self.rouse(at);
        Ok((id, ticket))
    }

    fn handle(&mut self, now: Instant, input: Input<Self::Message<'_>>) {
        self.tell_time(now);
        match input {
            Input::Message { from, message: Message::Group { group, message } } => {
                self.on_message(from, group, message);
            }
            Input::Message { from, message: Message::Beat { life, resting } } => {
                self.on_beat(from, life, resting);
            }
            Input::Message { from, message: Message::Rest { life, groups } } => {
                self.on_rest(from, life, groups)
            }
            Input::Saved(receipt) => self.on_saved(receipt),
            Input::Wake => self.on_wake(),
        }
    }

    fn poll(&mut self) -> Option<Output<Self::Message<'_>, Self::Record<'_>, Self::Event<'_>>> {
        let plan = self.plan()?;
        Some(self.show(plan))
    }

    fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|&(at, _)| at);
        // Those that were told something since the last poll may have changed their minds.
        let ready = self.ready.iter().filter_map(|&at| self.groups.get(at)?.deadline()).min();
        [timer, ready, self.next_beat(), self.next_silence()].into_iter().flatten().min()
    }
}
