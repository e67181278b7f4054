//! What a link has to be told.

use crate::Phy;
use core::fmt;
use core::time::Duration;
use quorate::{ClusterId, NodeId};

/// The settings of a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The cluster. Its frames are heard, no others. A small number takes fewer bytes of each frame.
    pub cluster: ClusterId,
    /// This node, or client. A small number takes fewer bytes.
    pub id: NodeId,
    /// The life of this node: a number kept in flash that grows with each boot.
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
            backoff: Backoff { slot: Duration::from_micros(320), shortest: 3, longest: 7 },
            lifetime: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            forget: Duration::from_secs(60),
        }
    }
}

/// How much of the time a node may send, as the law has it: at most `permille` of any `period`.
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
#[non_exhaustive]
pub enum Unsound {
    /// What makes no sense.
    Settings(&'static str),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Settings(why) = self;
        f.write_str(why)
    }
}

impl core::error::Error for Unsound {}
