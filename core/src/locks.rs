//! Who may touch which key: strict two-phase locking for transactions, with wound-wait.
//!
//! A transaction asks one manager once, for all the keys that it needs there, and gives all of them back at once when it has
//! ended. There is a manager for each place that keeps keys; a transaction may need several of them.
//!
//! It promises:
//!
//! - *isolation*: whoever holds a key exclusively is its only holder; those who share it all share it;
//! - *all or none*: a transaction holds everything it asked a manager for, or waits there and holds nothing of it;
//! - *order*: the older goes first. Whoever waits is passed only by older transactions, and by those that do not conflict with it;
//! - *no deadlock*: when an older transaction has to wait for a younger one that holds a key, the younger one is wounded:
//!   [`next_wounded`](Locks::next_wounded) names it, and its coordinator aborts it unless it is decided already (Rosenkrantz,
//!   Stearns, Lewis 1978). All other waiting is of a younger transaction for an older one, so in whatever circle transactions
//!   of several managers wait for each other, one that holds something is wounded. That is no accident of timing: it
//!   does not need anybody to see the whole circle;
//! - *no starvation*: a transaction that is tried again keeps its [`Age`]. The oldest of all is wounded by nobody and is
//!   passed by nobody; it waits for holders alone, and each of these is decided and ends, or is wounded and ends. So it ends,
//!   and then another one is the oldest. Ages are Lamport times, so only finitely many that are yet to come are older than a
//!   given one;
//! - *determinism*: the same calls give the same answers, so it may be part of a replicated state.
//!
//! It assumes that whoever is told of a wound carries it out: a manager only names who is in the way, each once for each older
//! transaction that has to wait for it. It leaves out deadlines, and locks on ranges of keys.
//!
//! ```text
//!               acquire, free               release
//!      (nothing) -----------> holds ----------------> (nothing)
//!          |                    ^                         ^
//!          | acquire, in use    | next_granted            |
//!          +----------------> waits ----------------------+
//!                                        release
//! ```
//!
//! What a call costs, with `n` keys asked for in all by `t` transactions: `acquire` of `k` keys sorts them, makes `k` searches
//! in `n` and looks at those who share the same keys, and moves up to `n` rows as often as `k` can be halved; `release` passes
//! once over `n`. While nobody waits that is all. When somebody does, each of them also passes once over `n` with a search in `t` for
//! each row whose key several transactions want.
//!
//! ```
//! use quorate::locks::{Acquired, Locks, Mode};
//! use quorate::space::Fixed;
//! use quorate::{Age, NodeId, TxId};
//!
//! let [old, young] = [1, 2].map(|number| TxId { coordinator: NodeId::new(1), number });
//! let mut locks: Locks<&str, Fixed<3, 8>, 16, 4> = Locks::default();
//! let both = [("from", Mode::Exclusive), ("to", Mode::Exclusive)];
//! assert_eq!(locks.acquire(young, Age::new(9), both), Ok(Acquired::Granted));
//!
//! // An older one that only looks at one of the accounts has to wait, and wounds.
//! assert_eq!(locks.acquire(old, Age::new(3), [("to", Mode::Shared)]), Ok(Acquired::Waiting));
//! assert_eq!(locks.next_wounded(), Some(young));
//!
//! locks.release(young);
//! assert_eq!((locks.next_granted(), locks.next_granted()), (Some(old), None));
//! assert!(locks.conflicts("to", Mode::Exclusive) && !locks.conflicts("to", Mode::Shared));
//! ```

mod line;
#[cfg(feature = "serde")]
mod snapshot;

use crate::space::{List, retain};
use crate::{Age, Space, TxId};
use core::borrow::Borrow;
use core::fmt::{self, Debug};
use line::{Rank, Row};

/// What a lock allows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// Others may look as well.
    Shared,
    /// Nobody else may look or change.
    Exclusive,
}

impl Mode {
    /// Whether two transactions may not have these on one key.
    #[must_use]
    pub const fn conflicts(self, other: Self) -> bool {
        !matches!((self, other), (Self::Shared, Self::Shared))
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The transaction holds all the keys.
    Granted,
    /// It holds none of them. [`Locks::next_granted`] will name it.
    Waiting,
}

/// There is no room for a request. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many keys are asked for.
    Keys,
    /// Too many transactions hold something or wait.
    Transactions,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "too many keys are locked: let transactions end",
            Self::Transactions => "too many transactions are under way: let some end",
        })
    }
}

