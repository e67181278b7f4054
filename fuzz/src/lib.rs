//! What any bytes may do to a machine, its records, its files and its front end: nothing unforeseen.
//!
//! Each target is a function of bytes that panics when something is wrong. A fuzzer makes bytes up (`fuzz/run`), a
//! test replays those that are kept in `corpus` (`cargo test --manifest-path fuzz/Cargo.toml`), and the binary of a
//! target replays the files it is given. `docs/testing.md` says how to go on from there.
//!
//! Bytes are read from front to back, a byte a decision ([`Tape`]): so a byte that a fuzzer changes changes one
//! decision, and bytes that a real run leads to can be written down as well as bytes that none would.
#![forbid(unsafe_code)]

mod asks;
pub mod disk_log;
pub mod frame;
mod live;
pub mod locks;
mod peer;
pub mod placement;
pub mod radio;
pub mod record;
mod records;
pub mod resp;
pub mod sharded;
pub mod spaces;
mod store;
mod tape;
pub mod two_phase;
pub mod worlds;

pub use tape::Tape;

use std::path::Path;
use std::{env, fs};

/// A target.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame::run),
    ("record", record::run),
    ("disk_log", disk_log::run),
    ("resp", resp::run),
    ("raft_world", worlds::raft),
    ("lock_world", worlds::lock),
    ("spaces", spaces::run),
    ("radio", radio::run),
    ("two_phase", two_phase::run),
    ("sharded", sharded::run),
    ("locks", locks::run),
    ("placement", placement::run),
];

/// The target of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
}

/// Runs a target on each file, or on each file in each directory; tells how many there were.
///
/// # Panics
/// If a file cannot be read, or the target finds something.
pub fn replay(target: Target, paths: impl IntoIterator<Item = impl AsRef<Path>>) -> usize {
    let mut count = 0;
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("a directory that can be read");
            let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
            files.sort();
            count += files.iter().map(|file| replay(target, [file])).sum::<usize>();
        } else {
            eprintln!("{}", path.display());
            target(&fs::read(path).expect("a file that can be read"));
            count += 1;
        }
    }
    count
}

/// What the binary of a target does where there is no fuzzer: it replays what it is given.
///
/// # Panics
/// As [`replay`].
pub fn replay_arguments(name: &str) {
    let count = replay(target(name), env::args_os().skip(1).map(std::path::PathBuf::from));
    println!("{name}: {count} inputs, nothing found");
}

/// The whole of a binary: a fuzzer's if there is one, else a replay.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::target(stringify!($name))(bytes));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay_arguments(stringify!($name));
        }
    };
}
