//! What a connection is in the middle of: its protocol, its transaction, what it watches.

use crate::command::{self, Action, Connection, Node, Shape, lock, refusal};
use crate::placement::Placement;
use crate::resp::{Protocol, Request, Value};
use crate::scripts::Scripts;
use quorate::keyspace::limits::{COMMAND_BYTES, KEYS, STEPS};
use quorate::keyspace::{Blob, Change, Command, Merge, Part, Query, Refused, Split, Step, Transaction};
use quorate::{Command as _, GroupId, Index};

const NOT_INSIDE: &str = "ERR Command not allowed inside a transaction";

/// A script whose keys have to be looked at together.
const SPANS: &str = "ERR this script's keys are in several groups, which is not possible inside MULTI: run it by \
                     itself, or give its keys the same {tag}";

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Something to ask for, or a reply that is known.
    Call(Call),
    /// Ask for the revisions of these keys, and tell [`Session::watch`].
    Watch(Vec<Blob>),
    /// A command of the lock table.
    Lock(lock::Command),
    /// Reply, and close.
    Close(Value),
}

/// What to ask for.
#[derive(Debug)]
pub(crate) enum Call {
    /// Nothing: this is the reply.
    Ready(Value),
    /// A command for a group, and what becomes of its reply.
    Command(GroupId, Command, Form),
    /// A query for a group.
    Query(GroupId, Query, Shape),
    /// Something for several groups.
    Transaction(Apart),
    /// A renewal of a lock session: of all commands of the lock table the one that may be asked for beside others.
    Renew(lock::Number),
    /// How many keys there are.
    Size,
    /// Of the node itself.
    Node(Node),
}

/// What was taken apart, since its keys are in several groups.
#[derive(Debug)]
pub(crate) struct Apart {
    pub(crate) parts: Vec<(GroupId, Part)>,
    pub(crate) merge: Merge,
    pub(crate) form: Form,
    /// Whether it changes nothing.
    pub(crate) reads: bool,
}

/// What becomes of the reply to a command.
#[derive(Debug)]
pub(crate) enum Form {
    /// The reply to a change, or to a query.
    One(Shape),
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
    pub(crate) fn take(&mut self, request: &Request<'_>, scripts: &Scripts, placement: &Placement) -> Turn {
        match command::parse(request, scripts) {
            Ok(Action::Connection(Connection::Execute)) => Turn::Call(self.execute(placement)),
            Ok(Action::Connection(what)) => self.connection(what, placement),
            Ok(Action::Lock(_)) if self.transaction.is_some() => self.wrong(Value::error(NOT_INSIDE)),
            Ok(Action::Lock(command)) => Turn::Lock(command),
            Ok(action) => Turn::Call(self.act(action, placement)),
            Err(error) => self.wrong(error),
        }
    }

    /// Remembers the revision that a key had.
    pub(crate) fn watch(&mut self, key: Blob, revision: Option<Index>) {
        self.watched.push((key, revision));
    }

    fn act(&mut self, action: Action, placement: &Placement) -> Call {
        if let Some(draft) = &mut self.transaction {
            let queued = draft.add(action, placement);
            draft.broken |= queued.is_err();
            return Call::Ready(queued.unwrap_or_else(|error| error));
        }
        match action {
            Action::Step(Step::Change(change), shape) => {
                carried_out(Command::Change(change), Form::One(shape), placement)
            }
            Action::Step(Step::Query(Query::Stats), _) => Call::Size,
            Action::Step(Step::Query(query), shape) => answered(query, shape, placement),
            Action::Reply(value) => Call::Ready(value),
            Action::Node(node) => Call::Node(node),
            Action::Connection(_) | Action::Lock(_) => unreachable!("taken before"),
        }
    }

    /// A request that is wrong spoils the transaction that it is in.
    fn wrong(&mut self, error: Value) -> Turn {
        if let Some(draft) = &mut self.transaction {
            draft.broken = true;
        }
        Turn::Call(Call::Ready(error))
    }

