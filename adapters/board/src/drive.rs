//! A driver with nothing behind it: frames and records come from where the compiler cannot see, and go there.

use core::hint::black_box;
use quorate::Blank;
use quorate::codec::{self, Full, Header, Sink};
use quorate::{
    ClusterId, Done, Errand, Fault, Hosted, Input, Instant, NodeId, Output, Place, Records, SnapshotId,
    Stored,
};

type Frame = heapless::Vec<u8, 256>;

struct Nowhere;

impl Sink for Nowhere {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        black_box(bytes);
        if black_box(false) { Err(Full) } else { Ok(()) }
    }
}

struct Somewhere;

impl Records for Somewhere {
    fn try_for_each_record(self, mut show: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        while black_box(false) {
            show(black_box(&[]))?;
        }
        Ok(())
    }
}

/// Restores a machine in its place and runs it, for ever.
pub fn forever<M: Hosted>(place: &mut Blank<M>, mut ask: impl FnMut(&mut M, Instant)) -> ! {
    let snapshots: &[(SnapshotId, u64)] = black_box(&[]);
    let stored = Stored { records: Somewhere, snapshots };
    if let Ok(machine) = place.restore(black_box(1), stored) {
        loop {
            ask(machine, now());
            machine.handle(now(), Input::Wake);
            take_frame(machine);
            if drain(machine).is_err() {
                break;
            }
            let _ = black_box(machine.deadline());
        }
    }
    loop {
        cortex_m::asm::wfi();
    }
}

fn now() -> Instant {
    Instant::from_micros(black_box(1))
}

fn take_frame<M: Hosted>(machine: &mut M) {
    let frame: &[u8] = black_box(&[]);
    if let Ok((from, body)) = codec::open(frame, ClusterId::new(7), NodeId::new(1))
        && let Ok(message) = M::take_message(body)
    {
        machine.handle(now(), Input::Message { from, message });
    }
}

fn drain<M: Hosted>(machine: &mut M) -> Result<(), Fault> {
    loop {
        let mut receipt = None;
        let mut task = None;
        match machine.poll() {
            None => return Ok(()),
            Some(Output::Save(write)) => {
                receipt = write
                    .commit(|record| match M::place(&record) {
                        Place::Log | Place::Restart { .. } => M::put_record(&record, &mut Nowhere),
                        Place::Snapshot { bytes, .. } => Nowhere.put(bytes),
                    })
                    .ok();
            }
            Some(Output::Send { to, message }) => {
                let mut frame = Frame::new();
                let header = Header { cluster: ClusterId::new(7), from: NodeId::new(1), to };
                let sealed = codec::seal(&mut frame, header, |frame| M::put_message(&message, frame));
                black_box((sealed.is_ok(), &frame));
            }
            Some(Output::Event(event)) => {
                black_box(&event);
                task = M::errand(&event).map(|errand| match errand {
                    Errand::Write { at, image, .. } => {
                        black_box(image.write(&mut Nowhere).is_ok());
                        Done::Written(SnapshotId::new(at, black_box(1)))
                    }
                    Errand::Read { to, of, offset, .. } => {
                        Done::Read { to, of, offset, bytes: black_box(&[]) }
                    }
                    Errand::Load { of } => Done::Loaded { of, bytes: black_box(&[]) },
                });
            }
        }
        if let Some(receipt) = receipt {
            machine.handle(now(), Input::Saved(receipt));
        }
        if let Some(done) = task {
            machine.finish(now(), done)?;
        }
    }
}
