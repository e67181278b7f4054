//! How much a keyspace takes in: the same on every replica, so fixed in the code.

use super::Blob;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The longest key.
pub const KEY_BYTES: usize = 1024;
/// The longest value.
pub const VALUE_BYTES: usize = 512 * 1024;
/// The most keys that one change or one query may name, and the most that one transaction may watch.
pub const KEYS: usize = 128;
/// The most steps of a transaction.
pub const STEPS: usize = 128;
/// The largest command, all its keys and values together.
pub const COMMAND_BYTES: usize = 1024 * 1024;
/// The most bytes of values that one query or one transaction answers with.
pub const ANSWER_BYTES: usize = 1024 * 1024;
/// What the state may take, unless the type says otherwise; see [`Stats::bytes`](super::Stats::bytes).
pub const STATE_BYTES: u64 = 512 * 1024 * 1024;
/// What an item counts beside its key and its value: about what its place in memory takes.
pub const ITEM_BYTES: usize = 128;

/// What transactions that span groups may have prepared, all together, counted like the state.
pub const PREPARED_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that each key, value and step takes beside its own, at most, in a frame.
const FRAMING: usize = 12;

/// Why something was not done. The state is as it was, unless the variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// A key is longer than [`KEY_BYTES`].
    KeyTooLong,
    /// A value is longer than [`VALUE_BYTES`].
    ValueTooLong,
    /// More than [`KEYS`] keys.
    TooManyKeys,
    /// More than [`STEPS`] steps.
    TooManySteps,
    /// A command of more than [`COMMAND_BYTES`].
    CommandTooLarge,
    /// An answer of more than [`ANSWER_BYTES`]. A change has happened all the same.
    AnswerTooLarge,
    /// The state has no room for it.
    Full,
    /// The value is not a decimal integer of 64 bits.
    NotAnInteger,
    /// The sum is not an integer of 64 bits.
    Overflow,
    /// A step among others whose outcome depends on keys of several groups.
    Spans,
    /// A key is past its end, but a transaction still looks at it. Trying again at once is worth it.
    Expiring,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLong => write!(f, "key is longer than {KEY_BYTES} bytes"),
            Self::ValueTooLong => write!(f, "value is longer than {VALUE_BYTES} bytes"),
            Self::TooManyKeys => write!(f, "more than {KEYS} keys in one command"),
            Self::TooManySteps => write!(f, "more than {STEPS} commands in one transaction"),
            Self::CommandTooLarge => write!(f, "command is larger than {COMMAND_BYTES} bytes"),
            Self::AnswerTooLarge => write!(f, "answer is larger than {ANSWER_BYTES} bytes"),
            Self::Full => f.write_str("the keyspace is full: delete keys, or let some expire"),
            Self::NotAnInteger => f.write_str("value is not an integer or out of range"),
            Self::Overflow => f.write_str("increment or decrement would overflow"),
            Self::Spans => {
                f.write_str("its keys are in several groups: run it by itself, not in a transaction")
            }
            Self::Expiring => f.write_str("a key is just expiring: try again"),
        }
    }
}

impl core::error::Error for Refused {}

/// Counts what a command is made of, and stops at the first limit.
#[derive(Default)]
pub(super) struct Tally {
    bytes: usize,
}

impl Tally {
    pub(super) fn key(&mut self, key: &Blob) -> Result<(), Refused> {
        self.add(key, KEY_BYTES, Refused::KeyTooLong)
    }

    pub(super) fn value(&mut self, value: &Blob) -> Result<(), Refused> {
        self.add(value, VALUE_BYTES, Refused::ValueTooLong)
    }

    pub(super) fn keys(&mut self, keys: &[Blob]) -> Result<(), Refused> {
        within(keys.len(), KEYS, Refused::TooManyKeys)?;
        keys.iter().try_for_each(|key| self.key(key))
    }

    pub(super) fn items(&mut self, items: &[(Blob, Blob)]) -> Result<(), Refused> {
        within(items.len(), KEYS, Refused::TooManyKeys)?;
        items.iter().try_for_each(|(key, value)| self.key(key).and_then(|()| self.value(value)))
    }

    pub(super) fn watched(&mut self, count: usize) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(FRAMING));
        within(count, KEYS, Refused::TooManyKeys)
    }

    pub(super) fn steps(&mut self, count: usize) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(FRAMING));
        within(count, STEPS, Refused::TooManySteps)
    }

    pub(super) fn check(&self) -> Result<(), Refused> {
        within(self.bytes, COMMAND_BYTES, Refused::CommandTooLarge)
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes.saturating_add(FRAMING)
    }

    fn add(&mut self, blob: &Blob, limit: usize, refused: Refused) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(blob.len()).saturating_add(FRAMING);
        within(blob.len(), limit, refused)
    }
}

fn within(size: usize, limit: usize, refused: Refused) -> Result<(), Refused> {
    if size <= limit { Ok(()) } else { Err(refused) }
}
