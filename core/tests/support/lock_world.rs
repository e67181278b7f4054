//! The lock service on a small chip: its types, its settings, and what its clients ask.

use core::time::Duration;
use quorate::lock::{Command, Name, Query, SessionId, Table, Token, Ttl, Wait};
use quorate::raft::Config;
use quorate::replicated::{Replicated, Request, Settings};
use quorate::{Instant, Machine, NodeId, Rng, Space};

/// A node: up to four sessions of clients, that hold up to four locks with up to four in line. A name of 32 bytes makes
/// a command of 60.
pub type Locks<S> = Replicated<Table<S, 4, 4, 4, 32>, S, 4, 4>;

/// How long the courses are that everything has to agree on, their seeds, and the digests of what is said in them: on
/// the heap and without one, in every build, on every machine.
pub const STEPS: u32 = 20_000;
pub const DIGESTS: [(u64, u64); 3] =
    [(1, 0x72a9ec60e1a3838c), (2, 0x30844a57be58909b), (3, 0x4d3f0cdc1832072c)];

/// Settings for messages that fit two small frames.
pub fn settings<S: Space>(id: NodeId) -> Settings<S> {
    let raft = Config {
        append_bytes: 192,
        inflight_bytes: 384,
        record_bytes: 1024,
        window_bytes: 2048,
        ..Config::new(id, &[1, 2, 3].map(NodeId::new))
    };
    Settings::of(raft)
}

/// Asks a node for something; it may be refused.
pub fn ask<S: Space>(rng: &mut Rng, now: Instant, node: &mut Locks<S>) {
    // Ids of sessions and tokens are indexes of the log: some of these numbers are good.
    let session = SessionId::new(rng.below(node.applied().get() + 2));
    let token = Token::new(rng.below(node.applied().get() + 2));
    let name = Name::new([b'a' + rng.below(6) as u8; 20]).expect("short enough");
    let wait = match rng.below(3) {
        0 => Wait::No,
        1 => Wait::AtMost(Duration::from_millis(rng.below(500))),
        _ => Wait::Unlimited,
    };
    let ttl = Ttl::new(Duration::from_millis(200 + rng.below(2_000))).unwrap_or(Ttl::MAX);
    let request = match rng.below(8) {
        0 => Request::Query(Query::Totals),
        1 => Request::Command(Command::Open { client: rng.below(6), ttl }),
        2 => Request::Command(Command::Renew { session }),
        3..6 => Request::Command(Command::Acquire { session, name, wait }),
        6 => Request::Command(Command::Release { session, name, token }),
        _ => Request::Command(Command::Cancel { session, name }),
    };
    let _ = node.request(now, request);
}
