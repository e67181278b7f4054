//! The application at one node: accounts, which survive a crash, and locks, which do not.

use quorate::locks::{Acquired, Locks, Mode};
use quorate::space::Heap;
use quorate::two_phase::participant::Request;
use quorate::{Age, Command, TxId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The accounts at each node of clients, and one more for the transaction that has to get through in the end.
pub(super) const OPEN: usize = 4;
const ACCOUNTS: usize = OPEN + 1;
/// The account that clients leave alone.
pub(super) const RESERVED: u8 = OPEN as u8;
/// What is in each in the beginning.
pub(super) const OPENING: i64 = 100;
/// As many transactions as take part at a node.
pub(super) const PLACES: usize = 12;

/// A look at an account, or a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub(super) account: u8,
    /// Zero for a look.
    pub(super) change: i64,
}

/// What a node does in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work(pub(super) Vec<Step>);

impl Command for Work {
    fn weight(&self) -> usize {
        self.0.len() * size_of::<Step>()
    }
}

impl Work {
    pub(super) fn writes(&self) -> bool {
        self.0.iter().any(|step| step.change != 0)
    }
}

/// What was seen of an account, and how many had changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) account: u8,
    pub(super) balance: i64,
    pub(super) version: usize,
}

/// The accounts of a node.
#[derive(Debug)]
pub(super) struct Bank {
    pub(super) balances: [i64; ACCOUNTS],
    /// Who changed each account, in order.
    pub(super) writers: [Vec<TxId>; ACCOUNTS],
    done: BTreeSet<TxId>,
    /// Those of which the machine has heard in this life that they are done.
    finished: BTreeSet<TxId>,
    locks: Locks<u8, Heap<9, 16>, 64, PLACES>,
    /// What is held or waited for.
    works: BTreeMap<TxId, Work>,
    /// Counts the lives; what was put off in an earlier one is void.
    pub(super) life: u64,
}

impl Default for Bank {
    fn default() -> Self {
        Self {
            balances: [OPENING; ACCOUNTS],
            writers: Default::default(),
            done: BTreeSet::new(),
            finished: BTreeSet::new(),
            locks: Locks::default(),
            works: BTreeMap::new(),
            life: 0,
        }
    }
}

impl Bank {
    /// What was not durable is gone.
    pub(super) fn crash(&mut self) {
        self.locks = Locks::default();
        self.works.clear();
        self.finished.clear();
        self.life += 1;
    }

    pub(super) fn has_done(&self, tx: TxId) -> bool {
        self.done.contains(&tx)
    }

    /// What it remembers to have done.
    pub(super) fn done(&self) -> impl Iterator<Item = TxId> {
        self.done.iter().copied()
    }

    /// The machine was told in this life that it is done.
    pub(super) fn finish(&mut self, tx: TxId) {
        self.finished.insert(tx);
    }

    /// Forgets what it did, but for what the machine has not heard in this life, or still holds.
    pub(super) fn forget(&mut self, is_held: impl Fn(TxId) -> bool) {
        let Self { done, finished, .. } = self;
        done.retain(|tx| is_held(*tx) || !finished.contains(tx));
        finished.retain(|tx| done.contains(tx));
    }

    pub(super) fn remembers(&self) -> usize {
        self.done.len()
    }

    /// What is held or waited for.
    pub(super) fn held(&self) -> impl Iterator<Item = TxId> {
        self.works.keys().copied()
    }

    /// Whether a transaction waits in line.
    pub(super) fn waits(&self, tx: TxId) -> bool {
        self.locks.standing(tx) == Some(Acquired::Waiting)
    }

    pub(super) fn holds(&self, tx: TxId) -> bool {
        self.locks.standing(tx) == Some(Acquired::Granted)
    }

    /// Takes the locks that a transaction needs, or a place in line. Tells whether it has them; `None` when it finds no room.
    pub(super) fn lock(&mut self, tx: TxId, age: Age, work: &Work) -> Option<bool> {
        let mode = |change| if change == 0 { Mode::Shared } else { Mode::Exclusive };
        let keys = work.0.iter().map(|step| (step.account, mode(step.change)));
        let acquired = self.locks.acquire(tx, age, keys).ok()?;
        self.works.insert(tx, work.clone());
        Some(acquired == Acquired::Granted)
    }

    /// Lets go of what a transaction holds.
    pub(super) fn release(&mut self, tx: TxId) {
        if self.works.remove(&tx).is_some() {
            self.locks.release(tx);
        }
    }

    /// Who waited and has its locks now.
    pub(super) fn granted(&mut self) -> Option<TxId> {
        self.locks.next_granted()
    }

    /// Who is in the way of an older one.
    pub(super) fn wounded(&mut self) -> Option<TxId> {
        self.locks.next_wounded()
    }

    /// What to say of a transaction that has its locks, and what it saw; `None` if it is gone.
    pub(super) fn answer(&self, tx: TxId) -> Option<(Request, Vec<Seen>)> {
        let work = self.works.get(&tx)?;
        let seen = work.0.iter().map(|&Step { account, .. }| {
            let at = usize::from(account);
            Seen { account, balance: self.balances[at], version: self.writers[at].len() }
        });
        let covers = |step: &Step| self.balances[usize::from(step.account)] + step.change >= 0;
        let request = match work.writes() {
            _ if !work.0.iter().all(covers) => Request::Refuse(tx),
            true => Request::Promise(tx),
            false => Request::Read(tx),
        };
        Some((request, seen.collect()))
    }

    /// Does it, durably, once. Tells whether this was the time.
    pub(super) fn apply(&mut self, tx: TxId, work: &Work) -> bool {
        if !self.done.insert(tx) {
            return false;
        }
        for step in work.0.iter().filter(|step| step.change != 0) {
            self.balances[usize::from(step.account)] += step.change;
            self.writers[usize::from(step.account)].push(tx);
        }
        true
    }
}
