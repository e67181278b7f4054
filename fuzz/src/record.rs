//! A restore from records and snapshots of any kind: a fault, or a machine that goes on.

use crate::Tape;
use crate::asks::Asked;
use crate::frame::{Locks, Plain, Service};
use crate::live::{Live, Subject};
use crate::records::{self, Story};
use crate::store::Store;
use quorate::keyspace::Keyspace;
use quorate::space::Heap;
use quorate::{Both, Fault, Index, Instant, Moment, Timestamp, lock};

type Table = lock::Table<Heap<1, 1>, 4, 3, 4>;

/// The heap that a restore may take for each byte that it is shown, and besides.
const BYTES_EACH: u64 = 256;
const BYTES_BESIDES: u64 = 64 * 1024;

/// A byte for what is restored and from what, and the rest.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.byte() % 12 {
        0 => raw::<Plain>(tape),
        1 => raw::<Locks>(tape),
        2 => raw::<Service>(tape),
        3 => told::<Plain>(tape),
        4 => told::<Locks>(tape),
        5 => told::<Service>(tape),
        6 => any::<Plain>(tape),
        7 => any::<Locks>(tape),
        8 => any::<Service>(tape),
        9 => state::<Table>(tape),
        10 => state::<Keyspace<2_000>>(tape),
        _ => state::<Both<Keyspace<2_000>, Table>>(tape),
    }
}

/// Runs what takes bytes of this length in, and looks at what it takes for it.
fn bounded<T>(bytes: usize, restore: impl FnOnce() -> T) -> T {
    let mut restored = None;
    let used = allocation_counter::measure(|| restored = Some(restore()));
    let limit = BYTES_BESIDES + BYTES_EACH * bytes as u64;
    assert!(used.bytes_max <= limit, "{} bytes of memory for {bytes} bytes", used.bytes_max);
    restored.expect("it was run")
}

/// A machine from a store, which then goes on as the tape says.
fn go_on<M: Subject>(store: Store, mut tape: Tape<'_>) -> Result<(), Fault> {
    let bytes = store.records.iter().map(Vec::len).sum();
    let machine = bounded(bytes, || store.restore::<M>(1, Instant::default()))?;
    Live::of(machine, store).run(&mut tape);
    Ok(())
}

/// Records of any bytes.
fn raw<M: Subject>(mut tape: Tape<'_>) {
    let count = tape.below(6);
    let records = (0..count).map(|_| tape.slice().to_vec()).collect();
    let _ = go_on::<M>(Store { records, ..Store::default() }, tape);
}

/// Well-formed records that need not fit each other.
fn any<M: Subject>(mut tape: Tape<'_>) {
    let mut store = Store::default();
    for _ in 0..tape.below(8) {
        let mut record = Vec::new();
        records::put_any::<M>(&mut tape, &mut record);
        store.records.push(record);
    }
    let _ = go_on::<M>(store, tape);
}

/// Records that hold together, and what becomes of them.
fn told<M: Subject>(mut tape: Tape<'_>) {
    let mut story = Story::of::<M>(&mut tape);
    if records::damage(&mut tape, &mut story.store.records) {
        let _ = go_on::<M>(story.store, tape);
        return;
    }
    match story.store.restore::<M>(1, Instant::default()) {
        Ok(machine) => {
            let status = machine.status();
            assert_eq!(status.last.get(), story.last(), "the log is all there");
            assert_eq!(status.term.get(), story.term, "the term is the last one told");
            Live::of(machine, story.store).run(&mut tape);
        }
        Err(Fault::TooLong { window }) => assert!(story.longest > window, "there was room"),
        Err(fault) => panic!("{fault}"),
    }
}

/// The state of an application from any bytes, which then goes on as others say.
fn state<A: Asked>(mut tape: Tape<'_>) {
    let bytes = tape.slice();
    let Ok(mut restored) = bounded(bytes.len(), || A::restore(bytes)) else { return };
    restored.assert_sound();
    let (mut image, mut again) = (Vec::new(), Vec::new());
    restored.snapshot(&mut image).expect("a vector is never full");
    let twin = A::restore(&image).expect("what was written can be read");
    twin.snapshot(&mut again).expect("a vector is never full");
    assert_eq!(image, again, "equal states have equal bytes");
    let (mut index, mut time) = (100, Timestamp::default());
    while !tape.is_over() {
        index += 1;
        time = time.after(std::time::Duration::from_millis(tape.number()));
        let now = Moment { index: Index::new(index), time };
        restored.tick(now);
        let _ = restored.apply(now, &A::command_of(&mut tape));
        let _ = restored.query(time, &A::query_of(&mut tape));
        while restored.notice().is_some() {}
        restored.assert_sound();
    }
}
