//! Who waits on this node for a lock, and what becomes known of each wait.
//!
//! The lock table tells on every node how a wait ended. It tells nobody in particular, and a node that starts from a
//! snapshot skips what the entries in it told. So a wait hears either that its lock was granted, or that it should
//! look at the table: news is a hint, and the newest is as good as all.

use quorate::Index;
use quorate::lock::{Answer, Command, Name, Notice, Query, Reply, SessionId, Standing, Token, Wait};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What became known of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// The lock was granted, to this or to an earlier wait of the session.
    Granted(Token),
    /// The session has ended, and ids are not used again.
    Ended,
    /// Something else: the table knows.
    Changed,
}

/// All waits of one node, by session. As many as there are connections.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    waits: BTreeMap<SessionId, Vec<Row>>,
    numbers: u64,
}

#[derive(Debug)]
struct Row {
    /// Tells apart those who wait for the same.
    number: u64,
    name: Name,
    news: watch::Sender<News>,
}

/// What a wait needs of a lock table.
pub(crate) trait Table {
    /// Why it cannot be asked.
    type Error;

    /// Carries a command out, and tells in which entry.
    async fn carry_out(&self, command: Command) -> Result<(Reply, Index), Self::Error>;

    /// Answers a query from a state that is no older than the query.
    async fn look(&self, query: Query) -> Result<Answer, Self::Error>;
}

