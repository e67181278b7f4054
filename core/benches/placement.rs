//! What a look-up costs, beside the plainest ring: a sorted array of the standard library's hashes.
//!
//! `cargo bench -p quorate --all-features --bench placement`
//!
//! 100 nodes with 160 points each, 8-byte keys. The rounds of both take turns, and the best of each counts, since other
//! work on the machine only adds. Instructions are counted by valgrind's callgrind, if it is installed: the difference
//! between a run of twice as many look-ups and one of so many.

use quorate::placement::{Balancer, Bounded, Partition, Ring, Rule};
use quorate::space::{Fixed, Heap};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::process;
use std::time::Instant;

const NODES: usize = 100;
const WEIGHT: u32 = 160;
const POINTS: usize = NODES * WEIGHT as usize;
const ROUNDS: usize = 20;
const LOOK_UPS: u64 = 500_000;

type OnHeap = Ring<u64, Heap<0, 0>, NODES, POINTS>;
type Inline = Ring<u64, Fixed<0, 0>, NODES, POINTS>;

fn members() -> impl Iterator<Item = (u64, u32)> {
    (0..NODES as u64).map(|node| (node, WEIGHT))
}

fn sip(number: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    number.hash(&mut hasher);
    hasher.finish()
}

/// What chooses a node, or a part, for a key; and what it is called.
type Way = (&'static str, Box<dyn FnMut(u64) -> u64>);

/// Keeps the loop with the look-up in it, so that only the whole is called through a pointer.
fn way(name: &'static str, mut choose: impl FnMut(u64) -> u64 + 'static) -> Way {
    let run = move |count: u64| {
        let keys = (0..count).map(|at| black_box(at.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        keys.map(&mut choose).fold(0, u64::wrapping_add)
    };
    (name, Box::new(run))
}

fn ways() -> Vec<Way> {
    let mut sorted: Vec<(u64, u32)> = (0..NODES as u64)
        .flat_map(|node| (0..u64::from(WEIGHT)).map(move |point| (sip(node << 32 | point), node as u32)))
        .collect();
    sorted.sort_unstable();
    let heap = OnHeap::of(members()).expect("sound");
    let fixed = Inline::of(members()).expect("sound");
    let replicas = heap.clone();
    let mut bounded = Bounded::new(heap.clone(), 125).unwrap_or_else(|_| panic!("more than the average"));
    let partition = Partition::new(NonZeroU32::new(NODES as u32).expect("some"));
    let mut ways = vec![
        way("sorted array, SipHash", move |key| {
            let hash = sip(key);
            let at = sorted.partition_point(|point| point.0 < hash);
            u64::from(sorted[if at == sorted.len() { 0 } else { at }].1)
        }),
        way("ring, heap", move |key| heap.owner_of(&key.to_le_bytes())),
        way("ring, fixed", move |key| fixed.owner_of(&key.to_le_bytes())),
        way("ring, three replicas", move |key| replicas.replicas_of::<3>(&key.to_le_bytes()).iter().sum()),
        way("bounded by 125 %", move |key| bounded.take(&key.to_le_bytes())),
        way("partition", move |key| u64::from(partition.of(&key.to_le_bytes()))),
    ];
    let rules = [
        ("balancer, random", Rule::Random),
        ("balancer, round robin", Rule::RoundRobin),
        ("balancer, smooth", Rule::SmoothWeighted),
        ("balancer, two choices", Rule::TwoChoices),
        ("balancer, least loaded", Rule::LeastLoaded),
    ];
    for (name, rule) in rules {
        let mut balancer = Balancer::<u64, Heap<0, 0>, NODES>::new(rule, 7);
        members().for_each(|(node, weight)| balancer.add(node, weight).expect("room"));
        ways.push(way(name, move |_| balancer.pick().expect("a node")));
    }
    ways
}

/// Instructions of a process of its own.
fn instructions(name: &str, count: u64) -> Option<u64> {
    let valgrind = process::Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["run", name, &count.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&valgrind.stderr).into_owned();
    told.split("Collected :").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut ways = ways();
    if let [run, name, count] = arguments.as_slice()
        && run == "run"
    {
        let (_, run) = ways.iter_mut().find(|way| way.0 == name).expect("a way");
        black_box(run(count.parse().expect("a number")));
        return;
    }
    let mut best = vec![f64::INFINITY; ways.len()];
    for _ in 0..ROUNDS {
        for ((_, run), best) in ways.iter_mut().zip(&mut best) {
            let start = Instant::now();
            black_box(run(LOOK_UPS));
            *best = best.min(start.elapsed().as_nanos() as f64 / LOOK_UPS as f64);
        }
    }
    println!("{NODES} nodes, {WEIGHT} points each        nanoseconds  of the first  instructions");
    for ((name, _), nanos) in ways.iter().zip(&best) {
        let counted = instructions(name, 20_000).zip(instructions(name, 40_000));
        let counted = counted.map_or("-".into(), |(few, many)| ((many - few) / 20_000).to_string());
        println!("{name:30} {nanos:>12.1} {:>13.2} {counted:>13}", nanos / best[0]);
    }
}
