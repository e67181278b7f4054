//! The state as bytes:
//!
//! ```text
//! version u8 | due: time or none | sessions | locks | waiters      each a count and its rows, as postcard
//! ```
//!
//! Rows are in the order in which the table keeps them, so equal states have equal bytes.

use super::lease::Sessions;
use super::rows::Rows;
use crate::codec::{self, Full, Malformed, Sink, VERSION};
use crate::space::List;
use crate::{Space, Timestamp};
use core::fmt::Debug;
use serde::{Serialize, de::DeserializeOwned};

type State<S, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize> =
    (Option<Timestamp>, Sessions<S, SESSIONS>, Rows<S, LOCKS, WAITERS>);

pub(super) fn write<S: Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize>(
    due: Option<Timestamp>,
    sessions: &Sessions<S, SESSIONS>,
    rows: &Rows<S, LOCKS, WAITERS>,
    sink: &mut dyn Sink,
) -> Result<(), Full> {
    codec::put(&VERSION, sink)?;
    codec::put(&due, sink)?;
    codec::put(sessions.rows(), sink)?;
    codec::put(rows.locks(), sink)?;
    codec::put(rows.waiters(), sink)
}

/// What the bytes say. They may still say what must never be.
pub(super) fn read<S: Space, const SESSIONS: usize, const LOCKS: usize, const WAITERS: usize>(
    mut bytes: &[u8],
) -> Result<State<S, SESSIONS, LOCKS, WAITERS>, Malformed> {
    let input = &mut bytes;
    let version: u8 = codec::take(input)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let due = codec::take(input)?;
    let sessions = Sessions::of_rows(take_rows(input)?);
    let rows = Rows::of_rows(take_rows(input)?, take_rows(input)?);
    if input.is_empty() { Ok((due, sessions, rows)) } else { Err(Malformed::Trailing) }
}

fn take_rows<T: DeserializeOwned + Serialize + Debug, L: List<T>>(input: &mut &[u8]) -> Result<L, Malformed> {
    let count: u64 = codec::take(input)?;
    let mut rows = L::default();
    for _ in 0..count {
        // A count beyond what fits ends here, whatever it is.
        rows.push(codec::take(input)?).map_err(|_| Malformed::Content)?;
    }
    Ok(rows)
}
