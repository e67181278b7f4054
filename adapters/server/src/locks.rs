//! Lock sessions over many groups.
//!
//! A lock is in the group that its name is placed in, and only a session of that group's table can hold it. So what a
//! client knows as its session is one in its *home* group, and a *branch*, a session of its own, in each other group
//! where the client has acquired something. The number that the client is told is that of the home session, times the
//! number of groups, plus the number of the home group.
//!
//! That there is a branch is *noted* in the home group, for all nodes: by a lock on a reserved name, which the home session
//! holds and which ends with it. A branch is noted, and then renewed, before anything is acquired with it. So each renewal
//! that is sent after the note finds the branch, and each that was sent before is older than the branch's lease. A session
//! whose home or any of whose branches has ended has ended as a whole.

use crate::placement::Placement;
use crate::store::{Store, Unavailable};
use futures_util::future::{try_join, try_join_all};
use quorate::GroupId;
use quorate::lock::{Answer, Command, Limit, Name, Query, Reply, SessionId, Token, Ttl, Wait};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many branches a node remembers. Those it does not it looks up.
const REMEMBERED: usize = 65_536;
/// What the names of notes begin with, and no others.
const NOTE: &[u8] = b"\0quorate:branch:";
/// Marks the numbers under which branches are opened: those that clients make up have 63 bits.
const BRANCH: u64 = 1 << 63;

/// A session, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Session {
    home: GroupId,
    id: SessionId,
}

impl Session {
    /// The session that a client was told this number of.
    pub(crate) fn of(number: u64, placement: &Placement) -> Self {
        let (id, home) = (number / placement.count(), number % placement.count());
        Self { home: GroupId::new(home), id: SessionId::new(id) }
    }

    /// What its client is told.
    pub(crate) fn number(self, placement: &Placement) -> u64 {
        self.id.get().saturating_mul(placement.count()).saturating_add(self.home.get())
    }
}

/// Whether this name is of a kind that no client may take.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(NOTE)
}

/// What becomes of opening a session.
#[derive(Debug)]
pub(crate) enum Opened {
    Session(Session),
    Full(Limit),
}

/// What a session is in a group.
enum Entered {
    Branch(SessionId),
    Expired,
    Full(Limit),
}

/// The branches that this node knows of. What it knows stays true: a session has no second branch in a group.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    known: Mutex<BTreeMap<(Session, GroupId), SessionId>>,
}

impl Branches {
    fn known(&self) -> MutexGuard<'_, BTreeMap<(Session, GroupId), SessionId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, session: Session, group: GroupId) -> Option<SessionId> {
        self.known().get(&(session, group)).copied()
    }

    fn remember(&self, session: Session, group: GroupId, branch: SessionId) {
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((session, group), branch);
    }

    fn forget(&self, session: Session) -> Vec<(GroupId, SessionId)> {
        let mut known = self.known();
        let all = (session, GroupId::new(0))..=(session, GroupId::new(u64::MAX));
        let gone: Vec<_> = known.range(all).map(|((_, group), branch)| (*group, *branch)).collect();
        for (group, _) in &gone {
            known.remove(&(session, *group));
        }
        gone
    }
}

/// The lock tables of all groups as one.
#[derive(Debug)]
pub(crate) struct Locks<'f, S> {
    pub(crate) store: &'f S,
    pub(crate) placement: &'f Placement,
    pub(crate) branches: &'f Branches,
}

