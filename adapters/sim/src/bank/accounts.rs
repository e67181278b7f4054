//! What each group replicates: accounts with balances that are never below zero. Each says who wrote it last.
//!
//! The bank is its own watchman: it panics when it is asked to do what locks should have kept from it.

use quorate::codec::{self, Full, Malformed, Sink};
use quorate::locks::Mode;
use quorate::sharded::Transactional;
use quorate::{Application, Command, Index, Moment, Timestamp, TxId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What each account begins with.
pub(super) const FIRST: i64 = 20;
/// How many of its latest writers an account remembers: as many as may be carried out between two looks of the world.
const RECENT: usize = 64;

/// What a client wants of one group: the part of a transaction, or a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Unique: by this each account knows its writers.
    pub tag: u64,
    /// What is added to which accounts. Each comes once.
    pub moves: Vec<(u8, i64)>,
    /// Which others are looked at.
    pub looks: Vec<u8>,
}

impl Command for Work {}

/// An account would be below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdrawn;

/// An account, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which.
    pub account: u8,
    /// How many have written it.
    pub version: u64,
    /// What is on it.
    pub balance: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) balance: i64,
    pub(super) version: u64,
    /// The tags of the latest writers, the last one last.
    pub(super) recent: Vec<u64>,
    /// The entry in which the last writer's work was found to be possible: a number to be used once.
    token: Index,
}

impl Default for Account {
    fn default() -> Self {
        Self { balance: FIRST, version: 0, recent: Vec::new(), token: Index::default() }
    }
}

impl Account {
    fn write(&mut self, tag: u64, amount: i64, token: Index) {
        assert!(token > self.token, "an entry writes a key once: {token} after {}", self.token);
        self.token = token;
        self.balance += amount;
        self.version += 1;
        assert!(self.balance >= 0, "no account is overdrawn");
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(tag);
    }
}

/// A part that is promised.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    work: Work,
    at: Index,
    seen: Vec<Seen>,
}

/// The accounts of one group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bank {
    pub(super) accounts: BTreeMap<u8, Account>,
    held: BTreeMap<TxId, Held>,
}

impl Bank {
    /// The tag of what is promised.
    pub(super) fn promised(&self, tx: TxId) -> Option<u64> {
        self.held.get(&tx).map(|held| held.work.tag)
    }

    /// Whether nothing is promised.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    fn look(&self, account: u8, writes: i64) -> Seen {
        let (balance, version) =
            self.accounts.get(&account).map_or((FIRST, 0), |account| (account.balance, account.version));
        Seen { account, version: version + u64::from(writes != 0), balance: balance + writes }
    }

    /// What the work would see, and leave behind.
    fn outcome(&self, work: &Work) -> Result<Vec<Seen>, Overdrawn> {
        let moves = work.moves.iter().map(|&(account, amount)| self.look(account, amount));
        let all: Vec<_> = moves.chain(work.looks.iter().map(|&account| self.look(account, 0))).collect();
        if all.iter().all(|seen| seen.balance >= 0) { Ok(all) } else { Err(Overdrawn) }
    }

    fn write(&mut self, work: &Work, token: Index) {
        for &(account, amount) in &work.moves {
            self.accounts.entry(account).or_default().write(work.tag, amount, token);
        }
    }

    /// Nobody else holds what this work needs.
    fn assert_alone(&self, work: &Work) {
        let writes = |work: &Work, account| work.moves.iter().any(|(other, _)| *other == account);
        let touches = |work: &Work, account| writes(work, account) || work.looks.contains(&account);
        for (tx, held) in &self.held {
            let clash = work.moves.iter().any(|(account, _)| touches(&held.work, *account))
                || work.looks.iter().any(|account| writes(&held.work, *account));
            assert!(!clash, "{work:?} meets what {tx} holds: {held:?}");
        }
    }
}

impl Application for Bank {
    type Command = Work;
    type Reply = Result<Vec<Seen>, Overdrawn>;
    type Query = Vec<u8>;
    type Answer = Vec<Seen>;
    type Notice = ();

    fn tick(&mut self, _: Moment) {}

    fn apply(&mut self, now: Moment, work: &Work) -> Result<Vec<Seen>, Overdrawn> {
        self.assert_alone(work);
        let seen = self.outcome(work)?;
        self.write(work, now.index);
        Ok(seen)
    }

    fn notice(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn query(&self, _: Timestamp, accounts: &Vec<u8>) -> Vec<Seen> {
        self.assert_alone(&Work { looks: accounts.clone(), ..Work::default() });
        accounts.iter().map(|&account| self.look(account, 0)).collect()
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        codec::put(self, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        *self = codec::take_all(bytes)?;
        Ok(())
    }
}

impl Transactional for Bank {
    type Work = Work;
    type Gain = Vec<Seen>;
    type Objection = Overdrawn;

    fn keys(work: &Work, visit: &mut dyn FnMut(&[u8], Mode)) {
        work.moves.iter().for_each(|(account, _)| visit(&[*account], Mode::Exclusive));
        work.looks.iter().for_each(|account| visit(&[*account], Mode::Shared));
    }

    fn command_keys(work: &Work, visit: &mut dyn FnMut(&[u8], Mode)) {
        Self::keys(work, visit);
    }

    fn query_keys(accounts: &Vec<u8>, visit: &mut dyn FnMut(&[u8], Mode)) {
        accounts.iter().for_each(|account| visit(&[*account], Mode::Shared));
    }

    fn prepare(&mut self, now: Moment, tx: TxId, work: &Work) -> Result<Vec<Seen>, Overdrawn> {
        self.assert_alone(work);
        let seen = self.outcome(work)?;
        let held = Held { work: work.clone(), at: now.index, seen: seen.clone() };
        assert!(self.held.insert(tx, held).is_none(), "a part is prepared once: {tx}");
        Ok(seen)
    }

    fn finish(&mut self, _: Moment, tx: TxId, work: &Work, commit: bool) {
        let held = self.held.remove(&tx).expect("what is finished was prepared");
        assert!(held.work == *work, "it is the work that was prepared");
        assert!(self.outcome(work) == Ok(held.seen), "nobody touched what it holds: {work:?}");
        if commit {
            self.write(work, held.at);
        }
    }

    fn prepared(&self) -> usize {
        self.held.len()
    }

    fn is_prepared(&self, tx: TxId, work: &Work) -> bool {
        self.held.get(&tx).is_some_and(|held| held.work == *work)
    }
}
