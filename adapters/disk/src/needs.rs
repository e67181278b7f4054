//! Which records of each group are needed, and so which segments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::batch::Turn;
use crate::format::{Owner, padded};

/// Groups that are asked at once to restate what they have.
const ASKED: usize = 64;
/// A log of no more segments than this, and twice what is needed of it, is not too long.
const SEGMENTS: u64 = 4;

/// What each group needs, as many as the caller has.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    numbers: HashMap<u64, usize>,
    needs: Vec<Need>,
    /// Records of one group often come together: the last one looked up.
    last: usize,
    /// The groups by the oldest segment that they need.
    holders: BTreeMap<u64, BTreeSet<u64>>,
    /// Bytes of the records that are needed.
    bytes: u64,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Need {
    group: u64,
    /// The segment of its newest restart, or of its first record; none while that is not written.
    segment: Option<u64>,
    /// That record: the number of its batch, and its place in it. Moves when the record is durable.
    from: Option<(u64, u32)>,
    records: u64,
    bytes: u64,
}

/// Groups that were asked to restate what they have.
#[derive(Debug)]
struct Asked {
    groups: Vec<u64>,
    /// What they hold.
    oldest: u64,
    /// The newest segment when they were asked.
    newest: u64,
}

impl Needs {
    /// Notes a record that was taken up. Tells whether what its group needs begins with it.
    pub(crate) fn take_up(&mut self, owner: Owner, record_bytes: usize) -> bool {
        let at = self.find(owner.group);
        let need = &mut self.needs[at];
        if owner.restart {
            self.bytes -= need.bytes;
            (need.records, need.bytes) = (0, 0);
        }
        let bytes = padded(record_bytes as u64) + 8;
        need.records += 1;
        need.bytes += bytes;
        self.bytes += bytes;
        owner.restart || need.segment.is_none()
    }

    /// What is about to be written to a segment.
    pub(crate) fn begin(&mut self, turns: &[Turn], segment: u64) {
        for turn in turns {
            let at = self.find(turn.owner.group);
            let need = &mut self.needs[at];
            if need.segment.is_some() && !turn.owner.restart {
                continue;
            }
            if let Some(older) = need.segment.replace(segment)
                && let Some(holders) = self.holders.get_mut(&older)
            {
                holders.remove(&turn.owner.group);
                if holders.is_empty() {
                    self.holders.remove(&older);
                }
            }
            self.holders.entry(segment).or_default().insert(turn.owner.group);
        }
    }

    /// What was written is durable, as this batch.
    pub(crate) fn settle(&mut self, turns: &[Turn], batch: u64) {
        for turn in turns {
            let at = self.find(turn.owner.group);
            let from = &mut self.needs[at].from;
            if turn.owner.restart || from.is_none() {
                *from = Some((batch, turn.ordinal));
            }
        }
    }

    /// The oldest segment that is needed.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.holders.keys().next().copied()
    }

    /// Whether a durable record is needed.
    pub(crate) fn needs(&self, group: u64, batch: u64, ordinal: u32) -> bool {
        let need = self.numbers.get(&group).and_then(|at| self.needs.get(*at));
        need.and_then(|need| need.from).is_some_and(|from| from <= (batch, ordinal))
    }

    /// How many records are needed.
    pub(crate) fn records(&self) -> u64 {
        self.needs.iter().map(|need| need.records).sum()
    }

    /// Groups that hold the oldest segment of a log that is too long. None while those that were asked before still hold
    /// it, unless the log has grown since. `room_bytes` is what a segment has room for.
    pub(crate) fn laggards(&mut self, newest: u64, room_bytes: u64) -> Vec<u64> {
        let Some((&oldest, holders)) = self.holders.first_key_value() else { return Vec::new() };
        let enough = SEGMENTS + 2 * self.bytes.div_ceil(room_bytes);
        if newest.saturating_sub(oldest) < enough {
            return Vec::new();
        }
        let still_hold = |asked: &Asked| {
            asked.newest == newest
                && asked.oldest == oldest
                && asked.groups.iter().any(|group| holders.contains(group))
        };
        if self.asked.as_ref().is_some_and(still_hold) {
            return Vec::new();
        }
        let groups: Vec<u64> = holders.iter().copied().take(ASKED).collect();
        self.asked = Some(Asked { groups: groups.clone(), oldest, newest });
        groups
    }

    fn find(&mut self, group: u64) -> usize {
        if self.needs.get(self.last).is_none_or(|need| need.group != group) {
            let next = self.needs.len();
            self.last = *self.numbers.entry(group).or_insert(next);
            if self.last == next {
                self.needs.push(Need { group, segment: None, from: None, records: 0, bytes: 0 });
            }
        }
        self.last
    }
}
