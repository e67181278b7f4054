//! How often an entry allocates: three nodes in one thread, an in-memory network and storage, no encoding.

mod cluster;

use cluster::{Cluster, Inline, NODES, OnHeap, PAYLOAD, WINDOWS};
use quorate::{Command, Space};

fn measure<C, S>(new: impl Fn() -> Cluster<C, S>, name: &str, window: u64)
where
    S: Space,
    C: Command + AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>,
{
    let count = 20_000 / window * window;
    let mut cluster = new();
    cluster.replicate(window, count);
    let allocated = allocation_counter::measure(|| cluster.replicate(window, count));
    println!("{name:6} {window:7} {:>12.2}", allocated.count_total as f64 / count as f64);
}

fn main() {
    println!("{NODES} nodes, {PAYLOAD}-byte payloads; per entry that is committed and told everywhere:");
    println!("space   window  allocations");
    for window in WINDOWS {
        measure(OnHeap::new, "heap", window);
    }
    for window in WINDOWS {
        measure(Inline::new, "fixed", window);
    }
}
