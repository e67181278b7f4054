//! A ring whose nodes come and go in any way, and a list of all points that is as slow as it is plain.

use crate::Tape;
use quorate::placement::{Partition, Refusal, Ring, hash};
use quorate::space::{Fixed, Heap};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

const NODES: usize = 5;
const POINTS: usize = 24;

type Inline = Ring<u64, Fixed<0, 0>, NODES, POINTS>;
type Allocated = Ring<u64, Heap<0, 0>, NODES, POINTS>;

/// The nodes, each with its weight.
type Model = BTreeMap<u64, u32>;

/// Nodes to begin with, and what becomes of them.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let members: Vec<(u64, u32)> = (0..tape.below(8)).map(|_| member(&mut tape)).collect();
    let (inline, allocated) = (Inline::of(members.clone()), Allocated::of(members.clone()));
    assert_eq!(inline.as_ref().err(), allocated.as_ref().err(), "the same is wrong");
    let (Ok(mut inline), Ok(mut allocated)) = (inline, allocated) else {
        return assert!(refusal_of(&members).is_some(), "there was nothing wrong");
    };
    assert_eq!(refusal_of(&members), None, "what is wrong is refused");
    let mut model: Model = members.into_iter().collect();
    assert_same(&inline, &allocated, &model, &mut tape);
    while !tape.is_over() {
        let (what, (node, weight), before) = (tape.byte(), member(&mut tape), inline.clone());
        let used: u32 = model.values().sum();
        let had = model.get(&node).copied();
        let (done, same, expected) = match what % 3 {
            0 => {
                let expected = match had {
                    Some(_) => Err(Refusal::Present(node)),
                    None => fits(node, weight, used).and(match model.len() {
                        NODES.. => Err(Refusal::TooManyNodes(node)),
                        _ => Ok(()),
                    }),
                };
                (inline.add(node, weight), allocated.add(node, weight), expected)
            }
            1 => {
                let expected = match had {
                    None => Err(Refusal::Absent(node)),
                    Some(_) if model.len() == 1 => Err(Refusal::LastNode(node)),
                    Some(_) => Ok(()),
                };
                (inline.remove(node), allocated.remove(node), expected)
            }
            _ => {
                let expected = had.map_or(Err(Refusal::Absent(node)), |had| fits(node, weight, used - had));
                (inline.set_weight(node, weight), allocated.set_weight(node, weight), expected)
            }
        };
        assert_eq!((done, same), (expected, expected));
        match (done, what % 3) {
            (Ok(()), 1) => _ = model.remove(&node),
            (Ok(()), _) => _ = model.insert(node, weight),
            (Err(_), _) => {}
        }
        assert_same(&inline, &allocated, &model, &mut tape);
        assert_moves(&before, &inline, &mut tape);
    }
}

fn member(tape: &mut Tape<'_>) -> (u64, u32) {
    let weight = tape.near(&[1, 2, 3, 5, 8]);
    (tape.near(&[1, 2, 3, 4, 5, 6]), u32::try_from(weight).unwrap_or(u32::MAX))
}

fn fits(node: u64, weight: u32, used: u32) -> Result<(), Refusal<u64>> {
    match weight {
        0 => Err(Refusal::Weightless(node)),
        _ if u64::from(weight) + u64::from(used) > POINTS as u64 => {
            Err(Refusal::TooManyPoints { node, weight })
        }
        _ => Ok(()),
    }
}

/// What is wrong with nodes to begin with, if anything.
fn refusal_of(members: &[(u64, u32)]) -> Option<Refusal<u64>> {
    let (mut model, mut used) = (Model::new(), 0);
    for &(node, weight) in members {
        if model.insert(node, weight).is_some() {
            return Some(Refusal::Present(node));
        }
        if let Err(refusal) = fits(node, weight, used) {
            return Some(refusal);
        }
        if model.len() > NODES {
            return Some(Refusal::TooManyNodes(node));
        }
        used += weight;
    }
    members.is_empty().then_some(Refusal::NoNodes)
}

/// Who has what, by looking at all points: the first at or after it, else the first of all; the lowest number of several.
fn owner(model: &Model, hash: u64) -> u64 {
    const POSITION: u64 = !0xFFFF;
    let points =
        model.iter().flat_map(|(node, weight)| (0..*weight).map(|number| (*node, u64::from(number))));
    let points = points.map(|(node, number)| {
        let name = [node.to_le_bytes(), number.to_le_bytes()].concat();
        (quorate::placement::hash(&name) & POSITION, node)
    });
    let all: Vec<_> = points.collect();
    let after = all.iter().filter(|(at, _)| *at >= hash & POSITION).min();
    after.or_else(|| all.iter().min()).expect("a ring has points").1
}

fn assert_same(inline: &Inline, allocated: &Allocated, model: &Model, tape: &mut Tape<'_>) {
    assert!(inline.nodes().eq(model.iter().map(|(node, weight)| (*node, *weight))), "the nodes, in order");
    assert!(inline.nodes().eq(allocated.nodes()) && inline.points() == allocated.points());
    let key = tape.slice();
    for at in [hash(key), 0, u64::MAX] {
        let expected = owner(model, at);
        assert_eq!((inline.owner_at(at), allocated.owner_at(at)), (expected, expected), "who has {at:x}");
    }
    let replicas = inline.replicas_of::<4>(key);
    assert_eq!(replicas.len(), model.len().min(4), "as many as there are");
    assert_eq!(replicas.first(), Some(&inline.owner_of(key)), "the owner first");
    assert!((1..replicas.len()).all(|at| !replicas[..at].contains(&replicas[at])), "each once");
    assert_eq!(replicas, allocated.replicas_of::<4>(key));
    let parts = NonZeroU32::new(tape.number() as u32 | 1).expect("it is odd");
    assert!(Partition::new(parts).of(key) < parts.get(), "a part that there is");
}

/// What is said to move is what moves.
fn assert_moves(before: &Inline, after: &Inline, tape: &mut Tape<'_>) {
    let moves: Vec<_> = before.moves(after).collect();
    let at = hash(&[tape.byte()]);
    let (from, to) = (before.owner_at(at), after.owner_at(at));
    let said = moves.iter().find(|part| part.contains(at));
    assert_eq!(said.map_or((from, from), |part| (part.from, part.to)), (from, to), "what moves at {at:x}");
}
