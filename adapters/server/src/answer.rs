//! Asking the store, and making a reply of what it says.

use crate::command::lock::Command;
use crate::command::{self, Node, Shape};
use crate::front::Front;
use crate::locks::{Opened, Session};
use crate::resp::Value;
use crate::session::{Apart, Form, Queued};
use crate::store::{Forced, InDoubt, Settled, Store, Unavailable};
use futures_util::future::{join_all, try_join_all};
use quorate::keyspace::{Answer, Objection, Part, Query, Refused, Reply, Stats};
use quorate::raft::{Role, Status};
use quorate::{GroupId, NodeId, TxId};
use std::time::Duration;

/// The version that clients that ask for one are told: that of the commands they may send.
const REDIS_VERSION: &str = "7.0.0";

/// How often a transaction that a key is just expiring for is tried again, and how soon.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(5);

/// Answers a query.
pub(crate) async fn query<S: Store>(front: &Front<S>, group: GroupId, query: Query, shape: Shape) -> Value {
    match front.store.query(group, query).await {
        Ok(answer) => shape.value(answer),
        Err(unavailable) => error(unavailable),
    }
}

/// Carries out what concerns several groups.
pub(crate) async fn transaction<S: Store>(front: &Front<S>, apart: Apart) -> Value {
    let Apart { parts, merge, form, .. } = apart;
    let settled = settle(front, parts).await.map(|settled| match settled {
        Settled::Committed(gains) => merge.committed(gains).expect("parts gain what they ask for"),
        Settled::Aborted(objection) => merge.aborted(objection),
    });
    formed(form, settled)
}

async fn settle<S: Store>(front: &Front<S>, parts: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
    for _ in 0..TRIES {
        match front.store.transact(parts.clone()).await? {
            // Somebody else's transaction keeps a key a little longer than it should live.
            Settled::Aborted(Objection::Refused(Refused::Expiring)) => tokio::time::sleep(PAUSE).await,
            settled => return Ok(settled),
        }
    }
    front.store.transact(parts).await
}

/// Counts the keys of all groups.
pub(crate) async fn size<S: Store>(front: &Front<S>) -> Value {
    let counts = front.placement.groups().map(|group| front.store.query(group, Query::Stats));
    match try_join_all(counts).await {
        Ok(counts) => integer(counts.into_iter().map(keys).sum()),
        Err(unavailable) => error(unavailable),
    }
}

fn keys(answer: Answer) -> u64 {
    match answer {
        Answer::Stats(Stats { keys, .. }) => keys,
        _ => 0,
    }
}

/// Carries out a command of the lock table.
pub(crate) async fn lock<S: Store>(front: &Front<S>, command: Command) -> Value {
    let (locks, session) =
        (front.locks(), |number: command::lock::Number| Session::of(number.0, &front.placement));
    let reply = match command {
        Command::Open { client, ttl } => {
            return match locks.open(client, ttl).await {
                Ok(Opened::Session(session)) => integer(session.number(&front.placement)),
                Ok(Opened::Full(limit)) => command::lock::full(limit),
                Err(unavailable) => error(unavailable),
            };
        }
        Command::Renew { session: number } => locks.renew(session(number)).await,
        Command::Close { session: number } => locks.end(session(number)).await,
        Command::Acquire { session: number, name, wait } => locks.acquire(session(number), name, wait).await,
        Command::Release { session: number, name, token } => {
            locks.release(session(number), name, token).await
        }
        Command::Cancel { session: number, name } => locks.cancel(session(number), name).await,
    };
    match reply {
        Ok(reply) => command::lock::value(&reply),
        Err(unavailable) => error(unavailable),
    }
}

/// Answers for the node itself.
pub(crate) async fn node<S: Store>(front: &Front<S>, node: Node) -> Value {
    match node {
        Node::Info => info(front).await.unwrap_or_else(error),
        Node::Status => front.store.status().await.map_or_else(error, status),
        Node::Members => members(front).await,
        Node::Transactions => front.store.in_doubt().await.map_or_else(error, in_doubt),
        Node::Force { tx, commit } => force(front, tx, commit).await.unwrap_or_else(error),
    }
}

