//! A line of places: first come, first served.

use crate::Space;
use crate::space::List;

/// Places of a table in the order in which they joined, each at most once: one that joins again keeps its turn.
#[derive(Debug)]
pub(super) struct Line<S: Space> {
    /// Who is behind whom.
    behind: S::Places<usize>,
    first: usize,
    last: usize,
}

/// Behind a place that is not in line.
const OUT: usize = usize::MAX;
/// Behind the last; and the first where there is none.
const END: usize = usize::MAX - 1;

impl<S: Space> Default for Line<S> {
    fn default() -> Self {
        Self { behind: Default::default(), first: END, last: END }
    }
}

impl<S: Space> Line<S> {
    pub(super) const fn is_empty(&self) -> bool {
        self.first == END
    }

    pub(super) fn first(&self) -> Option<usize> {
        (self.first != END).then_some(self.first)
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.behind.get(at).is_some_and(|&behind| behind != OUT)
    }

    /// Puts a place at the end. Tells whether it was not in line.
    pub(super) fn join(&mut self, at: usize) -> bool {
        match self.behind.get_mut(at) {
            Some(behind) if *behind == OUT => *behind = END,
            Some(_) => return false,
            None => self.grow(at),
        }
        if self.first == END {
            self.first = at;
        } else if let Some(last) = self.behind.get_mut(self.last) {
            *last = at;
        }
        self.last = at;
        true
    }

    /// Has the place here in line, and the ones before it not.
    #[cold]
    fn grow(&mut self, at: usize) {
        for place in self.behind.len()..=at {
            let grown = self.behind.push(if place == at { END } else { OUT });
            assert!(grown.is_ok(), "there are as many places as calls");
        }
    }

    /// Takes the first out.
    pub(super) fn leave(&mut self) -> Option<usize> {
        let at = self.first()?;
        self.first = core::mem::replace(self.behind.get_mut(at)?, OUT);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Fixed;
    use quickcheck::quickcheck;
    extern crate std;
    use std::vec::Vec;

    quickcheck! {
        /// As a queue that is searched before anyone joins. `None` takes the first out.
        fn a_line_is_a_queue_without_doubles(steps: Vec<Option<u8>>) -> bool {
            let (mut line, mut model) = (Line::<Fixed<1, 8>>::default(), Vec::new());
            steps.into_iter().all(|step| {
                match step.map(|at| usize::from(at % 8)) {
                    Some(at) => {
                        line.join(at);
                        if !model.contains(&at) {
                            model.push(at);
                        }
                    }
                    None => {
                        let first = if model.is_empty() { None } else { Some(model.remove(0)) };
                        if line.leave() != first {
                            return false;
                        }
                    }
                }
                line.first() == model.first().copied()
                    && line.is_empty() == model.is_empty()
                    && (0..9).all(|at| line.has(at) == model.contains(&at))
            })
        }
    }
}
