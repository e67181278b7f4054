//! What has to happen on boards with a bad air between them, step by step.

use super::babble::babble;
use super::board::Kind;
use super::claims::Claims;
use super::script::conclude;
use super::watch::{Seen, Shown, Watch};
use super::world::World;
use crate::options::Run;
use std::fs;
use std::time::Duration;

/// Boards that cannot do it within this time do not do it at all, also while the machine is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);
/// Without a lock that moves from client to client nothing else is worth trying.
const HANDOVER: Duration = Duration::from_secs(60);

/// How a board ends whose flash is damaged, and one with the flash of another.
const DAMAGED: i32 = 4;
const FOREIGN: i32 = 5;

type Outcome = Result<String, String>;

/// Tells the story and checks it. Each step goes on from where the one before it left the boards.
pub fn tell(world: &mut World, claims: &mut Claims, options: &Run) {
    type Step = fn(&mut World, u64) -> Outcome;
    let steps: [(&str, Step); 10] = [
        ("nodes elect one leader", elect),
        ("a client takes the lock", acquire),
        ("the lock is handed over, with a higher token", hand_over),
        ("noise, cut, replayed, foreign and oversized frames are dropped, and the lock moves on", noise),
        ("a jammed node follows again once the air is clear", jam_a_node),
        ("a leader that is switched off is replaced", replace_the_leader),
        ("switched on again it has what its flash kept, and follows", come_back),
        ("a client that lost its air loses the lock, and its token is refused when it comes back", fence),
        ("a node with the flash of another does not run", foreign_flash),
        ("a node whose flash is damaged does not run", damaged_flash),
    ];
    for (text, step) in steps {
        let found = step(world, options.seed);
        let failed = found.is_err();
        let line = claims.add(text, found);
        world.table.say(&line);
        if failed && world.watch.leader().is_none() && world.watch.grants() == 0 {
            break;
        }
    }
    conclude(world, claims);
}

fn elect(world: &mut World, _: u64) -> Outcome {
    let nodes = world.of(Kind::Node);
    let booted = |watch: &Watch| {
        let boots =
            nodes.iter().map(|&node| watch.since(0, |seen| is(seen, node, "boot").then_some(seen.at)));
        boots.collect::<Option<Vec<_>>>()?.into_iter().max()
    };
    let booted = world.until("all nodes boot", PATIENCE, booted)?;
    let quorum = nodes.len() / 2 + 1;
    let led = world.until("a quorum knows one leader", PATIENCE, |watch| {
        let leader = watch.leader()?;
        let term = watch.boards[leader].term;
        let known = nodes.iter().filter(|&&node| watch.boards[node].term == term).count();
        (known >= quorum).then_some(leader)
    })?;
    let at = world.watch.since(0, |seen| is(seen, led, "leader").then_some(seen.at)).unwrap_or_default();
    world.times.insert("leader", millis(at.saturating_sub(booted)));
    Ok(format!("{} after {} ms", world.name(led), millis(at.saturating_sub(booted))))
}

fn acquire(world: &mut World, _: u64) -> Outcome {
    let granted = |watch: &Watch| {
        watch.since(0, |seen| (seen.report.what == "granted").then_some((seen.at, seen.board)))
    };
    let (at, board) = world.until("a client is granted the lock", PATIENCE, granted)?;
    let last_boot = world.watch.seen.iter().filter(|seen| seen.report.what == "boot" && seen.at < at);
    let booted = last_boot.map(|seen| seen.at).max().unwrap_or_default();
    world.times.insert("lock", millis(at.saturating_sub(booted)));
    Ok(format!("{} after {} ms", world.name(board), millis(at.saturating_sub(booted))))
}

fn hand_over(world: &mut World, _: u64) -> Outcome {
    let before = world.watch.seen.len();
    let ((from, low), (to, high)) = world.until("another client is granted the lock", HANDOVER, |watch| {
        let mut grants = watch.seen.iter().filter(|seen| seen.report.what == "granted");
        let first = grants.next().map(grant)?;
        grants.map(grant).find(|&(board, _)| board != first.0).map(|second| (first, second))
    })?;
    world.until("the resource lets a use through", PATIENCE, |watch| {
        watch.since(before, |seen| (seen.report.what == "used").then_some(()))
    })?;
    rises(low, high)?;
    Ok(format!("{} with {low}, then {} with {high}", world.name(from), world.name(to)))
}

