//! What the application says.

use super::super::message::Promise;
use super::{Part, Participant, Reason, Reply, Request, Stage, Telling};
use crate::{Command, Space, TxId};

impl<W: Command, S: Space> Participant<W, S> {
    pub(super) fn carry_out(&mut self, request: Request) -> Result<(), Reason> {
        match request {
            Request::Promise(tx) => self.promise(tx),
            Request::Read(tx) => self.read(tx),
            Request::Refuse(tx) => self.refuse(tx),
            Request::Finish(tx) => self.finish(tx),
            Request::Wound(tx) => self.wound(tx),
            Request::Force { tx, commit } => self.force(tx, commit),
        }
    }

    /// The part here in a transaction that the application has been told all about.
    fn told(&mut self, tx: TxId) -> Result<(usize, &mut Part<W>), Reason> {
        let at = self.live.find(tx).ok_or(Reason::Unknown)?;
        let (_, part) = self.live.get_mut(at).ok_or(Reason::Unknown)?;
        if part.telling.is_some() { Err(Reason::NotReady) } else { Ok((at, part)) }
    }

    /// One that the application is asked about, and has not answered.
    fn asked(&mut self, tx: TxId) -> Result<(usize, &mut Part<W>), Reason> {
        let (at, part) = self.told(tx)?;
        if let Stage::Asked = part.stage { Ok((at, part)) } else { Err(Reason::OutOfPlace) }
    }

    fn promise(&mut self, tx: TxId) -> Result<(), Reason> {
        let (can_keep, promise) = (self.can_keep(), self.promise);
        let (at, part) = self.asked(tx)?;
        // Nobody else has to agree. One that may have been done before is not done at once: the coordinator knows.
        if part.is_only && part.is_first && can_keep {
            (part.stage, part.telling) = (Stage::Committing, Some(Telling::Decided(true)));
            self.kept += 1;
            self.ready.join(at);
        } else {
            (part.stage, part.promise) = (Stage::Promised, promise);
            (part.answers, part.is_only) = (true, false);
            // Odd, and so never none; and those of another life begin far away.
            self.promise = Promise(promise.0.wrapping_add(2));
            self.save(at);
        }
        Ok(())
    }

    fn read(&mut self, tx: TxId) -> Result<(), Reason> {
        let (at, part) = self.asked(tx)?;
        if part.is_only {
            part.telling = Some(Telling::Decided(false));
            self.ready.join(at);
            self.settle_at_once(at, true);
        } else {
            (part.stage, part.answers) = (Stage::Reading, true);
            self.save(at);
        }
        Ok(())
    }

    fn refuse(&mut self, tx: TxId) -> Result<(), Reason> {
        let (at, part) = self.asked(tx)?;
        if part.is_only {
            self.settle_at_once(at, false);
        } else {
            self.live.remove(at);
            self.reply(tx.coordinator, Reply::No(tx));
        }
        Ok(())
    }

    /// The only one did nothing, and says so once it is durable that it will not do it at once.
    fn settle_at_once(&mut self, at: usize, reads: bool) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers) = (Stage::Settled { reads }, true);
        self.note_done(tx);
        self.save(at);
    }

    fn finish(&mut self, tx: TxId) -> Result<(), Reason> {
        let can_keep = self.can_keep();
        let (at, part) = match self.told(tx) {
            Err(Reason::Unknown) => return self.adopt(tx),
            told => told?,
        };
        match part.stage {
            Stage::Committing => {}
            // Forgotten before the coordinator has heard, it would be asked for and promised as if it were new.
            Stage::Asked if part.is_only && !can_keep => return Err(Reason::Busy),
            Stage::Asked => {
                let is_kept = part.is_only;
                self.kept += usize::from(is_kept);
            }
            Stage::Forced { commit: true, is_done: false, decided } => {
                part.stage = Stage::Forced { commit: true, is_done: true, decided };
                self.end_forced(at);
                return Ok(());
            }
            _ => return Err(Reason::OutOfPlace),
        }
        self.done(at);
        Ok(())
    }

    /// The application did this at once in an earlier life, which had no time to note it; or long ago.
    #[cold]
    fn adopt(&mut self, tx: TxId) -> Result<(), Reason> {
        if !self.can_keep() {
            return Err(Reason::Busy);
        }
        let part = Part { is_only: true, answers: true, ..self.part(Stage::Done { commit: true }) };
        let at = self.live.insert(tx, part).map_err(|_| Reason::Busy)?;
        self.look_later();
        self.kept += 1;
        self.save(at);
        Ok(())
    }

    /// The application did it.
    fn done(&mut self, at: usize) {
        let Some((tx, part)) = self.live.get_mut(at) else { return };
        (part.stage, part.answers) = (Stage::Done { commit: true }, true);
        if !part.is_only {
            self.note_done(tx);
        }
        self.save(at);
    }

    fn wound(&mut self, tx: TxId) -> Result<(), Reason> {
        let (at, part) = self.told(tx)?;
        if !matches!(part.stage, Stage::Asked | Stage::Promised | Stage::Reading) {
            return Err(Reason::OutOfPlace);
        }
        (part.is_wounded, part.wounds) = (true, true);
        self.ready.join(at);
        Ok(())
    }

    fn force(&mut self, tx: TxId, commit: bool) -> Result<(), Reason> {
        let (at, _) = self.told(tx)?;
        if self.retaking > 0 {
            return Err(Reason::NotReady);
        }
        let is_open = self.is_open(at);
        let (_, part) = self.told(tx)?;
        match part.stage {
            Stage::Promised if is_open => {
                part.stage = Stage::Forced { commit, is_done: !commit, decided: None };
                part.telling = Some(Telling::Decided(commit));
                self.save(at);
            }
            Stage::Reading if is_open => self.let_go(at),
            _ => return Err(Reason::OutOfPlace),
        }
        Ok(())
    }
}
