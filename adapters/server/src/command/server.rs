//! The commands about the connection and the server.

use super::{
    Action, COMMANDS, Connection, Node, not_an_integer, shown, syntax_error, unknown_subcommand, wrong_number,
};
use crate::resp::{Request, Value};
use crate::scripts::Scripts;
use quorate::keyspace::Blob;
use quorate::keyspace::limits::KEY_BYTES;
use quorate::{NodeId, TxId};

type Parsed = Result<Action, Value>;

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. \
                           Are you sure your configuration is correct?";

pub(super) fn watch(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Connection(Connection::Watch(request.blobs(1))))
}

pub(super) fn ping(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Reply(match request.len() {
        1 => Value::Simple("PONG"),
        _ => Value::Bulk(request.blob(1)),
    }))
}

pub(super) fn echo(request: &Request<'_>, _: &Scripts) -> Parsed {
    Ok(Action::Reply(Value::Bulk(request.blob(1))))
}

pub(super) fn auth(_: &Request<'_>, _: &Scripts) -> Parsed {
    Err(Value::error(NO_PASSWORD))
}

pub(super) fn select(request: &Request<'_>, _: &Scripts) -> Parsed {
    match request.integer(1) {
        Some(0) => Ok(Action::Reply(Value::OK)),
        Some(_) => Err(Value::error("ERR DB index is out of range")),
        None => Err(not_an_integer()),
    }
}

pub(super) fn hello(request: &Request<'_>, _: &Scripts) -> Parsed {
    let (mut version, mut name, mut at) = (None, None, 1);
    if request.len() > 1 {
        let Some(number @ 2..=3) = request.integer(1) else {
            return Err(Value::error("NOPROTO unsupported protocol version"));
        };
        (version, at) = (Some(number), 2);
    }
    while at < request.len() {
        if request.is(at, "setname") && at + 1 < request.len() {
            name = Some(client_name(request, at + 1)?);
            at += 2;
        } else if request.is(at, "auth") {
            return Err(Value::error(NO_PASSWORD));
        } else {
            return Err(syntax_error());
        }
    }
    Ok(Action::Connection(Connection::Hello { version, name }))
}

/// It is kept as long as the connection.
fn client_name(request: &Request<'_>, index: usize) -> Result<Blob, Value> {
    match request.part(index).len() {
        0..=KEY_BYTES => Ok(request.blob(index)),
        _ => Err(Value::error(format!("ERR client name is longer than {KEY_BYTES} bytes"))),
    }
}

pub(super) fn client(request: &Request<'_>, _: &Scripts) -> Parsed {
    let exactly =
        |parts, action| if request.len() == parts { Ok(action) } else { Err(wrong_number("client")) };
    if request.is(1, "id") {
        exactly(2, Action::Connection(Connection::Id))
    } else if request.is(1, "setname") {
        exactly(3, Action::Connection(Connection::Name(client_name(request, 2)?)))
    } else if request.is(1, "getname") {
        exactly(2, Action::Connection(Connection::ShowName))
    } else if request.is(1, "setinfo") {
        exactly(4, Action::Reply(Value::OK))
    } else {
        Err(unknown_subcommand(request))
    }
}

pub(super) fn command(request: &Request<'_>, _: &Scripts) -> Parsed {
    match request.len() {
        // Without the places of the keys in each command, which only routers need.
        1 => Ok(Action::Reply(Value::Array(Vec::new()))),
        _ if request.is(1, "count") => Ok(Action::Reply(Value::Integer(COMMANDS.len() as i64))),
        _ if request.is(1, "docs") => Ok(Action::Reply(Value::Map(Vec::new()))),
        _ => Err(unknown_subcommand(request)),
    }
}

/// What tools ask for before they start. Nothing can be set.
pub(super) fn config(request: &Request<'_>, _: &Scripts) -> Parsed {
    const SETTINGS: &[(&str, &str)] =
        &[("save", ""), ("appendonly", "yes"), ("appendfsync", "always"), ("databases", "1")];
    if !request.is(1, "get") {
        return Err(Value::error(format!("ERR 'config {}' is not supported", shown(request.part(1)))));
    }
    let asked =
        |name: &str| (2..request.len()).any(|index| request.is(index, name) || request.part(index) == b"*");
    let settings = SETTINGS.iter().filter(|(name, _)| asked(name));
    Ok(Action::Reply(Value::Map(
        settings.map(|(name, value)| (Value::text(name), Value::text(value))).collect(),
    )))
}

/// `QUORATE.FORCE transaction commit|abort`
pub(super) fn force(request: &Request<'_>, _: &Scripts) -> Parsed {
    let unknown = || Value::error(format!("ERR '{}' is not of the form n1.17", shown(request.part(1))));
    let tx = transaction(request.part(1)).ok_or_else(unknown)?;
    let commit = request.is(2, "commit");
    if !commit && !request.is(2, "abort") {
        return Err(Value::error("ERR a transaction is settled by 'commit' or by 'abort'"));
    }
    Ok(Action::Node(Node::Force { tx, commit }))
}

/// A transaction as it is shown.
fn transaction(shown: &[u8]) -> Option<TxId> {
    let (node, number) = str::from_utf8(shown).ok()?.strip_prefix('n')?.split_once('.')?;
    Some(TxId { coordinator: NodeId::new(node.parse().ok()?), number: number.parse().ok()? })
}
