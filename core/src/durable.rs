//! Persist before send, by type.
//!
//! A [`Write`] comes only from `poll`. Consuming it is the only way to a [`Receipt`], and what depends on a write
//! does not exist until its receipt came back: the machine keeps it [`Gated`], and [`Ledger::open`] is the one
//! place that opens the gate.
//!
//! Changes are staged in *epochs*. Whatever is staged belongs to the epoch being collected; the save that leaves
//! nothing unsaved closes it and bears its mark, and a save before that bears the mark of the epoch before. So a
//! receipt vouches for an epoch as a whole, and a completion that comes after its entries were overwritten
//! vouches for nothing new: the new ones belong to a later epoch.
//!
//! What must not be done does not compile. A receipt cannot be made up:
//!
//! ```compile_fail,E0451
//! let receipt = quorate::Receipt { mark: Default::default(), machine: 0 };
//! ```
//!
//! nor copied, to vouch for one write twice:
//!
//! ```compile_fail,E0382
//! fn twice(receipt: quorate::Receipt) -> (quorate::Receipt, quorate::Receipt) {
//!     (receipt, receipt)
//! }
//! ```
//!
//! ```compile_fail,E0308
//! fn twice(receipt: &quorate::Receipt) -> quorate::Receipt {
//!     receipt.clone()
//! }
//! ```
//!
//! A write is spent when it is carried out, and so is the claim on it:
//!
//! ```compile_fail,E0382
//! fn save(write: quorate::Write<u32>) {
//!     let receipt = write.commit(|_| Ok::<_, ()>(()));
//!     let (record, pending) = write.split();
//! }
//! ```
//!
//! ```compile_fail,E0382
//! fn claim(pending: quorate::Pending) {
//!     let receipt = pending.assert_durable();
//!     let again = pending.assert_durable();
//! }
//! ```
//!
//! A write is made by a ledger, from a record and the claim that follows from it, and by nobody else:
//!
//! ```compile_fail,E0451
//! fn forge(pending: quorate::Pending) -> quorate::Write<u32> {
//!     quorate::Write { record: 7, pending }
//! }
//! ```
//!
//! and what is gated cannot be had before the gate is open:
//!
//! ```compile_fail,E0616
//! let ledger = quorate::durable::Ledger::new(1);
//! let vote = ledger.gate("granted");
//! let early = vote.value;
//! ```

/// How far a machine's writes have got: the number of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// A record to be made durable, with the claim that follows from it.
#[derive(Debug)]
#[must_use = "what this write gates is never sent until its receipt comes back"]
pub struct Write<R> {
    record: R,
    pending: Pending,
}

/// A claim on a write that has been issued and is not yet known to be durable.
#[derive(Debug)]
#[must_use = "what this write gates is never sent until its receipt comes back"]
pub struct Pending {
    mark: Mark,
    machine: u64,
}

/// The proof that a write, and every write of that machine before it, is durable.
#[derive(Debug)]
#[must_use = "hand it to the machine as `Input::Saved`"]
pub struct Receipt {
    mark: Mark,
    machine: u64,
}

impl<R> Write<R> {
    /// Saves the record with storage that returns when it is durable.
    ///
    /// # Errors
    /// The error of `save`. The write is spent: drop the machine and restore it from its records.
    pub fn commit<E>(self, save: impl FnOnce(R) -> Result<(), E>) -> Result<Receipt, E> {
        save(self.record)?;
        Ok(self.pending.assert_durable())
    }

    /// The record for storage that finishes later, and the claim to keep until then.
    pub fn split(self) -> (R, Pending) {
        (self.record, self.pending)
    }

    /// The record, to look at.
    pub const fn record(&self) -> &R {
        &self.record
    }

    /// Another record with the same claim, for machines made of machines.
    pub fn map<T>(self, record: impl FnOnce(R) -> T) -> Write<T> {
        Write { record: record(self.record), pending: self.pending }
    }
}

impl Pending {
    /// The one promise a driver makes: the write, and every write of this machine before it, will survive a crash.
    pub const fn assert_durable(self) -> Receipt {
        Receipt { mark: self.mark, machine: self.machine }
    }

    /// Whether both claims are of one machine, so that they [`merge`](Self::merge).
    #[must_use]
    pub const fn is_of_one(&self, other: &Self) -> bool {
        self.machine == other.machine
    }

    /// The later claim stands for both.
    ///
    /// # Panics
    /// If the claims are of two machines: a driver mixed up its books.
    pub fn merge(self, later: Self) -> Self {
        assert!(self.is_of_one(&later), "claims of two machines cannot be merged");
        if later.mark >= self.mark { later } else { self }
    }
}

impl Receipt {
    /// The brand of the machine whose writes it vouches for.
    pub(crate) const fn machine(&self) -> u64 {
        self.machine
    }
}

