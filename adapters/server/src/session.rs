//! What a connection is in the middle of: its protocol, its transaction, what it watches.

use crate::command::{self, Action, Connection, Node, Shape, refusal};
use crate::resp::{Protocol, Request, Value};
use crate::scripts::Scripts;
use quorate::keyspace::limits::{COMMAND_BYTES, KEYS, STEPS};
use quorate::keyspace::{Blob, Command, Query, Refused, Step, Transaction};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::{Command as _, Index};

const NOT_INSIDE: &str = "ERR Command not allowed inside a transaction";

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Something to ask for, or a reply that is known.
    Call(Call),
    /// Ask for the revisions of these keys, and tell [`Session::watch`].
    Watch(Vec<Blob>),
    /// Wait for a lock.
    Acquire(Acquire),
    /// Reply, and close.
    Close(Value),
}

/// A lock to wait for.
#[derive(Debug)]
pub(crate) struct Acquire {
    pub(crate) session: SessionId,
    pub(crate) name: Name,
    pub(crate) wait: Wait,
}

/// What to ask for.
#[derive(Debug)]
pub(crate) enum Call {
    /// Nothing: this is the reply.
    Ready(Value),
    /// A command, and what becomes of its reply.
    Command(Command, Form),
    /// A query.
    Query(Query, Shape),
    /// A command for the lock table, but for those that wait.
    Lock(lock::Command),
    /// Of the node itself.
    Node(Node),
}

/// What becomes of the reply to a command.
#[derive(Debug)]
pub(crate) enum Form {
    /// The reply to a change.
    Change(Shape),
    /// The replies to what was queued in a transaction.
    Queue(Vec<Queued>),
}

/// The reply to come of a request inside a transaction.
#[derive(Debug)]
pub(crate) enum Queued {
    /// It is known.
    Fixed(Value),
    /// It is made of the answer to the next step.
    Step(Shape),
}

/// One connection, without its socket.
#[derive(Debug)]
pub(crate) struct Session {
    id: i64,
    protocol: Protocol,
    name: Option<Blob>,
    watched: Vec<(Blob, Option<Index>)>,
    transaction: Option<Draft>,
}

/// What was queued since `MULTI`: no more than fits into one command.
#[derive(Debug, Default)]
struct Draft {
    steps: Vec<Step>,
    queue: Vec<Queued>,
    bytes: usize,
    /// Something in it was wrong.
    broken: bool,
}

impl Session {
    pub(crate) fn new(id: i64) -> Self {
        Self { id, protocol: Protocol::Resp2, name: None, watched: Vec::new(), transaction: None }
    }

    /// The protocol that the reply to what was taken last is in.
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes in a request.
    pub(crate) fn take(&mut self, request: &Request<'_>, scripts: &Scripts) -> Turn {
        match command::parse(request, scripts) {
            Ok(Action::Connection(what)) => self.connection(what),
            Ok(Action::Lock(command)) => self.lock(command),
            Ok(action) => Turn::Call(self.act(action)),
            Err(error) => self.wrong(error),
        }
    }

    /// Remembers the revision that a key had.
    pub(crate) fn watch(&mut self, key: Blob, revision: Option<Index>) {
        self.watched.push((key, revision));
    }

    fn act(&mut self, action: Action) -> Call {
        if let Some(draft) = &mut self.transaction {
            let queued = draft.add(action);
            draft.broken |= queued.is_err();
            return Call::Ready(queued.unwrap_or_else(refusal));
        }
        match action {
            Action::Step(Step::Change(change), shape) => {
                let command = Command::Change(change);
                match command.check() {
                    Ok(()) => Call::Command(command, Form::Change(shape)),
                    Err(refused) => Call::Ready(refusal(refused)),
                }
            }
            Action::Step(Step::Query(query), shape) => Call::Query(query, shape),
            Action::Reply(value) => Call::Ready(value),
            Action::Node(node) => Call::Node(node),
            Action::Connection(_) | Action::Lock(_) => unreachable!("taken before"),
        }
    }

    fn lock(&mut self, command: lock::Command) -> Turn {
        match command {
            _ if self.transaction.is_some() => self.wrong(Value::error(NOT_INSIDE)),
            lock::Command::Acquire { session, name, wait } => Turn::Acquire(Acquire { session, name, wait }),
            command => Turn::Call(Call::Lock(command)),
        }
    }