fn noise(world: &mut World, seed: u64) -> Outcome {
    let nodes = world.of(Kind::Node);
    let dropped = |watch: &Watch| {
        let kinds: [fn(&Shown) -> Option<u64>; 3] =
            [|shown| shown.frames_damaged, |shown| shown.frames_foreign, |shown| shown.frames_repeated];
        kinds.map(|kind| nodes.iter().filter_map(|&node| kind(&watch.boards[node])).sum::<u64>())
    };
    let before = dropped(&world.watch);
    let sent = babble(world, 15, seed);
    let [damaged, foreign, repeated] =
        world.until("nodes drop damaged, foreign and repeated frames", PATIENCE, |watch| {
            let now = dropped(watch);
            let more: [u64; 3] = std::array::from_fn(|kind| now[kind] - before[kind]);
            more.iter().all(|&more| more > 0).then_some(more)
        })?;
    let grants = world.watch.grants();
    world.until("the lock moves on", HANDOVER, |watch| (watch.grants() > grants).then_some(()))?;
    Ok(format!("{sent} frames; dropped by nodes: {damaged} damaged, {foreign} foreign, {repeated} repeated"))
}

fn jam_a_node(world: &mut World, _: u64) -> Outcome {
    let leader = world.until("a node leads", PATIENCE, Watch::leader)?;
    let node = *world.of(Kind::Node).iter().find(|&&node| node != leader).ok_or("there is one node only")?;
    world.jam(node, true);
    world.run_for(Duration::from_secs(2));
    world.jam(node, false);
    let start = world.elapsed();
    let wanted = world.watch.boards[leader].applied;
    world.until("it has applied what the leader had", PATIENCE, |watch| {
        (watch.boards[node].applied >= wanted).then_some(())
    })?;
    Ok(format!("{} after {} ms", world.name(node), millis(world.elapsed() - start)))
}

fn replace_the_leader(world: &mut World, _: u64) -> Outcome {
    let old = world.until("a node leads", PATIENCE, Watch::leader)?;
    let (before, start) = (world.watch.seen.len(), world.elapsed());
    world.kill(old);
    let (at, new) = world.until("another node leads", PATIENCE, |watch| {
        watch.since(before, |seen| (seen.report.what == "leader").then_some((seen.at, seen.board)))
    })?;
    world.times.insert("failover", millis(at.saturating_sub(start)));
    let grants = world.watch.grants();
    world.until("the lock moves on", HANDOVER, |watch| (watch.grants() > grants).then_some(()))?;
    Ok(format!("{} after {} ms", world.name(new), millis(at.saturating_sub(start))))
}

fn come_back(world: &mut World, _: u64) -> Outcome {
    let nodes = world.of(Kind::Node);
    let node = *nodes.iter().find(|&&node| !world.watch.boards[node].on).ok_or("no node is off")?;
    let was = world.watch.boards[node].clone();
    let (before, start) = (world.watch.seen.len(), world.elapsed());
    world.switch_on(node);
    let (life, term, last) = world.until("it boots", PATIENCE, |watch| {
        watch.since(before, |seen| {
            let number = |key| seen.report.number(key).unwrap_or_default();
            is(seen, node, "boot").then(|| (number("life"), number("term"), number("last")))
        })
    })?;
    let kept =
        Some(life) == was.life.map(|life| life + 1) && Some(term) >= was.term && Some(last) >= was.applied;
    if !kept {
        return Err(format!("life {life}, term {term}, log to {last}, but it was {was:?}"));
    }
    let leader = world.until("a node leads", PATIENCE, Watch::leader)?;
    let wanted = world.watch.boards[leader].applied;
    world.until("it has applied what the leader had", PATIENCE, |watch| {
        (watch.boards[node].applied >= wanted).then_some(())
    })?;
    let caught_up = millis(world.elapsed() - start);
    Ok(format!("{}: life {life}, term {term}, log to {last}; follows after {caught_up} ms", world.name(node)))
}

