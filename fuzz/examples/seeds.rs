//! Writes inputs from real runs, for a fuzzer to begin with: what machines say to each other and keep in simulated
//! worlds, and what clients ask.
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds -- DIRECTORY
//! ```

use quorate::codec::{self, Header};
use quorate::{ClusterId, Hosted, NodeId};
use quorate_sim::{At, Check, Desk, Faults, Subject, World, lock, raft};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

/// Inputs by target and name.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

/// Listens to a workload: one message of each kind and length, and the records of each life.
struct Listener<S> {
    inner: S,
    /// The byte by which a target knows the machine.
    kind: u8,
    messages: BTreeMap<(u8, usize), Vec<u8>>,
    records: BTreeMap<NodeId, Vec<Vec<u8>>>,
}

impl<M: Hosted, S: Subject<M>> Subject<M> for Listener<S> {
    fn settings(&self, node: NodeId, nodes: &[NodeId]) -> M::Settings {
        self.inner.settings(node, nodes)
    }

    fn on_start(&mut self, nodes: &[NodeId]) {
        self.inner.on_start(nodes);
    }

    fn on_work(&mut self, desk: &mut Desk<M>) {
        self.inner.on_work(desk);
    }

    fn on_timer(&mut self, now: quorate::Instant, timer: u64, desk: &mut Desk<M>) -> Check {
        self.inner.on_timer(now, timer, desk)
    }

    fn on_answer(&mut self, at: At, tag: u64, answer: quorate_sim::Answer<M>, desk: &mut Desk<M>) -> Check {
        self.inner.on_answer(at, tag, answer, desk)
    }

    fn on_sent(&mut self, at: At, to: NodeId, message: &M::Message<'_>) -> Check {
        let mut bytes = Vec::new();
        M::put_message(message, &mut bytes).expect("a vector is never full");
        self.messages.entry((bytes[0], bytes.len() / 16)).or_insert(bytes);
        self.inner.on_sent(at, to, message)
    }

    fn on_record(&mut self, at: At, record: &M::Record<'_>) -> Check {
        if !matches!(M::place(record), quorate::Place::Snapshot { .. }) {
            let mut bytes = Vec::new();
            M::put_record(record, &mut bytes).expect("a vector is never full");
            self.records.entry(at.node).or_default().push(bytes);
        }
        self.inner.on_record(at, record)
    }

    fn on_durable(&mut self, at: At, count: usize) -> Check {
        self.inner.on_durable(at, count)
    }

    fn on_restored(&mut self, at: At, machine: &M) -> Check {
        self.inner.on_restored(at, machine)
    }

    fn after_step(&mut self, at: At, machine: &M) -> Check {
        self.inner.after_step(at, machine)
    }

    fn on_event(&mut self, at: At, event: M::Event<'_>, desk: &mut Desk<M>) -> Check {
        self.inner.on_event(at, event, desk)
    }

    fn on_load(&mut self, at: At, of: quorate::SnapshotId, bytes: &[u8]) -> Check {
        self.inner.on_load(at, of, bytes)
    }

    fn on_crash(&mut self, at: At, desk: &mut Desk<M>) -> Check {
        self.inner.on_crash(at, desk)
    }
}

impl<S> Listener<S> {
    fn new(kind: u8, inner: S) -> Self {
        Self { inner, kind, messages: BTreeMap::new(), records: BTreeMap::new() }
    }

    /// What was heard, as inputs.
    fn tell(&self, name: &str, seeds: &mut Seeds) {
        let header = Header { cluster: ClusterId::new(7), from: NodeId::new(2), to: NodeId::new(1) };
        for ((tag, length), body) in &self.messages {
            let mut frame = Vec::new();
            codec::seal(&mut frame, header, |frame| codec::Sink::put(frame, body))
                .expect("a vector is never full");
            seeds.insert(
                ("frame", format!("{name}-frame-{tag}-{length}")),
                [&[self.kind], &frame[..]].concat(),
            );
            seeds.insert(
                ("frame", format!("{name}-body-{tag}-{length}")),
                [&[self.kind + 3], &body[..]].concat(),
            );
        }
        // All that fit a length of one byte, in one life of a node.
        let mut life = vec![self.kind + 6];
        for body in self.messages.values().filter(|body| body.len() < 256) {
            life.extend([0, 2, body.len() as u8]);
            life.extend(body);
        }
        seeds.insert(("frame", format!("{name}-life")), life);
        for (node, records) in &self.records {
            for (at, some) in records.chunks(5).take(8).enumerate() {
                let mut input = vec![self.kind, some.len() as u8];
                for record in some.iter().filter(|record| record.len() < 256) {
                    input.push(record.len() as u8);
                    input.extend(record);
                }
                // What the node goes on with: it wakes, and stands for election.
                input.extend([9, 9, 13, 9, 13]);
                seeds.insert(("record", format!("{name}-{}-{at}", node.get())), input);
            }
        }
    }
}

