//! Restart is replay of what was promised and is not settled.

use super::super::live::Live;
use super::super::message::Promise;
use super::super::record::{Record, Restate};
use super::{Part, Participant, Stage, Telling};
use crate::codec::Malformed;
use crate::durable::Ledger;
use crate::{Command, Fault, Space, TxId};

impl<W: Command, S: Space> Participant<W, S> {
    /// Takes in what the next record says.
    pub(in crate::two_phase) fn replay(&mut self, record: Record<'_, W>) -> Result<(), Fault> {
        self.records += 1;
        match record {
            Record::Promised { tx, promise, is_first, age, parties, work } => {
                let work = work.first().ok_or(Malformed::Content)?;
                let parties = parties.among(&self.config.nodes);
                let stage = if promise == Promise::ANY { Stage::Reading } else { Stage::Promised };
                let part = Part { promise, is_first, age, parties, work: Some(work), ..self.part(stage) };
                self.put_back(tx, part)
            }
            Record::Refused { tx } => self.put_back(tx, self.part(Stage::Refused)),
            Record::Kept { tx } => self.put_back(tx, self.part(Stage::Kept)),
            Record::Forced { tx, commit } => {
                let part = self.live.find(tx).and_then(|at| self.live.get_mut(at));
                // Only what was promised is forced.
                let Some((_, Part { stage: stage @ (Stage::Promised | Stage::Forced { .. }), .. })) = part
                else {
                    return Err(Malformed::Content.into());
                };
                *stage = Stage::Forced { commit, is_done: !commit, decided: None };
                Ok(())
            }
            Record::Ended { tx } => {
                self.live.find(tx).into_iter().for_each(|at| self.live.remove(at));
                self.note_done(tx);
                Ok(())
            }
            Record::Past { coordinator, number } => {
                self.note_done(TxId { coordinator, number });
                Ok(())
            }
            Record::Restart(records) => {
                self.live = Live::default();
                let mut replayed = Ok(());
                records.for_each(&mut |record| {
                    if replayed.is_ok() {
                        replayed = match record {
                            Record::Restart(_) => Err(Malformed::Content.into()),
                            record => self.replay(record),
                        };
                    }
                });
                self.records = 1;
                replayed
            }
            Record::Numbered { .. } | Record::Committed { .. } => {
                Err(Fault::Settings("the store is a coordinator's"))
            }
        }
    }

    pub(super) fn put_back(&mut self, tx: TxId, part: Part<W>) -> Result<(), Fault> {
        if let Some(at) = self.live.find(tx) {
            self.live.remove(at);
        }
        self.live
            .insert(tx, part)
            .map(|_| ())
            .map_err(|_| Fault::Settings("fewer calls than the store holds"))
    }

    /// All records were taken in: what was promised is told before anything else.
    pub(in crate::two_phase) fn begin_life(&mut self, seed: u64) -> Result<(), Fault> {
        self.config.check()?;
        let left = [self.live.len() as u64, self.records];
        self.ledger = Ledger::new(self.config.brand(seed, left, self.now));
        self.promise = Promise(self.ledger.brand() | 1);
        let mark = self.ledger.mark();
        for at in 0..self.live.places() {
            let Some((_, part)) = self.live.get_mut(at) else { continue };
            (part.mark, part.said) = (mark, self.now);
            part.telling = match part.stage {
                Stage::Promised | Stage::Reading => Some(Telling::Retake),
                Stage::Forced { commit, .. } => Some(Telling::Decided(commit)),
                Stage::Asked
                | Stage::Committing
                | Stage::Done { .. }
                | Stage::Kept
                | Stage::Settled { .. }
                | Stage::Refused
                | Stage::Over => None,
            };
            self.retaking += usize::from(part.telling.is_some());
            self.kept += usize::from(matches!(part.stage, Stage::Kept | Stage::Refused));
            self.ready.join(at);
        }
        self.look = (self.live.len() > 0).then_some(self.now);
        Ok(())
    }
}

impl<W: Command, S: Space> Restate<W> for Participant<W, S> {
    fn restate(&self, show: &mut dyn FnMut(Record<'_, W>)) {
        for (&coordinator, past) in self.config.nodes.iter().zip(self.past.iter()) {
            if past.done > 0 {
                show(Record::Past { coordinator, number: past.done });
            }
        }
        for (tx, part) in self.live.iter() {
            match part.stage {
                Stage::Committing if part.is_only => {}
                Stage::Promised | Stage::Reading | Stage::Committing | Stage::Refused | Stage::Kept => {
                    show(self.record_of(tx, part));
                }
                Stage::Forced { .. } => {
                    show(self.promised(tx, part));
                    show(self.record_of(tx, part));
                }
                Stage::Done { .. } if part.is_only => show(self.record_of(tx, part)),
                Stage::Asked | Stage::Done { .. } | Stage::Settled { .. } | Stage::Over => {}
            }
        }
    }
}
