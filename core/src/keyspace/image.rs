//! A keyspace as bytes: the format's number, how many items, then each with its key, in the order of the keys.

use super::Blob;
use super::items::{Item, Items};
use super::limits::{KEY_BYTES, VALUE_BYTES};
use crate::codec::{self, Full, Malformed, Sink};

const FORMAT: u8 = 1;

pub(super) fn put(items: &Items, sink: &mut dyn Sink) -> Result<(), Full> {
    codec::put(&(FORMAT, items.stats().keys), sink)?;
    items.iter().try_for_each(|item| codec::put(&item, sink))
}

/// Reads items of no more than `limit` bytes in all.
pub(super) fn take(mut bytes: &[u8], limit: u64) -> Result<Items, Malformed> {
    let (format, len): (u8, u64) = codec::take(&mut bytes)?;
    if format != FORMAT {
        return Err(Malformed::Version(format));
    }
    let mut items = Items::default();
    let mut last: Option<Blob> = None;
    // Each item takes bytes, so a count that lies ends with them.
    for _ in 0..len {
        let (key, item): (Blob, Item) = codec::take(&mut bytes)?;
        let ascending = last.is_none_or(|last| last < key);
        let sound = item.created <= item.modified && (!item.fenced || item.created.get() > 0);
        if !ascending || !sound || key.len() > KEY_BYTES || item.value.len() > VALUE_BYTES {
            return Err(Malformed::Content);
        }
        last = Some(key.clone());
        items.put(key, item);
        if items.stats().bytes > limit {
            return Err(Malformed::Content);
        }
    }
    if bytes.is_empty() { Ok(items) } else { Err(Malformed::Trailing) }
}
