//! One client: requests in, replies out, in order.
//!
//! Requests that have arrived together are asked for together, as long as they are all changes of single groups, all
//! queries of single groups, or all looks at several: a query may not overtake the change before it, nor a change the
//! query, nor a query the look, which takes longer. Of those in different groups neither waits for the other; but a
//! transaction that changes several groups, and what gives a lock back, wait for all that came before, and what comes after
//! a transaction waits for that. Nothing more is read until all replies are written, so a client that does not read is not
//! read from either, and what a connection holds is bounded.

use crate::answer::{self, error};
use crate::command::lock;
use crate::front::Front;
use crate::resp::{Protocol, Requests, Value};
use crate::session::{Call, Session, Turn};
use crate::store::{Store, Unavailable};
use bytes::BytesMut;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesOrdered, StreamExt};
use quorate::GroupId;
use quorate::keyspace::{Answer, Blob, Change, Command, Query};
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// How many requests of one connection are asked for at the same time.
const IN_FLIGHT: usize = 128;
/// How much is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Replies of this size are written without waiting for more.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a client may take to read what it is sent.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// What is asked for, in order, each with the protocol of its reply.
type Pending<'f> = FuturesOrdered<BoxFuture<'f, (Value, Protocol)>>;

/// A client.
#[derive(Debug)]
pub(crate) struct Connection<'f, S, T> {
    front: &'f Front<S>,
    socket: T,
    session: Session,
    requests: Requests,
    out: BytesMut,
}

/// What a request may be asked for together with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Other commands.
    Command,
    /// Commands of this group.
    Release(GroupId),
    /// Other queries.
    Query,
    /// Others that look at several groups.
    Look,
    /// Nothing.
    Transaction,
    /// Anything.
    Either,
}

const fn kind(call: &Call) -> Kind {
    match call {
        Call::Command(group, Command::Change(Change::CompareDelete { .. }), _) => Kind::Release(*group),
        Call::Command(..) | Call::Renew(_) => Kind::Command,
        Call::Query(..) | Call::Size => Kind::Query,
        Call::Transaction(apart) if apart.reads => Kind::Look,
        Call::Transaction(_) => Kind::Transaction,
        Call::Ready(_) | Call::Node(_) => Kind::Either,
    }
}

/// What is asked for and was not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Commands(Commands),
    Queries,
    Looks,
    Transaction,
}

/// Which groups were asked for commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commands {
    Of(GroupId),
    OfSeveral,
}

impl Asked {
    /// What is asked for with this as well; `None` if that has to wait.
    fn with(self, call: &Call) -> Option<Self> {
        match (kind(call), self) {
            (Kind::Either, asked) => Some(asked),
            (Kind::Command | Kind::Release(_), Self::Nothing) => Some(Self::Commands(Commands::by(call))),
            (Kind::Command, Self::Commands(commands)) => {
                let same = commands == Commands::by(call);
                Some(Self::Commands(if same { commands } else { Commands::OfSeveral }))
            }
            (Kind::Release(group), Self::Commands(Commands::Of(same))) if group == same => Some(self),
            (Kind::Query, Self::Nothing | Self::Queries) => Some(Self::Queries),
            (Kind::Look, Self::Nothing | Self::Looks) => Some(Self::Looks),
            (Kind::Transaction, Self::Nothing) => Some(Self::Transaction),
            (
                Kind::Command | Kind::Release(_) | Kind::Query | Kind::Look | Kind::Transaction,
                _, //
            ) => None,
        }
    }
}

impl Commands {
    const fn by(call: &Call) -> Self {
        match call {
            Call::Command(group, ..) => Self::Of(*group),
            _ => Self::OfSeveral,
        }
    }
}

impl<'f, S: Store, T: AsyncRead + AsyncWrite + Unpin> Connection<'f, S, T> {
    pub(crate) fn new(front: &'f Front<S>, socket: T, id: i64) -> Self {
        let (requests, out) = (Requests::default(), BytesMut::new());
        Self { front, socket, session: Session::new(id), requests, out }
    }