impl<S: Store> Locks<'_, S> {
    /// Opens a session, or renews the one that `client` opened before, for this long from now on.
    pub(crate) async fn open(&self, client: u64, ttl: Ttl) -> Result<Opened, Unavailable> {
        let home = self.placement.group(&client.to_be_bytes());
        match self.store.lock(home, Command::Open { client, ttl }).await? {
            Reply::Opened { session: id } => {
                let session = Session { home, id };
                // It may have been open before, with branches.
                if self.reopen_all(session, ttl).await? {
                    return Ok(Opened::Session(session));
                }
                // What is left of the session that it was has ended by now: this opens another.
                match self.store.lock(home, Command::Open { client, ttl }).await? {
                    Reply::Opened { session: id } => Ok(Opened::Session(Session { home, id })),
                    reply => Ok(Opened::Full(limit(reply))),
                }
            }
            reply => Ok(Opened::Full(limit(reply))),
        }
    }

    /// Has all branches last as long as their session does from now on. If one has ended, all end.
    async fn reopen_all(&self, session: Session, ttl: Ttl) -> Result<bool, Unavailable> {
        let branches = self.notes(session).await?;
        let reopened = branches.into_iter().map(|(group, branch)| self.reopen(session, group, branch, ttl));
        let all = try_join_all(reopened).await?.into_iter().all(|is_open| is_open);
        if !all {
            self.end(session).await?;
        }
        Ok(all)
    }

    /// Has a branch last this long from now on, if it has not ended.
    async fn reopen(
        &self,
        session: Session,
        group: GroupId,
        branch: SessionId,
        ttl: Ttl,
    ) -> Result<bool, Unavailable> {
        match self.store.lock(group, Command::Open { client: self.branch_client(session), ttl }).await? {
            Reply::Opened { session: id } if id == branch => Ok(true),
            Reply::Opened { session: another } => {
                self.store.lock(group, Command::Close { session: another }).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// The number under which the branches of a session are opened: who asks twice, or asks two nodes, gets the same.
    fn branch_client(&self, session: Session) -> u64 {
        BRANCH | session.number(self.placement)
    }

    async fn ttl(&self, session: Session) -> Result<Option<Ttl>, Unavailable> {
        match self.store.look(session.home, Query::Session { session: session.id }).await? {
            Answer::Session(Some(lease)) => Ok(Some(Ttl::new(lease.ttl).unwrap_or(Ttl::MAX))),
            _ => Ok(None),
        }
    }

    /// Gives a session its whole lease again, wherever it may hold something.
    pub(crate) async fn renew(&self, session: Session) -> Result<Reply, Unavailable> {
        let home = self.store.lock(session.home, Command::Renew { session: session.id });
        let (renewed, notes) = try_join(home, self.notes(session)).await?;
        match renewed {
            Reply::Renewed => self.renew_all(session, notes).await,
            reply => {
                self.end(session).await?;
                Ok(reply)
            }
        }
    }

    async fn renew_all(
        &self,
        session: Session,
        branches: Vec<(GroupId, SessionId)>,
    ) -> Result<Reply, Unavailable> {
        let renewals = branches
            .into_iter()
            .map(|(group, session)| async move { self.store.lock(group, Command::Renew { session }).await });
        if try_join_all(renewals).await?.iter().all(|reply| *reply == Reply::Renewed) {
            return Ok(Reply::Renewed);
        }
        self.end(session).await?;
        Ok(Reply::SessionExpired)
    }

    /// Ends a session everywhere. Its home last: the notes go with it.
    pub(crate) async fn end(&self, session: Session) -> Result<Reply, Unavailable> {
        let mut branches = self.notes(session).await?;
        branches.extend(self.branches.forget(session));
        let closed = branches
            .into_iter()
            .map(|(group, session)| async move { self.store.lock(group, Command::Close { session }).await });
        try_join_all(closed).await?;
        self.store.lock(session.home, Command::Close { session: session.id }).await
    }

    /// Acquires a lock, and waits for it.
    pub(crate) async fn acquire(
        &self,
        session: Session,
        name: Name,
        wait: Wait,
    ) -> Result<Reply, Unavailable> {
        let group = self.placement.group(&name);
        let reply = match self.enter(session, group).await? {
            Entered::Branch(branch) => self.store.acquire(group, branch, name, wait).await?,
            Entered::Expired => Reply::SessionExpired,
            Entered::Full(limit) => Reply::Full(limit),
        };
        if reply == Reply::SessionExpired {
            self.end(session).await?;
        }
        Ok(reply)
    }

    /// Gives a lock back.
    pub(crate) async fn release(
        &self,
        session: Session,
        name: Name,
        token: Token,
    ) -> Result<Reply, Unavailable> {
        let group = self.placement.group(&name);
        match self.branch(session, group).await? {
            Some(session) => self.store.lock(group, Command::Release { session, name, token }).await,
            None => Ok(Reply::NotHeld),
        }
    }

    /// Waits for a lock no more.
    pub(crate) async fn cancel(&self, session: Session, name: Name) -> Result<Reply, Unavailable> {
        let group = self.placement.group(&name);
        match self.branch(session, group).await? {
            Some(session) => self.store.lock(group, Command::Cancel { session, name }).await,
            None => Ok(Reply::Cancelled),
        }
    }

    /// What a session is in a group, if it is there.
    async fn branch(&self, session: Session, group: GroupId) -> Result<Option<SessionId>, Unavailable> {
        if group == session.home {
            return Ok(Some(session.id));
        }
        if let Some(branch) = self.branches.find(session, group) {
            return Ok(Some(branch));
        }
        let notes = self.notes(session).await?;
        let branch = notes.into_iter().find(|(of, _)| *of == group).map(|(_, branch)| branch);
        if let Some(branch) = branch {
            self.branches.remember(session, group, branch);
        }
        Ok(branch)
    }

    /// What a session is in a group, from now on if it was not there.
    async fn enter(&self, session: Session, group: GroupId) -> Result<Entered, Unavailable> {
        if let Some(branch) = self.branch(session, group).await? {
            return Ok(Entered::Branch(branch));
        }
        let Some(ttl) = self.ttl(session).await? else { return Ok(Entered::Expired) };
        let client = self.branch_client(session);
        let branch = match self.store.lock(group, Command::Open { client, ttl }).await? {
            Reply::Opened { session } => session,
            reply => return Ok(Entered::Full(limit(reply))),
        };
        let note =
            Command::Acquire { session: session.id, name: note(session, group, branch), wait: Wait::No };
        let refused = match self.store.lock(session.home, note).await? {
            Reply::Granted { .. } => None,
            Reply::Full(limit) => Some(Entered::Full(limit)),
            _ => Some(Entered::Expired),
        };
        if let Some(refused) = refused {
            self.store.lock(group, Command::Close { session: branch }).await?;
            return Ok(refused);
        }
        // Who renewed the session meanwhile, or had it last longer, did not know of the branch.
        let Some(ttl) = self.ttl(session).await? else { return Ok(Entered::Expired) };
        if !self.reopen(session, group, branch, ttl).await? {
            return Ok(Entered::Expired);
        }
        self.branches.remember(session, group, branch);
        Ok(Entered::Branch(branch))
    }

    /// The branches of a session; none, if it has ended.
    async fn notes(&self, session: Session) -> Result<Vec<(GroupId, SessionId)>, Unavailable> {
        let (mut notes, mut after) = (Vec::new(), prefix(session));
        if self.placement.count() == 1 {
            return Ok(notes);
        }
        // Each page but the last goes on behind the one before.
        loop {
            let Answer::Locks(page) =
                self.store.look(session.home, Query::Locks { after: Some(after.clone()) }).await?
            else {
                return Ok(notes);
            };
            for held in &page {
                match noted(session, &held.name).filter(|_| held.owner.session == session.id) {
                    Some(note) => notes.push(note),
                    None => return Ok(notes),
                }
            }
            match page.last().filter(|_| page.len() == quorate::lock::PAGE) {
                Some(last) => after = last.name.clone(),
                None => return Ok(notes),
            }
        }
    }
}

/// What the names of the notes of a session begin with.
fn prefix(session: Session) -> Name {
    name(&[NOTE, &session.id.get().to_be_bytes()])
}

fn note(session: Session, group: GroupId, branch: SessionId) -> Name {
    let numbers = [session.id.get(), group.get(), branch.get()].map(u64::to_be_bytes);
    name(&[NOTE, &numbers.concat()])
}

fn noted(session: Session, name: &Name) -> Option<(GroupId, SessionId)> {
    let numbers = name.strip_prefix(&*prefix(session))?;
    let (group, branch) = numbers.split_first_chunk::<8>()?;
    let (group, branch) = (u64::from_be_bytes(*group), u64::from_be_bytes(branch.try_into().ok()?));
    Some((GroupId::new(group), SessionId::new(branch)))
}

fn name(parts: &[&[u8]]) -> Name {
    Name::new(parts.concat()).expect("of 16 bytes and at most three numbers")
}

/// Why nothing was opened.
fn limit(reply: Reply) -> Limit {
    match reply {
        Reply::Full(limit) => limit,
        _ => Limit::Sessions,
    }
}
