//! What one entry caused and nobody has been told yet.

use super::{Notice, SessionId};
use crate::space::List;
use crate::{Index, Space};
use core::fmt::Debug;

/// The notices of one entry. Those of an entry before that nobody asked for are forgotten.
///
/// Their number is bounded: a session ends once, and a wait ends once.
#[derive(Debug)]
pub(super) struct Notices<S: Space, const SESSIONS: usize, const WAITERS: usize, const NAME: usize> {
    entry: Index,
    sessions: Feed<S, Ended, SESSIONS>,
    waits: Feed<S, Notice<NAME>, WAITERS>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Expired(SessionId),
    Closed(SessionId),
}

impl<S: Space, const SESSIONS: usize, const WAITERS: usize, const NAME: usize>
    Notices<S, SESSIONS, WAITERS, NAME>
{
    pub(super) fn session_ended(&mut self, entry: Index, ended: Ended) {
        self.turn_to(entry);
        self.sessions.push(ended);
    }

    pub(super) fn wait_ended(&mut self, entry: Index, notice: Notice<NAME>) {
        self.turn_to(entry);
        self.waits.push(notice);
    }

    pub(super) fn next(&mut self) -> Option<Notice<NAME>> {
        let ended = self.sessions.next().map(|ended| match ended {
            Ended::Expired(session) => Notice::Expired { session },
            Ended::Closed(session) => Notice::Closed { session },
        });
        ended.or_else(|| self.waits.next())
    }

    /// The state is another: what was to be told of this one is not.
    pub(super) fn forget(&mut self) {
        self.turn_to(Index::default());
    }

    fn turn_to(&mut self, entry: Index) {
        if self.entry != entry {
            self.entry = entry;
            self.sessions.clear();
            self.waits.clear();
        }
    }
}

impl<S: Space, const SESSIONS: usize, const WAITERS: usize, const NAME: usize> Default
    for Notices<S, SESSIONS, WAITERS, NAME>
{
    fn default() -> Self {
        Self { entry: Index::default(), sessions: Feed::default(), waits: Feed::default() }
    }
}

/// Items handed out in the order in which they came.
#[derive(Debug)]
struct Feed<S: Space, T: Debug, const N: usize> {
    items: S::Items<T, N>,
    told: usize,
}

impl<S: Space, T: Debug + Clone, const N: usize> Feed<S, T, N> {
    fn push(&mut self, item: T) {
        let kept = self.items.push(item).is_ok();
        assert!(kept, "one entry ends no more sessions and waits than there were");
    }

    fn next(&mut self) -> Option<T> {
        let item = self.items.get(self.told)?.clone();
        self.told += 1;
        Some(item)
    }

    fn clear(&mut self) {
        self.items.clear();
        self.told = 0;
    }
}

impl<S: Space, T: Debug, const N: usize> Default for Feed<S, T, N> {
    fn default() -> Self {
        Self { items: S::Items::default(), told: 0 }
    }
}
