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

/// Raft alone, in other capacities.
pub type RaftOf<const PEERS: usize, const WINDOW: usize> =
    Raft<heapless::Vec<u8, 64>, Fixed<PEERS, WINDOW, 64, 4>>;

/// The lock service, in other capacities; as many sessions as locks as waiters.
pub type LocksOf<const PEERS: usize, const WINDOW: usize, const ROWS: usize> = Replicated<
    lock::Table<Fixed<PEERS, WINDOW, 64, 4>, ROWS, ROWS, ROWS, 32>,
    Fixed<PEERS, WINDOW, 64, 4>,
    PEERS,
    4,
>;

/// Bytes of each, with what it holds: voters, entries, and sessions, locks and waiters each.
pub const RAM: [(&str, [usize; 3], usize); 10] = [
    ("raft", [3, 16, 0], size_of::<RaftOf<3, 16>>()),
    ("raft", [3, 32, 0], size_of::<RaftOf<3, 32>>()),
    ("raft", [3, 64, 0], size_of::<RaftOf<3, 64>>()),
    ("raft", [5, 32, 0], size_of::<RaftOf<5, 32>>()),
    ("raft", [7, 32, 0], size_of::<RaftOf<7, 32>>()),
    ("locks", [3, 16, 4], size_of::<LocksOf<3, 16, 4>>()),
    ("locks", [3, 32, 4], size_of::<LocksOf<3, 32, 4>>()),
    ("locks", [3, 32, 8], size_of::<LocksOf<3, 32, 8>>()),
    ("locks", [5, 32, 8], size_of::<LocksOf<5, 32, 8>>()),
    ("locks", [7, 64, 16], size_of::<LocksOf<7, 64, 16>>()),
];

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
