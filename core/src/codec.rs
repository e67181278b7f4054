//! Messages and records as bytes.
//!
//! Items are postcard. A *frame* is what goes to a peer:
//!
//! ```text
//! version u8 | cluster u64 | from u64 | to u64 | body ... | crc32 u32      numbers little-endian
//! ```
//!
//! The checksum (CRC-32/ISO-HDLC) covers all before it. Frames of another version, another cluster or for another
//! node are told apart from noise, since an operator acts on them differently. How a frame is delimited is the
//! transport's: a length before it on TCP, COBS on a serial line, the radio's own packet.

use core::fmt;

/// The version of the formats of frames and records.
pub const VERSION: u8 = 1;

/// Bytes of a frame besides its body.
pub const FRAME_OVERHEAD: usize = HEADER + CHECKSUM;

const HEADER: usize = 1 + 3 * 8;
const CHECKSUM: usize = 4;

/// Where encoded bytes go.
pub trait Sink {
    /// Takes the bytes in.
    ///
    /// # Errors
    /// There is no room; what was taken in before stays.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// The bytes do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the buffer is too small for what is encoded: raise its size or lower the limits of the machine",
        )
    }
}

impl core::error::Error for Full {}

/// Bytes that are no frame, no message or no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Cut short, or not what the format says.
    Content,
    /// More than the format says.
    Trailing,
    /// The checksum does not match.
    Checksum,
    /// Another version of the format.
    Version(u8),
    /// A frame of another cluster.
    Cluster(crate::ClusterId),
    /// A frame for another node.
    Addressee(crate::NodeId),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content => f.write_str("malformed content"),
            Self::Trailing => f.write_str("bytes after the end of the content"),
            Self::Checksum => f.write_str("checksum mismatch"),
            Self::Version(version) => write!(f, "format version {version}, this build speaks {VERSION}"),
            Self::Cluster(cluster) => {
                write!(f, "a frame of cluster {}, not of ours: check the addresses", cluster.get())
            }
            Self::Addressee(node) => {
                write!(f, "a frame for node {}, not for us: check the addresses", node.get())
            }
        }
    }
}

impl core::error::Error for Malformed {}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes).map_err(|_| Full)
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Counts the bytes it is given and keeps none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter(
    /// How many bytes there were.
    pub usize,
);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 += bytes.len();
        Ok(())
    }
}

#[cfg(feature = "serde")]
pub use self::bytes::{Header, open, put, put_batch, seal, take, take_all, take_batch};
#[cfg(feature = "serde")]
pub(crate) use self::bytes::{flag, put_numbers, take_numbers};

#[cfg(feature = "serde")]
mod bytes {
    use super::{CHECKSUM, Full, HEADER, Malformed, Sink, VERSION};
    use crate::{Batch, ClusterId, NodeId};
    #[cfg(not(feature = "alloc"))]
    use crc::NoTable;
    #[cfg(feature = "alloc")]
    use crc::Table;
    use crc::{CRC_32_ISO_HDLC, Crc};
    use serde::{Deserialize, Serialize, de::DeserializeOwned};

    /// How much table the checksum gets: a chip with little flash is slower at the same sums.
    #[cfg(not(feature = "alloc"))]
    type Lookup = NoTable;
    #[cfg(feature = "alloc")]
    type Lookup = Table<16>;

    static CRC: Crc<u32, Lookup> = Crc::<u32, Lookup>::new(&CRC_32_ISO_HDLC);

