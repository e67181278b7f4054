//! What a keyspace is told and asked, and what it answers.

use super::Blob;
use super::limits::{Refused, Tally};
use crate::Index;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An entry of the log: one change, or several steps that take effect together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// One change.
    Change(Change),
    /// All its steps, at one moment, or none.
    Transaction(Transaction),
}

/// Steps that are taken at one moment, if nothing that was watched has changed.
///
/// A step that is refused does not undo the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Keys, each with the revision at which it was last modified, or `None` if it was absent.
    pub watched: Vec<(Blob, Option<Index>)>,
    /// What to do if each watched key is still at that revision.
    pub steps: Vec<Step>,
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A change. Later steps see it.
    Change(Change),
    /// A question, answered from the state that the earlier steps left.
    Query(Query),
}

/// What changes one key, or several at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Gives a key a value. Answers [`Answer::Done`] or [`Answer::Unmet`]; with `previous`, [`Answer::Value`].
    ///
    /// With [`Condition::IfAbsent`] the index of the entry becomes the key's fencing token.
    Set {
        /// The key.
        key: Blob,
        /// The value.
        value: Blob,
        /// When not to.
        condition: Condition,
        /// For how long.
        expiry: Expiry,
        /// Whether to answer with the value before, set or not.
        previous: bool,
    },
    /// Removes keys. Answers how many there were.
    Delete {
        /// The keys.
        keys: Vec<Blob>,
    },
    /// Adds to a decimal integer; an absent key counts as 0. Answers the sum.
    Add {
        /// The key.
        key: Blob,
        /// What to add.
        by: i64,
    },
    /// Lets a key expire. Answers 1, or 0 if there is no such key.
    Expire {
        /// The key.
        key: Blob,
        /// From now; 0 removes the key.
        millis: u64,
    },
    /// Lets a key expire no more. Answers 1, or 0 if it would not have.
    Persist {
        /// The key.
        key: Blob,
    },
    /// Removes those of `keys` that hold `value`: gives locks back. Answers [`Answer::Compared`].
    CompareDelete {
        /// The keys.
        keys: Vec<Blob>,
        /// What the holder wrote.
        value: Blob,
    },
    /// If all of `keys` hold `value`, changes when they expire: keeps locks. Answers how many keys, or 0.
    CompareExpire {
        /// The keys.
        keys: Vec<Blob>,
        /// What the holder wrote.
        value: Blob,
        /// By how much; where it replaces, 0 removes the keys.
        millis: u64,
        /// How.
        extension: Extension,
    },
    /// If none of `keys` is there, creates them all: takes locks. Answers how many keys, or 0.
    ///
    /// The index of the entry becomes the fencing token of each.
    CreateAll {
        /// The keys.
        keys: Vec<Blob>,
        /// What the holder writes.
        value: Blob,
        /// For how long; 0 creates nothing that lasts.
        millis: u64,
    },
    /// Keeps a lock that is held, takes one that is free: [`CompareExpire`](Self::CompareExpire) of one key if it
    /// is there, [`CreateAll`](Self::CreateAll) of it if not.
    CompareOrCreate {
        /// The key.
        key: Blob,
        /// What the holder wrote or writes.
        value: Blob,
        /// From now.
        millis: u64,
    },
    /// Gives each key a value that lasts until it is removed; of a key that comes twice, the last counts. Answers
    /// [`Answer::Done`]; if there is no room for all of them, none is set.
    SetAll {
        /// Keys, each with its value.
        items: Vec<(Blob, Blob)>,
    },
}

/// When to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// If there is no such key.
    IfAbsent,
    /// If there is such a key.
    IfPresent,
}

/// How long what was set lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Until it is removed.
    #[default]
    Never,
    /// As long as what was there before.
    Keep,
    /// From now; 0 is gone at once.
    In {
        /// Milliseconds.
        millis: u64,
    },
}

/// How to change when something expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extension {
    /// Counts from now, whether it would have expired or not.
    Replace,
    /// Counts from now; what would not have expired is left alone and counts as not held.
    ReplaceExpiring,
    /// Adds to what is left; what would not have expired is left alone and counts as not held.
    Add,
}

/// What asks and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The value of a key: [`Answer::Value`].
    Get {
        /// The key.
        key: Blob,
    },
    /// The value of each key: [`Answer::Values`].
    GetAll {
        /// The keys.
        keys: Vec<Blob>,
    },
    /// How many of the keys there are, one that is named twice counted twice.
    Exists {
        /// The keys.
        keys: Vec<Blob>,
    },
    /// How long a key has left: [`Answer::Remaining`].
    Remaining {
        /// The key.
        key: Blob,
    },
    /// How long a key has left if it holds `value`; [`Remaining::Absent`] if not.
    Held {
        /// The key.
        key: Blob,
        /// What the holder wrote.
        value: Blob,
    },
    /// When a key was created and modified: [`Answer::Revision`].
    Revision {
        /// The key.
        key: Blob,
    },
    /// The fencing token of a key: [`Answer::Fence`].
    Fence {
        /// The key.
        key: Blob,
    },
    /// How much there is: [`Answer::Stats`].
    Stats,
}

