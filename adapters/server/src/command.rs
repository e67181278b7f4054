//! Which commands there are, and what each asks of the keyspace, of the lock table or of its connection.

mod keys;
pub(crate) mod lock;
mod script;
mod server;
mod shape;

pub(crate) use shape::{Shape, refusal};

use crate::resp::{Request, Value};
use crate::scripts::Scripts;
use quorate::TxId;
use quorate::keyspace::{Blob, Change, Query, Step};

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Action {
    /// A step of the keyspace, and what becomes of its answer.
    Step(Step, Shape),
    /// A command for the lock table.
    Lock(lock::Command),
    /// Something that is known at once.
    Reply(Value),
    /// Something that changes the connection.
    Connection(Connection),
    /// Something that the node says of itself and its cluster.
    Node(Node),
}

/// What a request asks of its connection.
#[derive(Debug)]
pub(crate) enum Connection {
    /// `MULTI`.
    Begin,
    /// `EXEC`.
    Execute,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch(Vec<Blob>),
    /// `UNWATCH`.
    Unwatch,
    /// `HELLO`, with the version and the name if there were any.
    Hello {
        /// 2 or 3.
        version: Option<i64>,
        /// After `SETNAME`.
        name: Option<Blob>,
    },
    /// `CLIENT ID`.
    Id,
    /// `CLIENT SETNAME`.
    Name(Blob),
    /// `CLIENT GETNAME`.
    ShowName,
    /// `RESET`.
    Reset,
    /// `QUIT`.
    Quit,
}

/// What a request asks of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `INFO`.
    Info,
    /// `QUORATE.STATUS`.
    Status,
    /// `QUORATE.MEMBERS`.
    Members,
    /// `QUORATE.TRANSACTIONS`.
    Transactions,
    /// `QUORATE.FORCE`.
    Force {
        /// Which.
        tx: TxId,
        /// How it ends.
        commit: bool,
    },
}

impl Action {
    fn change(change: Change, shape: Shape) -> Result<Self, Value> {
        Ok(Self::Step(Step::Change(change), shape))
    }

    fn query(query: Query, shape: Shape) -> Result<Self, Value> {
        Ok(Self::Step(Step::Query(query), shape))
    }
}