    /// A request that is wrong spoils the transaction that it is in.
    fn wrong(&mut self, error: Value) -> Turn {
        if let Some(draft) = &mut self.transaction {
            draft.broken = true;
        }
        Turn::Call(Call::Ready(error))
    }

    fn connection(&mut self, what: Connection) -> Turn {
        let inside = self.transaction.is_some();
        let value = match what {
            Connection::Begin if inside => Value::error("ERR MULTI calls can not be nested"),
            Connection::Watch(_) if inside => Value::error("ERR WATCH inside MULTI is not allowed"),
            Connection::Hello { .. } | Connection::Id | Connection::Name(_) | Connection::ShowName
                if inside =>
            {
                return self.wrong(Value::error(NOT_INSIDE));
            }
            Connection::Begin => {
                self.transaction = Some(Draft::default());
                Value::OK
            }
            Connection::Execute => return Turn::Call(self.execute()),
            Connection::Discard => match self.transaction.take() {
                Some(_) => {
                    self.watched.clear();
                    Value::OK
                }
                None => Value::error("ERR DISCARD without MULTI"),
            },
            Connection::Watch(keys) if self.watched.len() + keys.len() > KEYS => {
                refusal(Refused::TooManyKeys)
            }
            Connection::Watch(keys) => return Turn::Watch(keys),
            Connection::Unwatch => {
                self.watched.clear();
                Value::OK
            }
            Connection::Hello { version, name } => self.hello(version, name),
            Connection::Id => Value::Integer(self.id),
            Connection::Name(name) => {
                self.name = Some(name);
                Value::OK
            }
            Connection::ShowName => self.name.clone().map_or(Value::Null, Value::Bulk),
            Connection::Reset => {
                *self = Self::new(self.id);
                Value::Simple("RESET")
            }
            Connection::Quit => return Turn::Close(Value::OK),
        };
        Turn::Call(Call::Ready(value))
    }

    fn execute(&mut self) -> Call {
        let watched = std::mem::take(&mut self.watched);
        match self.transaction.take() {
            None => Call::Ready(Value::error("ERR EXEC without MULTI")),
            Some(Draft { broken: true, .. }) => {
                Call::Ready(Value::error("EXECABORT Transaction discarded because of previous errors."))
            }
            Some(Draft { steps, queue, .. }) => {
                let command = Command::Transaction(Transaction { watched, steps });
                match command.check() {
                    Ok(()) => Call::Command(command, Form::Queue(queue)),
                    Err(refused) => Call::Ready(refusal(refused)),
                }
            }
        }
    }

    fn hello(&mut self, version: Option<i64>, name: Option<Blob>) -> Value {
        match version {
            Some(3) => self.protocol = Protocol::Resp3,
            Some(_) => self.protocol = Protocol::Resp2,
            None => (),
        }
        self.name = name.or(self.name.take());
        let version = match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        let pair = |name, value| (Value::text(name), value);
        Value::Map(vec![
            pair("server", Value::text("quorate")),
            pair("version", Value::text(env!("CARGO_PKG_VERSION"))),
            pair("proto", Value::Integer(version)),
            pair("id", Value::Integer(self.id)),
            pair("mode", Value::text("standalone")),
            pair("role", Value::text("master")),
            pair("modules", Value::Array(Vec::new())),
        ])
    }
}

impl Draft {
    fn add(&mut self, action: Action) -> Result<Value, Refused> {
        if self.queue.len() == STEPS {
            return Err(Refused::TooManySteps);
        }
        let queued = match action {
            Action::Step(step, shape) => {
                let alone =
                    Command::Transaction(Transaction { watched: Vec::new(), steps: vec![step.clone()] });
                alone.check()?;
                self.bytes += alone.weight();
                self.steps.push(step);
                Queued::Step(shape)
            }
            Action::Reply(value) => {
                self.bytes += if let Value::Bulk(bytes) = &value { bytes.len() } else { 0 };
                Queued::Fixed(value)
            }
            Action::Node(_) => Queued::Fixed(Value::error(NOT_INSIDE)),
            Action::Connection(_) | Action::Lock(_) => unreachable!("taken before"),
        };
        if self.bytes > COMMAND_BYTES {
            return Err(Refused::CommandTooLarge);
        }
        self.queue.push(queued);
        Ok(Value::Simple("QUEUED"))
    }
}