    /// Serves the client until it goes, is told to go, or `stop` says so.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut pending = Pending::new();
        loop {
            let open = self.take_all(&mut pending, &mut stop).await?;
            self.flush().await?;
            if !open {
                return Ok(());
            }
            let buffer = self.requests.buffer();
            buffer.reserve(READ_BYTES);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                read = self.socket.read_buf(buffer) => if read? == 0 {
                    return Ok(());
                },
            }
        }
    }

    /// Takes in all whole requests, and says whether to go on.
    async fn take_all(
        &mut self,
        pending: &mut Pending<'f>,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<bool> {
        let (front, mut asked) = (self.front, Asked::Nothing);
        loop {
            let session = &mut self.session;
            let turn =
                match self.requests.next(|request| session.take(request, &front.scripts, &front.placement)) {
                    Ok(Some(turn)) => turn,
                    Ok(None) => break,
                    Err(error) => Turn::Close(Value::error(error.to_string())),
                };
            let call = match turn {
                Turn::Call(call) => call,
                Turn::Watch(keys) => {
                    self.drain(pending).await?;
                    Call::Ready(self.watch(keys).await)
                }
                Turn::Lock(lock::Command::Renew { session }) => Call::Renew(session),
                Turn::Lock(command) => {
                    self.drain(pending).await?;
                    match self.lock(command, stop).await? {
                        Some(value) => Call::Ready(value),
                        None => return Ok(false),
                    }
                }
                Turn::Close(value) => {
                    self.drain(pending).await?;
                    value.encode(self.session.protocol(), &mut self.out);
                    return Ok(false);
                }
            };
            if pending.is_empty() {
                asked = Asked::Nothing;
            }
            asked = match asked.with(&call) {
                Some(asked) if pending.len() < IN_FLIGHT => asked,
                Some(_) | None => {
                    self.drain(pending).await?;
                    Asked::Nothing.with(&call).unwrap_or(Asked::Nothing)
                }
            };
            self.ask(pending, call).await?;
        }
        self.drain(pending).await?;
        Ok(true)
    }

    async fn ask(&mut self, pending: &mut Pending<'f>, call: Call) -> io::Result<()> {
        let (front, protocol) = (self.front, self.session.protocol());
        let reply = match call {
            Call::Ready(value) if pending.is_empty() => return self.put(&value, protocol).await,
            Call::Ready(value) => std::future::ready((value, protocol)).boxed(),
            Call::Command(group, command, form) => {
                let shape = |reply| answer::formed(form, reply);
                return self.hand_in(pending, front.store.command(group, command), shape).await;
            }
            Call::Renew(session) => {
                let renew = lock::Command::Renew { session };
                async move { (answer::lock(front, renew).await, protocol) }.boxed()
            }
            Call::Query(group, query, shape) => {
                async move { (answer::query(front, group, query, shape).await, protocol) }.boxed()
            }
            Call::Size => async move { (answer::size(front).await, protocol) }.boxed(),
            Call::Transaction(apart) => {
                async move { (answer::transaction(front, apart).await, protocol) }.boxed()
            }
            Call::Node(node) => async move { (answer::node(front, node).await, protocol) }.boxed(),
        };
        pending.push_back(reply);
        Ok(())
    }

    /// Waits until a command is handed in, so that commands take effect in order; takes replies meanwhile, since it
    /// may wait for those.
    async fn hand_in<R: Send>(
        &mut self,
        pending: &mut Pending<'f>,
        handing: impl Future<Output = Result<impl Future<Output = R> + Send + 'f, Unavailable>>,
        shape: impl FnOnce(R) -> Value + Send + 'f,
    ) -> io::Result<()> {
        let protocol = self.session.protocol();
        let mut handing = pin!(handing);
        let handed = loop {
            tokio::select! {
                biased;
                handed = &mut handing => break handed,
                Some((value, protocol)) = pending.next() => self.put(&value, protocol).await?,
            }
        };
        pending.push_back(match handed {
            Ok(reply) => async move { (shape(reply.await), protocol) }.boxed(),
            Err(unavailable) => std::future::ready((error(unavailable), protocol)).boxed(),
        });
        Ok(())
    }

    /// Carries out a command of the lock table, which may wait for a lock. `None` when the client has gone: then it waits
    /// no more.
    async fn lock(
        &mut self,
        command: lock::Command,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<Option<Value>> {
        let lock::Command::Acquire { session, name, .. } = &command else {
            return Ok(Some(answer::lock(self.front, command).await));
        };
        let cancel = lock::Command::Cancel { session: *session, name: name.clone() };
        self.flush().await?;
        let ended = {
            let mut ended = pin!(answer::lock(self.front, command));
            loop {
                let buffer = self.requests.buffer();
                let room = buffer.len() < READ_BYTES;
                buffer.reserve(READ_BYTES);
                tokio::select! {
                    biased;
                    ended = &mut ended => break Some(ended),
                    // The session stays in line: its client goes on with another node.
                    _ = stop.wait_for(|stop| *stop) => break Some(error(Unavailable::Stopped)),
                    read = self.socket.read_buf(buffer), if room => match read {
                        Ok(0) | Err(_) => break None,
                        Ok(_) => {}
                    },
                }
            }
        };
        if ended.is_none() {
            // A lock that was granted meanwhile stays the session's: its client may ask for it on another connection.
            answer::lock(self.front, cancel).await;
        }
        Ok(ended)
    }

    async fn put(&mut self, value: &Value, protocol: Protocol) -> io::Result<()> {
        value.encode(protocol, &mut self.out);
        if self.out.len() >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Encodes the replies to all that is pending; what is ready is written before waiting for more.
    async fn drain(&mut self, pending: &mut Pending<'f>) -> io::Result<()> {
        while !pending.is_empty() {
            let reply = match pending.next().now_or_never() {
                Some(reply) => reply,
                None => {
                    self.flush().await?;
                    pending.next().await
                }
            };
            if let Some((value, protocol)) = reply {
                self.put(&value, protocol).await?;
            }
        }
        Ok(())
    }

    async fn watch(&mut self, keys: Vec<Blob>) -> Value {
        for key in keys {
            let group = self.front.placement.group(&key);
            match self.front.store.query(group, Query::Revision { key: key.clone() }).await {
                Ok(Answer::Revision(revision)) => self.session.watch(key, revision.map(|at| at.modified)),
                Ok(Answer::Refused(refused)) => return crate::command::refusal(refused),
                Ok(_) => unreachable!("the answer is as the query"),
                Err(unavailable) => return error(unavailable),
            }
        }
        Value::OK
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            tokio::time::timeout(WRITE_TIME, self.socket.write_all(&self.out)).await??;
            if self.out.capacity() > 2 * WRITE_BYTES {
                self.out = BytesMut::new();
            }
            self.out.clear();
        }
        Ok(())
    }
}
