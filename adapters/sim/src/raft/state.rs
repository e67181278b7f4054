//! The state that the nodes of the workload replicate: the sequence of what was told, as a chain of hashes.

use super::subject::slot;
use crate::subject::{Broken, Check, holds};
use crate::trace::Trace;
use quorate::raft::{Content, Entry};
use quorate::{Index, NodeId, Position, SnapshotId, Term};

/// So large that a snapshot takes several chunks.
const SNAPSHOT_BYTES: usize = 200;

/// What was told at a place, and a hash of everything up to there.
#[derive(Clone, Copy, Debug)]
struct Link {
    term: Term,
    command: Option<u64>,
    chain: u64,
}

/// What any node told, and how far each has told it in this life.
#[derive(Debug, Default)]
pub(super) struct State {
    links: Vec<Link>,
    told: Vec<Index>,
}

impl State {
    pub(super) fn of(nodes: usize) -> Self {
        Self { links: Vec::new(), told: vec![Index::default(); nodes] }
    }

    pub(super) fn told(&self, node: NodeId) -> Index {
        self.told[slot(node)]
    }

    pub(super) fn commands(&self) -> impl Iterator<Item = u64> {
        self.links.iter().filter_map(|link| link.command)
    }

    fn link(&self, index: Index) -> Option<&Link> {
        self.links.get(index.get().checked_sub(1)? as usize)
    }

    /// A node tells an entry: the next one, and the same as all others tell there.
    pub(super) fn apply(&mut self, node: NodeId, index: Index, entry: &Entry<u64>) -> Check {
        let told = &mut self.told[slot(node)];
        holds(index == told.next(), "entries are told in order, without gaps", || {
            format!("{node} tells {index} after {told}")
        })?;
        *told = index;
        let command = match entry.content {
            Content::Empty => None,
            Content::Command(command) => Some(command),
        };
        let Some(known) = self.link(index) else {
            let mut hash = Trace::default();
            let before = self.links.last().map_or(0, |link| link.chain);
            [before, entry.term.get(), command.unwrap_or(u64::MAX)]
                .into_iter()
                .for_each(|number| hash.note(number));
            self.links.push(Link { term: entry.term, command, chain: hash.digest() });
            return Ok(());
        };
        holds(known.term == entry.term && known.command == command, "all nodes are told the same", || {
            format!("{node} tells {entry:?} at {index}, where {known:?} was told")
        })
    }

    /// The state of a node, after the last entry that it told.
    pub(super) fn snapshot(&self, node: NodeId) -> (Position, Vec<u8>) {
        let index = self.told(node);
        let (term, chain) = self.link(index).map_or((Term::default(), 0), |link| (link.term, link.chain));
        (Position { term, index }, image(chain))
    }

    /// A node goes on from a snapshot.
    pub(super) fn load(&mut self, node: NodeId, of: SnapshotId, bytes: &[u8]) -> Check {
        let known = self.link(of.at.index).filter(|link| link.term == of.at.term);
        let known = known.ok_or_else(|| {
            Broken::new("a snapshot holds only what was told", format!("{node} goes on from {}", of.at))
        })?;
        holds(bytes == image(known.chain), "a snapshot is the state at its place", || {
            format!("{node} goes on from other bytes at {}", of.at)
        })?;
        let told = &mut self.told[slot(node)];
        holds(of.at.index >= *told, "what was told is not taken back", || {
            format!("{node} goes back from {told} to {}", of.at)
        })?;
        *told = of.at.index;
        Ok(())
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        self.told[slot(node)] = Index::default();
    }
}

fn image(chain: u64) -> Vec<u8> {
    (0..SNAPSHOT_BYTES).map(|at| (chain.rotate_left(at as u32) as u8).wrapping_add(at as u8)).collect()
}
