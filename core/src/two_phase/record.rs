//! What must survive a crash.

use super::message::{Parties, Promise};
use crate::{Age, Batch, NodeId, TxId};
use core::fmt;

/// A record of a coordinator, or of a participant. Restart is replay of one machine's records, in order.
#[derive(Debug)]
pub enum Record<'a, W> {
    /// Coordinator: transactions below this number may have begun.
    Numbered {
        /// The first number that has not been used.
        through: u64,
    },
    /// Coordinator: it was decided that all do it.
    Committed {
        /// The transaction.
        tx: TxId,
        /// Who has to hear it, and what each promised.
        parties: Parties<'a>,
    },
    /// Either: nothing is left to do. A participant's next yes in this transaction is another one.
    Ended {
        /// The transaction.
        tx: TxId,
    },
    /// Participant: a yes.
    Promised {
        /// The transaction.
        tx: TxId,
        /// Its number.
        promise: Promise,
        /// Whether it is certain that none was given in this transaction before.
        is_first: bool,
        /// How old the transaction is.
        age: Age,
        /// Who takes part.
        parties: Parties<'a>,
        /// What was promised: one item.
        work: Batch<'a, W>,
    },
    /// Participant: a no that another participant relies on.
    Refused {
        /// The transaction.
        tx: TxId,
    },
    /// Participant: it was the only one, and did it.
    Kept {
        /// The transaction.
        tx: TxId,
    },
    /// Participant: an operator decided, since nobody else could be asked.
    Forced {
        /// The transaction.
        tx: TxId,
        /// What.
        commit: bool,
    },
    /// Participant: transactions of a coordinator up to this number have been done and forgotten here.
    Past {
        /// Whose.
        coordinator: NodeId,
        /// The largest number.
        number: u64,
    },
    /// Either: these records stand for all before.
    Restart(Restated<'a, W>),
}

/// The records that a restart puts in the place of all before it.
pub struct Restated<'a, W>(Form<'a, W>);

enum Form<'a, W> {
    Held(&'a dyn Restate<W>),
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "made by the codec"))]
    Encoded(&'a [u8], fn(&mut &'a [u8]) -> Option<Record<'a, W>>),
}

/// A machine that can restate itself.
pub(super) trait Restate<W> {
    /// Shows a record for each thing that is not forgotten.
    fn restate(&self, show: &mut dyn FnMut(Record<'_, W>));
}

impl<'a, W> Restated<'a, W> {
    pub(super) const fn of(machine: &'a dyn Restate<W>) -> Self {
        Self(Form::Held(machine))
    }

    #[cfg(feature = "serde")]
    pub(super) const fn encoded(bytes: &'a [u8], next: fn(&mut &'a [u8]) -> Option<Record<'a, W>>) -> Self {
        Self(Form::Encoded(bytes, next))
    }

    /// Shows each record.
    pub fn for_each(&self, show: &mut dyn FnMut(Record<'_, W>)) {
        match self.0 {
            Form::Held(machine) => machine.restate(show),
            // Bounded by the bytes: each record takes some.
            Form::Encoded(mut bytes, next) => {
                while let Some(record) = next(&mut bytes) {
                    show(record);
                }
            }
        }
    }
}

impl<W> fmt::Debug for Restated<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restated")
    }
}
