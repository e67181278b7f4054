//! What is told to be committed: the same everywhere, for ever, and on the disks of a majority.

use super::history::{History, place, slot};
use crate::subject::{At, Broken, Check, holds};
use quorate::{Index, Position, Term};

impl History {
    /// A node that is in `term` tells that its log is committed up to `commit`.
    pub(super) fn on_commit(&mut self, at: At, commit: Index, term: Term) -> Check {
        let before = std::mem::replace(&mut self.commits[slot(at.node)], commit);
        let log = &self.disks[slot(at.node)].written;
        let (first, known) = (before.max(log.snapshot()).next(), self.committed());
        holds(first <= known.next(), "a snapshot holds only what is committed", || {
            format!("{} goes on after {first}, {known} is the last that was committed", at.node)
        })?;
        let term = self.committed_in.last().map_or(term, |&latest| latest.max(term));
        for index in (first.get()..=commit.get()).map(Index::new) {
            let missing =
                || Broken::new("what is committed is in the log", format!("{} lacks {index}", at.node));
            let found = log.slot(index).ok_or_else(missing)?;
            match place(index).and_then(|place| self.committed.get(place)) {
                Some(&known) => holds(known == found, "what is committed never changes", || {
                    format!(
                        "{} commits another entry at {index} of {}, not {}",
                        at.node, found.term, known.term
                    )
                })?,
                None => {
                    self.committed.push(found);
                    self.committed_in.push(term);
                }
            }
        }
        self.check_quorum(at, commit)
    }

    fn check_quorum(&self, at: At, commit: Index) -> Check {
        let Some(found) = place(commit).and_then(|place| self.committed.get(place)) else { return Ok(()) };
        let last = Position { term: found.term, index: commit };
        let holders = self.disks.iter().filter(|disk| disk.durable.covers(last)).count();
        holds(holders * 2 > self.voters, "what is committed is on the disks of a majority", || {
            format!("{} commits {last}, which is on {holders} of {} disks", at.node, self.voters)
        })
    }
}
