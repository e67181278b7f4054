//! Which group has what.

use quorate::GroupId;
use quorate::placement::Ring;
use quorate::space::Heap;

/// How many groups there may be.
pub const GROUPS: u64 = 64;
/// How many points of the ring each has: enough for shares that differ by less than a fifth.
const POINTS: u32 = 1024;

type Groups = Ring<GroupId, Heap<0, 0>, { GROUPS as usize }, { GROUPS as usize * POINTS as usize }>;

/// The groups of a cluster, from 0, and which of them has a key or a lock: a ring of groups of one weight, the same on
/// every node and for the whole life of the cluster.
///
/// Of a key with a part between `{` and the next `}`, which is not empty, only that part counts, as in Redis Cluster: so
/// keys can be put side by side.
///
/// ```
/// use quorate_server::Placement;
///
/// let placement = Placement::new(4);
/// let group = placement.group(b"account:{17}:balance");
/// assert_eq!(group, placement.group(b"account:{17}:limit"));
/// assert!(placement.groups().any(|one| one == group));
/// ```
#[derive(Clone, Debug)]
pub struct Placement {
    count: u64,
    ring: Groups,
}

impl Placement {
    /// A cluster of so many groups.
    ///
    /// # Panics
    /// There are none, or more than [`GROUPS`].
    #[must_use]
    pub fn new(count: u64) -> Self {
        assert!((1..=GROUPS).contains(&count), "from 1 to {GROUPS} groups");
        let ring = Groups::of((0..count).map(|group| (GroupId::new(group), POINTS)));
        Self { count, ring: ring.expect("there is room for all groups, each once") }
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.count).map(GroupId::new)
    }

    /// The one that has all, if there is but one.
    pub(crate) fn only(&self) -> Option<GroupId> {
        (self.count == 1).then(GroupId::default)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The group that has a key, or the lock of a name.
    #[must_use]
    pub fn group(&self, key: &[u8]) -> GroupId {
        self.ring.owner_of(counted(key))
    }
}

/// The part of a key that counts.
fn counted(key: &[u8]) -> &[u8] {
    let tag = || {
        let (_, rest) = split(key, b'{')?;
        let (tag, _) = split(rest, b'}')?;
        (!tag.is_empty()).then_some(tag)
    };
    tag().unwrap_or(key)
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_only_the_part_between_braces_counts_if_there_is_one() {
        for (key, part) in [
            ("plain", "plain"),
            ("{tag}", "tag"),
            ("before{tag}after", "tag"),
            ("{one}{two}", "one"),
            ("{{tag}}", "{tag"),
            ("{}tag", "{}tag"),
            ("{}{tag}", "{}{tag}"),
            ("}tag{", "}tag{"),
            ("{tag", "{tag"),
            ("", ""),
        ] {
            assert_eq!(counted(key.as_bytes()), part.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_key_has_its_place_for_ever() {
        let placement = Placement::new(4);
        let places = ["", "account:17", "lock:42", "{account:17}:limit"]
            .map(|key| placement.group(key.as_bytes()).get());
        assert_eq!(places, [2, 1, 0, 1]);
    }

    #[test]
    fn keys_are_spread_over_all_groups() {
        for count in [1, 3, 4, 64] {
            let placement = Placement::new(count);
            let mut found = vec![0_u64; count as usize];
            for number in 0..count * 1_000 {
                let group = placement.group(format!("account:{number}").as_bytes());
                found[group.get() as usize] += 1;
            }
            let (least, most) = (found.iter().min(), found.iter().max());
            assert!(least > Some(&700) && most < Some(&1_300), "{found:?}");
        }
    }
}
