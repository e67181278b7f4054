//! What a leader knows of a follower.

use super::message::Round;
use crate::{Index, SnapshotId};

/// How far a follower is, and how to bring it on.
#[derive(Debug)]
pub(super) struct Progress {
    /// Its log agrees durably up to here. Never goes back within a term.
    pub(super) matched: Index,
    /// The next entry to send.
    pub(super) next: Index,
    pub(super) stage: Stage,
    /// The newest round it answered.
    pub(super) round: Round,
    /// The commit index it was told.
    pub(super) commit_told: Index,
    /// Whether a heartbeat is due, which wants an answer.
    pub(super) beat: bool,
    /// Its own question how far reads have to see.
    pub(super) read: Option<RemoteRead>,
}

/// The way to bring a follower on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Where its log agrees is being found out: one append at a time.
    Probe {
        /// Whether one is under way.
        sent: bool,
    },
    /// Appends are pipelined.
    Replicate,
    /// It is behind the window: it gets a snapshot, one chunk at a time.
    Snapshot {
        of: SnapshotId,
        /// How much of it is there.
        have: u64,
    },
}

/// A follower's question how far reads have to see.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteRead {
    pub(super) id: u64,
    pub(super) index: Index,
    /// The round that confirms it, once one has begun.
    pub(super) round: Option<Round>,
    /// Whether it is confirmed and has to be answered.
    pub(super) confirmed: bool,
}

impl Progress {
    pub(super) fn after(last: Index) -> Self {
        Self {
            matched: Index::default(),
            next: last.next(),
            stage: Stage::Probe { sent: false },
            round: Round::default(),
            commit_told: Index::default(),
            beat: true,
            read: None,
        }
    }

    /// Its log agrees durably up to `matched`. Tells whether that is news.
    pub(super) fn on_accepted(&mut self, matched: Index) -> bool {
        match self.stage {
            // It agrees and has not taken what was sent: its window is full, or its disk is slow. The next ones would
            // not fit either, and would be rejected at once.
            Stage::Probe { .. } if matched <= self.matched && matched.next() < self.next => {}
            Stage::Probe { .. } => self.stage = Stage::Replicate,
            Stage::Snapshot { of, .. } if matched >= of.at.index => self.stage = Stage::Replicate,
            Stage::Replicate | Stage::Snapshot { .. } => {}
        }
        // A late acknowledgement must pull back neither what is known nor what was sent.
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        news
    }

    /// An append after `prev` did not fit. Tells whether it was one that is still under way.
    pub(super) fn is_under_way(&self, prev: Index) -> bool {
        self.matched < prev && prev < self.next
    }
}
