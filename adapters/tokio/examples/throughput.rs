//! How fast the driver is with a machine that does next to nothing:
//! `cargo run --release -p quorate-tokio --example throughput [DIRECTORY]`.
//!
//! Without a directory storage is memory, so what is measured is the way from the asker to the machine, to the
//! storage thread, over TCP to the peers, and back. With one, each node keeps its records there, synced.

#[allow(dead_code, unreachable_pub, missing_docs, reason = "shared with the tests")]
#[path = "../../driver/tests/common/adder.rs"]
mod adder;

use std::path::PathBuf;
use std::time::Instant;

use adder::{Adder, Request, Settings};
use quorate::{ClusterId, NodeId};
use quorate_tokio::{Handle, MemoryDisk, Node};
use tokio::net::TcpListener;

const REQUESTS: u64 = 400_000;

/// With a disk that syncs, fewer will do.
const DURABLE_REQUESTS: u64 = 50_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let most = if directory.is_some() { DURABLE_REQUESTS } else { REQUESTS };
    println!("{:>5} {:>7} {:>12} {:>14} {:>10}", "nodes", "askers", "requests/s", "requests/sync", "us each");
    for nodes in [1, 3] {
        for askers in [1, 16, 64, 256] {
            let directory = directory.as_ref().map(|directory| directory.join(format!("{nodes}-{askers}")));
            let running = start(nodes, directory).await?;
            let handle = running[0].handle().clone();
            handle.request(Request::Add(1)).await?;
            let requests = if askers == 1 { most / 20 } else { most };
            let seconds = measure(&handle, askers, requests).await?;
            let counters = handle.counters();
            println!(
                "{nodes:>5} {askers:>7} {:>12.0} {:>14.1} {:>10.1}",
                requests as f64 / seconds,
                counters.requests as f64 / counters.syncs as f64,
                seconds * 1e6 * askers as f64 / requests as f64,
            );
            for node in running {
                node.shutdown().await;
            }
        }
    }
    Ok(())
}

async fn start(
    nodes: u64,
    directory: Option<PathBuf>,
) -> Result<Vec<Node<Adder>>, Box<dyn std::error::Error>> {
    let ids: Vec<_> = (1..=nodes).map(NodeId::new).collect();
    let mut listeners = Vec::new();
    let mut book = Vec::new();
    for id in &ids {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        book.push((*id, listener.local_addr()?.to_string()));
        listeners.push(listener);
    }
    let mut running = Vec::new();
    for (id, listener) in ids.iter().zip(listeners) {
        let peers = ids.iter().copied().filter(|peer| peer != id).collect();
        let settings = Settings { id: *id, peers, window: 4096, snapshot_after: 0 };
        let node = Node::builder(ClusterId::new(1), *id, settings).peers(book.clone()).listener(listener);
        running.push(match &directory {
            None => node.start(MemoryDisk::default().open()).await?,
            Some(directory) => {
                node.start_in(directory.join(id.to_string()), quorate_disk::Options::default()).await?
            }
        });
    }
    Ok(running)
}

async fn measure(
    handle: &Handle<Adder>,
    askers: u64,
    requests: u64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..askers {
        let handle = handle.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..requests / askers {
                handle.request(Request::Add(1)).await.expect("the node runs");
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(start.elapsed().as_secs_f64())
}
