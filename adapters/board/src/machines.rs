//! The machines that are measured.

use core::time::Duration;
use quorate::raft::Config;
use quorate::replicated::Settings;
use quorate::space::Fixed;
use quorate::{NodeId, Raft, Replicated, Space, lock};

/// Three nodes, 32 entries in memory, snapshots in pieces of 64 bytes, four requests under way on a node.
pub type Small = Fixed<3, 32, 64, 4>;

/// Raft alone, with commands of up to 64 bytes.
pub type Alone = Raft<heapless::Vec<u8, 64>, Small>;

/// The lock service: four client sessions, four locks held at a time, four in line, names of up to 32
/// bytes, and so commands of up to 60.
pub type Locks = Replicated<lock::Table<Small, 4, 4, 4, 32>, Small, 4, 4>;

/// Settings for a radio with short frames.
pub fn config<S: Space>(id: NodeId) -> Config<S> {
    Config {
        election_timeout: Duration::from_millis(600),
        heartbeat: Duration::from_millis(120),
        append_bytes: 192,
        inflight_bytes: 384,
        record_bytes: 1024,
        window_bytes: 2048,
        ..Config::new(id, &[1, 2, 3].map(NodeId::new))
    }
}

/// The same for a replicated application.
pub fn settings<S: Space>(id: NodeId) -> Settings<S> {
    Settings::of(config(id))
}
