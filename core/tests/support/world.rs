//! Some nodes, what they store and the frames between them, in bounded memory and without an allocator: the same
//! world on a server, in every build, and on a chip. A seed decides which frames are lost, doubled and late, and who
//! crashes; all that the machines say goes into a digest.

use core::fmt::{self, Write as _};
use quorate::codec::{Counter, Full, Sink};
use quorate::{Done, Errand, Fault, Hosted, Input, Instant, Machine, NodeId, Output, Place, Records, Rng};
use quorate::{Position, SnapshotId, Stored};

/// Bytes of the longest message, of what a node's log holds, and of a snapshot.
const MESSAGE: usize = 256;
const LOG: usize = 3072;
const IMAGE: usize = 1024;
/// Frames that are on their way.
const FLYING: usize = 16;

type Bytes<const N: usize> = heapless::Vec<u8, N>;

/// FNV-1a over all that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Sink for Digest {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|Full| fmt::Error)
    }
}

/// What one node stores. All of it is durable at once, and outlives the machine.
struct Disk {
    log: Bytes<LOG>,
    snapshots: heapless::Vec<(SnapshotId, Bytes<IMAGE>), 2>,
    kept: Option<SnapshotId>,
}

impl Disk {
    const EMPTY: Self = Self { log: Bytes::new(), snapshots: heapless::Vec::new(), kept: None };

    fn clear(&mut self) {
        self.log.clear();
        self.snapshots.clear();
        self.kept = None;
    }

    fn append(&mut self, put: impl FnOnce(&mut Bytes<LOG>) -> Result<(), Full>) {
        let start = self.log.len();
        let stored = self.log.put(&[0; 2]).and_then(|()| put(&mut self.log));
        assert!(stored.is_ok(), "the log of this world is too short");
        let len = (self.log.len() - start - 2) as u16;
        self.log[start..start + 2].copy_from_slice(&len.to_le_bytes());
    }

    /// Room for a snapshot; what the log does not go on from makes way.
    fn snapshot(&mut self, of: SnapshotId) -> &mut Bytes<IMAGE> {
        let kept = self.kept;
        self.snapshots.retain(|(id, _)| *id == of || Some(*id) == kept);
        if !self.snapshots.iter().any(|(id, _)| *id == of) {
            let fits = self.snapshots.push((of, Bytes::new())).is_ok();
            assert!(fits, "there is room for two");
        }
        let found = self.snapshots.iter_mut().find(|(id, _)| *id == of);
        &mut found.expect("it is there").1
    }

    fn read(&self, of: SnapshotId) -> Option<&[u8]> {
        self.snapshots.iter().find(|(id, _)| *id == of).map(|(_, bytes)| &bytes[..])
    }
}

struct Replay<'d>(&'d [u8]);

impl Records for Replay<'_> {
    fn try_for_each_record(self, mut show: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut rest = self.0;
        while let Some((len, behind)) = rest.split_first_chunk::<2>() {
            let (record, behind) = behind.split_at(usize::from(u16::from_le_bytes(*len)));
            show(record)?;
            rest = behind;
        }
        Ok(())
    }
}

struct Frame {
    from: usize,
    to: usize,
    bytes: Bytes<MESSAGE>,
}

/// An errand to be finished once the machine is no longer lent.
enum Task {
    Written(SnapshotId),
    Read { to: NodeId, of: SnapshotId, offset: u64, len: usize },
    Load(SnapshotId),
}

/// Somebody who watches each call of a machine.
pub trait Watch {
    /// Makes a call.
    fn around<R>(&mut self, call: impl FnOnce() -> R) -> R;
}

/// Nobody.
impl Watch for () {
    fn around<R>(&mut self, call: impl FnOnce() -> R) -> R {
        call()
    }
}

/// What has happened, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub messages: u32,
    pub records: u32,
    pub events: u32,
    pub images: u32,
    pub loads: u32,
    pub crashes: u32,
}

impl Counts {
    const NONE: Self = Self { messages: 0, records: 0, events: 0, images: 0, loads: 0, crashes: 0 };
}

/// The world.
pub struct World<M: Hosted, const NODES: usize, W: Watch = ()> {
    nodes: [Option<M>; NODES],
    disks: [Disk; NODES],
    settings: fn(NodeId) -> M::Settings,
    flying: heapless::Deque<Frame, FLYING>,
    now: Instant,
    rng: Rng,
    digest: Digest,
    pub counts: Counts,
    pub watch: W,
}

