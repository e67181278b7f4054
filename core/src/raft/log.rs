//! The log: a bounded window of entries after a base, with cursors for what is saved and what is durable.

use super::{Content, Entry};
use crate::batch::{Batch, Command, Held};
use crate::durable::{Ledger, Mark};
use crate::space::Window;
use crate::{Index, Position, Space, Term};

/// The entries after `base`. All up to `base` is in a snapshot.
#[derive(Debug)]
// The window last: see `Raft`.
#[repr(C)]
pub(super) struct Log<C: Command, S: Space> {
    base: Position,
    last: Position,
    /// The weight of all entries up to `base`, and up to `last`, since the machine began.
    base_end: u64,
    last_end: u64,
    /// The epoch of the last entry.
    last_mark: Mark,
    saved: Index,
    durable: Index,
    window: S::Window<Held<Entry<C>>>,
}

impl<C: Command, S: Space> Log<C, S> {
    /// Nothing after `base`, which is durable.
    pub(super) fn new(base: Position) -> Self {
        let (window, index) = (S::Window::default(), base.index);
        Self {
            window,
            base,
            last: base,
            base_end: 0,
            last_end: 0,
            last_mark: Mark::default(),
            saved: index,
            durable: index,
        }
    }

    /// Forgets everything, and goes on after `base`, which is durable.
    pub(super) fn restart(&mut self, base: Position) {
        self.window.truncate(0);
        (self.base, self.last) = (base, base);
        (self.base_end, self.last_end, self.last_mark) = Default::default();
        (self.saved, self.durable) = (base.index, base.index);
    }

    #[cfg(all(feature = "alloc", feature = "serde"))]
    pub(super) fn shrink(&mut self) {
        self.window.shrink();
    }

    /// The last entry that is in the snapshot.
    pub(super) const fn base(&self) -> Position {
        self.base
    }

    /// The last entry.
    pub(super) const fn last(&self) -> Position {
        self.last
    }

    /// How far entries have been handed out in records.
    pub(super) const fn saved(&self) -> Index {
        self.saved
    }

    /// How far entries are durable here.
    pub(super) const fn durable(&self) -> Index {
        self.durable
    }

    /// How many entries there are after the base.
    pub(super) fn len(&self) -> usize {
        self.window.len()
    }

    /// What the entries after the base weigh.
    pub(super) const fn weight(&self) -> u64 {
        self.last_end - self.base_end
    }

    /// The term of the entry at `index`; of the base too.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.last.index {
            return Some(self.last.term);
        }
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.held(index).map(|held| held.item.term)
    }

    /// Whether the log has this very entry.
    pub(super) fn has(&self, at: Position) -> bool {
        self.term_at(at.index) == Some(at.term)
    }

    /// The last entry that is not beyond `index` nor of a later term than `term`, if the log knows one.
    pub(super) fn find(&self, index: Index, term: Term) -> Option<Position> {
        let count = self.window.count_while(0, self.offset(index.next()), &|held| held.item.term <= term);
        let at = self.base.index.forward(count as u64);
        let term_at = self.term_at(at)?;
        (at <= index && term_at <= term).then_some(Position { term: term_at, index: at })
    }

    #[cfg(feature = "serde")]
    pub(super) fn entry(&self, index: Index) -> Option<&Entry<C>> {
        self.held(index).map(|held| &held.item)
    }

    /// Adds an entry, staged in the epoch `mark`.
    ///
    /// # Errors
    /// Hands it back when the window is full.
    pub(super) fn push(&mut self, entry: Entry<C>, mark: Mark) -> Result<Position, Entry<C>> {
        let at = Position { term: entry.term, index: self.last.index.next() };
        let end = self.last_end + weight(&entry);
        self.window.push_back(Held { item: entry, mark, end }).map_err(|held| held.item)?;
        (self.last, self.last_end, self.last_mark) = (at, end, mark);
        Ok(at)
    }

    /// Forgets what comes after `index`.
    pub(super) fn truncate(&mut self, index: Index) {
        assert!(index >= self.base.index, "what is in a snapshot is not truncated");
        self.window.truncate(self.offset(index.next()));
        self.last_end = self.end(index);
        let (term, mark) = match self.held(index) {
            Some(held) => (held.item.term, held.mark),
            None => (self.base.term, Mark::default()),
        };
        (self.last, self.last_mark) = (Position { term, index }, mark);
        self.saved = self.saved.min(index);
        self.durable = self.durable.min(index);
    }

    /// Forgets what comes up to `index`: it is in a snapshot.
    pub(super) fn compact(&mut self, to: Position) {
        assert!(self.has(to) && to.index >= self.base.index, "only what the log holds is compacted");
        self.base_end = self.end(to.index);
        for _ in 0..to.index.since(self.base.index) {
            self.window.pop_front();
        }
        self.base = to;
        self.saved = self.saved.max(to.index);
        self.durable = self.durable.max(to.index);
    }

    /// Notes that the entries up to `index` were handed out in a record.
    pub(super) const fn set_saved(&mut self, index: Index) {
        self.saved = index;
    }

    /// Moves the durable cursor to what the ledger vouches for. Tells whether it moved.
    ///
    /// An entry is durable with its own epoch only, so the receipt of an entry that was overwritten moves nothing.
    pub(super) fn advance_durable(&mut self, ledger: &Ledger) -> bool {
        let before = self.durable;
        if self.saved == self.last.index && ledger.is_durable(self.last_mark) {
            self.durable = self.saved;
            return self.durable > before;
        }
        let (from, to) = (self.offset(before.next()), self.offset(self.saved.next()));
        let count = self.window.count_while(from, to, &|held| ledger.is_durable(held.mark));
        self.durable = before.forward(count as u64);
        self.durable > before
    }

    /// The entries after `after`, up to `to`.
    pub(super) fn entries(&self, after: Index, to: Index) -> Batch<'_, Entry<C>> {
        Batch::lent(self.window.range(self.offset(after.next()), self.offset(to.next())))
    }

    /// How far a batch reaches that starts after `after` and weighs at most `bytes`; at least one entry, if there is one.
    pub(super) fn reach(&self, after: Index, bytes: u64) -> Index {
        let limit = self.end(after).saturating_add(bytes);
        if self.last_end <= limit {
            return self.last.index;
        }
        let count = self.window.count_while(self.offset(after.next()), usize::MAX, &|held| held.end <= limit);
        after.forward(count.max(1) as u64).min(self.last.index)
    }

    /// The weight of the entries after `after` up to `to`.
    pub(super) fn weight_between(&self, after: Index, to: Index) -> u64 {
        if after >= to {
            return 0;
        }
        self.end(to).saturating_sub(self.end(after))
    }

    /// Where the entry at `index` ends in the weight of all.
    fn end(&self, index: Index) -> u64 {
        if index >= self.last.index {
            return self.last_end;
        }
        self.held(index).map_or(self.base_end, |held| held.end)
    }

    fn held(&self, index: Index) -> Option<&Held<Entry<C>>> {
        if index <= self.base.index {
            return None;
        }
        self.window.get(self.offset(index))
    }

    /// Places from the front of the window.
    const fn offset(&self, index: Index) -> usize {
        index.get().saturating_sub(self.base.index.get()).saturating_sub(1) as usize
    }
}

/// What an entry weighs: its command, and a little for what is around it.
pub(super) fn weight<C: Command>(entry: &Entry<C>) -> u64 {
    const FRAMING: u64 = 8;
    match &entry.content {
        Content::Empty => FRAMING,
        Content::Command(command) => FRAMING + command.weight() as u64,
    }
}
