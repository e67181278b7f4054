//! `quorate-air simulate`: how long radio nodes take to agree, over many seeds.

mod client;
mod rules;
mod world;

use crate::options::{Output, Simulate};
use indicatif::{ProgressBar, ProgressDrawTarget};
use quorate_air::Conditions;
use serde::Serialize;
use std::time::Duration;
use world::Times;

/// Of three nodes a lock is acquired within this at 20 % loss, in the median.
const GOAL: Duration = Duration::from_secs(1);
const GOAL_LOSS: u8 = 20;
const GOAL_NODES: u8 = 3;

/// How a figure is found in a world.
type Figure = fn(&Times) -> Duration;

/// What is measured.
const FIGURES: [(&str, Figure); 5] = [
    ("leader, cold start", |times| times.leader),
    ("lock, cold start", |times| times.cold),
    ("lock, running", |times| times.running),
    ("leader, leader killed", |times| times.failover),
    ("lock, leader killed", |times| times.outage),
];

/// A line of the table.
#[derive(Serialize)]
struct Line {
    loss: u8,
    what: &'static str,
    median_ms: u64,
    p95_ms: u64,
    max_ms: u64,
}

/// All that was found.
#[derive(Serialize)]
struct Found {
    nodes: u8,
    seeds: usize,
    figures: Vec<Line>,
    /// The share of time that the air is busy while nothing is asked, in percent, for each share of loss.
    idle_air: Vec<(u8, f64)>,
    /// Seeds in which something must not have been.
    broken: Vec<String>,
    goal_met: bool,
}

/// Runs many worlds and says whether all that must hold does.
pub fn run(options: &Simulate) -> bool {
    let seeds: Vec<u64> = match options.seed {
        Some(seed) => vec![seed],
        None => (0..u64::from(options.seeds)).collect(),
    };
    let progress = ProgressBar::with_draw_target(
        Some((seeds.len() * options.loss.len()) as u64),
        ProgressDrawTarget::stderr(),
    );
    let mut found = Found {
        nodes: options.nodes,
        seeds: seeds.len(),
        figures: Vec::new(),
        idle_air: Vec::new(),
        broken: Vec::new(),
        goal_met: true,
    };
    for &loss in &options.loss {
        let conditions = Conditions { loss: f64::from(loss) / 100.0, ..Conditions::default() };
        let mut times = Vec::new();
        for &seed in &seeds {
            match world::run(options.nodes, conditions.clone(), seed) {
                Ok(took) => times.push(took),
                Err(broken) => found.broken.push(format!("loss {loss} %, seed {seed}: {broken}")),
            }
            progress.inc(1);
        }
        found.take(loss, &times);
    }
    progress.finish_and_clear();
    found.show(options.output);
    found.broken.is_empty() && found.goal_met
}

impl Found {
    fn take(&mut self, loss: u8, times: &[Times]) {
        if times.is_empty() {
            return;
        }
        for (what, figure) in FIGURES {
            let mut sorted: Vec<Duration> = times.iter().map(figure).collect();
            sorted.sort();
            let at =
                |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize].as_millis() as u64;
            self.figures.push(Line { loss, what, median_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1.0) });
        }
        let idle = times.iter().map(|times| times.idle_air).sum::<f64>() / times.len() as f64;
        self.idle_air.push((loss, (idle * 1_000.0).round() / 10.0));
        let applies = |line: &Line| line.loss == GOAL_LOSS && line.what.starts_with("lock");
        let slow = |line: &Line| line.median_ms > GOAL.as_millis() as u64;
        let missed = self.figures.iter().any(|line| applies(line) && slow(line));
        self.goal_met &= self.nodes > GOAL_NODES || !missed;
    }

    fn show(&self, output: Output) {
        if let Output::Json = output {
            println!("{}", serde_json::to_string(self).expect("numbers and words"));
            return;
        }
        println!("{} nodes, {} seeds, 250 kbit/s; milliseconds", self.nodes, self.seeds);
        println!("{:>6}  {:<22}{:>8}{:>8}{:>8}", "loss", "time to", "median", "p95", "max");
        for Line { loss, what, median_ms, p95_ms, max_ms } in &self.figures {
            println!("{loss:>4} %  {what:<22}{median_ms:>8}{p95_ms:>8}{max_ms:>8}");
        }
        for (loss, share) in &self.idle_air {
            println!("{loss:>4} %  air busy while idle {share:>10} %");
        }
        for broken in &self.broken {
            println!("BROKEN  {broken}");
        }
        if !self.goal_met {
            println!("FAILED  a lock takes longer than {GOAL:?} at {GOAL_LOSS} % loss");
        }
    }
}