    fn connection(&mut self, what: Connection, placement: &Placement) -> Turn {
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
            // It comes too late for the transaction that it is in.
            Connection::Unwatch if inside => {
                return Turn::Call(self.act(Action::Reply(Value::OK), placement));
            }
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
            Connection::Execute => unreachable!("taken before"),
        };
        Turn::Call(Call::Ready(value))
    }

    fn execute(&mut self, placement: &Placement) -> Call {
        let Some(draft) = self.transaction.take() else {
            return Call::Ready(Value::error("ERR EXEC without MULTI"));
        };
        let watched = std::mem::take(&mut self.watched);
        match draft {
            Draft { broken: true, .. } => {
                Call::Ready(Value::error("EXECABORT Transaction discarded because of previous errors."))
            }
            Draft { steps, queue, .. } => {
                let command = Command::Transaction(Transaction { watched, steps });
                carried_out(command, Form::Queue(queue), placement)
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

/// What is asked for to have a command carried out.
fn carried_out(command: Command, form: Form, placement: &Placement) -> Call {
    if let Err(refused) = command.check() {
        return Call::Ready(refusal(refused));
    }
    if let Some(group) = placement.only() {
        return Call::Command(group, command, form);
    }
    match command.split(|key| placement.group(key)) {
        Ok(Split::Whole(group, command)) => Call::Command(group, command, form),
        Ok(Split::Parts(parts, merge)) => Call::Transaction(Apart { parts, merge, form, reads: false }),
        Err(refused) => Call::Ready(refusal(refused)),
    }
}

/// What is asked for to have a query answered.
fn answered(query: Query, shape: Shape, placement: &Placement) -> Call {
    if let Err(refused) = query.check() {
        return Call::Ready(refusal(refused));
    }
    match query.split(|key| placement.group(key)) {
        Split::Whole(group, query) => Call::Query(group, query, shape),
        Split::Parts(parts, merge) => {
            Call::Transaction(Apart { parts, merge, form: Form::One(shape), reads: true })
        }
    }
}

impl Draft {
    fn add(&mut self, action: Action, placement: &Placement) -> Result<Value, Value> {
        if self.queue.len() == STEPS {
            return Err(refusal(Refused::TooManySteps));
        }
        let queued = match action {
            Action::Step(step, shape) => {
                can_be_a_step(&step, placement)?;
                let alone =
                    Command::Transaction(Transaction { watched: Vec::new(), steps: vec![step.clone()] });
                alone.check().map_err(refusal)?;
                self.bytes += alone.weight();
                self.steps.push(step);
                Queued::Step(shape)
            }
            Action::Reply(value) => {
                self.bytes += value.weight();
                Queued::Fixed(value)
            }
            Action::Node(_) => Queued::Fixed(Value::error(NOT_INSIDE)),
            Action::Connection(_) | Action::Lock(_) => unreachable!("taken before"),
        };
        if self.bytes > COMMAND_BYTES {
            return Err(refusal(Refused::CommandTooLarge));
        }
        self.queue.push(queued);
        Ok(Value::Simple("QUEUED"))
    }
}

/// Whether the groups can each do their part of a step without knowing what comes of the others'.
fn can_be_a_step(step: &Step, placement: &Placement) -> Result<(), Value> {
    match step {
        Step::Change(Change::CompareExpire { keys, .. } | Change::CreateAll { keys, .. }) => {
            let mut groups = keys.iter().map(|key| placement.group(key));
            let first = groups.next();
            if groups.all(|group| Some(group) == first) { Ok(()) } else { Err(Value::error(SPANS)) }
        }
        Step::Query(Query::Stats) if placement.count() > 1 => Err(Value::error(
            "ERR DBSIZE is not possible inside MULTI: it counts the keys of all groups; ask for it outside",
        )),
        Step::Change(_) | Step::Query(_) => Ok(()),
    }
}
