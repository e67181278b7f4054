//! Restart is replay of what was decided and not heard by all.

use super::super::live::Live;
use super::super::message::{Parties, Promise};
use super::super::record::{Record, Restate};
use super::super::transaction::{Part, Parts};
use super::{Coordinator, Stage, Underway};
use crate::durable::Ledger;
use crate::space::List;
use crate::{Age, Command, Fault, Space, TxId};

impl<W: Command, S: Space> Coordinator<W, S> {
    /// Takes in what the next record says.
    pub(in crate::two_phase) fn replay(&mut self, record: Record<'_, W>) -> Result<(), Fault> {
        self.records += 1;
        match record {
            Record::Numbered { through } if through > u64::MAX / 2 => {
                return Err(Fault::Settings("the coordinator's numbers are used up"));
            }
            Record::Numbered { through } => self.numbered = self.numbered.max(through),
            Record::Committed { tx, parties } => self.replay_committed(tx, parties)?,
            Record::Ended { tx } => {
                self.live.find(tx).into_iter().for_each(|at| self.live.remove(at));
            }
            Record::Restart(records) => {
                (self.live, self.records) = (Live::default(), 1);
                let mut replayed = Ok(());
                records.for_each(&mut |record| {
                    if replayed.is_ok() {
                        replayed = match record {
                            Record::Restart(_) => Err(crate::codec::Malformed::Content.into()),
                            record => self.replay(record),
                        };
                    }
                });
                replayed?;
                self.records = 1;
            }
            Record::Promised { .. }
            | Record::Refused { .. }
            | Record::Kept { .. }
            | Record::Forced { .. }
            | Record::Past { .. } => return Err(Fault::Settings("the store is a participant's")),
        }
        Ok(())
    }

    pub(super) fn replay_committed(&mut self, tx: TxId, parties: Parties<'_>) -> Result<(), Fault> {
        if tx.coordinator != self.config.id {
            return Err(Fault::Settings("the store is another coordinator's"));
        }
        let (mut parts, mut fits) = (S::Table::default(), true);
        parties.each(&mut |node, promise| fits &= parts.push(Part { node, work: None, promise }).is_ok());
        let parts = Parts(parts);
        let all = parts.all();
        let mut open = all;
        // Who only read has promised nothing, and need not answer.
        all.iter().filter(|&part| parts.promise(part) == Promise::ANY).for_each(|part| open.remove(part));
        let entry = Underway {
            stage: Stage::Ending { commit: true, open, is_recorded: true },
            age: Age::default(),
            parts,
            begun: self.now,
            said: self.now,
            due: all,
            outcome: None,
            is_told: true,
        };
        if self.live.find(tx).is_none() {
            fits &= self.live.insert(tx, entry).is_ok();
        }
        if fits {
            Ok(())
        } else {
            Err(Fault::Settings("fewer calls or peers than the store's records are of"))
        }
    }

    /// All records were taken in: what was decided and not heard by all is told again.
    pub(in crate::two_phase) fn begin_life(&mut self, seed: u64) -> Result<(), Fault> {
        self.config.check()?;
        if self.live.iter().any(|(tx, _)| tx.number >= self.numbered) {
            return Err(Fault::Settings("a decision about a transaction that cannot have begun"));
        }
        self.ledger = Ledger::new(self.config.brand(seed, [self.numbered, self.records], self.now));
        (self.numbered_mark, self.floor) = (self.ledger.mark(), self.numbered);
        // From 1 on: a participant that has done nothing has done all up to 0.
        self.count = self.numbered.div_ceil(S::CALLS as u64).max(1);
        for at in 0..self.live.places() {
            match self.live.get(at) {
                Some((tx, _)) => {
                    self.floor = self.floor.min(tx.number);
                    self.ready.join(at);
                }
                None => _ = self.spare.join(at),
            }
        }
        self.look = (self.live.len() > 0).then_some(self.now);
        Ok(())
    }
}

impl<W: Command, S: Space> Restate<W> for Coordinator<W, S> {
    fn restate(&self, show: &mut dyn FnMut(Record<'_, W>)) {
        show(Record::Numbered { through: self.numbered });
        for (tx, entry) in self.live.iter() {
            let is_recorded = match entry.stage {
                Stage::Deciding { .. } => true,
                Stage::Ending { is_recorded, .. } => is_recorded,
                Stage::Voting { .. } | Stage::Delegated => false,
            };
            if is_recorded {
                show(Record::Committed { tx, parties: Parties::listed(&entry.parts) });
            }
        }
    }
}