impl<M: Hosted, const NODES: usize, W: Watch> World<M, NODES, W>
where
    for<'a> M::Event<'a>: fmt::Debug,
{
    /// A world without nodes; `settings` are theirs, from 1 on.
    pub const fn new(settings: fn(NodeId) -> M::Settings, watch: W) -> Self {
        Self {
            nodes: [const { None }; NODES],
            disks: [const { Disk::EMPTY }; NODES],
            settings,
            flying: heapless::Deque::new(),
            now: Instant::from_micros(0),
            rng: Rng::new(0),
            digest: Digest::new(),
            counts: Counts::NONE,
            watch,
        }
    }

    /// Runs some steps of the course that `seed` decides, from the beginning. `ask` makes requests, of any node it likes.
    pub fn run(&mut self, seed: u64, steps: u32, mut ask: impl FnMut(&mut Rng, Instant, &mut M)) -> Digest {
        (self.rng, self.now) = (Rng::new(seed), Instant::default());
        (self.digest, self.counts) = (Digest::new(), Counts::NONE);
        self.flying.clear();
        for at in 0..NODES {
            self.disks[at].clear();
            self.restart(at);
        }
        for _ in 0..steps {
            match self.rng.below(100) {
                0 => {
                    let at = self.pick();
                    self.counts.crashes += 1;
                    self.restart(at);
                }
                1..15 => self.advance(),
                15..30 => {
                    let at = self.pick();
                    if let Some(machine) = &mut self.nodes[at] {
                        let Self { rng, now, watch, .. } = self;
                        watch.around(|| ask(rng, *now, machine));
                    }
                    self.drain(at);
                }
                _ => self.deliver(),
            }
        }
        self.digest
    }

    /// The nodes.
    #[allow(dead_code, reason = "not everybody looks")]
    pub fn nodes(&self) -> impl Iterator<Item = &M> {
        self.nodes.iter().flatten()
    }

    fn pick(&mut self) -> usize {
        self.rng.below(NODES as u64) as usize
    }

    /// Starts a node, anew if it runs, from what it stores.
    fn restart(&mut self, at: usize) {
        let id = NodeId::new(at as u64 + 1);
        let disk = &self.disks[at];
        let mut found = heapless::Vec::<_, 2>::new();
        for (of, bytes) in &disk.snapshots {
            let fits = found.push((*of, bytes.len() as u64)).is_ok();
            assert!(fits, "there are two at most");
        }
        let stored = Stored { records: Replay(&disk.log), snapshots: &found };
        // Not `restore`: that one would be moved into its place.
        self.nodes[at] = None;
        let Self { nodes, watch, settings, now, .. } = self;
        let machine = watch.around(|| nodes[at].insert(M::blank(&settings(id), *now)));
        let seed = self.rng.next();
        let restored = watch.around(|| machine.take_in(seed, stored));
        assert!(restored.is_ok(), "a node is restored from its own records");
        self.drain(at);
    }

    /// Lets time pass, to the next deadline or a little.
    fn advance(&mut self) {
        let deadlines = self.nodes.iter().flatten().filter_map(Machine::deadline);
        let next = deadlines.min().map_or(0, |next| next.as_micros().saturating_sub(self.now.as_micros()));
        let micros = next.min(1_000 + self.rng.below(50_000));
        self.now = Instant::from_micros(self.now.as_micros() + micros);
        for at in 0..NODES {
            if let Some(machine) = &mut self.nodes[at] {
                self.watch.around(|| machine.handle(self.now, Input::Wake));
            }
            self.drain(at);
        }
    }

    /// Delivers a frame, mostly: some are lost, some doubled, some late.
    fn deliver(&mut self) {
        let Some(frame) = self.flying.pop_front() else { return self.advance() };
        match self.rng.below(20) {
            0 => return,
            1 => {
                let again = Frame { bytes: frame.bytes.clone(), ..frame };
                let _ = self.flying.push_back(again);
            }
            2 => {
                let _ = self.flying.push_back(frame);
                return;
            }
            _ => {}
        }
        let from = NodeId::new(frame.from as u64 + 1);
        if let Some(machine) = &mut self.nodes[frame.to] {
            let message = M::take_message(&frame.bytes);
            assert!(message.is_ok(), "what a machine encodes can be decoded");
            if let Ok(message) = message {
                self.watch.around(|| machine.handle(self.now, Input::Message { from, message }));
            }
        }
        self.drain(frame.to);
    }

    /// Polls a machine until it has nothing more to say.
    fn drain(&mut self, at: usize) {
        loop {
            let task = self.drain_to_errand(at);
            let (Some(machine), disk) = (&mut self.nodes[at], &self.disks[at]) else { return };
            let done = match &task {
                None => return,
                Some(Task::Written(of)) => Some(Done::Written(*of)),
                Some(Task::Load(of)) => disk.read(*of).map(|bytes| Done::Loaded { of: *of, bytes }),
                Some(Task::Read { to, of, offset, len }) => disk
                    .read(*of)
                    .and_then(|bytes| bytes.get(*offset as usize..*offset as usize + *len))
                    .map(|bytes| Done::Read { to: *to, of: *of, offset: *offset, bytes }),
            };
            if let Some(done) = done {
                let finished = self.watch.around(|| machine.finish(self.now, done));
                assert!(finished.is_ok(), "what a machine wrote can be read");
            }
        }
    }

    /// Polls a machine until it has nothing more to say, or has an errand.
    fn drain_to_errand(&mut self, at: usize) -> Option<Task> {
        let Self { nodes, disks, flying, digest, counts, now, watch, .. } = self;
        let (machine, disk) = (nodes[at].as_mut()?, &mut disks[at]);
        let mut receipt = None;
        loop {
            if let Some(receipt) = receipt.take() {
                watch.around(|| machine.handle(*now, Input::Saved(receipt)));
            }
            let _ = digest.put(&[at as u8]);
            match watch.around(|| machine.poll())? {
                Output::Save(write) => {
                    counts.records += 1;
                    let saved = write.commit(|record| {
                        M::put_record(&record, digest)?;
                        store::<M>(disk, &record);
                        Ok::<_, Full>(())
                    });
                    receipt = saved.ok();
                }
                Output::Send { to, message } => {
                    counts.messages += 1;
                    let mut bytes = Bytes::new();
                    let fits = M::put_message(&message, &mut bytes).is_ok();
                    assert!(fits, "a message fits its frame");
                    let _ = digest.put(&bytes);
                    // A full network loses frames, as any does.
                    let _ = flying.push_back(Frame { from: at, to: to.get() as usize - 1, bytes });
                }
                Output::Event(event) => {
                    counts.events += 1;
                    let _ = write!(digest, "{event:?}");
                    if let Some(errand) = M::errand(&event) {
                        return Some(run(disk, counts, errand));
                    }
                }
            }
        }
    }
}