impl core::error::Error for Full {}

/// A transaction that asked for something.
#[derive(Clone, Copy, Debug)]
struct Claim {
    tx: TxId,
    age: Age,
    state: State,
    /// Is in the way of an older one that came since this was last told.
    wounded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum State {
    /// Something is in its way.
    Waiting,
    /// Holds all it asked for, after it waited; nobody was told yet.
    Granted,
    /// Holds all it asked for.
    Holding,
    /// While the lines are walked: waits, and nothing was found in its way so far.
    Clear,
}

impl State {
    const fn holds(self) -> bool {
        match self {
            Self::Granted | Self::Holding => true,
            Self::Waiting | Self::Clear => false,
        }
    }
}

/// The locks on up to `KEYS` keys, one that several transactions want counted for each, for up to `TXS` transactions.
#[derive(Debug)]
pub struct Locks<K: Debug, S: Space, const KEYS: usize, const TXS: usize> {
    /// By key, and for each key the oldest transaction first.
    rows: S::Items<Row<K>, KEYS>,
    /// By their names.
    claims: S::Items<Claim, TXS>,
    /// Whether there may be something to tell.
    news: bool,
}

impl<K: Debug, S: Space, const KEYS: usize, const TXS: usize> Default for Locks<K, S, KEYS, TXS> {
    fn default() -> Self {
        Self { rows: S::Items::default(), claims: S::Items::default(), news: false }
    }
}

impl<K: Debug + Ord, S: Space, const KEYS: usize, const TXS: usize> Locks<K, S, KEYS, TXS> {
    /// Asks for all the keys that the transaction needs here. A key that comes twice counts once; if one of the two is
    /// exclusive, so is the lock. A transaction that has asked before is told how it stands, and its keys stay as they are.
    ///
    /// # Errors
    /// There is no room; nothing changed.
    pub fn acquire(
        &mut self,
        tx: TxId,
        age: Age,
        keys: impl IntoIterator<Item = (K, Mode)>,
    ) -> Result<Acquired, Full> {
        let at = match self.find(tx) {
            Ok(claim) => return Ok(claim.acquired()),
            Err(at) => at,
        };
        let (rank, state) = (Rank { age, tx }, State::Waiting);
        self.claims.insert(at, Claim { tx, age, state, wounded: false }).map_err(|_| Full::Transactions)?;
        let before = self.rows.len();
        let mut rows = keys.into_iter().map(|(key, mode)| Row { key, rank, mode });
        if let Err(full) = rows.try_for_each(|row| self.append(before, row)) {
            retain(&mut self.rows, |row| row.rank != rank);
            let _ = self.claims.remove(at);
            return Err(full);
        }
        let blocked = self.queue(before);
        let acquired = if blocked {
            self.wound_for(rank);
            Acquired::Waiting
        } else {
            change(&mut self.claims, tx, |claim| claim.state = State::Holding);
            Acquired::Granted
        };
        self.assert_invariants();
        Ok(acquired)
    }

    /// Gives back all that the transaction holds here, or takes it out of all lines.
    pub fn release(&mut self, tx: TxId) {
        let Ok(at) = self.claims.binary_search_by_key(&tx, |claim| claim.tx) else { return };
        let _ = self.claims.remove(at);
        retain(&mut self.rows, |row| row.rank.tx != tx);
        if self.claims.iter().any(|claim| claim.state == State::Waiting) {
            self.settle();
        }
        self.assert_invariants();
    }

    /// A transaction that waited and now holds all its keys: each is named once, the oldest first.
    pub fn next_granted(&mut self) -> Option<TxId> {
        if !self.news {
            return None;
        }
        let granted = self.claims.iter_mut().filter(|claim| claim.state == State::Granted);
        let next = granted.min_by_key(|claim| claim.rank())?;
        next.state = State::Holding;
        Some(next.tx)
    }

    /// A transaction that holds what an older one waits for: its coordinator must abort it unless it is decided. Each is
    /// named once for each older one that came to wait for it, or once for several that came since it was asked last.
    pub fn next_wounded(&mut self) -> Option<TxId> {
        while self.news {
            let Some(wounded) = self.claims.iter_mut().find(|claim| claim.wounded) else {
                self.news = self.claims.iter().any(|claim| claim.state == State::Granted);
                return None;
            };
            wounded.wounded = false;
            let rank = wounded.rank();
            // Those who wanted it may have left since.
            if self.is_in_the_way(rank) {
                return Some(rank.tx);
            }
        }
        None
    }