/// The careless client holds the lock, is cut off until another holds it, and tries to use what it lost.
fn fence(world: &mut World, _: u64) -> Outcome {
    let client = *world.of(Kind::Client).first().ok_or("there are no clients")?;
    let before = world.watch.seen.len();
    world.until("the careless client uses what it holds", 2 * HANDOVER, |watch| {
        let used = |seen: &Seen| is(seen, client, "used").then_some(());
        watch.holder().filter(|&(board, _)| board == client).and_then(|_| watch.since(before, used))
    })?;
    let (_, low) = world.watch.holder().ok_or("it holds nothing")?;
    let since = world.watch.seen.len();
    world.jam(client, true);
    let (other, high) = world.until("another client is granted the lock and uses it", HANDOVER, |watch| {
        let granted = watch.since(since, |seen| (seen.report.what == "granted").then(|| grant(seen)))?;
        watch.since(since, |seen| is(seen, granted.0, "used").then_some(granted))
    })?;
    rises(low, high)?;
    world.jam(client, false);
    let refused = world.until("its token is refused", HANDOVER, |watch| {
        watch.since(since, |seen| is(seen, client, "refused").then(|| seen.report.number("with")).flatten())
    })?;
    let name = world.name(client);
    if refused != low {
        return Err(format!("{name} had {low}, and {refused} was refused"));
    }
    Ok(format!("{name} with {low}, then {} with {high}; {refused} is refused", world.name(other)))
}

fn foreign_flash(world: &mut World, _: u64) -> Outcome {
    with_flash(world, FOREIGN, |own, other| {
        own.copy_from_slice(other);
    })
}

fn damaged_flash(world: &mut World, seed: u64) -> Outcome {
    with_flash(world, DAMAGED, |own, _| {
        // A bit here and there in all that was written: some of it counts.
        let written = own.iter_mut().skip(seed as usize % 64).step_by(61).filter(|byte| **byte != 0xFF);
        written.for_each(|byte| *byte ^= 0x10);
    })
}

/// Starts a follower with flash that was tampered with, which it should refuse with a status; then with its own again.
fn with_flash(world: &mut World, status: i32, tamper: impl FnOnce(&mut [u8], &[u8])) -> Outcome {
    let leader = world.until("a node leads", PATIENCE, Watch::leader)?;
    let node = *world.of(Kind::Node).iter().find(|&&node| node != leader).ok_or("there is one node only")?;
    world.kill(node);
    let text = |error: std::io::Error| error.to_string();
    let (own, other) = (world.flash(node), world.flash(leader));
    let kept = fs::read(&own).map_err(text)?;
    let mut bytes = kept.clone();
    tamper(&mut bytes, &fs::read(other).map_err(text)?);
    fs::write(&own, bytes).map_err(text)?;
    let before = world.watch.seen.len();
    world.switch_on(node);
    let ended = world.until_ended(node, PATIENCE)?;
    let why = world.watch.since(before, |seen| {
        is(seen, node, "stopped").then(|| seen.report.text("why").map(str::to_owned)).flatten()
    });
    fs::write(&own, kept).map_err(text)?;
    world.switch_on(node);
    if ended != status {
        return Err(format!("{} ended with {ended}, not with {status}: {why:?}", world.name(node)));
    }
    let before = world.watch.seen.len();
    world.until("it runs with its own flash", PATIENCE, |watch| {
        watch.since(before, |seen| is(seen, node, "boot").then_some(()))
    })?;
    Ok(format!("{}: {}, status {ended}", world.name(node), why.unwrap_or_default()))
}

fn is(seen: &Seen, board: usize, what: &str) -> bool {
    seen.board == board && seen.report.what == what
}

fn grant(seen: &Seen) -> (usize, u64) {
    (seen.board, seen.report.number("token").unwrap_or_default())
}

fn rises(low: u64, high: u64) -> Result<(), String> {
    if low < high { Ok(()) } else { Err(format!("token {high} came after {low}")) }
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}
