//! What is alike for all machines that replicate applications.

use crate::raft::History;
use crate::subject::{At, Broken, Check};
use quorate::groups::InGroup;
use quorate::raft::{Config, Message, Record, Status};
use quorate::replicated::Settings;
use quorate::{GroupId, NodeId, Rng, Space};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Settings by chance, the same for all nodes.
pub(crate) fn drawn<S: Space>(config: Config<S>, rng: &mut Rng) -> Settings<S> {
    let mut settings = Settings::of(config);
    settings.patience = Duration::from_millis(500 + rng.below(3_000));
    settings.tick = Duration::from_millis(50 + rng.below(1_000));
    settings.snapshot_entries = 8 + rng.below(24) as usize;
    settings
}

/// The histories of groups that share the logs of their nodes.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// By the number of the group.
    all: Vec<History>,
    /// By node, the groups of the records that are not durable.
    records: BTreeMap<NodeId, VecDeque<GroupId>>,
}

impl Histories {
    pub(crate) fn of(all: impl IntoIterator<Item = History>) -> Self {
        Self { all: all.into_iter().collect(), records: BTreeMap::new() }
    }

    pub(crate) fn group(&mut self, group: GroupId) -> &mut History {
        &mut self.all[group.get() as usize]
    }

    /// The latest leader of the first group.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.all.first().and_then(History::leader)
    }

    /// Says whether the group has another leader than before, and not its first.
    pub(crate) fn on_sent<C: Serialize>(
        &mut self,
        at: At,
        to: NodeId,
        group: GroupId,
        message: &Message<'_, C>,
    ) -> Result<bool, Broken> {
        let history = self.group(group);
        let leaders = history.leaders();
        history.on_sent(at, to, message)?;
        Ok(history.leaders() > leaders.max(1))
    }

    pub(crate) fn on_record<C: Serialize>(&mut self, at: At, record: &InGroup<Record<'_, C>>) -> Check {
        self.records.entry(at.node).or_default().push_back(record.group);
        self.group(record.group).on_record(at, &record.inner)
    }

    pub(crate) fn on_durable(&mut self, at: At, count: usize) -> Check {
        for _ in 0..count {
            let group = self.records.entry(at.node).or_default().pop_front();
            let group = group.ok_or_else(|| Broken::new("what is durable was written", at.node))?;
            self.group(group).on_durable(at, 1)?;
        }
        Ok(())
    }

    pub(crate) fn on_crash(&mut self, at: At) {
        self.records.remove(&at.node);
        self.all.iter_mut().for_each(|history| history.on_crash(at));
    }

    pub(crate) fn on_restored(&mut self, at: At, groups: impl Iterator<Item = (GroupId, Status)>) -> Check {
        let mut groups = groups;
        groups.try_for_each(|(group, status)| self.group(group).on_restored(at, &status))
    }
}
