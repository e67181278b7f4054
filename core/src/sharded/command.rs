//! What the log of a group holds for transactions, besides the application's own commands.

use super::Key;
use crate::{Age, Command as Weighed, GroupId, Timestamp, TxId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An entry of a group's log; `C` is the application's command, `W` its part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<C, W> {
    /// A command of the application. If a transaction has one of its keys, it waits in line: [`Reply::Waits`].
    Plain(C),
    /// All of a transaction, since it has one part only. It may have to wait as well.
    Once(W),
    /// A query has to wait for these keys: takes a place in line for it.
    Look(Vec<Key>),
    /// Carries out what has waited in line, now that it is its turn. A query's turn ends with it.
    Turn {
        /// By the name that it got when it had to wait.
        tx: TxId,
    },
    /// Asks for a promise to do a part of a transaction.
    Prepare {
        /// The transaction.
        tx: TxId,
        /// How old it is.
        age: Age,
        /// Where it is decided.
        home: GroupId,
        /// It is not decided later than this, in the home's time.
        until: Timestamp,
        /// What to do.
        work: W,
    },
    /// At home, where a part was promised: decides that all is done, if it is not too late, and does this part.
    Decide {
        /// The transaction.
        tx: TxId,
        /// All groups that take part; none if nobody has to be told, since nothing is changed.
        groups: Vec<GroupId>,
        /// No later than this.
        until: Timestamp,
    },
    /// Does a part, or gives it up: it is decided.
    Finish {
        /// The transaction.
        tx: TxId,
        /// Whether to do it.
        commit: bool,
    },
    /// At home: how did it end? Told to whom promised and has not heard.
    Resolve {
        /// The transaction.
        tx: TxId,
        /// When it had to be decided by.
        until: Timestamp,
    },
    /// At home: these have been done everywhere.
    Forget(Vec<TxId>),
    /// An operator settles a part.
    Force {
        /// The transaction.
        tx: TxId,
        /// Whether to do it.
        commit: bool,
    },
    /// At home, when all others have promised: does its part and decides that all is done, in one, if nobody has its keys and
    /// it is not too late. If somebody has, it is a [`Prepare`](Self::Prepare).
    Commit {
        /// The transaction.
        tx: TxId,
        /// How old it is.
        age: Age,
        /// This group.
        home: GroupId,
        /// No later than this.
        until: Timestamp,
        /// What to do.
        work: W,
        /// All groups that take part; none if nobody has to be told, since nothing is changed.
        groups: Vec<GroupId>,
    },
}

impl<C: Weighed, W: Weighed> Weighed for Command<C, W> {
    fn weight(&self) -> usize {
        1 + match self {
            Self::Plain(command) => command.weight(),
            Self::Once(work) => work.weight(),
            Self::Look(keys) => keys.iter().map(|key| key.len() + 4).sum(),
            Self::Prepare { work, .. } => NAME + 30 + work.weight(),
            Self::Decide { groups, .. } => return weight_of_decide(groups.len()),
            Self::Commit { work, groups, .. } => return weight_of_commit(groups.len()) + work.weight(),
            Self::Turn { .. } | Self::Finish { .. } | Self::Resolve { .. } | Self::Force { .. } => NAME + 10,
            Self::Forget(all) => return weight_of_forget(all.len()),
        }
    }
}

/// What a transaction's name weighs.
const NAME: usize = 20;

/// What the decision about so many groups weighs.
pub(super) const fn weight_of_decide(groups: usize) -> usize {
    11 + NAME + 10 * groups
}

/// What it weighs to decide about so many groups and do a part, without the part.
pub(super) const fn weight_of_commit(groups: usize) -> usize {
    30 + weight_of_decide(groups)
}

/// What it weighs that so many are forgotten.
pub(super) const fn weight_of_forget(count: usize) -> usize {
    5 + NAME * count
}

/// What an entry gets back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<R, G, O> {
    /// Of the application's command.
    Plain(R),
    /// A part of a transaction is done, or promised: this is what it gets.
    Gains(G),
    /// It cannot be done.
    Objects(O),
    /// It waits in line, under this name.
    Waits {
        /// Its name.
        tx: TxId,
        /// The largest age that was heard of here.
        latest: Age,
    },
    /// Too many transactions or keys are held here: nothing was done.
    Full,
    /// How it is decided; `None` if that is not known here any more.
    Decided(Option<bool>),
    /// It may still be decided either way.
    Undecided,
    /// Nothing is left to do.
    Finished,
    /// There is no such thing here, any more or yet.
    Unknown,
}

/// What is asked of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query<Q> {
    /// Of the application.
    Plain(Q),
    /// Of the application, for whom it is the turn, under this name.
    InTurn(Q, TxId),
}

/// What a query gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<A, Q> {
    /// Of the application.
    Plain(A),
    /// A transaction that is not decided may change it. The query, back again, and its keys.
    Blocked(Q, Vec<Key>),
}

/// What a group tells of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice<N> {
    /// What the application tells.
    Plain(N),
    /// It is the turn of what waited.
    Turned(TxId),
    /// An older one waits for what this transaction holds. Give it up, unless it is decided.
    Wounded(TxId),
    /// A part waits to hear how it ended, for longer than it should.
    Overdue {
        /// The transaction.
        tx: TxId,
        /// Where it is decided.
        home: GroupId,
        /// When it had to be decided by.
        until: Timestamp,
    },
    /// It is decided that all is done, and not known that it is, for longer than it should.
    Lingering {
        /// The transaction.
        tx: TxId,
        /// Who has to do it.
        groups: Vec<GroupId>,
    },
    /// What an operator settled was decided otherwise.
    Contradicted {
        /// The transaction.
        tx: TxId,
        /// What the operator said.
        forced: bool,
    },
}