/// Puts a record where it belongs.
fn store<M: Hosted>(disk: &mut Disk, record: &M::Record<'_>) {
    match M::place(record) {
        Place::Log => disk.append(|log| M::put_record(record, log)),
        Place::Restart { keep } => {
            disk.log.clear();
            disk.kept = keep;
            disk.append(|log| M::put_record(record, log));
            disk.snapshots.retain(|(id, _)| Some(*id) == keep);
        }
        Place::Snapshot { of, offset, bytes } => {
            let image = disk.snapshot(of);
            image.truncate(offset as usize);
            let fits = image.put(bytes).is_ok();
            assert!(fits, "a snapshot fits");
        }
    }
}

/// Does what has to be done while the machine is lent.
fn run(disk: &mut Disk, counts: &mut Counts, errand: Errand<'_>) -> Task {
    match errand {
        Errand::Write { at, image, .. } => {
            counts.images += 1;
            Task::Written(write_image(disk, at, image))
        }
        Errand::Read { to, of, offset, len } => Task::Read { to, of, offset, len },
        Errand::Load { of } => {
            counts.loads += 1;
            Task::Load(of)
        }
    }
}

fn write_image(disk: &mut Disk, at: Position, image: &dyn quorate::Image) -> SnapshotId {
    let mut counter = Counter::default();
    let counted = image.write(&mut counter).is_ok();
    let of = SnapshotId::new(at, counter.0 as u64);
    let bytes = disk.snapshot(of);
    bytes.clear();
    let fits = counted && image.write(bytes).is_ok();
    assert!(fits, "a snapshot fits");
    of
}
