//! How long sessions may count on their lease.

use crate::subject::{Check, holds};
use quorate::lock::SessionId;
use std::collections::BTreeMap;

/// Of a thousand parts of a lease, those that clocks within their bound (0.2 %) cannot take away.
const SURE: u64 = 990;

/// Until when each session lives at least, in microseconds of the world's time.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<SessionId, u64>);

impl Leases {
    /// A renewal was acknowledged: the lease counts from when it was first sent.
    pub(super) fn renewed(&mut self, session: SessionId, sent: u64, ttl: u64) {
        let until = sent + ttl / 1_000 * SURE;
        let lease = self.0.entry(session).or_default();
        *lease = until.max(*lease);
    }

    /// The session is about to be closed, so it counts on nothing.
    pub(super) fn closing(&mut self, session: SessionId) {
        self.0.remove(&session);
    }

    /// Whether a session may count on its lease.
    pub(super) fn lasts(&self, session: SessionId, now: u64) -> bool {
        self.0.get(&session).is_some_and(|until| now < *until)
    }

    /// A node tells that a session has expired.
    pub(super) fn expired(&mut self, session: SessionId, now: u64) -> Check {
        holds(!self.lasts(session, now), "no session expires before its lease is over", || {
            format!("{session:?} has {} us left", self.0.get(&session).map_or(0, |until| until - now))
        })?;
        self.0.remove(&session);
        Ok(())
    }
}
