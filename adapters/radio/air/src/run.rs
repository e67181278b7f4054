//! `quorate-air run`: emulated boards on one air, and claims about what they do.

mod babble;
mod board;
mod claims;
mod hub;
mod image;
mod report;
mod script;
mod story;
mod table;
mod watch;
mod wire;
mod world;

use crate::options::{Output, Run};
use claims::Claims;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use watch::Shown;
use world::World;

type Failure = Box<dyn Error + Send + Sync>;

/// What a run found, for programs.
#[derive(Serialize)]
struct Found<'f> {
    claims: &'f Claims,
    passed: usize,
    failed: usize,
    /// In milliseconds.
    times: &'f BTreeMap<&'static str, u64>,
    grants: usize,
    boards: &'f [Shown],
    air: Air,
}

/// What became of frames.
#[derive(Serialize)]
struct Air {
    sent: u64,
    airtime_ms: u64,
    arrived: u64,
    lost: u64,
    collided: u64,
    jammed: u64,
    corrupted: u64,
    /// Dropped by modems that did not find the air free.
    dropped: u64,
}

/// Runs boards and says whether all that was claimed of them holds.
pub fn run(options: &Run) -> Result<bool, Failure> {
    let images = image::folder(options.firmware.as_deref())?;
    let mut world = World::start(options, &images)?;
    let mut claims = Claims::default();
    if options.events.is_empty() {
        story::tell(&mut world, &mut claims, options);
    } else {
        script::follow(&mut world, &mut claims, options);
    }
    world.table.finish();
    let (passed, failed) = claims.count();
    match options.output {
        Output::Text => println!("{passed} passed, {failed} failed"),
        Output::Json => {
            let air = world.hub.medium().counters();
            let found = Found {
                claims: &claims,
                passed,
                failed,
                times: &world.times,
                grants: world.watch.grants(),
                boards: &world.watch.boards,
                air: Air {
                    sent: air.sent,
                    airtime_ms: air.airtime_micros / 1_000,
                    arrived: air.arrived,
                    lost: air.lost,
                    collided: air.collided,
                    jammed: air.jammed,
                    corrupted: air.corrupted,
                    dropped: world.hub.dropped(),
                },
            };
            println!("{}", serde_json::to_string(&found)?);
        }
    }
    Ok(failed == 0)
}
