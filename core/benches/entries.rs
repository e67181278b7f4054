//! What an entry costs: three nodes in one thread, an in-memory network and storage, no encoding.
//!
//! `cargo bench -p quorate --all-features`
//!
//! Instructions are counted by valgrind's callgrind, if it is installed: the difference between a run of twice as many
//! entries and one of so many, so that what it takes to start does not count. They are of all three nodes, the network
//! and the allocator included. Allocations are counted by the bench of that name, since counting costs instructions.

mod cluster;

use cluster::{Cluster, Inline, NODES, OnHeap, PAYLOAD, WINDOWS};
use quorate::{Command, Space};
use std::process;

fn replicate(space: &str, window: u64, count: u64) {
    match space {
        "heap" => OnHeap::new().replicate(window, count),
        "fixed" => Inline::new().replicate(window, count),
        other => panic!("no such space: {other}"),
    }
}

/// Instructions of a run of `count` entries in a process of its own.
fn instructions(space: &str, window: u64, count: u64) -> Option<u64> {
    let valgrind = process::Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["run", space, &window.to_string(), &count.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&valgrind.stderr).into_owned();
    told.split("Collected :").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn measure<C, S>(new: impl Fn() -> Cluster<C, S>, name: &str, window: u64)
where
    S: Space,
    C: Command + AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>,
{
    let count = 20_000 / window * window;
    let mut cluster = new();
    cluster.replicate(window, count);
    let (messages, start) = (cluster.messages, std::time::Instant::now());
    cluster.replicate(window, count);
    let nanos = start.elapsed().as_nanos() as f64 / count as f64;
    let few = 2048_u64.next_multiple_of(window);
    let counted = instructions(name, window, few).zip(instructions(name, window, 2 * few));
    let counted = counted.map_or("-".into(), |(few_cost, cost)| ((cost - few_cost) / few).to_string());
    println!(
        "{name:6} {window:7} {counted:>13} {:>9.3} {nanos:>12.0}",
        (cluster.messages - messages) as f64 / count as f64,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [run, space, window, count] = arguments.as_slice()
        && run == "run"
    {
        let number = |text: &str| text.parse().expect("a number");
        return replicate(space, number(window), number(count));
    }
    println!("{NODES} nodes, {PAYLOAD}-byte payloads; per entry that is committed and told everywhere:");
    println!("space   window  instructions  messages  nanoseconds");
    for window in WINDOWS {
        measure(OnHeap::new, "heap", window);
    }
    for window in WINDOWS {
        measure(Inline::new, "fixed", window);
    }
}
