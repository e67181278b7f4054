//! The bytes of a frame.
//!
//! ```text
//! what u8 | cluster | from | to | epoch | counter | [back | place u8] | message, or a piece of it | crc32 u32
//! ```
//!
//! Numbers are postcard's (seven bits a byte, lowest first), the checksum is little-endian. Nothing is shortened, so no
//! two clusters or nodes are ever mistaken for each other. An authenticated frame has a byte that tells keys apart
//! before the message, and a tag of 16 bytes in place of the checksum. `docs/wire.md` has the table.

use crate::Kind;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use quorate::codec::{self, Full, Sink, VERSION};
use quorate::{ClusterId, NodeId};

/// Bytes of the checksum.
pub(crate) const CHECKSUM: usize = 4;

// Bit by bit: a frame takes longer on the air than its checksum on the slowest chip, and a table takes a kilobyte.
static CRC: Crc<u32, Table<0>> = Crc::<u32, Table<0>>::new(&CRC_32_ISO_HDLC);

/// What is before the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whether the frame is authenticated.
    pub sealed: bool,
    /// What the message is.
    pub kind: Kind,
    /// The cluster of both.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The addressee.
    pub to: NodeId,
    /// The life of the sender.
    pub epoch: u32,
    /// Which of the frames of this life it is.
    pub counter: u64,
    /// Which piece of a message it holds, if not a whole one.
    pub piece: Option<Piece>,
}

/// Where a piece belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// How many frames ago the first piece of the message was sent. So the counter less this names the message.
    pub back: u64,
    /// How many pieces are before it.
    pub index: u8,
    /// Whether none follows.
    pub last: bool,
}

impl Piece {
    /// The most pieces of a message.
    pub const MOST: u8 = 0x7F;
}

/// Bytes that are no frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// Cut short, or not what the format says.
    Damaged,
    /// Of another version.
    Version,
}

const SEALED: u8 = 0x80;
const PIECE: u8 = 0x40;
const KIND: u8 = 0x30;
const LOW: u8 = 0x0F;
const LAST: u8 = 0x80;

/// Whether a frame says that it is authenticated; noise may.
pub(crate) fn says_sealed(frame: &[u8]) -> bool {
    frame.first().is_some_and(|what| what & SEALED != 0)
}

impl Header {
    pub fn put(&self, sink: &mut impl Sink) -> Result<(), Full> {
        let sealed = if self.sealed { SEALED } else { 0 };
        let piece = if self.piece.is_some() { PIECE } else { 0 };
        sink.put(&[sealed | piece | self.kind.bits() | (VERSION & LOW)])?;
        let numbers =
            [self.cluster.get(), self.from.get(), self.to.get(), u64::from(self.epoch), self.counter];
        for number in numbers {
            codec::put(&number, sink)?;
        }
        if let Some(Piece { back, index, last }) = self.piece {
            codec::put(&back, sink)?;
            sink.put(&[if last { LAST } else { 0 } | (index & Piece::MOST)])?;
        }
        Ok(())
    }

    /// How many bytes it takes.
    pub fn len(&self) -> Option<usize> {
        let mut counter = codec::Counter(0);
        self.put(&mut counter).is_ok().then_some(counter.0)
    }

    /// The header of a frame; `frame` moves past it.
    pub fn take(frame: &mut &[u8]) -> Result<Self, NoFrame> {
        let what = take_byte(frame)?;
        if what & LOW != VERSION & LOW {
            return Err(NoFrame::Version);
        }
        let kind = Kind::of_bits(what & KIND).ok_or(NoFrame::Damaged)?;
        let mut number = || codec::take::<u64>(frame).map_err(|_| NoFrame::Damaged);
        let (cluster, from, to) = (ClusterId::new(number()?), NodeId::new(number()?), NodeId::new(number()?));
        let epoch = u32::try_from(number()?).map_err(|_| NoFrame::Damaged)?;
        let counter = number()?;
        let piece = if what & PIECE == 0 { None } else { Some(take_piece(frame, counter)?) };
        Ok(Self { sealed: what & SEALED != 0, kind, cluster, from, to, epoch, counter, piece })
    }
}

