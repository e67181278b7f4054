//! The invariants of Raft, over the history of all nodes and all their lives, as told by their records and messages.
//!
//! Entries are told apart by place and term. In each term one leader appends, so for each term it is enough to keep
//! the first place and what was seen from there on: then log matching is that whatever anyone sends or writes agrees
//! with that, and every check looks at one place only.

use super::image::{Disk, Printer, Slot};
use crate::subject::{At, Broken, Check, holds};
use quorate::raft::{Entry, Message, Record, Role, Status};
use quorate::{Batch, Index, NodeId, Position, Term};
use serde::Serialize;

/// A term, over all history.
#[derive(Debug, Default)]
struct Reign {
    leader: Option<NodeId>,
    /// Whom each node voted for, durably.
    votes: Vec<Option<NodeId>>,
    /// The entry before the first one that was appended in this term.
    before: Position,
    /// What each entry of this term holds.
    prints: Vec<u64>,
}

/// The history of a cluster.
#[derive(Debug, Default)]
pub struct History {
    pub(super) disks: Vec<Disk>,
    /// How many of the nodes vote: of the others nothing is ever heard.
    pub(super) voters: usize,
    reigns: Vec<Reign>,
    /// What was told to be committed, by place.
    pub(super) committed: Vec<Slot>,
    /// In which term at the latest it was, by place.
    pub(super) committed_in: Vec<Term>,
    /// How far each node has told, in this life.
    pub(super) commits: Vec<Index>,
    printer: Printer,
    /// The latest leader.
    leader: Option<NodeId>,
    leaders: u64,
}

impl History {
    /// The history of a cluster that begins.
    #[must_use]
    pub fn of(nodes: &[NodeId]) -> Self {
        Self {
            disks: nodes.iter().map(|_| Disk::default()).collect(),
            voters: nodes.len(),
            commits: vec![Index::default(); nodes.len()],
            ..Self::default()
        }
    }

    /// The same, where only so many of the nodes have to do with it.
    #[must_use]
    pub fn among(self, voters: usize) -> Self {
        Self { voters, ..self }
    }

    /// How far any node has told entries to be committed.
    #[must_use]
    pub fn committed(&self) -> Index {
        Index::new(self.committed.len() as u64)
    }

    /// The latest leader.
    #[must_use]
    pub const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// How many leaders there were.
    #[must_use]
    pub const fn leaders(&self) -> u64 {
        self.leaders
    }

    /// What is told to be committed at a place, as a hash.
    #[must_use]
    pub fn print(&self, index: Index) -> Option<u64> {
        self.committed.get(place(index)?).map(|slot| slot.print)
    }

    /// How far a node's log is in a snapshot.
    pub(super) fn snapshot(&self, node: NodeId) -> Index {
        self.disks[slot(node)].written.snapshot()
    }

    /// Whether a record takes entries out of a node's log.
    pub(super) fn truncates<C>(&self, node: NodeId, record: &Record<'_, C>) -> bool {
        matches!(record, Record::Append { after, .. } if *after < self.disks[slot(node)].written.last().index)
    }

    /// Whether what was committed after `known` holds an entry of a term before `term`.
    pub(super) fn inherited(&self, known: Index, term: Term) -> bool {
        self.committed.get(known.get() as usize).is_some_and(|slot| slot.term < term)
    }

    fn reign(&mut self, term: Term) -> &mut Reign {
        let at = term.get() as usize;
        if self.reigns.len() <= at {
            self.reigns.resize_with(at + 1, Reign::default);
        }
        &mut self.reigns[at]
    }

    /// A node sends a message.
    ///
    /// # Errors
    /// It breaks an invariant.
    pub fn on_sent<C: Serialize>(&mut self, at: At, to: NodeId, message: &Message<'_, C>) -> Check {
        match *message {
            Message::Vote { .. }
            | Message::Rejected { .. }
            | Message::Stale { .. }
            | Message::ReadIndex { .. } => Ok(()),
            Message::VoteReply { term, granted: true, pre: false } => {
                let voted = self.reign(term).votes.get(slot(at.node)).copied().flatten();
                holds(voted == Some(to), "a vote is durable before it leaves", || {
                    format!("{} gives {to} its vote of {term}, its disk holds {voted:?}", at.node)
                })
            }
            Message::VoteReply { .. } => Ok(()),
            Message::Append { term, prev, entries, commit, .. } => {
                self.on_leading(at, term)?;
                let committed = self.committed();
                let written = self.disks[slot(at.node)].written.last();
                holds(prev.index <= written.index, "a leader sends what it has", || {
                    format!("{} sends entries after {prev}, its log ends at {written}", at.node)
                })?;
                holds(commit <= committed.max(written.index), "a commit index is of an entry", || {
                    format!("{} tells {commit}, its log ends at {written}", at.node)
                })?;
                self.see_entries(at, prev, entries)
            }
            Message::Chunk { term, of, .. } => {
                self.on_leading(at, term)?;
                let known = self
                    .committed
                    .get(place(of.at.index).unwrap_or(0))
                    .is_some_and(|slot| slot.term == of.at.term);
                holds(known, "a snapshot holds only what is committed", || {
                    format!("{} sends {:?}", at.node, of)
                })
            }
            Message::ReadAt { term, .. } => self.on_leading(at, term),
            Message::Accepted { term, matched, .. } => self.on_accepted(at, to, term, matched),
            Message::Have { .. } => Ok(()),
        }
    }

