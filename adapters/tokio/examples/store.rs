//! How fast a replicated keyspace is: three nodes in this process, real connections, 256-byte values.
//! `cargo run --release -p quorate-tokio --example store [DIRECTORY]`
//!
//! Without a directory storage is memory. With one, each node keeps its records there, synced. The askers ask the
//! leader, each for one thing at a time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quorate::keyspace::{Change, Command, Condition, Expiry, Keyspace};
use quorate::raft::Role;
use quorate::replicated::{Outcome, Request, Settings};
use quorate::space::Heap;
use quorate::{ClusterId, NodeId, Replicated};
use quorate_disk::Options;
use quorate_tokio::{Handle, MemoryDisk, Node};
use tokio::net::TcpListener;

type Store = Replicated<Keyspace, Heap<3, 4096>, 16, 2048>;
type Failure = Box<dyn std::error::Error>;

const SECONDS: u64 = 3;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    println!(
        "{:>7} {:>12} {:>10} {:>10} {:>13}",
        "askers", "commands/s", "p50 us", "p99 us", "commands/sync"
    );
    for askers in [1, 16, 64, 256] {
        let directory = directory.as_ref().map(|directory| directory.join(askers.to_string()));
        let running = start(directory).await?;
        let leader = leader(&running).await?;
        let before = leader.counters().syncs;
        let mut times = measure(&leader, askers).await?;
        times.sort_unstable();
        println!(
            "{askers:>7} {:>12} {:>10} {:>10} {:>13.1}",
            times.len() as u64 / SECONDS,
            times[times.len() / 2].as_micros(),
            times[times.len() / 100 * 99].as_micros(),
            times.len() as f64 / (leader.counters().syncs - before) as f64,
        );
        for node in running {
            node.shutdown().await;
        }
    }
    Ok(())
}

async fn start(directory: Option<PathBuf>) -> Result<Vec<Node<Store>>, Failure> {
    let ids = [1, 2, 3].map(NodeId::new);
    let (mut listeners, mut book) = (Vec::new(), Vec::new());
    for id in ids {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        book.push((id, listener.local_addr()?.to_string()));
        listeners.push(listener);
    }
    let mut running = Vec::new();
    for (id, listener) in ids.into_iter().zip(listeners) {
        let node = Node::builder(ClusterId::new(1), id, Settings::new(id, &ids));
        let node = node.peers(book.clone()).listener(listener);
        running.push(match &directory {
            None => node.start(MemoryDisk::default().open()).await?,
            // The restart record of a full log has to fit.
            Some(directory) => {
                let options = Options { max_record_bytes: 40 << 20, ..Options::default() };
                node.start_in(directory.join(id.to_string()), options).await?
            }
        });
    }
    Ok(running)
}

async fn leader(running: &[Node<Store>]) -> Result<Handle<Store>, Failure> {
    loop {
        for node in running {
            if node.handle().inspect(Replicated::status).await?.role == Role::Leader {
                return Ok(node.handle().clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn measure(handle: &Handle<Store>, askers: usize) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks: Vec<_> = (0..askers).map(|asker| tokio::spawn(ask(handle.clone(), asker, end))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await?);
    }
    Ok(times)
}

async fn ask(handle: Handle<Store>, asker: usize, end: Instant) -> Vec<Duration> {
    let (key, value) = (format!("key {asker}"), [b'x'; 256]);
    let mut times = Vec::new();
    while Instant::now() < end {
        let set = Change::Set {
            key: key.as_str().into(),
            value: value.as_slice().into(),
            condition: Condition::Always,
            expiry: Expiry::Never,
            previous: false,
        };
        let start = Instant::now();
        let outcome = handle.request(Request::Command(Command::Change(set))).await;
        assert!(matches!(outcome, Ok(Outcome::Replied { .. })), "{outcome:?}");
        times.push(start.elapsed());
    }
    times
}
