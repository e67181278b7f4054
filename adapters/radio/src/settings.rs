//! Timing and limits that suit a radio.

use core::time::Duration;
use quorate::raft::Config;
use quorate::replicated::Settings;
use quorate::{NodeId, Space};

/// How often a leader is heard: this, and as much more for each voter. At 250 kbit/s the heartbeats and their answers
/// take a twelfth of the air with three voters, a sixth with seven.
const HEARTBEAT: Duration = Duration::from_millis(30);
const HEARTBEAT_PER_VOTER: Duration = Duration::from_millis(5);
/// Heartbeats without which a follower stands for election. At 40 % loss one silence in 600 is that long by chance.
const SILENCE: u32 = 7;
/// Bytes of the log in memory, so of the longest record in flash.
const WINDOW_BYTES: usize = 2_048;
/// Bytes of entries in one message: commands of up to 128 bytes.
const APPEND_BYTES: usize = 192;

/// Settings of a replicated application for voters on one radio of 250 kbit/s: a heartbeat each 45 ms for three,
/// each 65 ms for seven, seven of them missing for an election, and little in flight.
///
/// ```
/// use core::time::Duration;
/// use quorate::{NodeId, space::Fixed};
///
/// let voters = [1, 2, 3].map(NodeId::new);
/// let settings = quorate_radio::settings::<Fixed<3, 32>>(voters[0], &voters);
/// assert_eq!(settings.raft.heartbeat, Duration::from_millis(45));
/// assert_eq!(settings.raft.election_timeout, Duration::from_millis(315));
/// ```
#[must_use]
pub fn settings<S: Space>(id: NodeId, voters: &[NodeId]) -> Settings<S> {
    let count = u32::try_from(voters.len().min(64)).unwrap_or(64);
    let heartbeat = HEARTBEAT + HEARTBEAT_PER_VOTER * count;
    Settings::of(Config {
        heartbeat,
        election_timeout: heartbeat * SILENCE,
        append_bytes: APPEND_BYTES,
        inflight_bytes: 2 * APPEND_BYTES as u64,
        record_bytes: WINDOW_BYTES,
        window_bytes: WINDOW_BYTES as u64,
        ..Config::new(id, voters)
    })
}
