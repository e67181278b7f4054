//! A node: a machine, its disk and its clock, and the process around them.

use crate::clock::Clock;
use crate::queue::Happening;
use crate::store::{Job, Store};
use crate::subject::Ask;
use quorate::{Hosted, NodeId, Receipt};
use std::collections::VecDeque;

/// How many inputs wait for a node that stands still; more are dropped, as by the bounded queue of a driver.
pub(crate) const INBOX: usize = 256;

/// How many errands a disk takes on; more are dropped, and come again.
pub(crate) const JOBS: usize = 8;

/// How the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Brisk,
    Paused,
    /// Each input takes `each`; the next one is looked at when this one is done.
    Slow {
        each: u64,
        busy: bool,
    },
}

/// When to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fuse {
    /// At the persistence point of this number.
    Point(u64),
    /// After this many outputs.
    Outputs(u32),
}

/// Where a node can crash.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// How many persistence points were passed, in all lives.
    pub(crate) passed: u64,
    pub(crate) fuse: Option<Fuse>,
}

impl Points {
    /// Passes a persistence point. Tells whether the node crashes there.
    pub(crate) fn pass(&mut self) -> bool {
        self.passed += 1;
        self.fuse == Some(Fuse::Point(self.passed))
    }

    /// Carries an output out. Tells whether the node crashes after it.
    pub(crate) const fn output(&mut self) -> bool {
        let Some(Fuse::Outputs(left)) = &mut self.fuse else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }
}

/// Something that waits for a node that stands still.
pub(crate) enum Item<M: Hosted> {
    Happening(Happening),
    Ask(Ask<M>),
}

/// The disk's work in progress.
#[derive(Debug, Default)]
pub(crate) struct Syncing {
    /// The last write that a sync which was begun covers.
    pub(crate) upto: u64,
    /// How many syncs are going on.
    pub(crate) running: u32,
    /// No sync ends before this.
    pub(crate) stalled_until: u64,
    /// No sync begins, until a script says so.
    pub(crate) held: bool,
}

/// A node, up or down.
pub(crate) struct Node<M: Hosted> {
    pub(crate) id: NodeId,
    pub(crate) settings: M::Settings,
    pub(crate) machine: Option<M>,
    /// Counts the lives; what was scheduled in an earlier one is void.
    pub(crate) life: u32,
    pub(crate) store: Store,
    pub(crate) syncing: Syncing,
    pub(crate) receipts: VecDeque<Receipt>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) clock: Clock,
    pub(crate) pace: Pace,
    pub(crate) inbox: VecDeque<Item<M>>,
    /// The wake that counts; others were overtaken.
    pub(crate) wake_at: Option<u64>,
    /// Polling was put off.
    pub(crate) poll_is_due: bool,
    pub(crate) points: Points,
    /// Whether a restart is scheduled.
    pub(crate) returns: bool,
}

impl<M: Hosted> Node<M> {
    pub(crate) fn new(id: NodeId, settings: M::Settings, clock: Clock) -> Self {
        Self {
            id,
            settings,
            machine: None,
            life: 0,
            store: Store::default(),
            syncing: Syncing::default(),
            receipts: VecDeque::new(),
            jobs: VecDeque::new(),
            clock,
            pace: Pace::Brisk,
            inbox: VecDeque::new(),
            wake_at: None,
            poll_is_due: false,
            points: Points::default(),
            returns: false,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Whether an input has to wait for its turn.
    pub(crate) fn keeps_waiting(&self) -> bool {
        match self.pace {
            Pace::Brisk => false,
            Pace::Paused => true,
            Pace::Slow { busy, .. } => busy,
        }
    }

    /// Forgets all that a process forgets when it dies; hands back what was waiting for it.
    pub(crate) fn die(&mut self) -> VecDeque<Item<M>> {
        self.machine = None;
        self.life += 1;
        self.syncing = Syncing { held: self.syncing.held, upto: self.store.issued(), ..Syncing::default() };
        self.receipts.clear();
        self.jobs.clear();
        self.pace = Pace::Brisk;
        self.wake_at = None;
        self.poll_is_due = false;
        self.points.fuse = None;
        std::mem::take(&mut self.inbox)
    }
}