/// Bytes without an order, the same each time.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut rng = quorate::Rng::new(seed);
    (0..count).map(|_| rng.next() as u8).collect()
}

fn main() {
    let directory: PathBuf = env::args_os().nth(1).expect("usage: seeds DIRECTORY").into();
    let mut seeds = Seeds::new();
    for seed in 0..6 {
        let faults = Faults::drawn(&mut quorate_sim::Chance::seeded(seed));
        let mut world = World::<raft::Machine, _>::new(
            seed,
            3,
            faults.clone(),
            Listener::new(0, raft::Proposals::new(seed)),
        );
        world.run().expect("a sound run");
        world.subject().tell(&format!("raft-{seed}"), &mut seeds);
        let mut world =
            World::<lock::Machine, _>::new(seed, 3, faults, Listener::new(1, lock::Clients::new(seed)));
        world.run().expect("a sound run");
        world.subject().tell(&format!("lock-{seed}"), &mut seeds);
    }
    for number in 0..24_u64 {
        for (target, _) in quorate_fuzz::TARGETS {
            let longest = if target.ends_with("_world") { 2_000 } else { 300 };
            let mut input = vec![number as u8];
            input.extend(noise(number, longest * (1 + number as usize % 4) / 4));
            seeds.insert((target, format!("noise-{number}")), input);
        }
        // A world in which little goes wrong.
        for target in ["raft_world", "lock_world"] {
            seeds.insert((target, format!("calm-{number}")), vec![255 - number as u8; 40 * number as usize]);
        }
    }
    for (at, talk) in TALKS.iter().enumerate() {
        let mut input = vec![2 * at as u8];
        for request in *talk {
            let parts: Vec<&str> = request.split(' ').collect();
            input.extend(format!("*{}\r\n", parts.len()).bytes());
            parts.iter().for_each(|part| input.extend(format!("${}\r\n{part}\r\n", part.len()).bytes()));
        }
        seeds.insert(("resp", format!("talk-{at}")), input);
    }
    for ((target, name), input) in &seeds {
        fs::create_dir_all(directory.join(target)).expect("a directory that can be written");
        fs::write(directory.join(target).join(name), input).expect("a file that can be written");
    }
    println!("{} inputs in {}", seeds.len(), directory.display());
}

const TALKS: &[&[&str]] = &[
    &[
        "SET k v NX PX 1000",
        "GET k",
        "PTTL k",
        "EXPIRE k 10",
        "DEL k l",
        "INCR n",
        "INCRBY n 5",
        "MGET k n x",
    ],
    &["MULTI", "SET k v", "GET k", "EXEC", "WATCH k", "MULTI", "GET k", "DISCARD", "UNWATCH"],
    &["HELLO 3", "QUORATE.STATUS", "QUORATE.MEMBERS", "INFO", "HELLO 2", "RESET", "PING", "ECHO x"],
    &[
        "LOCK.OPEN c 1000",
        "LOCK.ACQUIRE 1 a",
        "LOCK.OPEN d 1000",
        "LOCK.RELEASE 1 a 2",
        "LOCK.ACQUIRE 3 a 10",
    ],
    &[
        "LOCK.OPEN c 1000",
        "LOCK.OPEN d 1000",
        "LOCK.ACQUIRE 1 a",
        "LOCK.ACQUIRE 2 a 0",
        "LOCK.CANCEL 2 a",
        "LOCK.CLOSE 1",
    ],
    &[
        "SET k v",
        "EVALSHA c3f8721cbb97f72bc19e972846bd7aaf91901658 1 k v",
        "SCRIPT EXISTS x",
        "SCRIPT LOAD x",
        "QUIT",
    ],
];