fn take_piece(frame: &mut &[u8], counter: u64) -> Result<Piece, NoFrame> {
    let back = codec::take::<u64>(frame).map_err(|_| NoFrame::Damaged)?;
    let place = take_byte(frame)?;
    // Before the first frame of a life there was none.
    if back > counter {
        return Err(NoFrame::Damaged);
    }
    Ok(Piece { back, index: place & Piece::MOST, last: place & LAST != 0 })
}

fn take_byte(frame: &mut &[u8]) -> Result<u8, NoFrame> {
    let (&byte, rest) = frame.split_first().ok_or(NoFrame::Damaged)?;
    *frame = rest;
    Ok(byte)
}

impl Kind {
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Peer => 0x00,
            Self::Ask => 0x10,
            Self::Answer => 0x20,
        }
    }

    pub(crate) const fn of_bits(bits: u8) -> Option<Self> {
        match bits {
            0x00 => Some(Self::Peer),
            0x10 => Some(Self::Ask),
            0x20 => Some(Self::Answer),
            _ => None,
        }
    }
}

/// Appends the checksum of all that `frame` holds.
pub(crate) fn close<F: Sink + AsRef<[u8]>>(frame: &mut F) -> Result<(), Full> {
    let sum = CRC.checksum(frame.as_ref());
    frame.put(&sum.to_le_bytes())
}

/// What is before the checksum, if that matches.
pub(crate) fn open(frame: &[u8]) -> Option<&[u8]> {
    let (content, sum) = frame.split_last_chunk::<CHECKSUM>()?;
    (CRC.checksum(content) == u32::from_le_bytes(*sum)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        sealed: false,
        kind: Kind::Peer,
        cluster: ClusterId::new(7),
        from: NodeId::new(1),
        to: NodeId::new(2),
        epoch: 300,
        counter: 5,
        piece: None,
    };

    fn frame(header: Header, message: &[u8]) -> heapless::Vec<u8, 127> {
        let mut frame = heapless::Vec::new();
        header
            .put(&mut frame)
            .and_then(|()| frame.put(message))
            .and_then(|()| close(&mut frame))
            .expect("it fits");
        frame
    }

    #[test]
    fn a_frame_is_these_bytes() {
        let golden = [0x01, 7, 1, 2, 0xAC, 2, 5, b'h', b'i', 0xEF, 0xE3, 0x57, 0x90];
        assert_eq!(frame(HEADER, b"hi"), golden);
    }

    #[test]
    fn a_piece_is_these_bytes() {
        let piece = Some(Piece { back: 3, index: 2, last: true });
        let golden = [0x61, 7, 1, 2, 0xAC, 2, 5, 3, 0x82, b'h', b'i', 0x61, 0x3F, 0x32, 0x21];
        assert_eq!(frame(Header { kind: Kind::Answer, piece, ..HEADER }, b"hi"), golden);
    }

    #[test]
    fn headers_come_back_as_they_were() {
        let piece = Some(Piece { back: 200, index: 127, last: false });
        let header = Header { kind: Kind::Ask, piece, sealed: true, counter: u64::MAX, ..HEADER };
        for header in [HEADER, header] {
            let frame = frame(header, b"rest");
            let mut content = open(&frame).expect("it is whole");
            assert_eq!(Header::take(&mut content), Ok(header));
            assert_eq!(content, b"rest");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_rejected() {
        let good = frame(HEADER, b"hi");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&bad), None, "bit {bit}");
        }
        for cut in 0..good.len() {
            assert_eq!(open(&good[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_damaged() {
        let mut whole = heapless::Vec::<u8, 64>::new();
        let piece = Some(Piece { back: 3, index: 2, last: true });
        Header { piece, ..HEADER }.put(&mut whole).expect("it fits");
        for cut in 0..whole.len() {
            assert_eq!(Header::take(&mut &whole[..cut]), Err(NoFrame::Damaged), "cut at {cut}");
        }
    }

    #[test]
    fn a_piece_of_a_message_from_before_the_first_frame_is_damaged() {
        let mut header = heapless::Vec::<u8, 64>::new();
        let piece = Some(Piece { back: 6, index: 2, last: true });
        Header { piece, ..HEADER }.put(&mut header).expect("it fits");
        assert_eq!(Header::take(&mut &header[..]), Err(NoFrame::Damaged));
    }

    #[test]
    fn another_version_is_told() {
        let mut frame = frame(HEADER, b"hi");
        frame[0] ^= 0x02;
        assert_eq!(Header::take(&mut &frame[..]), Err(NoFrame::Version));
    }
}
