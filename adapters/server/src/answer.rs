//! Asking the store, and making a reply of what it says.

use crate::command::{self, Node, Shape};
use crate::front::Front;
use crate::resp::Value;
use crate::session::{Form, Queued};
use crate::store::{Store, Unavailable};
use quorate::NodeId;
use quorate::keyspace::{Answer, Query, Reply};
use quorate::lock;
use quorate::raft::Status;

/// The version that clients that ask for one are told: that of the commands they may send.
const REDIS_VERSION: &str = "7.0.0";

/// Answers a query.
pub(crate) async fn query<S: Store>(front: &Front<S>, query: Query, shape: Shape) -> Value {
    match front.store.query(query).await {
        Ok(answer) => shape.value(answer),
        Err(unavailable) => error(unavailable),
    }
}

/// Makes what the client gets of the reply to a command for the lock table.
pub(crate) fn lock(reply: Result<lock::Reply, Unavailable>) -> Value {
    match reply {
        Ok(reply) => command::lock::value(&reply),
        Err(unavailable) => error(unavailable),
    }
}

/// Answers for the node itself.
pub(crate) async fn node<S: Store>(front: &Front<S>, node: Node) -> Value {
    match node {
        Node::Info => front.store.status().await.map_or_else(error, info),
        Node::Status => front.store.status().await.map_or_else(error, status),
        Node::Members => members(front).await,
    }
}

/// Makes what the client gets of the reply to a command.
pub(crate) fn formed(form: Form, reply: Result<Reply, Unavailable>) -> Value {
    match (form, reply) {
        (_, Err(unavailable)) => error(unavailable),
        (_, Ok(Reply::Conflict)) => Value::NullArray,
        (Form::Change(shape), Ok(Reply::Answer(answer))) => shape.value(answer),
        (Form::Queue(_), Ok(Reply::Answer(answer))) => Shape::Plain.value(answer),
        (Form::Queue(queue), Ok(Reply::Answers(answers))) => {
            let mut answers = answers.into_iter();
            let value = |queued| match queued {
                Queued::Fixed(value) => value,
                Queued::Step(shape) => shape.value(answers.next().unwrap_or(Answer::Unmet)),
            };
            Value::Array(queue.into_iter().map(value).collect())
        }
        (Form::Change(_), Ok(Reply::Answers(_))) => unreachable!("a change has one answer"),
    }
}

fn info(status: Status) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    Value::text(&format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nquorate_version:{version}\r\nredis_mode:standalone\r\n\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
         # Quorate\r\nnode:{}\r\nnode_role:{}\r\nterm:{}\r\ncommit:{}\r\napplied:{}\r\n",
        status.id.get(),
        status.role,
        status.term.get(),
        status.commit.get(),
        status.applied.get(),
    ))
}

fn status(status: Status) -> Value {
    let number = |number| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let pair = |name, value| (Value::text(name), value);
    Value::Map(vec![
        pair("id", number(status.id.get())),
        pair("role", Value::text(&status.role.to_string())),
        pair("term", number(status.term.get())),
        pair("leader", status.leader.map(NodeId::get).map_or(Value::Null, number)),
        pair("commit", number(status.commit.get())),
        pair("applied", number(status.applied.get())),
    ])
}

async fn members<S: Store>(front: &Front<S>) -> Value {
    let member = |(id, address): (NodeId, Option<String>)| {
        let address = address.map_or(Value::Null, |address| Value::text(&address));
        Value::Array(vec![Value::Integer(i64::try_from(id.get()).unwrap_or(i64::MAX)), address])
    };
    Value::Array(front.members.list(&*front.store).await.into_iter().map(member).collect())
}

pub(crate) fn error(unavailable: Unavailable) -> Value {
    Value::error(unavailable.to_string())
}
