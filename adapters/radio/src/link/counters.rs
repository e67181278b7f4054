//! What a link counts.

/// What was sent, received and dropped since the link began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames sent.
    pub frames_sent: u32,
    /// Bytes of these frames.
    pub bytes_sent: u64,
    /// How long these frames were on the air, in microseconds.
    pub airtime_micros: u64,
    /// Whole messages sent.
    pub messages_sent: u32,
    /// How often the radio was busy when a frame was due.
    pub busy: u32,
    /// How often a frame waited because the share of the air was used up.
    pub over_budget: u32,

    /// Messages that were not taken up: they are too long, for this node itself, or there was no room.
    pub refused: u32,
    /// Messages that made room for a newer one.
    pub displaced: u32,
    /// Messages that waited for longer than their lifetime.
    pub expired: u32,

    /// Frames that came in, whatever became of them.
    pub frames_heard: u32,
    /// Whole messages that came in.
    pub messages_heard: u32,
    /// Frames that were dropped.
    pub dropped: DroppedFrames,
    /// Messages that came in part and never whole.
    pub incomplete: u32,
}

/// Frames that came in and were dropped, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedFrames {
    /// The checksum does not match, or what is there is no frame: noise.
    pub damaged: u32,
    /// Of another version of the format: upgrade one of the two.
    pub version: u32,
    /// Of another cluster.
    pub foreign: u32,
    /// For another node. On a shared air most are.
    pub overheard: u32,
    /// Bears this node's own number: another node has the same, or the radio hears itself.
    pub own: u32,
    /// Not authenticated, though this node has a key.
    pub plain: u32,
    /// Authenticated with another key, or this node has none.
    pub other_key: u32,
    /// Authenticated, and not by who has the key: the frame was tampered with, or damaged on the way.
    pub forged: u32,
    /// Came before, or is older than what can be remembered of frames that came.
    pub repeated: u32,
    /// From a former life of its sender.
    pub former_life: u32,
    /// From a node that there is no room to remember.
    pub strangers: u32,
    /// A piece of a message whose earlier pieces are not here, or not in order.
    pub orphans: u32,
    /// A piece of a message that would be too long.
    pub too_long: u32,
    /// The first piece of a message, while as many as there is room for are being put together.
    pub crowded: u32,
}

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Damaged,
    Version,
    Foreign,
    Overheard,
    Own,
    Plain,
    OtherKey,
    #[cfg_attr(not(feature = "auth"), expect(dead_code))]
    Forged,
    Repeated,
    FormerLife,
    Stranger,
    Orphan,
    TooLong,
    Crowded,
}

impl DroppedFrames {
    pub(crate) fn count(&mut self, why: Dropped) {
        let counter = match why {
            Dropped::Damaged => &mut self.damaged,
            Dropped::Version => &mut self.version,
            Dropped::Foreign => &mut self.foreign,
            Dropped::Overheard => &mut self.overheard,
            Dropped::Own => &mut self.own,
            Dropped::Plain => &mut self.plain,
            Dropped::OtherKey => &mut self.other_key,
            Dropped::Forged => &mut self.forged,
            Dropped::Repeated => &mut self.repeated,
            Dropped::FormerLife => &mut self.former_life,
            Dropped::Stranger => &mut self.strangers,
            Dropped::Orphan => &mut self.orphans,
            Dropped::TooLong => &mut self.too_long,
            Dropped::Crowded => &mut self.crowded,
        };
        one_more(counter);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        [
            self.damaged,
            self.version,
            self.foreign,
            self.overheard,
            self.own,
            self.plain,
            self.other_key,
            self.forged,
            self.repeated,
            self.former_life,
            self.strangers,
            self.orphans,
            self.too_long,
            self.crowded,
        ]
        .into_iter()
        .fold(0, u32::saturating_add)
    }
}

pub(crate) fn one_more(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}
