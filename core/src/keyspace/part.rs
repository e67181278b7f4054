//! What a keyspace does for transactions that span groups.
//!
//! A part is carried out on a draft when it is prepared, and what comes of it is kept, until it is put in place or dropped. So
//! what it was told is what happens, token, revision and expiry included: they are those of the entry that *prepared*
//! it. A token is still higher than all before it and lower than all after it, since nothing else can touch the key in
//! between.
//!
//! Until then the keys that it looked at do not expire: they may live longer than they should, never shorter. So that this
//! ends, nothing more is prepared on a key that is past its end.

use super::change::Editor;
use super::draft::Draft;
use super::items::Shelf;
use super::limits::Refused;
use super::prepared::{Effect, Outcome};
use super::{Answer, Blob, Change, Command, Condition, Keyspace, Query, Step, Transaction};
use crate::locks::Mode;
use crate::sharded::Transactional;
use crate::{Moment, TxId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A keyspace's part of a transaction that spans groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What to look at and to do.
    pub transaction: Transaction,
    /// Whether a step whose condition is not met, or that is refused, is an objection. If not, it does not undo the others, as
    /// in any transaction; but a [`Change::SetAll`] that is refused is an objection in any case.
    pub all_met: bool,
}

/// Why a part cannot be done, and so none of them is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objection {
    /// Something that was watched has changed.
    Conflict,
    /// The condition of a step is not met; what it would have answered.
    Unmet(Answer),
    /// It is beyond a limit. [`Refused::Expiring`] passes: the whole transaction is worth trying again at once.
    Refused(Refused),
}

impl crate::Command for Part {
    fn weight(&self) -> usize {
        self.transaction.weight()
    }
}

impl<const BYTES: u64> Transactional for Keyspace<BYTES> {
    type Work = Part;
    type Gain = Vec<Answer>;
    type Objection = Objection;

    fn keys(work: &Part, visit: &mut dyn FnMut(&[u8], Mode)) {
        work.transaction.keys(&mut |key, mode| visit(key, mode));
    }

    fn command_keys(command: &Command, visit: &mut dyn FnMut(&[u8], Mode)) {
        command.keys(&mut |key, mode| visit(key, mode));
    }

    fn query_keys(query: &Query, visit: &mut dyn FnMut(&[u8], Mode)) {
        query.keys(&mut |key| visit(key, Mode::Shared));
    }

    fn prepare(&mut self, now: Moment, tx: TxId, work: &Part) -> Result<Vec<Answer>, Objection> {
        assert!(self.items.deadline().is_none_or(|deadline| now.time < deadline), "a tick comes first");
        assert!(!self.prepared.contains(tx), "a part is prepared once");
        let Part { transaction, all_met } = work;
        transaction.check().map_err(Objection::Refused)?;
        let keys = self.free_keys(now, transaction)?;
        if !self.is_unchanged(transaction) {
            return Err(Objection::Conflict);
        }
        let mut draft = Draft::of(&self.items);
        let limit = BYTES - self.prepared.reserved();
        let answers = Editor { items: &mut draft, limit }.take(now, &transaction.steps);
        for (step, answer) in transaction.steps.iter().zip(&answers) {
            object(step, answer, *all_met)?;
        }
        let outcome = Outcome::of(effects(keys, draft), &self.items);
        if !self.prepared.has_room_for(&outcome) {
            return Err(Objection::Refused(Refused::Full));
        }
        self.prepared.put(tx, outcome, &mut self.items);
        self.assert_limit();
        Ok(answers)
    }

    fn finish(&mut self, now: Moment, tx: TxId, _: &Part, commit: bool) {
        let outcome = self.prepared.take(tx, &mut self.items);
        assert!(outcome.is_some() || !commit, "only what was prepared is committed");
        if let Some(outcome) = outcome.filter(|_| commit) {
            outcome.carry_out(&mut self.items);
        }
        // What was held is late, and what was prepared may be by now.
        self.items.expire(now.time);
        self.assert_limit();
    }

    fn prepared(&self) -> usize {
        self.prepared.len()
    }

    fn is_prepared(&self, tx: TxId, work: &Part) -> bool {
        let mut keys = BTreeMap::new();
        work.transaction.keys(&mut |key, mode| {
            let strictest = keys.entry(key).or_insert(mode);
            *strictest = mode.max(*strictest);
        });
        self.prepared.is_of(tx, keys.into_iter())
    }
}

impl<const BYTES: u64> Keyspace<BYTES> {
    /// The keys of a transaction, unless one of them is due to go as soon as others let go of it.
    fn free_keys(&self, now: Moment, transaction: &Transaction) -> Result<BTreeMap<Blob, Mode>, Objection> {
        let (mut keys, mut expiring) = (BTreeMap::new(), false);
        transaction.keys(&mut |key, mode| {
            assert!(!self.prepared.conflicts(key, mode), "keys are locked before anything is prepared");
            let deadline = self.items.get(key).and_then(|item| item.deadline);
            expiring |= deadline.is_some_and(|deadline| deadline <= now.time);
            let strictest = keys.entry(key.clone()).or_insert(mode);
            *strictest = mode.max(*strictest);
        });
        if expiring { Err(Objection::Refused(Refused::Expiring)) } else { Ok(keys) }
    }
}

/// What becomes of each key.
fn effects(keys: BTreeMap<Blob, Mode>, draft: Draft<'_>) -> Vec<(Blob, Effect)> {
    let mut changed = draft.changed();
    let effect = |(key, mode): (Blob, Mode)| {
        let effect = match changed.remove(&key) {
            Some(Some(item)) => Effect::Put(item),
            Some(None) => Effect::Removed,
            None if mode == Mode::Shared => Effect::Looked,
            None => Effect::Kept,
        };
        (key, effect)
    };
    let effects = keys.into_iter().map(effect).collect();
    assert!(changed.is_empty(), "a step changes no key but its own");
    effects
}

/// Whether a step that gets this answer is reason to do nothing at all.
fn object(step: &Step, answer: &Answer, all_met: bool) -> Result<(), Objection> {
    match (step, answer) {
        (Step::Change(Change::SetAll { .. }), Answer::Refused(refused)) => Err(Objection::Refused(*refused)),
        (_, Answer::Refused(refused)) if all_met => Err(Objection::Refused(*refused)),
        (Step::Change(change), answer) if all_met && !is_met(change, answer) => {
            Err(Objection::Unmet(answer.clone()))
        }
        (Step::Change(_) | Step::Query(_), _) => Ok(()),
    }
}

/// Whether the condition of a change that got this answer was met.
fn is_met(change: &Change, answer: &Answer) -> bool {
    match change {
        Change::Set { condition, previous: true, .. } => match condition {
            Condition::Always => true,
            Condition::IfAbsent => *answer == Answer::Value(None),
            Condition::IfPresent => *answer != Answer::Value(None),
        },
        Change::Set { previous: false, .. } => *answer != Answer::Unmet,
        Change::CompareExpire { keys, .. } | Change::CreateAll { keys, .. } => {
            keys.is_empty() || *answer != Answer::Integer(0)
        }
        Change::CompareOrCreate { .. } => *answer != Answer::Integer(0),
        Change::Delete { .. }
        | Change::Add { .. }
        | Change::Expire { .. }
        | Change::Persist { .. }
        | Change::CompareDelete { .. }
        | Change::SetAll { .. } => true,
    }
}
