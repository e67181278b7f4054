//! What an application does for transactions that span groups.

use crate::locks::Mode;
use crate::{Application, Command, Moment, TxId};
use core::fmt::Debug;
use serde::{Serialize, de::DeserializeOwned};

/// An application that does its part of a transaction in two steps: first it says what it would do and makes sure that it
/// can, then it does it or not.
///
/// Whoever calls it keeps the locks: [`prepare`](Self::prepare) is called while all keys of the work are locked for the
/// transaction, and until [`finish`](Self::finish) no command and no query comes that conflicts with them.
pub trait Transactional: Application {
    /// One group's part of a transaction.
    type Work: Command + Serialize + DeserializeOwned;
    /// What the part will get: told when all parts are committed.
    type Gain: Clone + Debug + Serialize + DeserializeOwned + 'static;
    /// Why the part cannot be done: all of the transaction is aborted.
    type Objection: Clone + Debug + Serialize + DeserializeOwned + 'static;

    /// The keys that the work looks at or changes. One may come more than once.
    fn keys(work: &Self::Work, visit: &mut dyn FnMut(&[u8], Mode));

    /// The keys that a command looks at or changes.
    fn command_keys(command: &Self::Command, visit: &mut dyn FnMut(&[u8], Mode));

    /// The keys that a query looks at.
    fn query_keys(query: &Self::Query, visit: &mut dyn FnMut(&[u8], Mode));

    /// Says what the work will get, and makes sure that it can be done: after `Ok`, [`finish`](Self::finish) cannot fail,
    /// and what the work looked at does not expire before.
    ///
    /// # Errors
    /// Why it cannot be done. The state is as it was.
    fn prepare(&mut self, now: Moment, tx: TxId, work: &Self::Work) -> Result<Self::Gain, Self::Objection>;

    /// Does the work that was prepared, or leaves no trace of it. `work` is what [`prepare`](Self::prepare) was given.
    fn finish(&mut self, now: Moment, tx: TxId, work: &Self::Work, commit: bool);

    /// How many transactions are prepared and not finished.
    fn prepared(&self) -> usize;

    /// Whether it is this work that is prepared for a transaction. An image in which it is not is refused.
    fn is_prepared(&self, tx: TxId, work: &Self::Work) -> bool;
}
