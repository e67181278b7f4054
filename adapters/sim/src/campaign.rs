//! Many worlds: runs them, shows how far they have come, and sums up.

use crate::options::{Options, Output};
use indicatif::{ProgressBar, ProgressStyle};
use quorate::Hosted;
use quorate_sim::{Fault, Report, Subject, Tally, Violation, World};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// From so many seeds on, every declared fault and rare path has to be reached.
const MANY: u64 = 300;

/// Violations of one invariant that are told in full; more are only counted.
const MOST_TOLD: usize = 2;

/// Which worlds to run, and how.
pub(crate) struct Campaign<'o> {
    options: &'o Options,
    seeds: Range<u64>,
}

/// What many worlds came to.
struct Sum {
    worlds: u64,
    events: u64,
    simulated: Duration,
    faults: Tally,
    paths: Option<Tally>,
    violations: Vec<Violation>,
}

impl Sum {
    fn add(&mut self, report: Report, violation: Option<Violation>) {
        self.worlds += 1;
        self.events += report.events;
        self.simulated += report.simulated;
        self.faults.merge(&report.faults);
        match &mut self.paths {
            Some(paths) => paths.merge(&report.paths),
            None => self.paths = Some(report.paths),
        }
        self.violations.extend(violation);
    }

    /// What was declared and never reached.
    fn never(&self) -> Vec<&'static str> {
        self.faults.never().chain(self.paths.iter().flat_map(Tally::never)).collect()
    }
}

impl<'o> Campaign<'o> {
    pub(crate) fn new(options: &'o Options) -> Self {
        let seeds = match options.seed {
            Some(seed) => seed..seed + 1,
            None => options.seeds.0.clone(),
        };
        Self { options, seeds }
    }

    /// Runs all worlds. Tells whether all is well. `history` is what the clients of a subject saw.
    pub(crate) fn run<M, S>(
        &self,
        subject: impl Fn(u64) -> S + Sync,
        history: impl Fn(&S) -> Option<&[String]> + Sync,
    ) -> io::Result<bool>
    where
        M: Hosted + 'static,
        S: Subject<M>,
    {
        let begin = Instant::now();
        let sum = Sum {
            worlds: 0,
            events: 0,
            simulated: Duration::ZERO,
            faults: Tally::of(Fault::NAMES),
            paths: None,
            violations: Vec::new(),
        };
        let (sum, next) = (Mutex::new(sum), AtomicU64::new(self.seeds.start));
        let bar = self.progress();
        let work = || -> io::Result<()> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    return Ok(());
                }
                let mut world = World::<M, S>::drawn(seed, self.options.nodes.into(), subject(seed));
                if let Some(path) = &self.options.trace {
                    world.tell_to(BufWriter::new(File::create(path)?));
                }
                let violation = world.run().err();
                if let Some(path) = &self.options.history {
                    let none = || io::Error::other("--history: only the clients of --machine lock keep one");
                    let lines = history(world.subject()).ok_or_else(none)?;
                    let mut file = BufWriter::new(File::create(path)?);
                    lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
                }
                sum.lock().expect("no world panics while it adds").add(world.report(), violation);
                bar.inc(1);
            }
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.options.jobs).map(|_| scope.spawn(work)).collect();
            jobs.into_iter().try_for_each(|job| job.join().expect("no world panics"))
        })?;
        bar.finish_and_clear();
        let mut sum = sum.into_inner().expect("no world panics");
        sum.violations.sort_by_key(|violation| violation.seed);
        Ok(self.tell(&sum, begin.elapsed()))
    }

    fn progress(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} worlds, {per_sec}, {eta} left");
        ProgressBar::new(self.seeds.end - self.seeds.start)
            .with_style(style.expect("the template is well-formed"))
    }

    /// Sums up. Tells whether all is well.
    fn tell(&self, sum: &Sum, took: Duration) -> bool {
        let mut told = BTreeMap::<&str, usize>::new();
        for violation in &sum.violations {
            let count = told.entry(violation.invariant).or_default();
            *count += 1;
            if *count <= MOST_TOLD {
                println!("{violation}\n  again: {}", self.again(violation.seed));
            }
        }
        let never = if sum.worlds >= MANY { sum.never() } else { Vec::new() };
        for name in &never {
            println!("never reached by {} worlds: {name}", sum.worlds);
        }
        match self.options.output {
            Output::Text => self.tell_text(sum, took),
            Output::Json => println!("{}", self.json(sum, took)),
        }
        sum.violations.is_empty() && never.is_empty()
    }

    /// The command that repeats a run.
    fn again(&self, seed: u64) -> String {
        let Options { machine, form, nodes, .. } = self.options;
        let form = form.map(|form| format!(" --form {form}")).unwrap_or_default();
        format!(
            "cargo run --release -p quorate-sim -- --machine {machine}{form} --nodes {nodes} --seed {seed} --trace trace.txt"
        )
    }

    fn tell_text(&self, sum: &Sum, took: Duration) {
        let list = |tally: &Tally| {
            let reached = tally.iter().map(|(name, count)| format!("  {count:>12} {name}\n"));
            reached.collect::<String>()
        };
        print!("faults\n{}", list(&sum.faults));
        if let Some(paths) = &sum.paths {
            print!("rare paths\n{}", list(paths));
        }
        let load = sum.simulated.as_secs_f64() / took.as_secs_f64();
        let rate = sum.events as f64 / took.as_secs_f64();
        println!(
            "{}{} of {} nodes: {} seeds, {} events ({rate:.0} a second), {} faults, {:.0} s simulated ({load:.0} times as fast \
             as time), {} violations",
            self.options.form.map(|form| format!("{form} ")).unwrap_or_default(),
            self.options.machine,
            self.options.nodes,
            sum.worlds,
            sum.events,
            sum.faults.iter().map(|(_, count)| count).sum::<u64>(),
            sum.simulated.as_secs_f64(),
            sum.violations.len(),
        );
    }

    fn json(&self, sum: &Sum, took: Duration) -> serde_json::Value {
        let counts = |tally: &Tally| -> serde_json::Map<String, serde_json::Value> {
            tally.iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
        };
        serde_json::json!({
            "machine": self.options.machine.to_string(),
            "form": self.options.form.map(|form| form.to_string()),
            "nodes": self.options.nodes,
            "seeds": sum.worlds,
            "events": sum.events,
            "events_per_second": sum.events as f64 / took.as_secs_f64(),
            "simulated_seconds": sum.simulated.as_secs_f64(),
            "faults": counts(&sum.faults),
            "paths": sum.paths.as_ref().map(counts),
            "violations": sum.violations.iter().map(|violation| serde_json::json!({
                "invariant": violation.invariant,
                "seen": violation.detail,
                "seed": violation.seed,
                "step": violation.step,
                "again": self.again(violation.seed),
            })).collect::<Vec<_>>(),
        })
    }
}
