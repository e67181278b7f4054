//! The names of the files in a log's directory.

use std::io;
use std::path::Path;

use crate::options::SnapshotId;

pub(crate) const MARK: &str = "mark";
pub(crate) const RESERVE: &str = "reserve";
pub(crate) const LOCK: &str = "lock";

/// What a name says about its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    /// A segment's worth of allocated blocks, free to be used.
    Spare(u64),
    /// Whole and durable.
    Snapshot(SnapshotId),
    /// A snapshot that comes in piece by piece.
    Partial(SnapshotId),
    /// Not durable under its own name yet; of no use after a crash.
    Unfinished,
    Mark,
    Reserve,
    Lock,
    /// Not ours.
    Other,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            MARK => return Self::Mark,
            RESERVE => return Self::Reserve,
            LOCK => return Self::Lock,
            _ => {}
        }
        let Some((stem, extension)) = name.rsplit_once('.') else { return Self::Other };
        let parsed = match extension {
            "log" => number(stem).map(Self::Segment),
            "spare" => number(stem).map(Self::Spare),
            "snapshot" => snapshot_id(stem).map(Self::Snapshot),
            "partial" => snapshot_id(stem).map(Self::Partial),
            "unfinished" => Some(Self::Unfinished),
            _ => None,
        };
        parsed.unwrap_or(Self::Other)
    }
}

/// Whether there is anything of a log in a directory, be it one that was only begun. What others have put there does not
/// count.
///
/// # Errors
/// The directory cannot be read.
pub fn holds_log(directory: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| Name::parse(name) != Name::Other) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn segment(number: u64) -> String {
    format!("{number:016x}.log")
}

pub(crate) fn spare(number: u64) -> String {
    format!("{number:016x}.spare")
}

pub(crate) fn snapshot(of: SnapshotId) -> String {
    format!("{}.snapshot", stem(of))
}

pub(crate) fn partial(of: SnapshotId) -> String {
    format!("{}.partial", stem(of))
}

/// A name for a file in the making; `number` keeps those of one kind apart.
pub(crate) fn unfinished(kind: &str, number: u64) -> String {
    format!("{kind}-{number:016x}.unfinished")
}

/// The first group is not named: so are snapshots where there is one.
fn stem(of: SnapshotId) -> String {
    let SnapshotId { group, term, index, size } = of;
    let snapshot = format!("{term:016x}-{index:016x}-{size:016x}");
    if group == 0 { snapshot } else { format!("{group:016x}-{snapshot}") }
}

fn snapshot_id(stem: &str) -> Option<SnapshotId> {
    let numbers = stem.split('-').map(number).collect::<Option<Vec<_>>>()?;
    match numbers[..] {
        [term, index, size] => Some(SnapshotId { group: 0, term, index, size }),
        [group, term, index, size] if group > 0 => Some(SnapshotId { group, term, index, size }),
        _ => None,
    }
}

fn number(digits: &str) -> Option<u64> {
    let number = u64::from_str_radix(digits, 16).ok()?;
    // Only the one spelling that we write: `+1` and `1` are numbers as well.
    (format!("{number:016x}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        let of = SnapshotId { group: 0, term: 3, index: u64::MAX, size: 0 };
        let of_another = SnapshotId { group: 5, ..of };
        for (text, name) in [
            (segment(7), Name::Segment(7)),
            (spare(8), Name::Spare(8)),
            (snapshot(of), Name::Snapshot(of)),
            (partial(of), Name::Partial(of)),
            (snapshot(of_another), Name::Snapshot(of_another)),
            (unfinished("spare", 1), Name::Unfinished),
            (MARK.into(), Name::Mark),
        ] {
            assert_eq!(Name::parse(&text), name);
        }
        let zero = format!("{:016x}-{}", 0, snapshot(of));
        for other in [
            &zero,
            "1.log",
            "+000000000000001.log",
            "000000000000000G.log",
            "notes.txt",
            ".log",
            "a-b-c.snapshot",
        ] {
            assert_eq!(Name::parse(other), Name::Other, "{other}");
        }
    }
}