type Parse = fn(&Request<'_>, &Scripts) -> Result<Action, Value>;

struct Entry {
    name: &'static str,
    /// The fewest and the most parts, the name counted.
    parts: (usize, usize),
    parse: Parse,
}

/// No limit but that of a request.
const ANY: usize = crate::resp::PARTS;

/// The most used first: the table is searched from the top.
#[rustfmt::skip]
static COMMANDS: &[Entry] = &[
    Entry { name: "set", parts: (3, ANY), parse: keys::set },
    Entry { name: "get", parts: (2, 2), parse: keys::get },
    Entry { name: "evalsha", parts: (3, ANY), parse: script::evalsha },
    Entry { name: "eval", parts: (3, ANY), parse: script::eval },
    Entry { name: "del", parts: (2, ANY), parse: keys::del },
    Entry { name: "incr", parts: (2, 2), parse: keys::incr },
    Entry { name: "fence", parts: (2, 2), parse: keys::fence },
    Entry { name: "pttl", parts: (2, 2), parse: keys::pttl },
    Entry { name: "ttl", parts: (2, 2), parse: keys::ttl },
    Entry { name: "mset", parts: (3, ANY), parse: keys::mset },
    Entry { name: "exists", parts: (2, ANY), parse: keys::exists },
    Entry { name: "mget", parts: (2, ANY), parse: keys::mget },
    Entry { name: "pexpire", parts: (3, 3), parse: keys::pexpire },
    Entry { name: "expire", parts: (3, 3), parse: keys::expire },
    Entry { name: "pexpireat", parts: (3, 3), parse: keys::pexpireat },
    Entry { name: "expireat", parts: (3, 3), parse: keys::expireat },
    Entry { name: "persist", parts: (2, 2), parse: keys::persist },
    Entry { name: "incrby", parts: (3, 3), parse: keys::incrby },
    Entry { name: "decr", parts: (2, 2), parse: keys::decr },
    Entry { name: "decrby", parts: (3, 3), parse: keys::decrby },
    Entry { name: "setnx", parts: (3, 3), parse: keys::setnx },
    Entry { name: "setex", parts: (4, 4), parse: keys::setex },
    Entry { name: "psetex", parts: (4, 4), parse: keys::psetex },
    Entry { name: "getset", parts: (3, 3), parse: keys::getset },
    Entry { name: "getdel", parts: (2, 2), parse: keys::getdel },
    Entry { name: "strlen", parts: (2, 2), parse: keys::strlen },
    Entry { name: "unlink", parts: (2, ANY), parse: keys::del },
    Entry { name: "type", parts: (2, 2), parse: keys::kind },
    Entry { name: "dbsize", parts: (1, 1), parse: keys::dbsize },
    Entry { name: "multi", parts: (1, 1), parse: |_, _| Ok(Action::Connection(Connection::Begin)) },
    Entry { name: "exec", parts: (1, 1), parse: |_, _| Ok(Action::Connection(Connection::Execute)) },
    Entry { name: "discard", parts: (1, 1), parse: |_, _| Ok(Action::Connection(Connection::Discard)) },
    Entry { name: "watch", parts: (2, ANY), parse: server::watch },
    Entry { name: "unwatch", parts: (1, 1), parse: |_, _| Ok(Action::Connection(Connection::Unwatch)) },
    Entry { name: "ping", parts: (1, 2), parse: server::ping },
    Entry { name: "echo", parts: (2, 2), parse: server::echo },
    Entry { name: "hello", parts: (1, ANY), parse: server::hello },
    Entry { name: "auth", parts: (2, 3), parse: server::auth },
    Entry { name: "select", parts: (2, 2), parse: server::select },
    Entry { name: "client", parts: (2, ANY), parse: server::client },
    Entry { name: "script", parts: (2, ANY), parse: script::script },
    Entry { name: "command", parts: (1, ANY), parse: server::command },
    Entry { name: "config", parts: (2, ANY), parse: server::config },
    Entry { name: "info", parts: (1, ANY), parse: |_, _| Ok(Action::Node(Node::Info)) },
    Entry { name: "lock.renew", parts: (2, 2), parse: lock::renew },
    Entry { name: "lock.acquire", parts: (3, 4), parse: lock::acquire },
    Entry { name: "lock.release", parts: (4, 4), parse: lock::release },
    Entry { name: "lock.open", parts: (3, 3), parse: lock::open },
    Entry { name: "lock.close", parts: (2, 2), parse: lock::close },
    Entry { name: "lock.cancel", parts: (3, 3), parse: lock::cancel },
    Entry { name: "quit", parts: (1, ANY), parse: |_, _| Ok(Action::Connection(Connection::Quit)) },
    Entry { name: "reset", parts: (1, 1), parse: |_, _| Ok(Action::Connection(Connection::Reset)) },
    Entry { name: "quorate.status", parts: (1, 1), parse: |_, _| Ok(Action::Node(Node::Status)) },
    Entry { name: "quorate.members", parts: (1, 1), parse: |_, _| Ok(Action::Node(Node::Members)) },
    Entry { name: "quorate.transactions", parts: (1, 1), parse: |_, _| Ok(Action::Node(Node::Transactions)) },
    Entry { name: "quorate.force", parts: (3, 3), parse: server::force },
];

/// What a request comes to, or what is wrong with it.
pub(crate) fn parse(request: &Request<'_>, scripts: &Scripts) -> Result<Action, Value> {
    let Some(entry) = COMMANDS.iter().find(|entry| request.is(0, entry.name)) else {
        return Err(Value::error(format!("ERR unknown command '{}'", shown(request.part(0)))));
    };
    let (fewest, most) = entry.parts;
    if request.len() < fewest || request.len() > most {
        return Err(wrong_number(entry.name));
    }
    (entry.parse)(request, scripts)
}

fn wrong_number(name: &str) -> Value {
    Value::error(format!("ERR wrong number of arguments for '{name}' command"))
}

fn unknown_subcommand(request: &Request<'_>) -> Value {
    let (command, subcommand) = (shown(request.part(0)), shown(request.part(1)));
    Value::error(format!("ERR unknown subcommand '{subcommand}' of '{command}'"))
}

fn syntax_error() -> Value {
    Value::error("ERR syntax error")
}

fn not_an_integer() -> Value {
    Value::error("ERR value is not an integer or out of range")
}

/// What a client sent, cut short and without anything that would end the line.
fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    bytes.get(..SHOWN).unwrap_or(bytes).escape_ascii().to_string()
}
