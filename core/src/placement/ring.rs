//! The ring: points in order, and who has them.

use super::moves::Side;
use super::{Moves, Placed, Refusal, hash};
use crate::space::{List, Space, retain};
use core::fmt::Debug;

/// The bits of a point that say whose it is; the others are its position.
pub(super) const RANK: u64 = 0xFFFF;

/// Nodes on a ring of hashes: a key belongs to the first point at or after its hash, and a point to a node.
///
/// A node of weight `w` has `w` points, the virtual nodes, and about `w` shares of the keys: within 20 % with 1,024
/// points, within 50 % with 160. Which key is whose does not depend on the order in which nodes were added. There is
/// room for `NODES` nodes, at most 65,536, and for `POINTS` points of 8 bytes. There is always a node, so a key always
/// has a place.
///
/// A look-up searches the points, which are in order; a change puts them in order again.
///
/// ```
/// use quorate::NodeId;
/// use quorate::placement::Ring;
/// use quorate::space::Fixed;
///
/// let [a, b, c, d] = [1, 2, 3, 4].map(NodeId::new);
/// let mut ring = Ring::<NodeId, Fixed<0, 0>, 4, 640>::of([(a, 160), (b, 160), (c, 160)])?;
/// assert_eq!(ring.owner_of(b"account:17"), b);
/// assert_eq!(ring.replicas_of::<2>(b"account:17"), [b, c]);
///
/// ring.add(d, 160)?;
/// assert!(ring.joined(d).all(|part| part.to == d)); // all that moves goes to the new node
/// # Ok::<(), quorate::placement::Refusal<NodeId>>(())
/// ```
#[derive(Debug)]
pub struct Ring<N: Placed, S: Space, const NODES: usize, const POINTS: usize> {
    /// By number. The place of a node is its rank.
    members: S::Items<Member<N>, NODES>,
    /// The position of each point in the high 48 bits, the rank of its node in the low 16: in order. So where points of
    /// several nodes fall together, the node with the lowest number has the place.
    points: S::Items<u64, POINTS>,
    /// The node of the first point, to which what is after the last belongs.
    first: N,
}

/// A node, and how many points it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<N> {
    pub(super) node: N,
    pub(super) weight: u32,
}

impl<N: Placed, S: Space, const NODES: usize, const POINTS: usize> Clone for Ring<N, S, NODES, POINTS> {
    fn clone(&self) -> Self {
        Self {
            members: List::of(self.members.iter().copied()),
            points: List::of(self.points.iter().copied()),
            first: self.first,
        }
    }
}

impl<N: Placed, S: Space, const NODES: usize, const POINTS: usize> Ring<N, S, NODES, POINTS> {
    /// A ring of these nodes, each with its weight.
    ///
    /// # Errors
    /// When there are none or too many, when one is there twice or has no weight, or when they need more points than
    /// there is room for.
    pub fn of(members: impl IntoIterator<Item = (N, u32)>) -> Result<Self, Refusal<N>> {
        const { assert!(NODES as u64 <= RANK + 1, "a rank has 16 bits") };
        let mut members = members.into_iter();
        let Some((first, weight)) = members.next() else { return Err(Refusal::NoNodes) };
        let mut ring = Self { members: Default::default(), points: Default::default(), first };
        ring.put(first, weight)?;
        members.try_for_each(|(node, weight)| ring.put(node, weight))?;
        ring.order();
        Ok(ring)
    }

    /// Adds a node. What moves to it, [`joined`](Self::joined) says afterwards.
    ///
    /// # Errors
    /// When the node is there, has no weight, or there is no room for it or its points.
    pub fn add(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        self.put(node, weight)?;
        self.order();
        Ok(())
    }

    /// Takes a node away. What moves from it, [`leaving`](Self::leaving) says before.
    ///
    /// # Errors
    /// When the node is not there, or is the last.
    pub fn remove(&mut self, node: N) -> Result<(), Refusal<N>> {
        let rank = self.rank_of(node).ok_or(Refusal::Absent(node))?;
        if self.members.len() == 1 {
            return Err(Refusal::LastNode(node));
        }
        retain(&mut self.points, |point| *point & RANK != rank as u64);
        self.members.remove(rank);
        self.rename(|other| if other > rank as u64 { other - 1 } else { other });
        self.order();
        Ok(())
    }

    /// Gives a node another weight. Only the points that it has more or fewer come or go.
    ///
    /// # Errors
    /// When the node is not there, the weight is zero, or there is no room for the points.
    pub fn set_weight(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        let rank = self.rank_of(node).ok_or(Refusal::Absent(node))?;
        let had = self.weight_of(node).unwrap_or(0);
        Self::check_weight(node, weight, POINTS - self.points.len() + had as usize)?;
        retain(&mut self.points, |point| *point & RANK != rank as u64);
        if let Some(member) = self.members.get_mut(rank) {
            member.weight = weight;
        }
        self.put_points(node, rank, weight);
        self.order();
        Ok(())
    }

    /// Who has a key.
    #[must_use]
    pub fn owner_of(&self, key: &[u8]) -> N {
        self.owner_at(hash(key))
    }

