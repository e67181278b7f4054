//! Schedules that broke real systems, each told as a test. The sources are issues of the projects that are named.

mod appends;
mod reads;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod votes;

use quorate::raft::{Content, Entry, Event, Message, Request, Role, Round};
use quorate::{Batch, Index, Input, Machine, NodeId, Position, SnapshotId, Term};
use std::cell::Cell;
use std::time::Duration;
use support::{Cluster, Flying, node};

const fn term(number: u64) -> Term {
    Term::new(number)
}

const fn at(of: u64, index: u64) -> Position {
    Position { term: term(of), index: Index::new(index) }
}

fn entry(of: u64, value: u64) -> Entry<u64> {
    Entry { term: term(of), content: Content::Command(value) }
}

/// Says something to node `to` as if `from` had.
fn say(cluster: &mut Cluster, from: u64, to: u64, message: Message<'_, u64>) {
    let now = cluster.now;
    cluster.host(to).raft.handle(now, Input::Message { from: node(from), message });
    cluster.drain(to);
}

fn append<'a>(of: u64, prev: Position, entries: &'a [Entry<u64>], commit: u64) -> Message<'a, u64> {
    let entries = Batch::of(entries);
    Message::Append {
        term: term(of),
        prev,
        entries,
        commit: Index::new(commit),
        round: Round::default(),
        answer: true,
    }
}

const fn cluster_start() -> quorate::Instant {
    quorate::Instant::from_micros(0)
}

/// What node `from` says to node `to`, taken out of the air.
fn said(cluster: &mut Cluster, from: u64, to: u64) -> Vec<Flying> {
    let (taken, left): (Vec<_>, Vec<_>) =
        cluster.flying.drain(..).partition(|flying| flying.from == node(from) && flying.to == node(to));
    cluster.flying = left;
    taken
}

fn leader(cluster: &Cluster) -> Option<u64> {
    let roles = cluster.hosts.iter().filter(|host| host.up).map(|host| host.raft.status());
    roles
        .filter(|status| status.role == Role::Leader)
        .max_by_key(|status| status.term)
        .map(|status| status.id.get())
}

fn between(a: NodeId, b: NodeId) -> impl Fn(&Flying) -> bool {
    move |flying| (flying.from == a && flying.to == b) || (flying.from == b && flying.to == a)
}

fn is_vote(flying: &Flying, granted: bool) -> bool {
    matches!(flying.message(), Message::VoteReply { granted: given, pre: false, .. } if given == granted)
}
