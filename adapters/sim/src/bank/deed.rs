//! What clients do, and what became of it.

use super::accounts::{Bank, Seen, Work};
use crate::chance::Chance;
use quorate::sharded::Request;
use quorate::{GroupId, Instant};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A transaction, over as many groups as it has parts.
    Transact(Vec<(GroupId, Work)>),
    /// A command of one group.
    Command(GroupId, Work),
    /// A query of one group.
    Query(GroupId, Vec<u8>),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is told.
    Open,
    /// It was told that nothing is known, or whoever was asked is gone.
    Unknown,
    /// It took effect, and this was told.
    Done(Vec<(GroupId, Seen)>),
    /// It has no effect, and never will.
    Never,
}

/// Something that a client asked for.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) tag: u64,
    pub(super) client: usize,
    pub(super) ask: Ask,
    pub(super) called: Instant,
    /// When it was told, if it was.
    pub(super) told: Option<Instant>,
    pub(super) end: End,
}

impl Deed {
    /// What it adds to which account of which group.
    pub(super) fn moves(&self) -> impl Iterator<Item = (GroupId, u8, i64)> {
        let (many, one) = match &self.ask {
            Ask::Transact(parts) => (parts.as_slice(), None),
            Ask::Command(group, work) => (&[][..], Some((*group, work))),
            Ask::Query(..) => (&[][..], None),
        };
        let all = many.iter().map(|(group, work)| (*group, work)).chain(one);
        all.flat_map(|(group, work)| {
            work.moves.iter().map(move |(account, amount)| (group, *account, *amount))
        })
    }

    /// The request that it is.
    pub(super) fn request(&self) -> Request<Bank> {
        match &self.ask {
            Ask::Transact(parts) => Request::Transact { parts: parts.clone() },
            Ask::Command(group, work) => Request::Command { group: *group, command: work.clone() },
            Ask::Query(group, accounts) => Request::Query { group: *group, query: accounts.clone() },
        }
    }

    /// Whether it goes to one group, where such as it keep their order.
    pub(super) fn is_single(&self) -> bool {
        match &self.ask {
            Ask::Transact(parts) => parts.len() == 1,
            Ask::Command(..) => true,
            Ask::Query(..) => false,
        }
    }
}

/// A bank of so many groups, with so many accounts in each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branches {
    pub(super) groups: u64,
    pub(super) accounts: u8,
}

impl Branches {
    /// All the money there is.
    pub(super) const fn total(self) -> i64 {
        self.groups as i64 * self.accounts as i64 * super::accounts::FIRST
    }

    pub(super) fn all(self) -> impl Iterator<Item = (GroupId, u8)> {
        (0..self.groups).flat_map(move |group| (0..self.accounts).map(move |at| (GroupId::new(group), at)))
    }

    /// Looks at all accounts of all groups at one moment.
    pub(super) fn look_at_all(self, tag: u64) -> Ask {
        let looks: Vec<u8> = (0..self.accounts).collect();
        let part = |group| (GroupId::new(group), Work { tag, moves: Vec::new(), looks: looks.clone() });
        Ask::Transact((0..self.groups).map(part).collect())
    }

    /// Something that a client may do.
    pub(super) fn draw(self, tag: u64, rng: &mut Chance) -> Ask {
        match rng.below(20) {
            0..10 => self.transfer(tag, rng),
            10..12 => self.look_at_all(tag),
            12..15 => {
                let (group, work) = self.within(tag, rng);
                Ask::Command(group, work)
            }
            15..17 => Ask::Transact(vec![self.within(tag, rng)]),
            _ => {
                let accounts = (0..self.accounts).filter(|_| rng.below(2) == 0).collect();
                Ask::Query(self.group(rng), accounts)
            }
        }
    }

    fn group(self, rng: &mut Chance) -> GroupId {
        GroupId::new(rng.below(self.groups))
    }

    /// Moves money between accounts of two groups or more, and looks at others.
    fn transfer(self, tag: u64, rng: &mut Chance) -> Ask {
        let count = if rng.below(3) > 0 { 2 } else { 2 + rng.below(self.groups - 1) };
        let mut groups: Vec<u64> = (0..self.groups).collect();
        while groups.len() as u64 > count {
            groups.remove(rng.below(groups.len() as u64) as usize);
        }
        let turn = rng.below(count) as usize;
        groups.rotate_left(turn);
        // Some take more than there is.
        let most = if rng.below(6) == 0 { 60 } else { 8 };
        let amount = 1 + rng.below(most) as i64;
        let mut parts = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            let account = rng.below(self.accounts.into()) as u8;
            let amount = match at {
                0 => -amount,
                1 => amount,
                _ => 0,
            };
            let moves = if amount == 0 { Vec::new() } else { vec![(account, amount)] };
            let wants =
                |other: &u8, rng: &mut Chance| (*other != account || amount == 0) && rng.below(3) == 0;
            let looks = (0..self.accounts).filter(|other| wants(other, rng)).collect();
            parts.push((GroupId::new(*group), Work { tag, moves, looks }));
        }
        Ask::Transact(parts)
    }

    /// Moves money between accounts of one group.
    fn within(self, tag: u64, rng: &mut Chance) -> (GroupId, Work) {
        let from = rng.below(self.accounts.into()) as u8;
        let to = (from + 1 + rng.below(u64::from(self.accounts) - 1) as u8) % self.accounts;
        let amount = 1 + rng.below(30) as i64;
        (self.group(rng), Work { tag, moves: vec![(from, -amount), (to, amount)], looks: Vec::new() })
    }
}
