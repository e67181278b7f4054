//! How far transactions are, as their entries say: which were left by a conductor that crashed, and when.

use super::accounts::Work;
use super::subject::Path;
use quorate::sharded::Command;
use quorate::{GroupId, NodeId, Term, TxId};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction, from its first entry on.
#[derive(Debug)]
struct Stage {
    /// The term in which its home was asked for a promise.
    promised: Option<Term>,
    decided: bool,
    /// The groups that were asked for a promise, and not told how it ended.
    open: BTreeSet<GroupId>,
}

/// All transactions that are under way.
#[derive(Debug, Default)]
pub(super) struct Stages(BTreeMap<TxId, Stage>);

impl Stages {
    /// An entry is written somewhere. Tells whether it decides what was promised under another leader.
    pub(super) fn on_entry(&mut self, group: GroupId, term: Term, command: &Command<Work, Work>) -> bool {
        match command {
            Command::Prepare { tx, home, .. } => {
                let stage = || Stage { promised: None, decided: false, open: BTreeSet::new() };
                let stage = self.0.entry(*tx).or_insert_with(stage);
                if *home == group {
                    // It waits for its keys there, so it was not decided in one.
                    stage.promised = stage.promised.or(Some(term));
                    stage.decided = false;
                }
                stage.open.insert(group);
                false
            }
            Command::Commit { tx, .. } => {
                if let Some(stage) = self.0.get_mut(tx) {
                    stage.decided = true;
                }
                false
            }
            Command::Decide { tx, .. } => {
                let Some(stage) = self.0.get_mut(tx).filter(|stage| !stage.decided) else { return false };
                stage.decided = true;
                stage.open.remove(&group);
                stage.promised.is_some_and(|promised| promised < term)
            }
            Command::Finish { tx, .. } => {
                if let Some(stage) = self.0.get_mut(tx) {
                    stage.open.remove(&group);
                }
                self.0.retain(|of, stage| of != tx || !stage.open.is_empty());
                false
            }
            Command::Plain(_)
            | Command::Once(_)
            | Command::Look(_)
            | Command::Turn { .. }
            | Command::Resolve { .. }
            | Command::Forget(_)
            | Command::Force { .. } => false,
        }
    }

    /// A node crashes: what it left behind.
    pub(super) fn on_crash(&mut self, node: NodeId) -> Vec<Path> {
        let all = std::mem::take(&mut self.0);
        let (left, others) = all.into_iter().partition(|(tx, _)| tx.coordinator == node);
        self.0 = others;
        let left: BTreeMap<TxId, Stage> = left;
        left.into_values()
            .map(|stage| match stage {
                Stage { decided: false, .. } => Path::CrashPreparing,
                Stage { open, .. } if open.len() > 1 => Path::CrashDeciding,
                Stage { .. } => Path::CrashEnding,
            })
            .collect()
    }
}
