//! Who takes the next request.

use super::{Placed, Refusal};
use crate::Rng;
use crate::space::{List, Space};
use core::cmp::Ordering;

/// How a [`Balancer`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At random, in proportion to the weights.
    Random,
    /// Each in turn, whatever it weighs.
    RoundRobin,
    /// Each as often as it weighs, spread out: nginx's smooth weighted round robin (2012).
    SmoothWeighted,
    /// The less loaded of two different ones, drawn at random in proportion to the weights (Mitzenmacher, 2001). Of two
    /// alike, the one that was drawn first.
    TwoChoices,
    /// The least loaded of all. Of several alike, each in turn.
    LeastLoaded,
}

/// Spreads requests over nodes that come and go.
///
/// A load is how many requests a node has that are not done, or what it last [reported](Self::report); a node that weighs
/// twice as much is as loaded with twice as many. The same seed and the same calls choose the same nodes, in whatever
/// order these were added.
///
/// ```
/// use quorate::placement::{Balancer, Refusal, Rule};
/// use quorate::space::Fixed;
///
/// let mut balancer = Balancer::<u64, Fixed<0, 0>, 3>::new(Rule::SmoothWeighted, 7);
/// assert_eq!(balancer.pick(), None);
/// for (node, weight) in [(1, 5), (2, 1), (3, 1)] {
///     balancer.add(node, weight)?;
/// }
/// let turns = [(); 7].map(|()| balancer.pick());
/// assert_eq!(turns, [1, 1, 2, 1, 3, 1, 1].map(Some));
/// assert_eq!(balancer.load_of(1), Some(5));
/// assert!(balancer.done(1));
/// # Ok::<(), Refusal<u64>>(())
/// ```
#[derive(Debug)]
pub struct Balancer<N: Placed, S: Space, const NODES: usize> {
    state: State,
    /// By number.
    members: S::Items<Member<N>, NODES>,
}

#[derive(Debug)]
struct Member<N> {
    node: N,
    weight: u32,
    load: u32,
    /// What it is owed, in the unit of the weights.
    credit: i64,
}

/// What a rule remembers.
#[derive(Debug)]
enum State {
    Random(Rng),
    RoundRobin(Turn),
    SmoothWeighted,
    TwoChoices(Rng),
    LeastLoaded(Turn),
}

/// The number of the node that was last chosen. So the turn stays where it is when nodes come and go.
type Turn = Option<u64>;

impl<N: Placed, S: Space, const NODES: usize> Balancer<N, S, NODES> {
    /// A balancer without nodes. The seed is for the rules that draw.
    #[must_use]
    pub fn new(rule: Rule, seed: u64) -> Self {
        let state = match rule {
            Rule::Random => State::Random(Rng::new(seed)),
            Rule::RoundRobin => State::RoundRobin(None),
            Rule::SmoothWeighted => State::SmoothWeighted,
            Rule::TwoChoices => State::TwoChoices(Rng::new(seed)),
            Rule::LeastLoaded => State::LeastLoaded(None),
        };
        Self { state, members: Default::default() }
    }

    /// Adds a node, without load.
    ///
    /// # Errors
    /// When it is there, has no weight, or there is no room.
    pub fn add(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        let Err(at) = self.search(node) else { return Err(Refusal::Present(node)) };
        if weight == 0 {
            return Err(Refusal::Weightless(node));
        }
        let fits = self.members.insert(at, Member { node, weight, load: 0, credit: 0 });
        fits.map_err(|member| Refusal::TooManyNodes(member.node))?;
        self.settle();
        Ok(())
    }