/// Makes what the client gets of the reply to a command.
pub(crate) fn formed(form: Form, reply: Result<Reply, Unavailable>) -> Value {
    match (form, reply) {
        (_, Err(unavailable)) => error(unavailable),
        (_, Ok(Reply::Conflict)) => Value::NullArray,
        (Form::One(shape), Ok(Reply::Answer(answer))) => shape.value(answer),
        (Form::Queue(_), Ok(Reply::Answer(answer))) => Shape::Plain.value(answer),
        (Form::Queue(queue), Ok(Reply::Answers(answers))) => {
            let mut answers = answers.into_iter();
            let value = |queued| match queued {
                Queued::Fixed(value) => value,
                Queued::Step(shape) => shape.value(answers.next().unwrap_or(Answer::Unmet)),
            };
            Value::Array(queue.into_iter().map(value).collect())
        }
        (Form::One(_), Ok(Reply::Answers(_))) => unreachable!("a change has one answer"),
    }
}

async fn info<S: Store>(front: &Front<S>) -> Result<Value, Unavailable> {
    let groups = front.store.status().await?;
    // As far as this node knows, so that it is told also when no quorum is there.
    let counts = front.placement.groups().map(|group| front.store.peek(group, Query::Stats));
    let keys: u64 = try_join_all(counts).await?.into_iter().map(keys).sum();
    let node = groups.first().map_or(0, |(_, status)| status.id.get());
    let led = groups.iter().filter(|(_, status)| status.role == Role::Leader).count();
    let version = env!("CARGO_PKG_VERSION");
    Ok(Value::text(&format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nquorate_version:{version}\r\nredis_mode:standalone\r\n\r\n\
         # Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n\
         # Quorate\r\nnode:{node}\r\ngroups:{}\r\ngroups_led:{led}\r\n\r\n\
         # Keyspace\r\ndb0:keys={keys}\r\n",
        groups.len(),
    )))
}

fn status(groups: Vec<(GroupId, Status)>) -> Value {
    let pair = |name, value| (Value::text(name), value);
    let id = groups.first().map_or(Value::Null, |(_, status)| integer(status.id.get()));
    let group = |(group, status): (GroupId, Status)| {
        Value::Map(vec![
            pair("group", integer(group.get())),
            pair("role", Value::text(&status.role.to_string())),
            pair("term", integer(status.term.get())),
            pair("leader", status.leader.map(NodeId::get).map_or(Value::Null, integer)),
            pair("commit", integer(status.commit.get())),
            pair("applied", integer(status.applied.get())),
        ])
    };
    Value::Map(vec![pair("id", id), pair("groups", Value::Array(groups.into_iter().map(group).collect()))])
}

fn in_doubt(transactions: Vec<InDoubt>) -> Value {
    let pair = |name, value| (Value::text(name), value);
    let shown = |one: InDoubt| {
        let state = match one.forced {
            None => "promised",
            Some(true) => "forced to commit",
            Some(false) => "forced to abort",
        };
        Value::Map(vec![
            pair("transaction", Value::text(&one.tx.to_string())),
            pair("group", integer(one.group.get())),
            pair("age", integer(one.age.get())),
            pair("home", integer(one.home.get())),
            pair("since-ms", integer(u64::try_from(one.since.as_millis()).unwrap_or(u64::MAX))),
            pair("state", Value::text(state)),
        ])
    };
    Value::Array(transactions.into_iter().map(shown).collect())
}

/// Settles a transaction wherever this node knows it to be in doubt; in how many groups. One that has no quorum keeps none
/// of the others from it.
async fn force<S: Store>(front: &Front<S>, tx: TxId, commit: bool) -> Result<Value, Unavailable> {
    let in_doubt = front.store.in_doubt().await?;
    let forced = in_doubt.into_iter().filter(|one| one.tx == tx).map(async |one| {
        tracing::warn!(%tx, group = %one.group, commit, "a transaction is settled by force");
        (one.group, front.store.force(one.group, tx, commit).await)
    });
    let (mut settled, mut not) = (0, Vec::new());
    for (group, forced) in join_all(forced).await {
        match forced {
            Ok(Forced::Settled) => settled += 1,
            Ok(Forced::Unknown) => (),
            Err(unavailable) => not.push((group, unavailable)),
        }
    }
    let Some((_, unavailable)) = not.first() else { return Ok(integer(settled)) };
    let groups = not.iter().map(|(group, _)| group.get().to_string()).collect::<Vec<_>>().join(", ");
    Ok(Value::error(format!("{unavailable}: so it is in group {groups}; it is settled in {settled}")))
}

async fn members<S: Store>(front: &Front<S>) -> Value {
    let member = |(id, address): (NodeId, Option<String>)| {
        let address = address.map_or(Value::Null, |address| Value::text(&address));
        Value::Array(vec![integer(id.get()), address])
    };
    Value::Array(front.members.list(&*front.store, &front.placement).await.into_iter().map(member).collect())
}

pub(crate) fn error(unavailable: Unavailable) -> Value {
    Value::error(unavailable.to_string())
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
