//! What fuzzers found worth keeping, again: nothing unforeseen comes of it, in any build.

use quorate_fuzz::{TARGETS, replay, target};
use std::path::Path;

fn replay_corpus(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let count = replay(target(name), [corpus]);
    assert!(count > 5, "only {count} inputs for {name}");
}

macro_rules! corpora {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay_corpus(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_corpus_and_a_test() {
            let tested = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(tested));
        }
    };
}

corpora!(frame record disk_log resp raft_world lock_world spaces radio two_phase sharded locks placement);
