//! A keyspace as bytes:
//!
//! ```text
//! format u8 | items: a count, then each with its key, in the order of the keys
//!           | prepared: a count, then each transaction, in their order: its name, and its keys in their order, each with
//!             what becomes of it if the transaction is committed
//! ```
//!
//! In format 1 nothing was prepared.

use super::Blob;
use super::items::{Item, Items, Shelf};
use super::limits::{KEY_BYTES, VALUE_BYTES};
use super::prepared::Prepared;
use crate::codec::{self, Full, Malformed, Sink};

const FORMAT: u8 = 2;
const UNPREPARED: u8 = 1;

pub(super) fn put(items: &Items, prepared: &Prepared, sink: &mut dyn Sink) -> Result<(), Full> {
    codec::put(&(FORMAT, items.stats().keys), sink)?;
    items.iter().try_for_each(|item| codec::put(&item, sink))?;
    prepared.write(sink)
}

/// Reads items of no more than `limit` bytes in all, and what is prepared.
pub(super) fn take(mut bytes: &[u8], limit: u64) -> Result<(Items, Prepared), Malformed> {
    let (format, len): (u8, u64) = codec::take(&mut bytes)?;
    if format != FORMAT && format != UNPREPARED {
        return Err(Malformed::Version(format));
    }
    let mut items = Items::default();
    let mut last: Option<Blob> = None;
    // Each item takes bytes, so a count that lies ends with them.
    for _ in 0..len {
        let (key, item): (Blob, Item) = codec::take(&mut bytes)?;
        let ascending = last.is_none_or(|last| last < key);
        if !ascending || !is_sound(&key, Some(&item)) {
            return Err(Malformed::Content);
        }
        last = Some(key.clone());
        items.put(key, item);
        if items.stats().bytes > limit {
            return Err(Malformed::Content);
        }
    }
    let prepared = match format {
        UNPREPARED => Prepared::default(),
        _ => Prepared::read(&mut bytes, &mut items, limit)?,
    };
    if bytes.is_empty() { Ok((items, prepared)) } else { Err(Malformed::Trailing) }
}

/// Whether there may be such a key, and such an item.
pub(super) fn is_sound(key: &Blob, item: Option<&Item>) -> bool {
    let sound = |item: &Item| {
        item.value.len() <= VALUE_BYTES
            && item.created <= item.modified
            && (!item.fenced || item.created.get() > 0)
    };
    key.len() <= KEY_BYTES && item.is_none_or(sound)
}
