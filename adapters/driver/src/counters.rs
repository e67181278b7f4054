//! What happened, in numbers.

use quorate::codec::Malformed;

use crate::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since a node started. They only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same numbers while they are counted.
        #[derive(Debug, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Tally {
            /// The numbers as they are now.
            #[must_use]
            pub fn read(&self) -> Counters {
                Counters { $($name: self.$name.read(),)* }
            }
        }
    };
}

counters! {
    /// Requests that reached the machine.
    requests,
    /// Requests that the machine refused and gave back.
    refused,
    /// Requests whose asker had gone before the machine saw them.
    abandoned,
    /// Requests that the machine ended.
    outcomes,
    /// Outcomes that nobody waited for any more.
    unclaimed,
    /// Frames handed to a connection.
    frames_out,
    /// Their bytes.
    bytes_out,
    /// Frames taken in from peers.
    frames_in,
    /// Their bytes.
    bytes_in,
    /// Messages dropped because the buffer of the peer's connection was full.
    dropped_full,
    /// Messages dropped because the peer was not connected, was cut off, or has no address.
    dropped_unreachable,
    /// Messages dropped because they exceed the largest frame.
    dropped_oversize,
    /// Frames whose content was cut short or wrong.
    malformed_content,
    /// Frames with a wrong checksum.
    malformed_checksum,
    /// Frames of another version, cluster, sender or addressee than the handshake said.
    malformed_header,
    /// Connections closed because a peer announced a frame over the limit, or an empty one.
    malformed_length,
    /// Handshakes that succeeded, in both directions.
    connections,
    /// Handshakes refused because the other end is no node of this format version.
    refused_protocol,
    /// Handshakes refused because the other end is of another cluster.
    refused_cluster,
    /// Handshakes refused because the other end is, or wanted, another node.
    refused_node,
    /// Connections refused because too many shook hands at once.
    refused_busy,
    /// Records that were made durable.
    records,
    /// Their bytes.
    record_bytes,
    /// Syncs of the log.
    syncs,
    /// Errands about snapshots that were carried out.
    errands,
    /// Errands dropped because too many were under way, or because the snapshot is gone.
    errands_dropped,
}

impl Tally {
    /// Counts what a peer said wrongly by its kind.
    pub fn count_malformed(&self, malformed: Malformed) {
        match malformed {
            Malformed::Content | Malformed::Trailing => self.malformed_content.add(1),
            Malformed::Checksum => self.malformed_checksum.add(1),
            // `Malformed` may grow; what is not content or noise is about who speaks to whom.
            _ => self.malformed_header.add(1),
        }
    }
}

/// One number. Relaxed: it orders nothing.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts more.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
