//! An application that is spread over groups: logs that hold anything, images of anything, peers that say anything.

mod asks;
mod bank;
mod node;

use crate::Tape;
use crate::asks::Asked;
use crate::live::Live;
use bank::Bank;
use node::Node;
use quorate::sharded::{Reply, Shard};
use quorate::space::Heap;
use quorate::{Application, Index, Moment, Space, Timestamp};
use std::time::Duration;

/// More entries than tell anything new.
const MOST_ENTRIES: u64 = 200;
/// More wakings than it takes until all has ended: an image that could not be written is asked for again 30 s later.
const MOST_WAKINGS: usize = 10_000;
/// So many at a time.
const WAKINGS: usize = 200;
/// The heap that an image may take for each of its bytes, and besides.
const BYTES_EACH: u64 = 512;
const BYTES_BESIDES: u64 = 64 * 1024;

/// A byte for what it is, and the rest for what happens to it.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.byte() % 8 {
        0 | 1 => replicas(Shard::default(), tape),
        2 => image(tape.slice().to_vec(), tape),
        3 | 4 => damaged(tape),
        // Alone, with all groups its own as soon as it wants them.
        5 | 6 => alone(tape),
        _ => _ = Live::<Node<Heap<3, 16, 48>>>::new().run(&mut tape),
    }
}

/// A node without peers: all that it is asked ends, and then nothing is held.
fn alone(mut tape: Tape<'_>) {
    let mut live = Live::<Node<Heap<1, 16, 48>>>::new();
    assert!(live.run(&mut tape), "a node reads what it wrote");
    for _ in 0..MOST_WAKINGS / WAKINGS {
        live.settle(WAKINGS).expect("a node reads what it wrote");
        if live.open + live.machine().conducted() == 0 && holds_nothing(live.machine()) {
            break;
        }
    }
    assert_eq!(live.open, 0, "all that was asked ends");
    assert_eq!(live.machine().conducted(), 0, "all transactions end");
    assert!(holds_nothing(live.machine()), "nothing is held for ever");
}

fn holds_nothing<S: Space>(node: &Node<S>) -> bool {
    node.groups().iter().all(|(_, group)| group.application().is_idle())
}

/// The next entry's index and time.
struct Clock(u64, Timestamp);

impl Clock {
    const fn new() -> Self {
        Self(100, Timestamp::from_micros(0))
    }

    fn next(&mut self, tape: &mut Tape<'_>) -> Moment {
        let pass = match tape.byte() {
            0..=127 => Duration::ZERO,
            byte @ 128..=191 => Duration::from_millis(u64::from(byte - 127) * 100),
            byte @ 192..=250 => Duration::from_micros(u64::from(byte - 191)),
            _ => Duration::from_micros(tape.number()),
        };
        (self.0, self.1) = (self.0 + 1, self.1.after(pass));
        Moment { index: Index::new(self.0), time: self.1 }
    }
}

fn snapshot(shard: &Shard<Bank>) -> Vec<u8> {
    let mut image = Vec::new();
    shard.snapshot(&mut image).expect("a vector is never full");
    image
}

/// Two replicas of one log, of which one is now and then replaced by what is loaded from the other's image.
fn replicas(mut one: Shard<Bank>, mut tape: Tape<'_>) {
    let mut other = Shard::restore(&snapshot(&one)).expect("what was written can be read");
    let mut clock = Clock::new();
    // What one was asked before the other was loaded, and wants time to pass for, is in no image.
    let (mut was_asked, mut knows_all) = (false, true);
    for _ in 0..MOST_ENTRIES {
        if tape.is_over() {
            return;
        }
        let what = tape.byte();
        if what < 16 {
            other = Shard::restore(&snapshot(&one)).expect("what was written can be read");
            knows_all = !was_asked;
        }
        let now = clock.next(&mut tape);
        one.tick(now);
        other.tick(now);
        match what {
            16..=31 => {
                let query = Shard::<Bank>::query_of(&mut tape);
                assert_eq!(one.query(now.time, &query), other.query(now.time, &query));
            }
            // Time passes, and that is all.
            0..=15 | 32..=47 => {}
            _ => {
                let command = Shard::<Bank>::command_of(&mut tape);
                let replies = (one.apply(now, &command), other.apply(now, &command));
                assert_eq!(replies.0, replies.1, "replies differ: {command:?}");
                was_asked |= replies.0 == Reply::Undecided;
            }
        }
        loop {
            let told = (one.notice(), other.notice());
            assert_eq!(told.0, told.1, "notices differ");
            if told.0.is_none() {
                break;
            }
        }
        let deadlines =
            [one.deadline(), other.deadline()].map(|at| at.map_or(u64::MAX, Timestamp::as_micros));
        assert!(deadlines[0] <= deadlines[1], "what is due is in the image");
        assert!(deadlines[0] == deadlines[1] || !knows_all, "deadlines differ: {deadlines:?}");
        assert_eq!(snapshot(&one), snapshot(&other), "replicas differ");
    }
}

/// An image of any bytes; then a log.
fn image(bytes: Vec<u8>, tape: Tape<'_>) {
    let mut loaded = None;
    let used = allocation_counter::measure(|| loaded = Shard::<Bank>::restore(&bytes).ok());
    let limit = BYTES_BESIDES + BYTES_EACH * bytes.len() as u64;
    assert!(used.bytes_max <= limit, "{} bytes of memory for {} bytes", used.bytes_max, bytes.len());
    if let Some(shard) = loaded {
        replicas(shard, tape);
    }
}

/// What a log came to as an image, and then something happened to it.
fn damaged(mut tape: Tape<'_>) {
    let mut before = Tape::new(tape.slice());
    let (mut shard, mut clock) = (Shard::<Bank>::default(), Clock::new());
    for _ in 0..MOST_ENTRIES {
        if before.is_over() {
            break;
        }
        let now = clock.next(&mut before);
        shard.tick(now);
        shard.apply(now, &Shard::<Bank>::command_of(&mut before));
    }
    let mut images = vec![snapshot(&shard)];
    for _ in 0..tape.below(4) {
        let (what, at, by) = (tape.byte(), tape.byte(), tape.byte());
        let bytes = &mut images[0];
        let at = usize::from(at) % bytes.len().max(1);
        match what % 4 {
            0 if at < bytes.len() => bytes[at] ^= 1 << (by % 8),
            1 if at < bytes.len() => bytes[at] = by,
            2 => bytes.insert(at, by),
            3 if at < bytes.len() => _ = bytes.remove(at),
            _ => {}
        }
    }
    image(images.remove(0), tape);
}
