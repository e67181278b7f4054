//! A bank: accounts with balances that are never below zero. It is strict with whoever keeps its locks.

use quorate::codec::{Full, Malformed, Sink, put, take_all};
use quorate::locks::Mode;
use quorate::sharded::Transactional;
use quorate::{Application, Command, Moment, Timestamp, TxId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Adds to an account, or takes from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pay {
    pub account: u8,
    pub amount: i8,
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    Pay(Pay),
    Look(Vec<u8>),
}

impl Command for Pay {}
impl Command for Work {
    fn weight(&self) -> usize {
        match self {
            Self::Pay(_) => 4,
            Self::Look(accounts) => 4 + accounts.len(),
        }
    }
}

/// There is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdrawn;

/// Accounts, and the work that is prepared.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bank {
    accounts: BTreeMap<u8, i64>,
    prepared: BTreeMap<TxId, Work>,
}

impl Bank {
    fn balance(&self, account: u8) -> i64 {
        self.accounts.get(&account).copied().unwrap_or(100)
    }

    fn pay(&mut self, Pay { account, amount }: &Pay) -> i64 {
        let balance = self.balance(*account).saturating_add((*amount).into());
        self.accounts.insert(*account, balance);
        balance
    }

    /// Whoever keeps the locks lets nobody through who conflicts with what is prepared.
    fn assert_free(&self, key: &[u8], mode: Mode) {
        for (tx, work) in &self.prepared {
            Self::keys(work, &mut |held, by| {
                assert!(held != key || !by.conflicts(mode), "{key:?} is locked for {tx}");
            });
        }
    }
}

impl Application for Bank {
    type Command = Pay;
    type Reply = i64;
    type Query = u8;
    type Answer = i64;
    type Notice = ();

    fn tick(&mut self, _: Moment) {}

    fn apply(&mut self, _: Moment, pay: &Pay) -> i64 {
        self.assert_free(&[pay.account], Mode::Exclusive);
        self.pay(pay)
    }

    fn notice(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn query(&self, _: Timestamp, account: &u8) -> i64 {
        self.assert_free(&[*account], Mode::Shared);
        self.balance(*account)
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(self, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        *self = take_all(bytes)?;
        Ok(())
    }
}

impl Transactional for Bank {
    type Work = Work;
    type Gain = Vec<i64>;
    type Objection = Overdrawn;

    fn keys(work: &Work, visit: &mut dyn FnMut(&[u8], Mode)) {
        match work {
            Work::Pay(pay) => visit(&[pay.account], Mode::Exclusive),
            Work::Look(accounts) => accounts.iter().for_each(|&account| visit(&[account], Mode::Shared)),
        }
    }

    fn command_keys(pay: &Pay, visit: &mut dyn FnMut(&[u8], Mode)) {
        visit(&[pay.account], Mode::Exclusive);
    }

    fn query_keys(&account: &u8, visit: &mut dyn FnMut(&[u8], Mode)) {
        visit(&[account], Mode::Shared);
    }

    fn prepare(&mut self, _: Moment, tx: TxId, work: &Work) -> Result<Vec<i64>, Overdrawn> {
        assert!(!self.prepared.contains_key(&tx), "a part is prepared once");
        Self::keys(work, &mut |key, mode| self.assert_free(key, mode));
        let gain = match work {
            Work::Pay(pay) => {
                let balance = self.balance(pay.account).saturating_add(pay.amount.into());
                if balance < 0 {
                    return Err(Overdrawn);
                }
                vec![balance]
            }
            Work::Look(accounts) => accounts.iter().map(|&account| self.balance(account)).collect(),
        };
        self.prepared.insert(tx, work.clone());
        Ok(gain)
    }

    fn finish(&mut self, _: Moment, tx: TxId, work: &Work, commit: bool) {
        assert_eq!(self.prepared.remove(&tx).as_ref(), Some(work), "only what was prepared is finished");
        if let (Work::Pay(pay), true) = (work, commit) {
            self.pay(pay);
        }
    }

    fn prepared(&self) -> usize {
        self.prepared.len()
    }

    fn is_prepared(&self, tx: TxId, work: &Work) -> bool {
        self.prepared.get(&tx) == Some(work)
    }
}
