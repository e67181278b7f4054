//! What a radio costs: time on the air, and energy.

use core::time::Duration;

/// How long frames of a radio are on the air.
///
/// ```
/// use core::time::Duration;
/// use quorate_radio::Phy;
///
/// // A heartbeat of Raft is a frame of 31 bytes, its answer of 23; with a tag of 44 and 36.
/// let [fast, slow] = [Phy::IEEE_802_15_4, Phy::SUB_GHZ_50K]; // 250 and 50 kbit/s
/// assert_eq!([31, 23].map(|bytes| fast.airtime(bytes).as_micros()), [1_248, 992]);
/// assert_eq!([44, 36].map(|bytes| fast.airtime(bytes).as_micros()), [1_664, 1_408]);
/// assert_eq!([31, 23].map(|bytes| slow.airtime(bytes).as_micros()), [7_200, 5_920]);
/// assert_eq!([44, 36].map(|bytes| slow.airtime(bytes).as_micros()), [9_280, 8_000]);
///
/// // The energy of a heartbeat, in nanojoules, of radios that take 30 and 100 mW while they send.
/// assert_eq!((fast.energy(31, 30), slow.energy(31, 100)), (37_440, 720_000));
///
/// // A leader of three at 1 % of the air may send its two heartbeats every 1.44 s at best.
/// assert_eq!(slow.airtime(31) * 2 * 100, Duration::from_millis(1_440));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phy {
    /// Microseconds for a byte.
    pub byte: u32,
    /// Microseconds of each frame beside its bytes: preamble, start, length, and a checksum of the hardware's own.
    pub preamble: u32,
    /// Microseconds between two frames of one sender: its radio turns from sending to receiving and back.
    pub turnaround: u32,
}

impl Phy {
    /// IEEE 802.15.4 at 2.4 GHz, 250 kbit/s: 6 bytes before each frame and a checksum of 2 after it.
    pub const IEEE_802_15_4: Self = Self::new(250_000, 8, 192);

    /// A slow radio below 1 GHz, 50 kbit/s FSK: 8 bytes of preamble, 4 of start and length, a checksum of 2.
    pub const SUB_GHZ_50K: Self = Self::new(50_000, 14, 1_000);

    /// A serial line at 115,200 baud, 8N1 (10 bits a byte), with 3 bytes of framing.
    pub const UART_115_200: Self = Self::new(92_160, 3, 0);

    /// A radio of so many bits a second, that adds `extra` bytes to each frame and needs `turnaround` microseconds
    /// between two. Times are rounded up to the microsecond.
    #[must_use]
    pub const fn new(bits_per_second: u32, extra: u32, turnaround: u32) -> Self {
        let bits_per_second = if bits_per_second == 0 { 1 } else { bits_per_second };
        let byte = 8_000_000_u32.div_ceil(bits_per_second);
        Self { byte, preamble: byte.saturating_mul(extra), turnaround }
    }

    /// How long a frame of so many bytes is on the air.
    #[must_use]
    pub const fn airtime(&self, bytes: usize) -> Duration {
        Duration::from_micros(self.airtime_micros(bytes) as u64)
    }

    /// The energy to send a frame of so many bytes, in nanojoules, of a radio that takes `milliwatts` while it sends.
    #[must_use]
    pub const fn energy(&self, bytes: usize, milliwatts: u32) -> u64 {
        self.airtime_micros(bytes) as u64 * milliwatts as u64
    }

    /// An hour and more is the longest.
    pub(crate) const fn airtime_micros(&self, bytes: usize) -> u32 {
        // No frame is longer than that, and the product of two halves of a word is cheap where words are short.
        let bytes = if bytes > u16::MAX as usize { u16::MAX } else { bytes as u16 };
        let micros = self.byte as u64 * bytes as u64 + self.preamble as u64;
        if micros > u32::MAX as u64 { u32::MAX } else { micros as u32 }
    }
}
