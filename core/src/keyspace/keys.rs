//! Which keys something looks at or changes.

use super::{Blob, Change, Command, Query, Step, Transaction};
use crate::locks::Mode;

impl Change {
    /// Visits the keys that it changes, or may.
    pub(super) fn keys<'c>(&'c self, visit: &mut dyn FnMut(&'c Blob)) {
        match self {
            Self::Set { key, .. }
            | Self::Add { key, .. }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::CompareOrCreate { key, .. } => visit(key),
            Self::Delete { keys }
            | Self::CompareDelete { keys, .. }
            | Self::CompareExpire { keys, .. }
            | Self::CreateAll { keys, .. } => keys.iter().for_each(visit),
            Self::SetAll { items } => items.iter().for_each(|(key, _)| visit(key)),
        }
    }
}

impl Query {
    /// Visits the keys that it looks at.
    pub(super) fn keys<'q>(&'q self, visit: &mut dyn FnMut(&'q Blob)) {
        match self {
            Self::Get { key }
            | Self::Remaining { key }
            | Self::Held { key, .. }
            | Self::Revision { key }
            | Self::Fence { key } => visit(key),
            Self::GetAll { keys } | Self::Exists { keys } => keys.iter().for_each(visit),
            Self::Stats => (),
        }
    }
}

impl Step {
    /// Visits the keys that it looks at or changes.
    pub(super) fn keys<'s>(&'s self, visit: &mut dyn FnMut(&'s Blob, Mode)) {
        match self {
            Self::Change(change) => change.keys(&mut |key| visit(key, Mode::Exclusive)),
            Self::Query(query) => query.keys(&mut |key| visit(key, Mode::Shared)),
        }
    }
}

impl Transaction {
    /// Visits the keys that it looks at or changes; one that is watched is looked at.
    pub(super) fn keys<'t>(&'t self, visit: &mut dyn FnMut(&'t Blob, Mode)) {
        self.watched.iter().for_each(|(key, _)| visit(key, Mode::Shared));
        self.steps.iter().for_each(|step| step.keys(visit));
    }
}

impl Command {
    /// Visits the keys that it looks at or changes.
    pub(super) fn keys<'c>(&'c self, visit: &mut dyn FnMut(&'c Blob, Mode)) {
        match self {
            Self::Change(change) => change.keys(&mut |key| visit(key, Mode::Exclusive)),
            Self::Transaction(transaction) => transaction.keys(visit),
        }
    }
}
