//! A replicated lock service of three nodes without an allocator, in a world that loses frames and crashes nodes.
//!
//! Nothing here allocates: the machines, what they store and the frames between them are in one static. The same
//! world runs on an emulated chip, where it must say the same (`adapters/board`).
//!
//! ```text
//! cargo run -p quorate --features serde --example no_alloc
//! ```

#[path = "../tests/support/lock_world.rs"]
mod lock_world;
#[path = "../tests/support/world.rs"]
mod world;

use lock_world::{DIGESTS, Locks, STEPS, ask, settings};
use quorate::space::Fixed;
use world::World;

/// Three nodes, 32 entries in memory, snapshots in pieces of 64 bytes, four requests under way on a node.
type Space = Fixed<3, 32, 64, 4>;

fn main() {
    println!("a node takes {} bytes, all of them inline", size_of::<Locks<Space>>());
    for (seed, expected) in DIGESTS {
        let mut world = World::<Locks<Space>, 3>::new(settings, ());
        let digest = world.run(seed, STEPS, ask);
        println!("seed {seed}: {:?}", world.counts);
        for node in world.nodes() {
            let status = node.status();
            println!(
                "  node {}: {:?}, term {}, applied {}",
                status.id, status.role, status.term, status.applied
            );
        }
        println!("  digest of all that was said: {:016x}", digest.get());
        assert_eq!(digest.get(), expected, "the same seed gives the same course everywhere");
    }
}
