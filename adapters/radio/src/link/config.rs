//! What a link has to be told.

use super::Kind;
use super::air::{MOST_EXPONENT, holds};
use crate::Phy;
use crate::frame::{Header, Piece};
use core::fmt;
use core::time::Duration;
use quorate::{ClusterId, NodeId};

/// Less of a message in a frame is not worth the rest of it.
const LEAST: usize = 8;

/// The settings of a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The cluster. Its frames are heard, no others. A small number takes fewer bytes of each frame.
    pub cluster: ClusterId,
    /// This node, or client. A small number takes fewer bytes.
    pub id: NodeId,
    /// The life of this node: a number kept in flash that grows with each boot. Others do not hear a life that is older
    /// than what they have heard, so a node whose flash is lost needs another id, as it does without its records.
    pub epoch: u32,
    /// How long frames are on the air.
    pub phy: Phy,
    /// How much of the time this node may send.
    pub duty: Duty,
    /// How long to wait before a frame.
    pub backoff: Backoff,
    /// A message that has waited for longer is dropped: machines say again what still matters.
    pub lifetime: Duration,
    /// A message whose fragments do not all come within this time is dropped.
    pub patience: Duration,
    /// A node that was not heard for this long may be forgotten when another is heard and there is no room.
    pub forget: Duration,
    /// The key that all nodes of the cluster have, if frames are to be authenticated.
    #[cfg(feature = "auth")]
    pub key: Option<crate::Key>,
}

impl LinkConfig {
    /// Settings that suit most radios: no limit on the time on the air, other limits as documented there.
    #[must_use]
    pub const fn new(cluster: ClusterId, id: NodeId, epoch: u32, phy: Phy) -> Self {
        Self {
            cluster,
            id,
            epoch,
            phy,
            duty: Duty::UNLIMITED,
            // Ten bytes are a preamble and an address: enough to notice a frame.
            backoff: Backoff { slot: Duration::from_micros(phy.byte as u64 * 10), shortest: 3, longest: 7 },
            lifetime: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            forget: Duration::from_secs(60),
            #[cfg(feature = "auth")]
            key: None,
        }
    }

    /// The same, with frames authenticated and encrypted. A node with a key hears no others.
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn sealed(self, key: crate::Key) -> Self {
        Self { key: Some(key), ..self }
    }

    #[cfg(feature = "auth")]
    pub(crate) const fn seals(&self) -> bool {
        self.key.is_some()
    }

    #[cfg(not(feature = "auth"))]
    pub(crate) const fn seals(&self) -> bool {
        false
    }

    /// Bytes of a frame beside its header and its message.
    pub(crate) const fn trailer(&self) -> usize {
        #[cfg(feature = "auth")]
        if self.key.is_some() {
            return crate::auth::OVERHEAD;
        }
        crate::frame::CHECKSUM
    }

    pub(crate) fn check<const FRAME: usize>(&self) -> Result<(), Unsound> {
        let Backoff { shortest, longest, .. } = self.backoff;
        if shortest > longest || longest > MOST_EXPONENT {
            return Err(Unsound("the exponents of the back-off are not in order, or above 16"));
        }
        if self.duty.permille == 0 || !holds(self.duty, self.phy.airtime_micros(FRAME)) {
            return Err(Unsound(
                "the duty cycle lets no frame through: shorten frames, or lengthen its period",
            ));
        }
        // After a year of a frame a second, to a node of a number as long as this one's.
        let piece = Some(Piece { back: 200, index: 0, last: false });
        let header = Header {
            sealed: self.seals(),
            kind: Kind::Peer,
            cluster: self.cluster,
            from: self.id,
            to: self.id,
            epoch: self.epoch,
            counter: 1 << 25,
            piece,
        };
        let room = header.len().and_then(|len| FRAME.checked_sub(len)?.checked_sub(self.trailer()));
        if room.is_none_or(|room| room < LEAST) {
            return Err(Unsound(
                "frames too short: lengthen them, or give the cluster and its nodes smaller numbers",
            ));
        }
        Ok(())
    }
}

/// How much of the time a node may send, as the law has it: at most `permille` of any `period`.
///
/// An eighth of it may be sent at once after a pause, or after a boot: what was sent before a boot is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    /// Thousandths of the period; 1000 is no limit.
    pub permille: u16,
    /// The time over which it is reckoned, often an hour.
    pub period: Duration,
}

impl Duty {
    /// No limit.
    pub const UNLIMITED: Self = Self { permille: 1000, period: Duration::from_secs(3600) };
}

/// How long to wait before a frame, so that nodes that heard the same do not answer at the same time.
///
/// A number of slots below 2^`shortest`, at random. Each time the radio says that somebody else is on the air the
/// bound doubles, up to 2^`longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The unit: about what it takes to hear that another has begun to send.
    pub slot: Duration,
    /// The exponent at first.
    pub shortest: u8,
    /// The exponent at last.
    pub longest: u8,
}

/// Why settings were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound(pub(crate) &'static str);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Unsound {}

/// A span as whole microseconds, without the division of the standard library's own.
pub(crate) const fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros() as u64)
}

/// The same, of at most an hour and more.
pub(crate) const fn short_micros(span: Duration) -> u32 {
    let micros = micros(span);
    if micros > u32::MAX as u64 { u32::MAX } else { micros as u32 }
}
