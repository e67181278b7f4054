//! Inline or on the heap: the same calls give the same outputs, byte for byte.

use crate::Tape;
use crate::live::{Bytes, Live, Subject};
use quorate::space::{Fixed, Heap, List, Window};
use quorate::{Raft, Replicated, Space, lock};
use std::collections::VecDeque;
use std::fmt::Debug;

type Inline = Fixed<3, 16, 48>;
type Allocated = Heap<3, 16, 48>;
type Locks<S> = Replicated<lock::Table<S, 4, 3, 4>, S, 4, 4>;

/// More steps than tell anything new.
const MOST_STEPS: usize = 300;

/// A byte for what is compared, and the rest for what happens to it.
pub fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.byte() % 4 {
        0 => machines::<Raft<Bytes, Inline>, Raft<Bytes, Allocated>>(tape),
        1 => machines::<Locks<Inline>, Locks<Allocated>>(tape),
        2 => lists(tape),
        _ => windows(tape),
    }
}

/// Two machines to which the same happens.
fn machines<A: Subject, B: Subject>(mut tape: Tape<'_>) {
    let (mut inline, mut allocated) = (Live::<A>::new(), Live::<B>::new());
    (inline.in_words, allocated.in_words) = (true, true);
    for _ in 0..MOST_STEPS {
        if tape.is_over() {
            return;
        }
        let mut same = tape;
        let ends = (inline.step(&mut tape), allocated.step(&mut same));
        assert_eq!(ends.0, ends.1, "a machine stops in one space");
        assert!(inline.said == allocated.said, "{:?}\n{:?}", inline.said, allocated.said);
        assert_eq!(inline.machine().status(), allocated.machine().status());
        if ends.0.is_err() {
            return;
        }
        inline.said.clear();
        allocated.said.clear();
    }
}

/// Two lists and a vector that is as long at most.
fn lists(mut tape: Tape<'_>) {
    const FIT: usize = 9;
    let mut inline = <Inline as Space>::Items::<u8, FIT>::default();
    let mut allocated = <Allocated as Space>::Items::<u8, FIT>::default();
    let mut model = Vec::new();
    while !tape.is_over() {
        let (what, at, item) = (tape.byte(), tape.below(12), tape.byte());
        match what % 5 {
            0 | 1 => {
                let full = model.len() == FIT;
                model.extend((!full).then_some(item));
                let pushed = if full { Err(item) } else { Ok(()) };
                assert_eq!((List::push(&mut inline, item), allocated.push(item)), (pushed, pushed));
            }
            2 => {
                let full = model.len() == FIT;
                if !full {
                    model.insert(at.min(model.len()), item);
                }
                let put = if full { Err(item) } else { Ok(()) };
                assert_eq!((List::insert(&mut inline, at, item), allocated.insert(at, item)), (put, put));
            }
            3 => {
                let taken = (at < model.len()).then(|| model.remove(at));
                assert_eq!((List::remove(&mut inline, at), allocated.remove(at)), (taken, taken));
            }
            _ => {
                List::clear(&mut inline);
                allocated.clear();
                model.clear();
            }
        }
        assert_eq!((&inline[..], &allocated[..]), (&model[..], &model[..]));
    }
    let of: Vec<u8> = (0..20).collect();
    assert_eq!(<Inline as Space>::Items::<u8, FIT>::of(of.clone())[..], of[..FIT]);
    assert_eq!(<Allocated as Space>::Items::<u8, FIT>::of(of.clone())[..], of[..FIT]);
}

/// Two windows and a queue that is as long at most.
fn windows(mut tape: Tape<'_>) {
    const FIT: usize = 7;
    let mut inline = <Inline as Space>::Queue::<u8, FIT>::default();
    let mut allocated = <Allocated as Space>::Queue::<u8, FIT>::default();
    let mut model = VecDeque::new();
    while !tape.is_over() {
        let (what, at, item) = (tape.byte(), tape.below(10), tape.byte());
        match what % 8 {
            0..=3 => {
                let full = model.len() == FIT;
                model.extend((!full).then_some(item));
                let pushed = if full { Err(item) } else { Ok(()) };
                assert_eq!(
                    (Window::push_back(&mut inline, item), allocated.push_back(item)),
                    (pushed, pushed)
                );
            }
            4 | 5 => {
                let taken = model.pop_front();
                assert_eq!((Window::pop_front(&mut inline), allocated.pop_front()), (taken, taken));
            }
            6 => {
                Window::truncate(&mut inline, at);
                allocated.truncate(at);
                model.truncate(at);
            }
            _ => {
                let change = |found: Option<&mut u8>| found.map(|found| std::mem::replace(found, item));
                let before = change(model.get_mut(at));
                assert_eq!(
                    (change(Window::get_mut(&mut inline, at)), change(allocated.get_mut(at))),
                    (before, before)
                );
            }
        }
        let (from, to) = (at, usize::from(item) % 10);
        assert_window(&inline, &model, from, to);
        assert_window(&allocated, &model, from, to);
    }
}

fn assert_window<T: Copy + Debug + PartialEq>(
    window: &impl Window<T>,
    model: &VecDeque<T>,
    from: usize,
    to: usize,
) {
    let joined = |(front, back): (&[T], &[T])| [front, back].concat();
    assert_eq!((window.len(), window.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(window.get(from), model.get(from));
    assert!(joined(window.as_slices()).iter().eq(model));
    let inside = model.iter().skip(from).take(to.saturating_sub(from)).copied();
    assert_eq!(joined(window.range(from, to)), inside.collect::<Vec<_>>());
}
