//! How fast the driver is with a machine that does next to nothing, as `throughput` of `quorate-tokio` asks:
//! `cargo run --release -p quorate-threads --example blocking_throughput [hub] [each] [DIRECTORY]`.
//!
//! Without a directory storage is memory, so what is measured is the way from the asker to the machine, to the
//! storage thread, over TCP to the peers (with `hub`, through a hub), and back. With one, each node keeps its records
//! there, synced.
//!
//! An asker has one request in flight at a time. They share as many threads as there are processors, as the tasks of
//! tokio do; with `each`, each has a thread of its own.

#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the tests")]
#[path = "../../driver/tests/common/adder.rs"]
mod adder;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use adder::{Adder, Request, Settings};
use quorate::{ClusterId, NodeId};
use quorate_threads::{Handle, Hub, MemoryDisk, Node};

const REQUESTS: u64 = 400_000;

/// With a disk that syncs, fewer will do.
const DURABLE_REQUESTS: u64 = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let hub = arguments.next_if(|word| word == "hub").map(|_| Hub::default());
    let each = arguments.next_if(|word| word == "each").is_some();
    let directory = arguments.next().map(PathBuf::from);
    let processors = std::thread::available_parallelism()?.get() as u64;
    let most = if directory.is_some() { DURABLE_REQUESTS } else { REQUESTS };
    println!("{:>5} {:>7} {:>12} {:>14} {:>10}", "nodes", "askers", "requests/s", "requests/sync", "us each");
    for nodes in [1, 3] {
        for askers in [1, 16, 64, 256] {
            let directory = directory.as_ref().map(|directory| directory.join(format!("{nodes}-{askers}")));
            let running = start(nodes, hub.as_ref(), directory)?;
            let handle = running[0].handle().clone();
            handle.request(Request::Add(1))?;
            let requests = if askers == 1 { most / 20 } else { most };
            let threads = if each { askers } else { askers.min(processors) };
            let seconds = measure(&handle, threads, askers, requests);
            let counters = handle.counters();
            println!(
                "{nodes:>5} {askers:>7} {:>12.0} {:>14.1} {:>10.1}",
                requests as f64 / seconds,
                counters.requests as f64 / counters.syncs as f64,
                seconds * 1e6 * askers as f64 / requests as f64,
            );
            for node in running {
                node.shutdown();
            }
        }
    }
    Ok(())
}

fn start(
    nodes: u64,
    hub: Option<&Hub>,
    directory: Option<PathBuf>,
) -> Result<Vec<Node<Adder>>, Box<dyn std::error::Error>> {
    let ids: Vec<_> = (1..=nodes).map(NodeId::new).collect();
    let mut listeners = Vec::new();
    let mut book = Vec::new();
    for id in &ids {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        book.push((*id, listener.local_addr()?.to_string()));
        listeners.push(listener);
    }
    let mut running = Vec::new();
    for (id, listener) in ids.iter().zip(listeners) {
        let peers = ids.iter().copied().filter(|peer| peer != id).collect();
        let settings = Settings { id: *id, peers, window: 4096, snapshot_after: 0 };
        let node = Node::builder(ClusterId::new(1), *id, settings);
        let node = match hub {
            None => node.peers(book.clone()).listener(listener),
            Some(hub) => node.hub(hub, ids.clone()),
        };
        running.push(match &directory {
            None => node.start(MemoryDisk::default().open())?,
            Some(directory) => {
                node.start_in(directory.join(id.to_string()), quorate_disk::Options::default())?
            }
        });
    }
    Ok(running)
}

fn measure(handle: &Handle<Adder>, threads: u64, askers: u64, requests: u64) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| ask(handle, askers / threads, requests / threads));
        }
    });
    start.elapsed().as_secs_f64()
}

/// Some askers on one thread: each has one request in flight, and asks again once it is answered.
fn ask(handle: &Handle<Adder>, askers: u64, requests: u64) {
    let submit = || handle.submit(Request::Add(1)).expect("the node runs");
    let mut answers: VecDeque<_> = (0..askers).map(|_| submit()).collect();
    for _ in askers..requests {
        answers.pop_front().expect("one an asker").wait().expect("the node runs");
        answers.push_back(submit());
    }
    for answer in answers {
        answer.wait().expect("the node runs");
    }
}