/// What a change or a query gets back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was set.
    Done,
    /// It was not set: the condition was not met.
    Unmet,
    /// A number: how many, or the sum.
    Integer(i64),
    /// A value, or `None` if there is no such key.
    Value(Option<Blob>),
    /// Values, in the order in which they were asked for.
    Values(Vec<Option<Blob>>),
    /// How many of the keys held the value, and how many were not there.
    Compared {
        /// Held it.
        equal: u32,
        /// Were not there.
        absent: u32,
    },
    /// How long it has left.
    Remaining(Remaining),
    /// Where in the log it was created and modified, or `None` if there is no such key.
    Revision(Option<Revision>),
    /// The token that whoever checks it can order holders by, or `None` if the value there is not what a
    /// creation with [`Condition::IfAbsent`] or its like put there.
    Fence(Option<Index>),
    /// How much there is.
    Stats(Stats),
    /// It was not done.
    Refused(Refused),
}

/// How long a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remaining {
    /// There is no such key.
    Absent,
    /// It does not expire.
    Unlimited,
    /// Whole milliseconds.
    Millis(u64),
}

/// The entries of the log that made a key what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The one that found no such key and created it.
    pub created: Index,
    /// The last one that changed its value or when it expires.
    pub modified: Index,
}

/// How much a keyspace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How many keys.
    pub keys: u64,
    /// What they and their values take, with [`ITEM_BYTES`](super::limits::ITEM_BYTES) for each.
    pub bytes: u64,
}

/// What a command gets back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Of a change, or of a command that is beyond a limit.
    Answer(Answer),
    /// Of a transaction: of each step in turn.
    Answers(Vec<Answer>),
    /// Something that was watched has changed; no step was taken.
    Conflict,
}

impl Command {
    /// Says which limit the command is beyond, if any. A command that is would be refused when applied; asking
    /// first saves the way.
    ///
    /// # Errors
    /// The limit.
    pub fn check(&self) -> Result<(), Refused> {
        match self {
            Self::Change(change) => {
                let mut tally = Tally::default();
                change.count(&mut tally)?;
                tally.check()
            }
            Self::Transaction(transaction) => transaction.check(),
        }
    }
}

impl crate::Command for Command {
    fn weight(&self) -> usize {
        match self {
            Self::Change(change) => {
                let mut tally = Tally::default();
                // What is beyond a limit weighs at least the limit.
                let _ = change.count(&mut tally);
                tally.bytes()
            }
            Self::Transaction(transaction) => transaction.weight(),
        }
    }
}

impl From<Change> for Step {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

impl From<Query> for Step {
    fn from(query: Query) -> Self {
        Self::Query(query)
    }
}

impl Query {
    /// Says which limit the query is beyond, if any.
    ///
    /// # Errors
    /// The limit.
    pub fn check(&self) -> Result<(), Refused> {
        let mut tally = Tally::default();
        self.count(&mut tally)?;
        tally.check()
    }

    fn count(&self, tally: &mut Tally) -> Result<(), Refused> {
        match self {
            Self::Get { key } | Self::Remaining { key } | Self::Revision { key } | Self::Fence { key } => {
                tally.key(key)
            }
            Self::GetAll { keys } | Self::Exists { keys } => tally.keys(keys),
            Self::Held { key, value } => tally.key(key).and_then(|()| tally.value(value)),
            Self::Stats => Ok(()),
        }
    }
}

impl Change {
    fn count(&self, tally: &mut Tally) -> Result<(), Refused> {
        match self {
            Self::Set { key, value, .. } | Self::CompareOrCreate { key, value, .. } => {
                tally.key(key).and_then(|()| tally.value(value))
            }
            Self::Delete { keys } => tally.keys(keys),
            Self::Add { key, .. } | Self::Expire { key, .. } | Self::Persist { key } => tally.key(key),
            Self::CompareDelete { keys, value }
            | Self::CompareExpire { keys, value, .. }
            | Self::CreateAll { keys, value, .. } => tally.keys(keys).and_then(|()| tally.value(value)),
            Self::SetAll { items } => tally.items(items),
        }
    }
}

impl Transaction {
    pub(super) fn check(&self) -> Result<(), Refused> {
        let mut tally = Tally::default();
        self.count(&mut tally)?;
        tally.check()
    }

    pub(super) fn weight(&self) -> usize {
        let mut tally = Tally::default();
        // What is beyond a limit weighs at least the limit.
        let _ = self.count(&mut tally);
        tally.bytes()
    }

    fn count(&self, tally: &mut Tally) -> Result<(), Refused> {
        tally.watched(self.watched.len())?;
        tally.steps(self.steps.len())?;
        self.watched.iter().try_for_each(|(key, _)| tally.key(key))?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Change(change) => change.count(tally),
            Step::Query(query) => query.count(tally),
        })
    }
}
