//! The locks as bytes:
//!
//! ```text
//! version u8 | transactions | rows      each a count and its rows, as postcard
//! transaction: name, age, state (0 waits, 1 holds and nobody was told, 2 holds), wounded
//! row:         key, name of the transaction, mode (0 shared, 1 exclusive)
//! ```
//!
//! Rows are in the order in which they are kept, so equal states have equal bytes.

use super::line::{Rank, Row};
use super::{Claim, Locks, State};
use crate::codec::{self, Full, Malformed, Sink, VERSION};
use crate::space::List;
use crate::{Age, Space, TxId};
use core::fmt::Debug;
use serde::{Serialize, de::DeserializeOwned};

impl<K: Debug + Ord + Serialize, S: Space, const KEYS: usize, const TXS: usize> Locks<K, S, KEYS, TXS> {
    /// Writes the whole state, with what is yet to be told.
    ///
    /// # Errors
    /// The sink is full.
    pub fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        codec::put(&VERSION, sink)?;
        codec::put(&(self.claims.len() as u64), sink)?;
        self.claims
            .iter()
            .try_for_each(|claim| codec::put(&(claim.tx, claim.age, claim.state, claim.wounded), sink))?;
        codec::put(&(self.rows.len() as u64), sink)?;
        self.rows.iter().try_for_each(|row| codec::put(&(&row.key, row.rank.tx, row.mode), sink))
    }
}

impl<K: Debug + Ord + DeserializeOwned, S: Space, const KEYS: usize, const TXS: usize>
    Locks<K, S, KEYS, TXS>
{
    /// The locks that [`snapshot`](Self::snapshot) wrote at the front of `input`, which is left with what comes after them.
    ///
    /// # Errors
    /// The bytes are no such state. Nothing in them panics, hangs or exhausts memory.
    pub fn restore(input: &mut &[u8]) -> Result<Self, Malformed> {
        let version: u8 = codec::take(input)?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let mut locks = Self { news: true, ..Self::default() };
        let count: u64 = codec::take(input)?;
        for _ in 0..count {
            let (tx, age, state, wounded): (TxId, Age, State, bool) = codec::take(input)?;
            // A count beyond what fits ends here, whatever it is.
            locks.claims.push(Claim { tx, age, state, wounded }).map_err(|_| Malformed::Content)?;
        }
        let count: u64 = codec::take(input)?;
        for _ in 0..count {
            let (key, tx, mode): (K, TxId, _) = codec::take(input)?;
            let age = locks.find(tx).map_err(|_| Malformed::Content)?.age;
            let row = Row { key, rank: Rank { age, tx }, mode };
            locks.rows.push(row).map_err(|_| Malformed::Content)?;
        }
        locks.check().map_err(|_| Malformed::Content)?;
        Ok(locks)
    }
}
