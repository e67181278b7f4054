//! A bank: accounts with balances that are never below zero.

use quorate::codec::{Full, Malformed, Sink, put, take_all};
use quorate::locks::Mode;
use quorate::sharded::Transactional;
use quorate::{Application, Command, Moment, Timestamp, TxId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pay {
    pub account: u8,
    pub amount: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    Pay(Pay),
    Look(Vec<u8>),
}

impl Command for Pay {}
impl Command for Work {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdrawn;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bank {
    pub accounts: BTreeMap<u8, i64>,
    held: Vec<TxId>,
}

impl Bank {
    fn balance(&self, account: u8) -> i64 {
        self.accounts.get(&account).copied().unwrap_or(100)
    }
}

impl Application for Bank {
    type Command = Pay;
    type Reply = i64;
    type Query = u8;
    type Answer = i64;
    type Notice = ();

    fn tick(&mut self, _: Moment) {}

    fn apply(&mut self, _: Moment, Pay { account, amount }: &Pay) -> i64 {
        let balance = self.balance(*account) + amount;
        self.accounts.insert(*account, balance);
        balance
    }

    fn notice(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn query(&self, _: Timestamp, account: &u8) -> i64 {
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
        let gain = match work {
            Work::Pay(pay) => {
                let balance = self.balance(pay.account) + pay.amount;
                if balance < 0 {
                    return Err(Overdrawn);
                }
                vec![balance]
            }
            Work::Look(accounts) => accounts.iter().map(|&account| self.balance(account)).collect(),
        };
        assert!(!self.held.contains(&tx), "a part is prepared once");
        self.held.push(tx);
        Ok(gain)
    }

    fn finish(&mut self, now: Moment, tx: TxId, work: &Work, commit: bool) {
        assert!(self.held.contains(&tx), "only what was prepared is finished");
        self.held.retain(|held| *held != tx);
        if let (Work::Pay(pay), true) = (work, commit) {
            self.apply(now, pay);
        }
    }

    fn prepared(&self) -> usize {
        self.held.len()
    }

    fn is_prepared(&self, tx: TxId, _: &Work) -> bool {
        self.held.contains(&tx)
    }
}