    /// Takes a node away, and its load.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&mut self, node: N) -> Result<(), Refusal<N>> {
        let at = self.search(node).map_err(|_| Refusal::Absent(node))?;
        self.members.remove(at);
        self.settle();
        Ok(())
    }

    /// Gives a node another weight. Its load stays.
    ///
    /// # Errors
    /// When it is not there, or the weight is zero.
    pub fn set_weight(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        if weight == 0 {
            return Err(Refusal::Weightless(node));
        }
        let member = self.member_mut(node).ok_or(Refusal::Absent(node))?;
        member.weight = weight;
        self.settle();
        Ok(())
    }

    /// The node for the next request, which counts as its load until it is [done](Self::done). None if there is none.
    pub fn pick(&mut self) -> Option<N> {
        let members = &mut *self.members;
        let at = match &mut self.state {
            State::Random(rng) => draw(rng, members, None),
            State::RoundRobin(turn) => in_turn(members, *turn).next(),
            State::SmoothWeighted => smooth(members),
            State::TwoChoices(rng) => two_choices(rng, members),
            State::LeastLoaded(turn) => least_loaded(members, *turn),
        };
        let member = members.get_mut(at?)?;
        member.load = member.load.saturating_add(1);
        match &mut self.state {
            State::RoundRobin(turn) | State::LeastLoaded(turn) => *turn = Some(member.node.number()),
            State::Random(_) | State::SmoothWeighted | State::TwoChoices(_) => {}
        }
        Some(member.node)
    }

    /// Notes that a node is done with a request. Says whether it had any: it may have left, and come back.
    pub fn done(&mut self, node: N) -> bool {
        let member = self.member_mut(node).filter(|member| member.load > 0);
        member.map(|member| member.load -= 1).is_some()
    }

    /// Notes the load that a node says it has. Says whether the node is there.
    pub fn report(&mut self, node: N, load: u32) -> bool {
        self.member_mut(node).map(|member| member.load = load).is_some()
    }

    /// The load of a node, if it is there.
    #[must_use]
    pub fn load_of(&self, node: N) -> Option<u32> {
        self.members.get(self.search(node).ok()?).map(|member| member.load)
    }

    /// The nodes, in the order of their numbers, each with its weight.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (N, u32)> {
        self.members.iter().map(|member| (member.node, member.weight))
    }

    fn search(&self, node: N) -> Result<usize, usize> {
        self.members.binary_search_by_key(&node.number(), |member| member.node.number())
    }

    fn member_mut(&mut self, node: N) -> Option<&mut Member<N>> {
        let at = self.search(node).ok()?;
        self.members.get_mut(at)
    }

    /// Nobody is owed anything: what was owed among other nodes, or by other weights, is no measure.
    fn settle(&mut self) {
        self.members.iter_mut().for_each(|member| member.credit = 0);
    }
}

/// One at random, but for the one at `except`.
fn draw<N>(rng: &mut Rng, members: &[Member<N>], except: Option<usize>) -> Option<usize> {
    let weights = || {
        let all = members.iter().map(|member| u64::from(member.weight)).enumerate();
        all.filter(|(at, _)| Some(*at) != except)
    };
    let mut left = rng.below(weights().map(|(_, weight)| weight).sum());
    for (at, weight) in weights() {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return Some(at),
        }
    }
    None
}

/// All, from the one after `turn` on.
fn in_turn<N: Placed>(members: &[Member<N>], turn: Turn) -> impl Iterator<Item = usize> {
    let start = members.partition_point(|member| turn.is_some_and(|last| member.node.number() <= last));
    (start..members.len()).chain(0..start)
}

/// Everybody is owed its weight more; who is owed most is chosen, and pays for all. The first of several.
fn smooth<N>(members: &mut [Member<N>]) -> Option<usize> {
    let mut total = 0;
    for member in &mut *members {
        member.credit += i64::from(member.weight);
        total += i64::from(member.weight);
    }
    let chosen = members.iter_mut().enumerate().rev().max_by_key(|(_, member)| member.credit)?;
    chosen.1.credit -= total;
    Some(chosen.0)
}

fn two_choices<N>(rng: &mut Rng, members: &[Member<N>]) -> Option<usize> {
    let first = draw(rng, members, None)?;
    let Some(second) = draw(rng, members, Some(first)) else { return Some(first) };
    let (one, other) = (members.get(first)?, members.get(second)?);
    Some(if by_load(other, one).is_lt() { second } else { first })
}

fn least_loaded<N: Placed>(members: &[Member<N>], turn: Turn) -> Option<usize> {
    let places = in_turn(members, turn).filter_map(|at| members.get(at).map(|member| (at, member)));
    places.min_by(|(_, one), (_, other)| by_load(one, other)).map(|(at, _)| at)
}

/// By load for its weight.
fn by_load<N>(one: &Member<N>, other: &Member<N>) -> Ordering {
    let weighed = |load: u32, weight: u32| u64::from(load) * u64::from(weight);
    weighed(one.load, other.weight).cmp(&weighed(other.load, one.weight))
}