    /// Who has what has this hash.
    #[must_use]
    pub fn owner_at(&self, hash: u64) -> N {
        self.points.get(self.place_of(hash)).map_or(self.first, |point| self.node_of(*point))
    }

    /// The first `R` different nodes from a key on, its owner first; all nodes, if there are fewer.
    ///
    /// The nodes after the owner are those that the key moves to when all before them leave.
    #[must_use]
    pub fn replicas_of<const R: usize>(&self, key: &[u8]) -> heapless::Vec<N, R> {
        let wanted = R.min(self.members.len());
        let mut found = heapless::Vec::<N, R>::new();
        for (_, Member { node, .. }) in self.from(hash(key)) {
            if found.len() == wanted {
                break;
            }
            if found.iter().all(|other| other.number() != node.number()) {
                let _ = found.push(node); // it fits: fewer than `R` are found
            }
        }
        found
    }

    /// The node of each point in turn with its rank, from a hash on and once around.
    pub(super) fn from(&self, hash: u64) -> impl Iterator<Item = (usize, Member<N>)> {
        let (before, after) = self.points.split_at_checked(self.place_of(hash)).unwrap_or_default();
        let ranks = after.iter().chain(before).map(|point| (point & RANK) as usize);
        ranks.filter_map(|rank| self.members.get(rank).map(|member| (rank, *member)))
    }

    /// What moves if this ring is replaced by another.
    #[must_use]
    pub fn moves<'a>(&'a self, after: &'a Self) -> Moves<'a, N> {
        Moves::between(self.side(None), after.side(None))
    }

    /// What a node got when it came, and from whom: all that it has. Nothing, if it is not there or there is no other.
    #[must_use]
    pub fn joined(&self, node: N) -> Moves<'_, N> {
        Moves::between(self.side(self.rank_of(node)), self.side(None))
    }

    /// What moves if a node leaves, and to whom: all that it has. Nothing, if it is not there or there is no other.
    #[must_use]
    pub fn leaving(&self, node: N) -> Moves<'_, N> {
        Moves::between(self.side(None), self.side(self.rank_of(node)))
    }

    fn side(&self, without: Option<usize>) -> Side<'_, N> {
        Side::new(&self.points, &self.members, without)
    }

    /// The nodes, in the order of their numbers, each with its weight.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (N, u32)> {
        self.members.iter().map(|member| (member.node, member.weight))
    }

    /// The weight of a node, if it is there.
    #[must_use]
    pub fn weight_of(&self, node: N) -> Option<u32> {
        self.members.get(self.rank_of(node)?).map(|member| member.weight)
    }

    /// How many points there are: the weights of all.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The place of a node among all, if it is there.
    pub(super) fn rank_of(&self, node: N) -> Option<usize> {
        self.search(node).ok()
    }

    fn search(&self, node: N) -> Result<usize, usize> {
        self.members.binary_search_by_key(&node.number(), |member| member.node.number())
    }

    fn node_of(&self, point: u64) -> N {
        self.members.get((point & RANK) as usize).map_or(self.first, |member| member.node)
    }

    /// How many points lie before a hash: the place of the one that it belongs to.
    fn place_of(&self, hash: u64) -> usize {
        self.points.partition_point(|point| *point < hash & !RANK)
    }

    fn check_weight(node: N, weight: u32, room: usize) -> Result<(), Refusal<N>> {
        if weight == 0 {
            Err(Refusal::Weightless(node))
        } else if weight as usize > room {
            Err(Refusal::TooManyPoints { node, weight })
        } else {
            Ok(())
        }
    }

    /// Puts a node and its points in; the points are not in order any more.
    fn put(&mut self, node: N, weight: u32) -> Result<(), Refusal<N>> {
        let Err(rank) = self.search(node) else { return Err(Refusal::Present(node)) };
        Self::check_weight(node, weight, POINTS - self.points.len())?;
        let fits = self.members.insert(rank, Member { node, weight });
        fits.map_err(|member| Refusal::TooManyNodes(member.node))?;
        self.rename(|other| if other >= rank as u64 { other + 1 } else { other });
        self.put_points(node, rank, weight);
        Ok(())
    }

    fn put_points(&mut self, node: N, rank: usize, weight: u32) {
        for number in 0..weight {
            let fits = self.points.push(position_of(node, number) | rank as u64);
            assert!(fits.is_ok(), "there was seen to be room for all points");
        }
    }

    /// Gives the points other ranks. As long as ranks keep their order, so do points.
    fn rename(&mut self, rename: impl Fn(u64) -> u64) {
        for point in self.points.iter_mut() {
            *point = (*point & !RANK) | rename(*point & RANK);
        }
    }

    fn order(&mut self) {
        self.points.sort_unstable();
        self.first = self.points.first().map_or(self.first, |point| self.node_of(*point));
    }
}

/// Where the point of a node lies, of which it has several.
fn position_of<N: Placed>(node: N, number: u32) -> u64 {
    let mut name = [0; 16];
    let (front, back) = name.split_at_mut(8);
    front.copy_from_slice(&node.number().to_le_bytes());
    back.copy_from_slice(&u64::from(number).to_le_bytes());
    hash(&name) & !RANK
}
