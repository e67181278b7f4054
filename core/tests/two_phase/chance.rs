//! Mishaps by chance: more of them in one play than can be enumerated.

use super::play::{Manner, Play, Plot};
use Manner::{Ponders, Reads, Refuses, Writes};
use quickcheck::quickcheck;

const PLOTS: [Plot; 5] = [
    Plot { nodes: 4, parts: &[(2, Writes), (3, Writes), (4, Writes)] },
    Plot { nodes: 4, parts: &[(1, Writes), (2, Ponders(120)), (3, Reads)] },
    Plot { nodes: 4, parts: &[(2, Writes), (3, Ponders(450)), (4, Reads)] },
    Plot { nodes: 4, parts: &[(2, Reads), (3, Refuses), (1, Writes)] },
    Plot { nodes: 2, parts: &[(2, Writes)] },
];

quickcheck! {
    /// Each choice is how far the next mishap is from the one before, and which of those that can happen there.
    fn any_mishaps_at_all_are_got_over(plot: usize, choices: Vec<(u8, u8)>) -> bool {
        let plot = PLOTS[plot % PLOTS.len()];
        let (mut mishaps, mut at) = (Vec::new(), 0);
        for (step, which) in choices.into_iter().take(6) {
            at += 1 + usize::from(step % 40);
            let points = Play::of(plot, &mishaps).points;
            let Some(point) = points.get(at) else { break };
            let all = point.mishaps();
            mishaps.push((at, all[usize::from(which) % all.len()]));
        }
        Play::of(plot, &mishaps);
        true
    }
}