    /// A sink as postcard wants it. One for all sinks: each kind would get an encoder of its own for every item.
    struct Flavor<'k>(&'k mut dyn Sink);

    impl postcard::ser_flavors::Flavor for Flavor<'_> {
        type Output = ();

        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.try_extend(&[byte])
        }

        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            self.0.put(bytes).map_err(|Full| postcard::Error::SerializeBufferFull)
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }

    /// Encodes an item.
    ///
    /// # Errors
    /// The sink is full, or the item's own `Serialize` failed.
    pub fn put<T: Serialize + ?Sized>(item: &T, sink: &mut dyn Sink) -> Result<(), Full> {
        postcard::serialize_with_flavor(item, Flavor(sink)).map_err(|_| Full)
    }

    /// Decodes an item from the front of `input`, which moves past it.
    ///
    /// # Errors
    /// The bytes are no such item.
    pub fn take<'a, T: Deserialize<'a>>(input: &mut &'a [u8]) -> Result<T, Malformed> {
        let (item, rest) = postcard::take_from_bytes(input).map_err(|_| Malformed::Content)?;
        *input = rest;
        Ok(item)
    }

    /// Decodes an item that is all of `input`.
    ///
    /// # Errors
    /// The bytes are no such item, or there are more of them.
    pub fn take_all<'a, T: Deserialize<'a>>(mut input: &'a [u8]) -> Result<T, Malformed> {
        let item = take(&mut input)?;
        if input.is_empty() { Ok(item) } else { Err(Malformed::Trailing) }
    }

    /// Encodes numbers one after the other. Tags, flags and newtypes of numbers are such numbers too.
    pub(crate) fn put_numbers(numbers: &[u64], sink: &mut dyn Sink) -> Result<(), Full> {
        numbers.iter().try_for_each(|number| put(number, sink))
    }

    /// Decodes numbers that [`put_numbers`] wrote.
    pub(crate) fn take_numbers<const N: usize>(input: &mut &[u8]) -> Result<[u64; N], Malformed> {
        let mut numbers = [0; N];
        fill(&mut numbers, input)?;
        Ok(numbers)
    }

    fn fill(numbers: &mut [u64], input: &mut &[u8]) -> Result<(), Malformed> {
        for number in numbers {
            *number = take(input)?;
        }
        Ok(())
    }

    /// A number that is a flag.
    pub(crate) const fn flag(number: u64) -> Result<bool, Malformed> {
        match number {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Content),
        }
    }

    /// Encodes a batch: how many, then each.
    ///
    /// # Errors
    /// As [`put`].
    pub fn put_batch<T: Serialize>(batch: &Batch<'_, T>, sink: &mut dyn Sink) -> Result<(), Full> {
        put(&(batch.len() as u64), sink)?;
        batch.try_for_each(|item| put(item, sink))
    }

    /// Decodes a batch from the front of `input`; every item is seen to decode before any is used.
    ///
    /// # Errors
    /// As [`take`].
    pub fn take_batch<'a, T: DeserializeOwned>(input: &mut &'a [u8]) -> Result<Batch<'a, T>, Malformed> {
        let len: u64 = take(input)?;
        // An item takes at least a byte, so a count beyond the bytes is a lie, and no reason for a long loop.
        let len = usize::try_from(len).ok().filter(|&len| len <= input.len()).ok_or(Malformed::Content)?;
        let bytes = *input;
        for _ in 0..len {
            take::<T>(input)?;
        }
        Ok(Batch::encoded(bytes, len, |input| take(input).ok()))
    }

    /// Who a frame is from and for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Header {
        /// The cluster of both.
        pub cluster: ClusterId,
        /// The sender.
        pub from: NodeId,
        /// The addressee.
        pub to: NodeId,
    }

    /// Appends a frame to `buffer`: the header, what `body` writes, and the checksum.
    ///
    /// # Errors
    /// The buffer is full; what it held before is as it was, a part of the frame may follow.
    ///
    /// ```
    /// use quorate::codec::{self, Header};
    /// use quorate::{ClusterId, NodeId};
    ///
    /// let header = Header { cluster: ClusterId::new(7), from: NodeId::new(1), to: NodeId::new(2) };
    /// let mut frame = Vec::new();
    /// codec::seal(&mut frame, header, |frame| codec::put("hello", frame))?;
    /// let (from, body) = codec::open(&frame, header.cluster, header.to)?;
    /// assert_eq!((from, codec::take_all(body)), (header.from, Ok("hello")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seal<B: Sink + AsRef<[u8]>>(
        buffer: &mut B,
        header: Header,
        body: impl FnOnce(&mut B) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let start = buffer.as_ref().len();
        buffer.put(&[VERSION])?;
        for number in [header.cluster.get(), header.from.get(), header.to.get()] {
            buffer.put(&number.to_le_bytes())?;
        }
        body(buffer)?;
        let sum = CRC.checksum(buffer.as_ref().get(start..).unwrap_or_default());
        buffer.put(&sum.to_le_bytes())
    }

    /// The sender and the body of a frame that is all of `frame`, if it is of this cluster and for this node.
    ///
    /// # Errors
    /// Which of these it is not.
    pub fn open(frame: &[u8], cluster: ClusterId, to: NodeId) -> Result<(NodeId, &[u8]), Malformed> {
        let (sealed, sum) = frame.split_last_chunk::<CHECKSUM>().ok_or(Malformed::Content)?;
        if CRC.checksum(sealed) != u32::from_le_bytes(*sum) {
            return Err(Malformed::Checksum);
        }
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(Malformed::Content)?;
        let (&version, numbers) = header.split_first().ok_or(Malformed::Content)?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut number = || numbers.next().ok_or(Malformed::Content);
        let (theirs, from, addressee) =
            (ClusterId::new(number()?), NodeId::new(number()?), NodeId::new(number()?));
        if theirs != cluster {
            return Err(Malformed::Cluster(theirs));
        }
        if addressee != to {
            return Err(Malformed::Addressee(addressee));
        }
        Ok((from, body))
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;
    use crate::{ClusterId, NodeId};

    const HEADER: Header = Header { cluster: ClusterId::new(7), from: NodeId::new(1), to: NodeId::new(2) };

    fn frame() -> heapless::Vec<u8, 64> {
        let mut frame = heapless::Vec::new();
        seal(&mut frame, HEADER, |frame| put(&300_u32, frame)).expect("it fits");
        frame
    }

    #[test]
    fn a_frame_is_these_bytes() {
        let golden = [
            1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xAC, 2, //
        ];
        let frame = frame();
        assert_eq!(frame.split_last_chunk::<4>().map(|(sealed, _)| sealed), Some(&golden[..]));
        assert_eq!(open(&frame, HEADER.cluster, HEADER.to), Ok((HEADER.from, &[0xAC, 2][..])));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_rejected() {
        let good = frame();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&bad, HEADER.cluster, HEADER.to), Err(Malformed::Checksum), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(open(&good[..cut], HEADER.cluster, HEADER.to).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn strangers_are_told_apart() {
        let frame = frame();
        let (other, us) = (ClusterId::new(8), NodeId::new(3));
        assert_eq!(open(&frame, other, HEADER.to), Err(Malformed::Cluster(HEADER.cluster)));
        assert_eq!(open(&frame, HEADER.cluster, us), Err(Malformed::Addressee(HEADER.to)));
    }

    #[test]
    fn a_batch_that_claims_more_than_it_has_is_malformed() {
        let mut input: &[u8] = &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 5];
        assert!(matches!(take_batch::<u8>(&mut input), Err(Malformed::Content)));
    }
}