    /// A node acts as the leader of a term.
    fn on_leading(&mut self, at: At, term: Term) -> Check {
        let reign = self.reign(term);
        if let Some(leader) = reign.leader {
            return holds(leader == at.node, "at most one leader a term", || {
                format!("{} leads in {term}, and so did {leader}", at.node)
            });
        }
        reign.leader = Some(at.node);
        self.leader = Some(at.node);
        self.leaders += 1;
        // Raft 5.4: what was committed in earlier terms; an old leader need not know what came after it.
        let count = self.committed_in.partition_point(|&committed| committed < term);
        let Some(last) = count.checked_sub(1).and_then(|place| self.committed.get(place)) else {
            return Ok(());
        };
        let last = Position { term: last.term, index: Index::new(count as u64) };
        let log = &self.disks[slot(at.node)].written;
        holds(log.covers(last), "a leader has all that is committed", || {
            format!("{} leads in {term}, its log ends at {}, {last} is committed", at.node, log.last())
        })
    }

    /// A follower says that its log agrees with the leader's, durably.
    fn on_accepted(&mut self, at: At, to: NodeId, term: Term, matched: Index) -> Check {
        let durable = &self.disks[slot(at.node)].durable;
        holds(durable.reach() >= matched, "an entry is durable before it is acknowledged", || {
            format!("{} acknowledges {matched}, its disk holds up to {}", at.node, durable.last())
        })?;
        let leaders = &self.disks[slot(to)].written;
        let leads = leaders.term == term && self.reigns[term.get() as usize].leader == Some(to);
        if !leads || durable.snapshot() >= matched {
            return Ok(());
        }
        let (Some(ours), Some(theirs)) = (durable.term_at(matched), leaders.term_at(matched)) else {
            return Ok(());
        };
        holds(ours == theirs, "what is acknowledged agrees with the leader's log", || {
            format!("{} acknowledges {matched} of {ours} to {to}, which has it of {theirs}", at.node)
        })
    }

    /// A node writes a record.
    ///
    /// # Errors
    /// It breaks an invariant.
    pub fn on_record<C: Serialize>(&mut self, at: At, record: &Record<'_, C>) -> Check {
        let (prev, entries) = match *record {
            Record::Append { after, entries } => {
                let log = &self.disks[slot(at.node)].written;
                let (term, last) = (log.term, log.last());
                let leads = self.reign(term).leader == Some(at.node);
                holds(!leads || after >= last.index, "a leader only appends", || {
                    format!("{} writes entries after {after}, its log ends at {last}", at.node)
                })?;
                let log = &self.disks[slot(at.node)].written;
                let prev = log.term_at(after).map(|term| Position { term, index: after });
                let prev = prev.ok_or_else(|| {
                    Broken::new(
                        "a log has no gaps",
                        format!("{} writes after {after}, {last} is last", at.node),
                    )
                })?;
                self.on_truncation(at, after)?;
                (prev, entries)
            }
            Record::Restart { snapshot, entries, term, .. } => {
                let base = snapshot.map_or(Position::ORIGIN, |of| of.at);
                if base.index > self.committed() {
                    // It was told in a poll that is not over yet.
                    self.on_commit(at, base.index, term)?;
                }
                (base, entries)
            }
            Record::State { .. } | Record::Chunk { .. } => (Position::ORIGIN, Batch::empty()),
        };
        self.see_entries(at, prev, entries)?;
        self.disks[slot(at.node)].write(record, &mut self.printer);
        Ok(())
    }

    /// What a node has told to be committed is never taken out of its log.
    fn on_truncation(&self, at: At, after: Index) -> Check {
        let told = self.commits[slot(at.node)];
        holds(after >= told, "what is committed is never overwritten", || {
            format!("{} overwrites what is after {after}, up to {told} is committed", at.node)
        })
    }

