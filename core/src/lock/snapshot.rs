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

pub(super) fn write<
    S: Space,
    const SESSIONS: usize,
    const LOCKS: usize,
    const WAITERS: usize,
    const NAME: usize,
>(
    due: Option<Timestamp>,
    sessions: &Sessions<S, SESSIONS>,
    rows: &Rows<S, LOCKS, WAITERS, NAME>,
    sink: &mut dyn Sink,
) -> Result<(), Full> {
    codec::put(&VERSION, sink)?;
    codec::put(&due, sink)?;
    put_rows(sessions.rows(), sink)?;
    put_rows(rows.locks(), sink)?;
    put_rows(rows.waiters(), sink)
}

/// Reads what the bytes say, and until when the table is not due. They may still say what must never be.
pub(super) fn read<
    S: Space,
    const SESSIONS: usize,
    const LOCKS: usize,
    const WAITERS: usize,
    const NAME: usize,
>(
    mut bytes: &[u8],
    sessions: &mut Sessions<S, SESSIONS>,
    rows: &mut Rows<S, LOCKS, WAITERS, NAME>,
) -> Result<Option<Timestamp>, Malformed> {
    let input = &mut bytes;
    let version: u8 = codec::take(input)?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let due = codec::take(input)?;
    take_rows(input, sessions.rows_mut())?;
    let (locks, waiters) = rows.rows_mut();
    take_rows(input, locks)?;
    take_rows(input, waiters)?;
    if input.is_empty() { Ok(due) } else { Err(Malformed::Trailing) }
}

/// A row of the table as bytes.
pub(super) trait Row: Debug + Sized {
    fn put(&self, sink: &mut dyn Sink) -> Result<(), Full>;
    fn take(input: &mut &[u8]) -> Result<Self, Malformed>;
}

fn put_rows<R: Row>(rows: &[R], sink: &mut dyn Sink) -> Result<(), Full> {
    codec::put_numbers(&[rows.len() as u64], sink)?;
    rows.iter().try_for_each(|row| row.put(sink))
}

fn take_rows<R: Row>(input: &mut &[u8], rows: &mut impl List<R>) -> Result<(), Malformed> {
    rows.clear();
    let [count] = codec::take_numbers(input)?;
    for _ in 0..count {
        // A count beyond what fits ends here, whatever it is.
        rows.push(R::take(input)?).map_err(|_| Malformed::Content)?;
    }
    Ok(())
}
