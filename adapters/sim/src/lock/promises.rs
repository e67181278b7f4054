//! What clients are told, against what they are promised.

use super::client::{Act, Doing, Want};
use super::subject::{Clients, Path, Table};
use crate::chance::Chance;
use crate::subject::{At, Broken, Check, Desk, holds};
use quorate::lock::{Answer, Command, Notice, Reply, SessionId, Standing, Token};
use quorate::replicated::{Failure, Outcome, Ticket};
use quorate::{Index, Moment};
use serde_json::json;

impl Clients {
    /// A request ended somewhere.
    pub(super) fn on_ended(
        &mut self,
        at: At,
        ticket: Ticket,
        outcome: Outcome<Table>,
        desk: &mut Desk<super::Machine>,
    ) -> Check {
        let now = at.now.as_micros();
        let Some(id) = self.tickets.remove(&(at.node, ticket)) else { return Ok(()) };
        let Some(asked) = self.asked.get_mut(&id) else { return Ok(()) };
        let (client, number) = (asked.client, asked.number);
        if let Outcome::Replied { reply, at: moment } = &outcome {
            let told = (reply.clone(), *moment);
            let first = asked.reply.get_or_insert_with(|| told.clone());
            holds(*first == told, "a command that is sent again gets the same reply", || {
                format!("{first:?}, then {told:?}")
            })?;
            if self.clients[client].doing.as_ref().is_none_or(|doing| doing.id != id) {
                self.hit(Path::ToldTwice);
            }
        }
        let is_current = self.clients[client].number == number;
        let doing = self.clients[client].doing.take_if(|doing| is_current && doing.id == id);
        let Some(doing) = doing else { return Ok(()) };
        match outcome {
            Outcome::Opened(session) => self.clients[client].session = Some(session),
            Outcome::Replied { reply, at: moment } => {
                self.on_reply(client, now, &doing, &reply, moment, &mut desk.rng)?;
            }
            Outcome::Answered(answer) => self.on_answered(client, now, &doing, &answer, &mut desk.rng)?,
            Outcome::Closed => {}
            Outcome::Failed(Failure::Unconfirmed) => {
                self.hit(Path::Unconfirmed);
                self.clients[client].doing = Some(doing);
                self.send(client, now, desk);
            }
            Outcome::Failed(Failure::SessionExpired) => {
                self.hit(Path::Evicted);
                self.be_born_again(client, &mut desk.rng);
            }
            Outcome::Failed(Failure::OutOfOrder) => {
                return Err(Broken::new("a client's next command is in order", format!("{doing:?}")));
            }
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        client: usize,
        now: u64,
        doing: &Doing,
        reply: &Reply,
        moment: Moment,
        rng: &mut Chance,
    ) -> Check {
        let Act::Submit { command, .. } = &doing.act else { return Ok(()) };
        self.note(client, now, doing, command, reply);
        let ttl = self.clients[client].ttl;
        match (command, reply) {
            (Command::Open { .. }, Reply::Opened { session }) => {
                self.leases.renewed(*session, doing.first, ttl);
                self.clients[client].lease = Some(*session);
                self.clients[client].renewed = doing.first;
            }
            (Command::Renew { session }, Reply::Renewed) => {
                self.leases.renewed(*session, doing.first, ttl);
                self.clients[client].renewed = doing.first;
            }
            (Command::Acquire { session, name, .. }, Reply::Granted { token }) => {
                let lock = self.lock(name);
                self.on_granted(*session, lock, *token, now)?;
                self.clients[client].hold(lock, *token, now, rng);
            }
            (Command::Acquire { session, name, .. }, Reply::Queued { .. }) => {
                let lock = self.lock(name);
                self.grants.queued(lock, *session, moment.index);
                self.clients[client].want = Want::Waits { lock };
            }
            (Command::Acquire { .. }, Reply::Held) => self.hit(Path::Held),
            (Command::Release { session, .. }, Reply::NotHeld) => {
                let lasts = self.leases.lasts(*session, now);
                holds(!lasts, "who holds a lock keeps it while the lease lasts", || format!("{command:?}"))?;
                self.clients[client].lose_lease();
            }
            (_, Reply::SessionExpired) => self.clients[client].lose_lease(),
            (_, Reply::Full(_)) => self.hit(Path::Full),
            _ => {}
        }
        Ok(())
    }

    fn on_answered(
        &mut self,
        client: usize,
        now: u64,
        doing: &Doing,
        answer: &Answer,
        rng: &mut Chance,
    ) -> Check {
        match (&doing.act, answer) {
            (Act::Look { lock }, Answer::Standing(Standing::Holds(token))) => {
                if let Some(session) = self.clients[client].lease {
                    self.on_granted(session, *lock, *token, now)?;
                }
                self.clients[client].hold(*lock, *token, now, rng);
                Ok(())
            }
            (Act::Look { .. }, Answer::Standing(Standing::Apart)) => {
                let lasts = self.clients[client].lease.is_some_and(|session| self.leases.lasts(session, now));
                self.clients[client].want = Want::Nothing;
                holds(!lasts, "who waits keeps the place while the lease lasts", || format!("{doing:?}"))
            }
            (Act::Read { floor, .. }, Answer::Owner(Some(owner))) => {
                let sees = Some(owner.token) >= *floor;
                holds(sees, "a read sees every grant that was told before it was asked", || {
                    format!("{owner:?}, {floor:?} was told before")
                })
            }
            _ => Ok(()),
        }
    }

    /// A grant was told. While a holder's lease lasts, nobody else is granted the lock.
    fn on_granted(&mut self, session: SessionId, lock: usize, token: Token, now: u64) -> Check {
        self.grants.granted(lock, session, token)?;
        for client in &self.clients {
            let Want::Holds { lock: held, token: earlier, .. } = client.want else { continue };
            let Some(holder) = client.lease.filter(|_| held == lock && earlier < token) else { continue };
            holds(!self.leases.lasts(holder, now), "one holder at a time, while its lease lasts", || {
                format!(
                    "{holder:?} holds {:?} with {earlier:?}, {session:?} with {token:?}",
                    self.names[lock]
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn on_notice(&mut self, at: At, notice: &Notice) -> Check {
        match notice {
            Notice::Granted { session, name, token } => {
                self.hit(Path::PassedOn);
                let lock = self.lock(name);
                self.on_granted(*session, lock, *token, at.now.as_micros())
            }
            Notice::Expired { session } => {
                self.hit(Path::Expired);
                self.leases.expired(*session, at.now.as_micros())
            }
            Notice::TimedOut { .. } | Notice::Cancelled { .. } | Notice::Closed { .. } => Ok(()),
        }
    }

    /// A state went into a snapshot: the same as all others that go there.
    pub(super) fn on_image(&mut self, at: At, of: Index, hash: u64) -> Check {
        self.hit(Path::Snapshot);
        let known = *self.images.entry(of).or_insert(hash);
        holds(known == hash, "snapshots of the same entries are the same", || format!("{} at {of}", at.node))
    }

    /// Adds a line for checkers outside.
    fn note(&mut self, client: usize, now: u64, doing: &Doing, command: &Command, reply: &Reply) {
        let (op, session, name) = match command {
            Command::Acquire { session, name, .. } => ("acquire", session, name),
            Command::Release { session, name, .. } => ("release", session, name),
            _ => return,
        };
        let mut line = json!({
            "client": self.clients[client].number, "op": op, "key": self.key(name), "session": session.get(),
            "call": doing.first, "return": now, "ok": matches!(reply, Reply::Granted { .. } | Reply::Released),
        });
        if let (Reply::Granted { token }, Some(line)) = (reply, line.as_object_mut()) {
            line.insert("token".into(), token.get().into());
        }
        self.lines.push(line.to_string());
    }
}
