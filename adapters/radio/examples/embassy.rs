//! Three nodes of a lock table as tasks of embassy: each sleeps until a frame comes or its next moment has come.
//!
//! ```text
//! cargo run -p quorate-radio --example embassy
//! ```
//!
//! Runs on the host, with flash in memory and a radio that is three queues. On a chip the same task runs with the
//! chip's flash and radio: its interrupt puts frames into the queue and signals `HEARD`.

#[path = "../tests/support/nor.rs"]
#[allow(dead_code, reason = "the tests break it, this does not")]
mod nor;

use core::time::Duration;
use embassy_executor::{Executor, Spawner};
use embassy_futures::select::select;
use embassy_sync::{
    blocking_mutex::raw::CriticalSectionRawMutex, channel::Channel, mutex::Mutex, signal::Signal,
};
use embassy_time::Timer;
use nor::Nor;
use quorate::Blank;
use quorate::lock::{Command, Table, Ttl};
use quorate::replicated::{Outcome, Request};
use quorate::space::Fixed;
use quorate::{ClusterId, Instant, NodeId, Replicated};
use quorate_radio::{
    Flash, FlashOptions, Link, LinkConfig, Node, Phy, Radio, SendError, Store, Told, settings,
};

type Machine = Replicated<Table<Fixed<3, 32>, 8, 8, 8, 32>, Fixed<3, 32, 64, 8>, 4, 8>;
type Frame = heapless::Vec<u8, 127>;

/// Frames on their way to each board: what a chip's interrupt fills.
static INBOXES: [Channel<CriticalSectionRawMutex, Frame, 8>; 3] = [const { Channel::new() }; 3];
static HEARD: [Signal<CriticalSectionRawMutex, ()>; 3] = [const { Signal::new() }; 3];
/// How many sessions were opened. The example is over with the third.
static OPENED: Mutex<CriticalSectionRawMutex, u32> = Mutex::new(0);

/// A radio that every other board hears.
struct Port(usize);

impl Radio for Port {
    type Error = ();

    fn mtu(&self) -> usize {
        127
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<()>> {
        for to in (0..3).filter(|to| *to != self.0) {
            // What does not fit is lost, as frames are.
            if let Ok(frame) = Frame::from_slice(frame) {
                let _ = INBOXES[to].try_send(frame);
                HEARD[to].signal(());
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ()> {
        let Ok(frame) = INBOXES[self.0].try_receive() else { return Ok(None) };
        let Some(room) = buffer.get_mut(..frame.len()) else { return Ok(None) };
        room.copy_from_slice(&frame);
        Ok(Some(frame.len()))
    }
}

fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

#[embassy_executor::task(pool_size = 3)]
async fn board(at: usize) {
    let voters = [1, 2, 3].map(NodeId::new);
    let (cluster, id) = (ClusterId::new(7), voters[at]);
    let options =
        FlashOptions { cluster, node: id, from: 0, pages: 40, record_bytes: 3_072, snapshot_bytes: 2_048 };
    let flash = Flash::open(Nor::<4, 1024>::new(40, 1), options).expect("the flash is blank");
    let config = LinkConfig::new(cluster, id, flash.epoch(), Phy::IEEE_802_15_4);
    // On a chip: mixed with whatever chance there is. It must differ from life to life.
    let seed = u64::from(flash.epoch()) << 32 | id.get();

    let mut link = Link::<4, 1024, 512>::new(config, seed).expect("sound settings");
    let mut place = Blank::<Machine>::new(&settings(id, &voters), now());
    let mut scratch = [0; 4096];
    let mut node = Node::new(&mut link, Port(at), flash, &mut scratch);
    node.start(&mut place, seed).expect("the store is sound");

    let (mut asked, mut opened) = (None, false);
    loop {
        if asked.is_none() && !opened {
            let ttl = Ttl::new(Duration::from_secs(10)).expect("within the limits");
            let open = Request::Command(Command::Open { client: id.get(), ttl });
            asked = node.request(now(), open).and_then(Result::ok);
        }
        let before = opened;
        let turned = node.turn(now(), |told| {
            if let Told::Ended { outcome, .. } = told {
                println!("board {}: {outcome:?}", at + 1);
                opened = matches!(outcome, Outcome::Replied { .. });
                asked = None;
            }
        });
        if opened && !before {
            *OPENED.lock().await += 1;
        }
        let deadline = turned.expect("neither flash nor radio fail here");
        let wake = deadline.map_or(u64::MAX, Instant::as_micros);
        select(Timer::at(embassy_time::Instant::from_micros(wake)), HEARD[at].wait()).await;
    }
}

#[embassy_executor::task]
async fn done() {
    for _ in 0..600 {
        Timer::after_millis(50).await;
        if *OPENED.lock().await == 3 {
            println!("each board has a session");
            std::process::exit(0);
        }
    }
    println!("no leader within 30 seconds");
    std::process::exit(1);
}

fn main() {
    let executor = Box::leak(Box::new(Executor::new()));
    executor.run(|spawner: Spawner| {
        (0..3).for_each(|at| spawner.spawn(board(at).expect("there is room for three")));
        spawner.spawn(done().expect("there is room for one"));
    });
}
