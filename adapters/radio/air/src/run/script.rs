//! What is done to boards at which time, and what is claimed of any run.

use super::board::Kind;
use super::claims::Claims;
use super::world::World;
use crate::options::{Event, Run};
use std::time::Duration;

/// Boards that cannot do it within this time do not do it at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long reports take at most.
const SETTLE: Duration = Duration::from_millis(500);

/// Does what was asked for on the command line, when it is time.
pub fn follow(world: &mut World, claims: &mut Claims, options: &Run) {
    let mut steps: Vec<(Duration, u64, Step)> = Vec::new();
    for event in &options.events {
        let id = event.board();
        match *event {
            Event::Kill { at, off, .. } => {
                steps.extend([(at, id, Step::Kill), (at + off, id, Step::SwitchOn)]);
            }
            Event::Jam { at, jammed, .. } => {
                steps.extend([(at, id, Step::Jam), (at + jammed, id, Step::Clear)]);
            }
        }
    }
    steps.sort_by_key(|&(at, id, _)| (at, id));
    for (at, id, step) in steps {
        world.run_for(at.saturating_sub(world.elapsed()));
        let Some(board) = world.find(id) else {
            let line = claims.add("boards that are named are there", Err(format!("there is no board {id}")));
            world.table.say(&line);
            continue;
        };
        match step {
            Step::Kill => world.kill(board),
            Step::SwitchOn => world.switch_on(board),
            Step::Jam => world.jam(board, true),
            Step::Clear => world.jam(board, false),
        }
    }
    world.run_for(options.duration.saturating_sub(world.elapsed()).saturating_sub(PATIENCE));
    conclude(world, claims);
}

#[derive(Clone, Copy)]
enum Step {
    Kill,
    SwitchOn,
    Jam,
    Clear,
}

/// What is claimed of any run, at its end.
pub fn conclude(world: &mut World, claims: &mut Claims) {
    let led = world.until("a node leads", PATIENCE, |watch| watch.leader());
    let line = claims.add("there is a leader", led.map(|board| world.name(board)));
    world.table.say(&line);
    // What boards did last may still be on its way here.
    world.run_for(SETTLE);
    let grants = world.watch.grants();
    let some = if grants > 0 { Ok(format!("{grants} grants")) } else { Err("no client got it".into()) };
    let line = claims.add("the lock is granted", some);
    world.table.say(&line);
    let lost = world.watch.lost_grants();
    let none = if lost.is_empty() { Ok(String::new()) } else { Err(format!("of tokens {lost:?}")) };
    let line = claims.add("each grant that a client was told of is in the log of the nodes", none);
    world.table.say(&line);
    let ended = world.ended();
    let none = if ended.is_empty() { Ok(String::new()) } else { Err(ended.join(", ")) };
    let line = claims.add("no board stops by itself", none);
    world.table.say(&line);
    let broken = std::mem::take(&mut world.watch.broken);
    let none = if broken.is_empty() {
        let highest = world.of(Kind::Node).iter().filter_map(|&at| world.watch.boards[at].term).max();
        Ok(format!("up to term {}", highest.unwrap_or_default()))
    } else {
        Err(broken.join("; "))
    };
    let text = "one leader a term, one holder at a time, tokens rise, none lower is let through";
    let line = claims.add(text, none);
    world.table.say(&line);
}