    /// Whether somebody holds the key in a way that conflicts with `mode`.
    ///
    /// For what is done at once and holds nothing. It does not look at who waits, since who is done at once keeps nobody
    /// waiting.
    pub fn conflicts<Q: Ord + ?Sized>(&self, key: &Q, mode: Mode) -> bool
    where
        K: Borrow<Q>,
    {
        let (_, line) = line::find(&self.rows, key);
        line.iter().any(|row| row.mode.conflicts(mode) && holds(&self.claims, row.rank.tx))
    }

    /// Whether somebody holds the key, or waits for it, in a way that conflicts with `mode`: so whether one that is younger
    /// than all would have to wait.
    pub fn is_wanted<Q: Ord + ?Sized>(&self, key: &Q, mode: Mode) -> bool
    where
        K: Borrow<Q>,
    {
        let (_, line) = line::find(&self.rows, key);
        line.iter().any(|row| row.mode.conflicts(mode))
    }

    /// Whether there may be somebody whose turn has come, or somebody in the way, that was not told of yet.
    #[must_use]
    pub fn has_news(&self) -> bool {
        // By what a snapshot holds, so that it is the same on a replica that was restored.
        self.news && self.claims.iter().any(|claim| claim.wounded || claim.state == State::Granted)
    }

    /// Whether a transaction has asked for the key, at least like this, and not given it back.
    pub fn is_asked<Q: Ord + ?Sized>(&self, tx: TxId, key: &Q, mode: Mode) -> bool
    where
        K: Borrow<Q>,
    {
        let (_, line) = line::find(&self.rows, key);
        line.iter().any(|row| row.rank.tx == tx && row.mode >= mode)
    }

    /// How a transaction stands, if it asked for anything and has not given it back.
    pub fn standing(&self, tx: TxId) -> Option<Acquired> {
        self.find(tx).ok().map(|claim| claim.acquired())
    }

    /// All transactions that hold something or wait, by name.
    pub fn transactions(&self) -> impl Iterator<Item = (TxId, Age, Acquired)> {
        self.claims.iter().map(|claim| (claim.tx, claim.age, claim.acquired()))
    }

    /// Adds a row behind all others. From `before` on there are only those of its transaction, in any order.
    fn append(&mut self, before: usize, row: Row<K>) -> Result<(), Full> {
        let Err(row) = self.rows.push(row) else { return Ok(()) };
        // Those that came twice make room; or it is one of them.
        line::unite(&mut self.rows, before);
        let rows = self.rows.get_mut(before..).unwrap_or_default();
        let place = rows.binary_search_by(|other| other.key.cmp(&row.key));
        if let Some(same) = place.ok().and_then(|at| rows.get_mut(at)) {
            same.mode = same.mode.max(row.mode);
            return Ok(());
        }
        self.rows.push(row).map_err(|_| Full::Keys)
    }

    /// Puts a transaction, whose rows are those from `before` on, in all its lines. Says whether something is in its way.
    fn queue(&mut self, before: usize) -> bool {
        line::unite(&mut self.rows, before);
        let (others, own) = self.rows.split_at_checked(before).unwrap_or_default();
        let blocked = own.iter().any(|row| {
            let (_, line) = line::find(others, &row.key);
            line::is_blocked(line, row, |tx| holds(&self.claims, tx))
        });
        line::merge(&mut self.rows, before);
        blocked
    }

    /// Grants what nothing is in the way of any more.
    ///
    /// Once over all lines is enough: who is granted was in line before, and keeps those waiting who waited for it.
    fn settle(&mut self) {
        let Self { rows, claims, news } = self;
        let waiting = claims.iter_mut().filter(|claim| claim.state == State::Waiting);
        waiting.for_each(|claim| claim.state = State::Clear);
        for line in line::contended(rows) {
            for row in line {
                let clear = find(claims, row.rank.tx).is_ok_and(|claim| claim.state == State::Clear);
                if clear && line::is_blocked(line, row, |tx| holds(claims, tx)) {
                    change(claims, row.rank.tx, |claim| claim.state = State::Waiting);
                }
            }
        }
        for claim in claims.iter_mut().filter(|claim| claim.state == State::Clear) {
            claim.state = State::Granted;
            *news = true;
        }
    }

