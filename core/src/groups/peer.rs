//! What this node knows of another with which it shares groups.

use crate::{Instant, NodeId};
use alloc::vec::Vec;

/// Another node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// The life in which it last spoke for its groups, if it did.
    pub(super) life: Option<u64>,
    /// When it last did.
    pub(super) heard: Instant,
    /// How many groups rest here that it leads.
    pub(super) led: usize,
    /// How many beats in a row said that fewer rest there.
    pub(super) amiss: u32,
    /// How many groups rest here that this node leads, and in which it was told to rest.
    pub(super) leads: usize,
    /// Since when it was told things and did not say anything.
    pub(super) silent: Option<Instant>,
    /// Whether it is owed a beat.
    pub(super) beat: bool,
    /// The groups that it is to be told to rest in, each once.
    pub(super) owed: Vec<usize>,
}

impl Peer {
    pub(super) const fn new(id: NodeId, now: Instant) -> Self {
        let owed = Vec::new();
        Self { id, life: None, heard: now, led: 0, amiss: 0, leads: 0, silent: None, beat: false, owed }
    }

    /// Whether it was told things for so long and did not say anything.
    pub(super) fn is_absent(&self, now: Instant, micros: u64) -> bool {
        self.silent.is_some_and(|since| now >= since.after_micros(micros))
    }
}
