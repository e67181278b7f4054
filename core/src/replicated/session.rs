//! Client sessions: each command takes effect exactly once, and in order (Raft 8, thesis 6.3).

use super::{Failure, Operation};
use crate::codec::{Full, Malformed, Sink, put, put_numbers, take, take_numbers};
use crate::space::{List, Window};
use crate::{Index, Moment, Space, Timestamp};
use core::fmt::Debug;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A client's session: the place of the entry that opened it, so it is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

impl SessionId {
    /// Wraps a number that came from a client.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number, for a client.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The number of a command within its session, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// Wraps a number that came from a client.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What a command got, kept until its client says that it has it. `None`: it was skipped.
#[derive(Clone, Debug)]
pub(super) struct Kept<R> {
    pub(super) reply: Option<R>,
    pub(super) index: Index,
    pub(super) time: Timestamp,
}

#[derive(Debug)]
struct Session<R: Debug, S: Space, const REPLIES: usize> {
    id: SessionId,
    /// A number the client made up: opening again with it finds the session.
    client: u64,
    /// The entry that last used it. The session unused for longest makes room.
    used: Index,
    /// The client has the replies up to here.
    floor: Sequence,
    /// The replies after `floor`, without gaps.
    replies: S::Queue<Kept<R>, REPLIES>,
}

/// All sessions, oldest first: replicated state.
#[derive(Debug)]
pub(super) struct Sessions<R: Debug, S: Space, const SESSIONS: usize, const REPLIES: usize> {
    list: S::Items<Session<R, S, REPLIES>, SESSIONS>,
}

impl<R: Debug, S: Space, const SESSIONS: usize, const REPLIES: usize> Default
    for Sessions<R, S, SESSIONS, REPLIES>
{
    fn default() -> Self {
        Self { list: Default::default() }
    }
}

/// What a command is to its session.
pub(super) enum Turn<R> {
    /// The next one.
    Fresh,
    /// One that was carried out.
    Done(Kept<R>),
    /// Not its turn: one before it is missing.
    Early,
    /// It cannot be carried out.
    Failed(Failure),
}

impl<R, S, const SESSIONS: usize, const REPLIES: usize> Sessions<R, S, SESSIONS, REPLIES>
where
    R: Clone + Debug + Serialize + DeserializeOwned + 'static,
    S: Space,
{
    /// Opens a session, or finds the one that this client opened. The one unused for longest makes room.
    pub(super) fn open(&mut self, client: u64, index: Index) -> SessionId {
        if let Some(session) = self.list.iter_mut().find(|session| session.client == client) {
            session.used = index;
            return session.id;
        }
        if self.list.len() == SESSIONS {
            let oldest = self.list.iter().enumerate().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map_or(0, |(at, _)| at);
            self.list.remove(oldest);
        }
        let id = SessionId(index.get());
        let session = Session { id, client, used: index, floor: Sequence(0), replies: Default::default() };
        let fits = self.list.push(session).is_ok();
        assert!(fits, "room was made, and there is room for one session at least");
        id
    }

    /// Gives back memory that is not used.
    #[cfg(feature = "alloc")]
    pub(super) fn shrink(&mut self) {
        self.list.shrink();
        self.list.iter_mut().for_each(|session| session.replies.shrink());
    }

    pub(super) fn close(&mut self, session: SessionId) -> Option<()> {
        let at = self.list.iter().position(|other| other.id == session)?;
        self.list.remove(at).map(|_| ())
    }

    /// The session that a client opened.
    pub(super) fn of_client(&self, client: u64) -> Option<SessionId> {
        self.list.iter().find(|session| session.client == client).map(|session| session.id)
    }

    /// What has become of a command, without noting anything.
    pub(super) fn look<C>(&self, operation: &Operation<C>) -> Turn<R> {
        let &Operation::Call { session, sequence, floor, .. } = operation else { return Turn::Fresh };
        let Some(session) = self.list.iter().find(|other| other.id == session) else {
            return Turn::Failed(Failure::SessionExpired);
        };
        let floor = session.floor.max(floor);
        let last = Sequence(session.floor.0 + session.replies.len() as u64).max(floor);
        if sequence <= floor || sequence.0 - floor.0 > REPLIES as u64 {
            return Turn::Failed(Failure::OutOfOrder);
        }
        let place = usize::try_from(sequence.0 - session.floor.0 - 1).unwrap_or(usize::MAX);
        match session.replies.get(place) {
            Some(kept) => Turn::Done(kept.clone()),
            None if sequence == last.next() => Turn::Fresh,
            None => Turn::Early,
        }
    }

    /// Notes that a session was used, and what its client has.
    pub(super) fn touch(&mut self, session: SessionId, floor: Sequence, index: Index) {
        let Some(session) = self.list.iter_mut().find(|other| other.id == session) else { return };
        session.used = index;
        while session.floor < floor && session.replies.pop_front().is_some() {
            session.floor = session.floor.next();
        }
        session.floor = session.floor.max(floor);
    }

    /// Keeps the reply of the session's next command.
    pub(super) fn keep(&mut self, session: SessionId, reply: Option<R>, now: Moment) {
        let Some(session) = self.list.iter_mut().find(|other| other.id == session) else { return };
        let kept = Kept { reply, index: now.index, time: now.time };
        let fits = session.replies.push_back(kept).is_ok();
        assert!(fits, "a command too far ahead of what its client has is not carried out");
    }

    pub(super) fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&(self.list.len() as u64), sink)?;
        self.list.iter().try_for_each(|session| {
            let Session { id, client, used, floor, replies } = session;
            put_numbers(&[id.0, *client, used.get(), floor.0, replies.len() as u64], sink)?;
            (0..replies.len()).filter_map(|at| replies.get(at)).try_for_each(|kept| {
                put(&kept.reply, sink)?;
                put_numbers(&[kept.index.get(), kept.time.as_micros()], sink)
            })
        })
    }

    /// Takes in what [`snapshot`](Self::snapshot) wrote, in place of what there is.
    pub(super) fn restore(&mut self, input: &mut &[u8]) -> Result<(), Malformed> {
        self.list.clear();
        for _ in 0..take::<u64>(input)? {
            let [id, client, used, floor, replies] = take_numbers(input)?;
            floor.checked_add(replies).ok_or(Malformed::Content)?;
            let (id, used, floor) = (SessionId(id), Index::new(used), Sequence(floor));
            let session = Session { id, client, used, floor, replies: Default::default() };
            self.list.push(session).map_err(|_| Malformed::Content)?;
            let Some(session) = self.list.last_mut() else { return Err(Malformed::Content) };
            for _ in 0..replies {
                let (reply, [index, time]) = (take(input)?, take_numbers(input)?);
                let kept = Kept { reply, index: Index::new(index), time: Timestamp::from_micros(time) };
                session.replies.push_back(kept).map_err(|_| Malformed::Content)?;
            }
        }
        Ok(())
    }
}