    /// Wounds the younger ones that hold what one that has just come waits for.
    fn wound_for(&mut self, rank: Rank) {
        let Self { rows, claims, news } = self;
        for line in line::contended(rows) {
            let Ok(at) = line.binary_search_by_key(&rank, |row| row.rank) else { continue };
            let Some((older, younger)) = line.get(at..).and_then(<[_]>::split_first) else { continue };
            for row in younger.iter().filter(|row| row.mode.conflicts(older.mode)) {
                change(claims, row.rank.tx, |claim| {
                    claim.wounded |= claim.state.holds();
                    *news |= claim.wounded;
                });
            }
        }
    }

    /// Whether an older one waits for what this one holds.
    fn is_in_the_way(&self, rank: Rank) -> bool {
        line::contended(&self.rows).any(|line| {
            let at = line.binary_search_by_key(&rank, |row| row.rank).ok();
            let Some((mine, older)) = at.and_then(|at| line.get(..=at)).and_then(<[_]>::split_last) else {
                return false;
            };
            older.iter().any(|row| row.mode.conflicts(mine.mode) && !holds(&self.claims, row.rank.tx))
        })
    }

    fn find(&self, tx: TxId) -> Result<&Claim, usize> {
        find(&self.claims, tx)
    }

    /// Whether what bytes or a bug made of it may be: else, what is wrong.
    fn check(&self) -> Result<(), &'static str> {
        if !self.claims.is_sorted_by(|one, next| one.tx < next.tx) {
            return Err("transactions are in the order of their names");
        }
        if !self.rows.is_sorted_by(|one, next| (&one.key, one.rank) < (&next.key, next.rank)) {
            return Err("rows are by key, and for each key by age");
        }
        if !self.rows.iter().all(|row| self.find(row.rank.tx).is_ok_and(|claim| claim.rank() == row.rank)) {
            return Err("whoever is in a line is known");
        }
        for line in line::contended(&self.rows) {
            let held = line.iter().filter(|row| holds(&self.claims, row.rank.tx));
            let (count, alone) = held.fold((0, false), |(count, alone), row| {
                (count + 1, alone || row.mode == Mode::Exclusive) //
            });
            if count > 1 && alone {
                return Err("who holds a key exclusively is its only holder");
            }
        }
        self.claims.iter().try_for_each(|claim| match claim.state {
            State::Waiting if !self.waits(claim.rank()) => Err("who waits is kept waiting by something"),
            State::Waiting if claim.wounded => Err("only a holder is wounded"),
            State::Clear => Err("nobody is left between waiting and holding"),
            State::Granted | State::Holding | State::Waiting => Ok(()),
        })
    }

    /// Whether something is in the way of a transaction.
    fn waits(&self, rank: Rank) -> bool {
        line::contended(&self.rows).any(|line| {
            let at = line.binary_search_by_key(&rank, |row| row.rank).ok();
            let row = at.and_then(|at| line.get(at));
            row.is_some_and(|row| line::is_blocked(line, row, |tx| holds(&self.claims, tx)))
        })
    }

    fn assert_invariants(&self) {
        if cfg!(debug_assertions) {
            let broken = self.check().err();
            assert!(broken.is_none(), "{broken:?}");
        }
    }
}

impl Claim {
    const fn rank(&self) -> Rank {
        Rank { age: self.age, tx: self.tx }
    }

    const fn acquired(&self) -> Acquired {
        if self.state.holds() { Acquired::Granted } else { Acquired::Waiting }
    }
}

/// The claim of a transaction, or where it would be.
fn find(claims: &[Claim], tx: TxId) -> Result<&Claim, usize> {
    let at = claims.binary_search_by_key(&tx, |claim| claim.tx)?;
    claims.get(at).ok_or(at)
}

fn holds(claims: &[Claim], tx: TxId) -> bool {
    find(claims, tx).is_ok_and(|claim| claim.state.holds())
}

fn change(claims: &mut [Claim], tx: TxId, change: impl FnOnce(&mut Claim)) {
    let at = claims.binary_search_by_key(&tx, |claim| claim.tx);
    let claim = at.ok().and_then(|at| claims.get_mut(at));
    assert!(claim.is_some(), "whoever is in a line is known");
    if let Some(claim) = claim {
        change(claim);
    }
}