    /// Entries were seen, sent or written: they agree with all that were seen before at the same places and terms.
    fn see_entries<C: Serialize>(&mut self, at: At, prev: Position, entries: Batch<'_, Entry<C>>) -> Check {
        let mut prev = prev;
        entries.try_for_each(|entry| {
            let seen = self.printer.slot(entry);
            self.see(at, prev, seen)?;
            prev = Position { term: seen.term, index: prev.index.next() };
            Ok(())
        })
    }

    fn see(&mut self, at: At, prev: Position, seen: Slot) -> Check {
        let reign = self.reign(seen.term);
        if reign.prints.is_empty() {
            reign.before = prev;
        }
        let place = prev.index.get().checked_sub(reign.before.index.get()).map(|place| place as usize);
        let follows = match place {
            Some(0) => prev == reign.before,
            Some(_) => prev.term == seen.term,
            None => false,
        };
        let known = place.and_then(|place| reign.prints.get(place)).copied();
        let is_next = place == Some(reign.prints.len());
        if is_next {
            reign.prints.push(seen.print);
        }
        let agrees = known.map_or(is_next, |print| print == seen.print);
        holds(follows && agrees, "logs that agree on a place and term agree on all before", || {
            format!("{} has another entry of {} after {prev} than was seen before", at.node, seen.term)
        })
    }

    /// The next records of a node become durable.
    ///
    /// # Errors
    /// A second vote in a term.
    pub fn on_durable(&mut self, at: At, count: usize) -> Check {
        for _ in 0..count {
            let disk = &mut self.disks[slot(at.node)];
            let before = disk.durable.term;
            disk.settle();
            let (term, vote) = (disk.durable.term, disk.durable.vote);
            holds(term >= before, "a term never goes back", || {
                format!("{} goes from {before} to {term}", at.node)
            })?;
            if term > before || vote.is_some() {
                self.on_vote(at, term, vote)?;
            }
        }
        Ok(())
    }

    fn on_vote(&mut self, at: At, term: Term, vote: Option<NodeId>) -> Check {
        let nodes = self.disks.len();
        let reign = self.reign(term);
        reign.votes.resize(nodes, None);
        let voted = &mut reign.votes[slot(at.node)];
        let before = *voted;
        *voted = before.or(vote);
        holds(vote.is_none() || *voted == vote, "at most one vote a term", || {
            format!("{} votes for {vote:?} in {term}, and voted for {before:?}", at.node)
        })
    }

    /// A node crashes.
    pub fn on_crash(&mut self, at: At) {
        self.disks[slot(at.node)].crash();
        self.commits[slot(at.node)] = Index::default();
    }

    /// A node came up from what its disk holds.
    ///
    /// # Errors
    /// It is not what its disk holds.
    pub fn on_restored(&mut self, at: At, status: &Status) -> Check {
        let durable = &self.disks[slot(at.node)].durable;
        let vote_is_kept = status.term >= durable.term;
        holds(vote_is_kept, "a term never goes back, across restarts too", || {
            format!("{} comes up in {}, its disk is of {}", at.node, status.term, durable.term)
        })?;
        let last = durable.last();
        holds(durable.was_whole || status.last == last.index, "a log is what the disk holds", || {
            format!("{} comes up with a log that ends at {}, its disk holds {last}", at.node, status.last)
        })
    }

    /// A step of a node is over.
    ///
    /// # Errors
    /// What it tells to be committed breaks an invariant.
    pub fn after_step(&mut self, at: At, status: &Status) -> Check {
        let before = self.commits[slot(at.node)];
        if status.role == Role::Leader && self.reign(status.term).leader != Some(at.node) {
            self.on_leading(at, status.term)?;
        }
        if status.commit == before {
            return Ok(());
        }
        holds(status.commit > before, "a commit index never goes back", || {
            format!("{} goes from {before} to {}", at.node, status.commit)
        })?;
        let known = self.committed();
        self.on_commit(at, status.commit, status.term)?;
        let of = self.disks[slot(at.node)].written.term_at(status.commit).unwrap_or_default();
        let counts = status.role == Role::Leader && status.commit > known;
        holds(!counts || of == status.term, "a leader counts entries of its own term only", || {
            format!("{} leads in {} and commits {} of {of}", at.node, status.term, status.commit)
        })
    }
}

pub(super) const fn slot(node: NodeId) -> usize {
    node.get() as usize - 1
}

pub(super) fn place(index: Index) -> Option<usize> {
    index.get().checked_sub(1).map(|place| place as usize)
}
