//! What was appended since the last sync, laid out as it will be written.

use crate::format::{FRAME_BYTES, FrameHeader, HEADER_BYTES, LEAD_BYTES, LENGTH_BYTES, Owner, padded};

/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 1 << 20;

/// Where a frame goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Behind the frame before it.
    Same,
    /// To the start of a new segment, made of this spare one.
    Rotated { spare: String },
}

/// A record from which on its group's are needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) owner: Owner,
    /// Its place in the frame.
    pub(crate) ordinal: u32,
}

/// A batch: room for its header, then its records.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) target: Target,
    bytes: Vec<u8>,
    /// Where the last whole record ends. An encoder that panics leaves bytes behind it.
    end: usize,
    records: u32,
    pub(crate) turns: Vec<Turn>,
    /// Room for this frame where it goes.
    room: u64,
}

impl Frame {
    /// Writes the header for its place and the oldest segment that is needed, and pads the frame to where the next one
    /// begins.
    pub(crate) fn seal(&mut self, seed: u32, position: u64, batch: u64, base: u64) -> &[u8] {
        self.bytes.truncate(self.end);
        self.bytes[FRAME_BYTES as usize..LEAD_BYTES as usize].copy_from_slice(&base.to_le_bytes());
        let body = &self.bytes[FRAME_BYTES as usize..];
        let header = FrameHeader {
            body_checksum: crc32fast::hash(body),
            body_bytes: body.len() as u32,
            records: self.records,
            batch,
        };
        self.bytes[..FRAME_BYTES as usize].copy_from_slice(&header.encode(seed, position));
        self.bytes.resize(header.frame_bytes() as usize, 0);
        &self.bytes
    }

    fn fits(&self, limit: u64) -> bool {
        padded(self.bytes.len() as u64) <= limit.min(self.room)
    }
}

/// Frames to be written, usually one. Each begins where it will be, so that nothing is copied at the sync.
pub(crate) struct Batch {
    pub(crate) frames: Vec<Frame>,
    buffer: Vec<u8>,
    /// Most bytes in one frame.
    limit: u64,
}

impl Batch {
    pub(crate) fn new(limit: u64) -> Self {
        Self { frames: Vec::new(), buffer: Vec::new(), limit }
    }

    /// Where the next record is put, and where it begins; `room` is what is left of the current segment.
    pub(crate) fn begin_record(&mut self, room: u64, owner: Owner) -> (&mut Vec<u8>, usize) {
        if self.frames.is_empty() {
            self.push(Target::Same, room);
        }
        let frame = self.frames.last_mut().expect("one was just made");
        let start = frame.end;
        frame.bytes.truncate(start);
        frame.bytes.extend([0; LENGTH_BYTES as usize]);
        owner.put(&mut frame.bytes);
        (&mut frame.bytes, start)
    }

    /// Ends the record that begins at `start`.
    pub(crate) fn end_record(&mut self, start: usize) {
        let frame = self.frames.last_mut().expect("the record began in it");
        let body = start + LENGTH_BYTES as usize;
        let length = frame.bytes.len() - body;
        // A length that does not fit is over the limit, so the record is taken back.
        frame.bytes[start..body].copy_from_slice(&(length as u32).to_le_bytes());
        frame.end = frame.bytes.len();
        frame.records += 1;
    }

    /// Notes that what a group needs begins with the last record.
    pub(crate) fn turn(&mut self, owner: Owner) {
        let frame = self.frames.last_mut().expect("the record is in it");
        frame.turns.push(Turn { owner, ordinal: frame.records - 1 });
    }

    /// Whether the last frame is still one that can be written where it goes.
    pub(crate) fn fits(&self) -> bool {
        self.frames.last().is_none_or(|frame| frame.fits(self.limit))
    }

    /// Whether the record that begins at `start` can go to a frame of its own in the same segment.
    pub(crate) fn has_room_behind(&self, start: usize) -> bool {
        let frame = self.frames.last().expect("the record began in it");
        let (before, record) = (padded(start as u64), (frame.bytes.len() - start) as u64);
        start > LEAD_BYTES as usize && before + padded(LEAD_BYTES + record) <= frame.room
    }

    /// Moves the record that begins at `start` to a frame of its own.
    pub(crate) fn split(&mut self, start: usize, target: Target, segment_bytes: u64) {
        let last = self.frames.last_mut().expect("the record began in it");
        let room = match target {
            Target::Same => last.room - padded(start as u64),
            Target::Rotated { .. } => segment_bytes - HEADER_BYTES,
        };
        if start == LEAD_BYTES as usize {
            assert!(matches!(last.target, Target::Same), "a new segment has room for any record");
            (last.target, last.room) = (target, room);
            return;
        }
        let record = last.bytes.split_off(start);
        last.end = start;
        last.records -= 1;
        self.push(target, room);
        let frame = self.frames.last_mut().expect("one was just made");
        frame.bytes.extend(record);
        frame.end = frame.bytes.len();
        frame.records = 1;
    }

    /// Takes back the record that begins at `start`.
    pub(crate) fn drop_record(&mut self, start: usize) {
        let frame = self.frames.last_mut().expect("the record began in it");
        frame.bytes.truncate(start);
        frame.end = start;
        frame.records -= 1;
        if frame.records == 0 {
            self.frames.pop();
        }
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.iter().all(|frame| frame.records == 0)
    }

    /// Keeps the buffer of a frame that was written.
    pub(crate) fn reuse(&mut self, frame: Frame) {
        if frame.bytes.capacity() <= KEPT_BYTES {
            self.buffer = frame.bytes;
        }
    }

    fn push(&mut self, target: Target, room: u64) {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        bytes.resize(LEAD_BYTES as usize, 0);
        self.frames.push(Frame { target, end: bytes.len(), bytes, records: 0, turns: Vec::new(), room });
    }
}