/// A value that may not leave before what it depends on is durable.
///
/// ```
/// let mut ledger = quorate::durable::Ledger::new(1);
/// ledger.stage();
/// let vote = ledger.gate("granted");
/// assert_eq!(ledger.open(&vote), None);
/// let write = ledger.write("a record", true);
/// let receipt = write.commit(|_record| Ok::<_, ()>(()))?;
/// ledger.accept(receipt);
/// assert_eq!(ledger.open(&vote), Some(&"granted"));
/// # Ok::<(), ()>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gated<T> {
    value: T,
    after: Mark,
}

/// A machine's own account of what it staged, wrote and knows to be durable.
#[derive(Debug)]
pub struct Ledger {
    machine: u64,
    issued: Mark,
    durable: Mark,
    unsaved: bool,
    /// Receipts of another machine, or of an earlier life of this one.
    foreign: u64,
}

impl Ledger {
    /// An account for one life of one machine. `brand` must differ between machines and between lives.
    #[must_use]
    pub const fn new(brand: u64) -> Self {
        Self { machine: brand, issued: Mark(0), durable: Mark(0), unsaved: false, foreign: 0 }
    }

    /// Notes that something has changed that must be saved, and tells the epoch it belongs to.
    pub const fn stage(&mut self) -> Mark {
        self.unsaved = true;
        self.mark()
    }

    /// The epoch that covers everything staged so far.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        if self.unsaved { Mark(self.issued.0 + 1) } else { self.issued }
    }

    /// What tells this life of this machine from others.
    pub(crate) const fn brand(&self) -> u64 {
        self.machine
    }

    /// Whether something staged has not been handed out by a closing [`write`](Self::write).
    #[must_use]
    pub const fn has_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Hands out a record. `closes` says that with it nothing staged is left unsaved.
    pub const fn write<R>(&mut self, record: R, closes: bool) -> Write<R> {
        if closes {
            self.issued = self.mark();
            self.unsaved = false;
        }
        Write { record, pending: Pending { mark: self.issued, machine: self.machine } }
    }

    /// Takes a receipt in. Tells whether more is durable than before.
    pub const fn accept(&mut self, receipt: Receipt) -> bool {
        if receipt.machine != self.machine || receipt.mark.0 > self.issued.0 {
            self.foreign += 1;
            return false;
        }
        let news = receipt.mark.0 > self.durable.0;
        if news {
            self.durable = receipt.mark;
        }
        news
    }

    /// Whether everything up to `mark` is durable.
    #[must_use]
    pub const fn is_durable(&self, mark: Mark) -> bool {
        mark.0 <= self.durable.0
    }

    /// A value that depends on everything staged so far.
    #[must_use]
    pub const fn gate<T>(&self, value: T) -> Gated<T> {
        Gated { value, after: self.mark() }
    }

    /// The gate: the value, if all that it depends on is durable.
    #[must_use]
    pub fn open<'a, T>(&self, gated: &'a Gated<T>) -> Option<&'a T> {
        self.is_durable(gated.after).then_some(&gated.value)
    }

    /// How many receipts were dropped because they were not this machine's, or of an earlier life.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_opens_with_the_receipt_of_its_epoch_and_not_before() {
        let mut ledger = Ledger::new(1);
        ledger.stage();
        let gated = ledger.gate("vote");
        let early = ledger.write((), false).split().1.assert_durable();
        let closing = ledger.write((), true).split().1;
        assert!(ledger.open(&gated).is_none());
        ledger.accept(early);
        assert!(ledger.open(&gated).is_none(), "a save that leaves something unsaved closes no epoch");
        ledger.accept(closing.assert_durable());
        assert_eq!(ledger.open(&gated), Some(&"vote"));
    }

    #[test]
    fn what_is_staged_after_a_write_is_not_covered_by_its_receipt() {
        let mut ledger = Ledger::new(1);
        ledger.stage();
        let first = ledger.write((), true).split().1;
        ledger.stage();
        let later = ledger.gate(());
        ledger.accept(first.assert_durable());
        assert!(ledger.open(&later).is_none());
    }

    #[test]
    fn a_receipt_of_another_machine_is_dropped_and_counted() {
        let (mut ours, mut theirs) = (Ledger::new(1), Ledger::new(2));
        ours.stage();
        theirs.stage();
        let receipt = theirs.write((), true).split().1.assert_durable();
        let gated = ours.gate(());
        let _ = ours.write((), true);
        assert!(!ours.accept(receipt));
        assert!(ours.open(&gated).is_none());
        assert_eq!(ours.foreign(), 1);
    }

    #[test]
    #[should_panic(expected = "claims of two machines")]
    fn claims_of_two_machines_do_not_merge() {
        let claim = |brand| Ledger::new(brand).write((), true).split().1;
        let _ = claim(1).merge(claim(2));
    }
}
