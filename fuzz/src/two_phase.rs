//! A node of two-phase commit, whose application answers as a tape says and whose peers say whatever they like.

mod life;
mod says;

use crate::Tape;
use crate::live::Bytes;
use life::{Disk, Life};
use quorate::codec::VERSION;
use quorate::space::{Fixed, Heap};

/// So little room that it runs out.
type Inline = Fixed<3, 4>;
type Allocated = Heap<3, 4>;

/// More steps than tell anything new.
const MOST_STEPS: usize = 300;
/// The heap that a restore may take for each byte that it is shown, and besides.
const BYTES_EACH: u64 = 256;
const BYTES_BESIDES: u64 = 32 * 1024;

/// A byte for what is restored, and the rest for what happens to it.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.byte() % 6 {
        0 | 1 => twins(tape),
        2 => alone(tape),
        3 => raw(tape),
        4 => damaged(tape),
        _ => any(tape),
    }
}

/// A new node, inline and on the heap: the same comes of both.
fn twins(mut tape: Tape<'_>) {
    let mut inline = Life::<Inline>::new();
    let mut allocated = Life::<Allocated>::new();
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            break;
        }
        let mut same = tape;
        inline.step(&mut tape);
        allocated.step(&mut same);
        assert_eq!(inline.said, allocated.said, "what is said depends on the space");
        inline.said.clear();
        allocated.said.clear();
    }
    inline.end();
    allocated.end();
    assert_eq!(inline.said, allocated.said, "what is said depends on the space");
}

/// A new node, and nothing besides.
fn alone(mut tape: Tape<'_>) {
    let mut life = Life::<Allocated>::new();
    go_on(&mut life, &mut tape);
    life.end();
}

fn go_on(life: &mut Life<Allocated>, tape: &mut Tape<'_>) {
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            return;
        }
        life.step(tape);
        life.said.clear();
    }
}

/// A node from these records, if it is one: then it goes on, and need only not come to grief.
fn restored(disk: Disk, mut tape: Tape<'_>) {
    let bytes: usize = disk.iter().map(|(_, record)| record.len()).sum();
    let mut life = None;
    let used = allocation_counter::measure(|| life = Life::restored(&disk));
    let limit = BYTES_BESIDES + BYTES_EACH * bytes as u64;
    assert!(used.bytes_max <= limit, "{} bytes of memory for {bytes} bytes", used.bytes_max);
    if let Some(mut life) = life {
        go_on(&mut life, &mut tape);
        life.end();
    }
}

/// Records of any bytes.
fn raw(mut tape: Tape<'_>) {
    let count = tape.below(6);
    let records = (0..count).map(|_| {
        let record = tape.slice().to_vec();
        (u64::from(record.first().copied().unwrap_or_default()), record)
    });
    restored(records.collect(), tape);
}

/// What a node wrote, and then something happened to it.
fn damaged(mut tape: Tape<'_>) {
    let mut before = Tape::new(tape.slice());
    let mut life = Life::<Allocated>::new();
    go_on(&mut life, &mut before);
    let groups: Vec<u64> = life.disk().iter().map(|(group, _)| *group).collect();
    let mut records: Vec<Vec<u8>> = life.disk().into_iter().map(|(_, record)| record).collect();
    crate::records::damage(&mut tape, &mut records);
    let group = |(at, record): (usize, Vec<u8>)| (groups.get(at).copied().unwrap_or_default(), record);
    restored(records.into_iter().enumerate().map(group).collect(), tape);
}

/// Well-formed records that need not fit each other.
fn any(mut tape: Tape<'_>) {
    let mut disk = Disk::new();
    for _ in 0..tape.below(10) {
        let (side, mut record) = (tape.one(&[1, 1, 0_u8]), Vec::new());
        record.extend([side, VERSION]);
        if tape.byte() < 32 {
            record.push(8);
            (0..tape.below(4)).for_each(|_| says::put_record(&mut tape, side, &mut record));
        } else {
            says::put_record(&mut tape, side, &mut record);
        }
        disk.push((side.into(), record));
    }
    restored(disk, tape);
}

/// What a node has to do: so much, in bytes.
type Work = Bytes;
