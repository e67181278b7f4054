//! Clients of the front end, who say anything in pieces of any size: each request gets one reply, and memory is bounded.

mod client;
mod words;

use crate::Tape;
use client::{Client, Replies};
use quorate::NodeId;
use quorate_server::{Front, Members, Single};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// What a connection and a small store may take of the heap.
const MOST_BYTES: u64 = 4 << 20;
/// Less than a connection reads ahead while its client waits for a lock: so the end of the input is always seen.
const MOST_INPUT: usize = 12 * 1024;

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().build().expect("a runtime without threads");
}

/// A byte for how the rest is to be taken: as it is, or as commands.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let what = tape.byte();
    // As many bytes as this arrive at a time.
    let piece = [usize::MAX, 1, 7, 100][usize::from(what >> 1) % 4];
    if what & 1 == 0 {
        let all = tape.rest();
        converse(&all[..all.len().min(MOST_INPUT)], piece);
        return;
    }
    let asked = words::requests(&mut tape, MOST_INPUT);
    let replies = converse(&asked.bytes, piece);
    assert!(replies <= asked.count, "{replies} replies to {} requests", asked.count);
    assert!(replies == asked.count || asked.may_end, "{replies} replies to {} requests", asked.count);
}

/// Serves a client that says this and hangs up; tells how many replies it got.
fn converse(input: &[u8], piece: usize) -> usize {
    let mut replies = Replies::default();
    // The runtime's own memory is not the connection's.
    RUNTIME.with(|runtime| runtime.block_on(async {}));
    let used = allocation_counter::measure(|| {
        let members = [(NodeId::new(1), Some("localhost:6379".to_owned())), (NodeId::new(2), None)];
        let front = Front::new(Arc::new(Single::default()), Members::new(NodeId::new(1), members));
        let (_stop, stopped) = watch::channel(false);
        let client = Client::new(input, piece, &mut replies);
        let served = RUNTIME.with(|runtime| runtime.block_on(front.converse(client, 1, stopped)));
        served.expect("this stream does not fail");
    });
    assert!(used.bytes_max < MOST_BYTES, "{} bytes of memory", used.bytes_max);
    replies.count()
}