impl Waits {
    /// Acquires a lock, and waits until it is granted or is not going to be: [`Reply::Granted`], [`Reply::Held`] when
    /// it was not granted in time or the wait was cancelled, [`Reply::SessionExpired`] or [`Reply::Full`].
    pub(crate) async fn acquire<T: Table>(
        self: &Arc<Self>,
        table: &T,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> Result<Reply, T::Error> {
        // Before the table is asked: what it tells meanwhile must not be missed.
        let mut waiting = self.enlist(session, name.clone());
        let acquire = Command::Acquire { session, name: name.clone(), wait };
        let (reply, asked) = table.carry_out(acquire).await?;
        let Reply::Queued { .. } = reply else { return Ok(reply) };
        loop {
            match waiting.news().await {
                News::Granted(token) if token.get() > asked.get() => return Ok(Reply::Granted { token }),
                News::Ended => return Ok(Reply::SessionExpired),
                News::Granted(_) | News::Changed => {
                    if let Some(reply) = standing(table, session, &name).await? {
                        return Ok(reply);
                    }
                }
            }
        }
    }

    /// Passes on what the table told.
    pub(crate) fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Granted { session, name, token } => {
                self.send(*session, Some(name), News::Granted(*token));
            }
            Notice::TimedOut { session, name } | Notice::Cancelled { session, name } => {
                self.send(*session, Some(name), News::Changed);
            }
            Notice::Expired { session } | Notice::Closed { session } => {
                self.send(*session, None, News::Ended);
            }
        }
    }

    /// What the table told may have been missed: all look at it.
    pub(crate) fn look_again(&self) {
        for row in self.rows().waits.values().flatten() {
            row.news.send_replace(News::Changed);
        }
    }

    fn send(&self, session: SessionId, name: Option<&Name>, news: News) {
        for row in self.rows().waits.get(&session).into_iter().flatten() {
            if name.is_none_or(|name| row.name == *name) {
                row.news.send_replace(news);
            }
        }
    }

    fn enlist(self: &Arc<Self>, session: SessionId, name: Name) -> Waiting {
        let (sender, news) = watch::channel(News::Changed);
        let mut rows = self.rows();
        rows.numbers += 1;
        let number = rows.numbers;
        rows.waits.entry(session).or_default().push(Row { number, name, news: sender });
        Waiting { waits: Arc::clone(self), session, number, news }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the wait of a session ended, or `None` if it goes on.
async fn standing<T: Table>(table: &T, session: SessionId, name: &Name) -> Result<Option<Reply>, T::Error> {
    match table.look(Query::Standing { session, name: name.clone() }).await? {
        Answer::Standing(Standing::Holds(token)) => Ok(Some(Reply::Granted { token })),
        Answer::Standing(Standing::Waits { .. }) => Ok(None),
        _ => match table.look(Query::Session { session }).await? {
            Answer::Session(None) => Ok(Some(Reply::SessionExpired)),
            _ => Ok(Some(Reply::Held)),
        },
    }
}

/// One wait. Dropped, it is heard of no more; what the table knows of it stays.
struct Waiting {
    waits: Arc<Waits>,
    session: SessionId,
    number: u64,
    news: watch::Receiver<News>,
}

impl Waiting {
    /// The newest that was not heard yet; waits for some.
    async fn news(&mut self) -> News {
        // The sender is kept until this is dropped.
        let _ = self.news.changed().await;
        *self.news.borrow_and_update()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut rows = self.waits.rows();
        if let Some(waits) = rows.waits.get_mut(&self.session) {
            waits.retain(|row| row.number != self.number);
            if waits.is_empty() {
                rows.waits.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use quorate::lock::Ttl;
    use quorate::{Application, Moment, Timestamp};
    use std::convert::Infallible;
    use std::pin::pin;

    /// A table that tells nobody: what it has to tell, a test passes on or does not.
    #[derive(Default)]
    struct Silent(Mutex<(quorate::lock::Table, u64)>);

    impl Silent {
        fn apply(&self, command: Command) -> (Reply, Vec<Notice>, Index) {
            let (table, last) = &mut *self.0.lock().expect("no test panicked here");
            *last += 1;
            let now = Moment { index: Index::new(*last), time: Timestamp::default() };
            table.tick(now);
            let reply = table.apply(now, &command);
            (reply, std::iter::from_fn(|| table.notice()).collect(), now.index)
        }

        fn open(&self, client: u64) -> SessionId {
            match self.apply(Command::Open { client, ttl: Ttl::MAX }).0 {
                Reply::Opened { session } => session,
                reply => panic!("there is room: {reply:?}"),
            }
        }
    }

    impl Table for Silent {
        type Error = Infallible;

        async fn carry_out(&self, command: Command) -> Result<(Reply, Index), Infallible> {
            let (reply, _, index) = self.apply(command);
            Ok((reply, index))
        }

        async fn look(&self, query: Query) -> Result<Answer, Infallible> {
            let (table, _) = &*self.0.lock().expect("no test panicked here");
            Ok(table.query(Timestamp::default(), &query))
        }
    }

    fn name() -> Name {
        Name::new("printer").expect("short enough")
    }

    fn granted(token: u64) -> Reply {
        Reply::Granted { token: Token::new(token) }
    }

    /// The sessions 1, which holds the lock since entry 3, and 2.
    fn held() -> (Silent, Arc<Waits>, SessionId, SessionId) {
        let table = Silent::default();
        let (ann, bob) = (table.open(1), table.open(2));
        let acquired = table.apply(Command::Acquire { session: ann, name: name(), wait: Wait::No });
        assert_eq!(acquired.0, granted(3));
        (table, Arc::new(Waits::default()), ann, bob)
    }

    fn release(session: SessionId, token: u64) -> Command {
        Command::Release { session, name: name(), token: Token::new(token) }
    }

    #[test]
    fn a_wait_ends_when_the_table_tells_of_its_grant() {
        let (table, waits, ann, bob) = held();
        let mut waiting = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        let (_, notices, _) = table.apply(release(ann, 3));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        notices.iter().for_each(|notice| waits.tell(notice));
        assert_eq!(waiting.now_or_never(), Some(Ok(granted(5))));
    }

    #[test]
    fn a_grant_of_which_nobody_told_is_found_when_all_look_again() {
        let (table, waits, ann, bob) = held();
        let mut waiting = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        waits.look_again();
        assert_eq!(waiting.as_mut().now_or_never(), None, "it waits on");
        table.apply(release(ann, 3));
        waits.look_again();
        assert_eq!(waiting.now_or_never(), Some(Ok(granted(5))));
    }

    #[test]
    fn what_is_told_of_an_earlier_wait_ends_none_that_came_after() {
        let (table, waits, ann, bob) = held();
        let acquire = Command::Acquire { session: bob, name: name(), wait: Wait::Unlimited };
        table.apply(acquire);
        let (_, earlier, _) = table.apply(release(ann, 3));
        table.apply(release(bob, 5));
        let again = table.apply(Command::Acquire { session: ann, name: name(), wait: Wait::No });
        assert_eq!(again.0, granted(7));
        let mut waiting = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        earlier.iter().for_each(|notice| waits.tell(notice));
        assert_eq!(waiting.as_mut().now_or_never(), None, "that grant was given back");
        let (_, notices, _) = table.apply(release(ann, 7));
        notices.iter().for_each(|notice| waits.tell(notice));
        assert_eq!(waiting.now_or_never(), Some(Ok(granted(9))));
    }

    #[test]
    fn a_wait_ends_with_its_session_and_with_its_cancelling() {
        for (end, reply) in [
            (Command::Close { session: SessionId::new(2) }, Reply::SessionExpired),
            (Command::Cancel { session: SessionId::new(2), name: name() }, Reply::Held),
        ] {
            let (table, waits, _, bob) = held();
            let mut waiting = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
            assert_eq!(waiting.as_mut().now_or_never(), None);
            let (_, notices, _) = table.apply(end);
            notices.iter().for_each(|notice| waits.tell(notice));
            assert_eq!(waiting.now_or_never(), Some(Ok(reply)));
        }
    }

    #[test]
    fn nothing_is_left_of_a_wait_that_is_over_or_dropped() {
        let (table, waits, _, bob) = held();
        {
            let mut one = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
            let mut other = pin!(waits.acquire(&table, bob, name(), Wait::Unlimited));
            assert_eq!((one.as_mut().now_or_never(), other.as_mut().now_or_never()), (None, None));
            assert_eq!(waits.rows().waits.values().flatten().count(), 2);
        }
        assert!(waits.rows().waits.is_empty());
    }
}
