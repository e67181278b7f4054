//! Where a node keeps its records and snapshots.

use crate::placement;
use crate::replica::WINDOW_BYTES;
use quorate::{ClusterId, NodeId};
use quorate_disk::{Options, holds_log};
use quorate_tokio::{DiskStorage, StorageError};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What the log's own framing of a compacted window takes besides its entries, at most.
const SLACK_BYTES: u64 = 16 << 20;
/// The file that says how many groups there are. It is there before the log is.
const GROUPS: &str = "groups";
/// The file that says which nodes the cluster has.
const NODES: &str = "nodes";

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum DiskError {
    /// It is of a cluster of another number of groups.
    Groups {
        /// That one.
        kept: u64,
        /// The one that was asked for.
        asked: u64,
    },
    /// It does not say of how many groups it is.
    NoGroups,
    /// It is of a cluster of other nodes.
    Nodes {
        /// Those.
        kept: String,
        /// Those that were asked for.
        asked: String,
    },
    /// It cannot be read or written.
    Files(io::Error),
    /// It is in use, belongs to another node, or is damaged.
    Storage(StorageError),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { kept, asked } => write!(
                f,
                "the data are of a cluster of {kept} groups, and not of {asked}: the number is fixed for the life of a \
                 cluster; start with --groups {kept}, or with other data"
            ),
            Self::NoGroups => f.write_str(
                "the data do not say how many groups the cluster has: they are damaged, or of an earlier version, which \
                 alone can use them; nothing was changed; start with other data",
            ),
            Self::Nodes { kept, asked } => write!(
                f,
                "the data are of a cluster of the nodes {kept}, and not of {asked}: which nodes there are is fixed for the \
                 life of a cluster, or two halves of it would each go on alone; where each of them listens may change"
            ),
            Self::Files(error) => write!(f, "the data cannot be used: {error}"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DiskError {}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self::Files(error)
    }
}

/// Opens the storage of a node of a cluster of these nodes and so many groups in a directory, or makes it, with room for the
/// largest record there can be: the whole window of a group, when it is compacted.
///
/// # Errors
/// It is in use, belongs to another node, or a cluster of other nodes or another number of groups, or is damaged.
pub fn open_disk(
    directory: &Path,
    cluster: ClusterId,
    node: NodeId,
    nodes: impl IntoIterator<Item = NodeId>,
    groups: u64,
) -> Result<DiskStorage, DiskError> {
    check_groups(directory, groups)?;
    let record_bytes = WINDOW_BYTES + SLACK_BYTES;
    let options = Options {
        max_record_bytes: u32::try_from(record_bytes).unwrap_or(u32::MAX),
        segment_bytes: record_bytes + SLACK_BYTES,
        ..Options::default()
    };
    let storage = DiskStorage::open(directory, cluster, node, options).map_err(DiskError::Storage)?;
    check_nodes(directory, nodes)?;
    Ok(storage)
}

/// Compares the number of groups with the one that is kept; keeps it, if nothing is kept yet.
fn check_groups(directory: &Path, groups: u64) -> Result<(), DiskError> {
    let file = directory.join(GROUPS);
    match fs::read_to_string(&file) {
        Ok(kept) => match kept.trim().parse() {
            Ok(kept) if kept == groups => Ok(()),
            Ok(kept @ 1..=placement::GROUPS) => Err(DiskError::Groups { kept, asked: groups }),
            Ok(_) | Err(_) => Err(DiskError::NoGroups),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory)?;
            if holds_log(directory)? {
                return Err(DiskError::NoGroups);
            }
            Ok(keep(directory, GROUPS, &groups.to_string())?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Compares the nodes with those that are kept; keeps them, if none are kept yet. A node that takes another list for the
/// cluster counts other majorities than the rest.
fn check_nodes(directory: &Path, nodes: impl IntoIterator<Item = NodeId>) -> Result<(), DiskError> {
    let nodes: BTreeSet<_> = nodes.into_iter().map(NodeId::get).collect();
    let asked = nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match fs::read_to_string(directory.join(NODES)) {
        Ok(kept) if kept.trim() == asked => Ok(()),
        Ok(kept) => Err(DiskError::Nodes { kept: kept.trim().escape_default().to_string(), asked }),
        // Of a first start that ended early, or of an earlier version.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(keep(directory, NODES, &asked)?),
        Err(error) => Err(error.into()),
    }
}

/// Writes a line to a file that is there whole or not at all.
fn keep(directory: &Path, name: &str, line: &str) -> io::Result<()> {
    let draft = directory.join(format!("{name}.new"));
    let mut written = File::create(&draft)?;
    writeln!(written, "{line}")?;
    written.sync_all()?;
    fs::rename(&draft, directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_number_of_groups_is_fixed_by_the_first_start() {
        let data = TempDir::new().expect("a directory");
        let directory = data.path().join("node");
        check_groups(&directory, 4).expect("new");
        check_groups(&directory, 4).expect("the same");
        assert!(matches!(check_groups(&directory, 5), Err(DiskError::Groups { kept: 4, asked: 5 })));
        for damaged in ["", "0", "65"] {
            fs::write(directory.join(GROUPS), damaged).expect("it is there");
            assert!(matches!(check_groups(&directory, 4), Err(DiskError::NoGroups)));
        }
    }

    #[test]
    fn data_that_do_not_say_their_groups_are_not_used_and_half_a_start_is_no_start() {
        let data = TempDir::new().expect("a directory");
        fs::write(data.path().join("groups.new"), "").expect("it is there");
        // As in the root of a file system.
        fs::create_dir(data.path().join("lost+found")).expect("it is there");
        check_groups(data.path(), 4).expect("new");
        fs::remove_file(data.path().join(GROUPS)).expect("it is there");
        fs::write(data.path().join("mark"), "").expect("it is there");
        assert!(matches!(check_groups(data.path(), 4), Err(DiskError::NoGroups)));
    }

    #[test]
    fn which_nodes_there_are_is_fixed_by_the_first_start() {
        let data = TempDir::new().expect("a directory");
        let check = |nodes: &[u64]| check_nodes(data.path(), nodes.iter().copied().map(NodeId::new));
        // Half a start is no start.
        fs::write(data.path().join("nodes.new"), "1, 2").expect("it is there");
        check(&[3, 1, 2]).expect("new");
        check(&[1, 2, 3]).expect("the same");
        for others in [&[3][..], &[1, 2], &[1, 2, 4], &[1, 2, 3, 4]] {
            let refused = check(others).expect_err("others").to_string();
            assert!(
                refused.starts_with("the data are of a cluster of the nodes 1, 2, 3, and not of"),
                "{refused}"
            );
        }
        fs::write(data.path().join(NODES), "").expect("it is there");
        assert!(matches!(check(&[1, 2, 3]), Err(DiskError::Nodes { .. })));
    }
}
