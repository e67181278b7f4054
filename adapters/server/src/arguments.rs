//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate::NodeId;
use quorate::lock::{Name, Ttl};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The first node of `quorate dev`.
const NODE: &str = "127.0.0.1:7411";
/// How many groups there are unless it is said.
const GROUPS: u64 = 4;

/// A replicated lock service for the clients of the Redis protocol.
#[derive(Debug, Parser)]
#[command(name = "quorate", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a whole cluster in this process, to try things out.
    Dev(Dev),
    /// Runs one node of a cluster.
    Serve(Serve),
    /// Runs a command while holding a lock.
    ///
    /// The command finds the lock's name in QUORATE_LOCK and the fencing token of the grant in QUORATE_TOKEN: what the
    /// lock protects should refuse a token lower than the highest it has seen. If the lock is lost, the command is
    /// stopped.
    ///
    /// Exit status: that of the command, or 128 and the number of the signal that killed it; 3 if the lock was not
    /// acquired in time; 4 if it was lost; 1 for any other failure, 2 for a wrong command line.
    Lock(Lock),
    /// Shows the nodes and the groups of a cluster.
    Status(Status),
    /// Shows the transactions that are in doubt, or settles one.
    ///
    /// A transaction over several groups is in doubt in a group between its promise and the decision; that takes
    /// milliseconds. One that stays so has lost the majority of a group.
    ///
    /// Exit status: 0 if none is in doubt, or the one that was named was settled; 3 if some are in doubt; 4 if the one that
    /// was named is not; 1 for any other failure, 2 for a wrong command line.
    Transactions(Transactions),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// How many groups keys and locks are spread over. Fixed for the life of the data.
    #[arg(long, default_value_t = GROUPS, value_parser = clap::value_parser!(u64).range(1..=quorate_server::GROUPS))]
    pub(crate) groups: u64,
    /// Where they keep their data.
    #[arg(long, default_value = "quorate-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where the first node listens for clients; the others use the ports that follow.
    #[arg(long, default_value_t = 7411, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Which node of the list this is.
    #[arg(long, value_parser = id, value_name = "N")]
    pub(crate) id: NodeId,
    /// All nodes, and where each listens for the others, as this node reaches them.
    #[arg(long, value_name = "1=HOST:PORT,2=HOST:PORT,...")]
    pub(crate) cluster: Cluster,
    /// Where to listen for clients.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// Where to keep data.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Tells this cluster from others: nodes with another number are not talked to.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) cluster_id: u64,
    /// How many groups keys and locks are spread over. Fixed for the life of the cluster, and the same on all its nodes.
    #[arg(long, default_value_t = GROUPS, value_parser = clap::value_parser!(u64).range(1..=quorate_server::GROUPS))]
    pub(crate) groups: u64,
    /// Allows to listen beyond this machine, where anyone who can connect is trusted.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How many clients are served at the same time.
    #[arg(long, default_value_t = quorate_server::CONNECTIONS, value_name = "NUMBER")]
    pub(crate) connections: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// Which lock: a name of 1 to 64 bytes.
    #[arg(value_parser = lock_name)]
    pub(crate) name: String,
    /// Nodes of the cluster. If one does not answer, the next is asked.
    #[arg(long, default_value = NODE, value_name = "HOST:PORT,...", value_delimiter = ',', value_parser = host_port)]
    pub(crate) connect: Vec<String>,
    /// How long the lock stays ours when the cluster does not hear of us.
    #[arg(long, default_value = "15s", value_parser = ttl, value_name = "DURATION")]
    pub(crate) ttl: Ttl,
    /// How long to wait for the lock; 0s to try once.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) wait: Duration,
    /// How long the command has to end after SIGTERM when the lock is lost; then it is killed.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) grace: Duration,
    /// What to run. It gets a process group of its own, and does not read from a terminal.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Any node of the cluster.
    #[arg(long, default_value = NODE, value_name = "HOST:PORT")]
    pub(crate) connect: String,
    /// How to show it, if not as a table.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Output>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Transactions {
    #[command(subcommand)]
    pub(crate) force: Option<Force>,
    #[command(flatten)]
    pub(crate) show: Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Force {
    /// Settles one that is in doubt, without its coordinator.
    ///
    /// If the coordinator has decided otherwise, or some other group has, the transaction takes effect in part, and nothing
    /// puts that right: only do this when the coordinator's group is lost for good.
    Force {
        /// Which, as it is shown: n1.17.
        #[arg(value_parser = transaction, value_name = "TRANSACTION")]
        transaction: String,
        /// How.
        outcome: Decision,
        /// Any node of the cluster.
        #[arg(long, default_value = NODE, value_name = "HOST:PORT")]
        connect: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Decision {
    /// It takes effect.
    Commit,
    /// It does not.
    Abort,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    /// One JSON object.
    Json,
}

/// The nodes of a cluster, and where each listens for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster(pub(crate) BTreeMap<NodeId, String>);

impl FromStr for Cluster {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut nodes = BTreeMap::new();
        for entry in text.split(',') {
            let (number, address) =
                entry.split_once('=').ok_or_else(|| format!("'{entry}' is not of the form 1=HOST:PORT"))?;
            let address = host_port(address)?;
            if nodes.insert(id(number)?, address).is_some() {
                return Err(format!("node {number} is there twice"));
            }
        }
        let most = quorate_server::PEERS + 1;
        if nodes.len() > most {
            return Err(format!("at most {most} nodes"));
        }
        Ok(Self(nodes))
    }
}

fn id(number: &str) -> Result<NodeId, String> {
    match number.parse() {
        Ok(number @ 1..) => Ok(NodeId::new(number)),
        Ok(0) | Err(_) => Err(format!("'{number}' is not the number of a node, from 1")),
    }
}

fn host_port(address: &str) -> Result<String, String> {
    match address.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(address.to_owned()),
        Some(Ok(0) | Err(_)) | None => Err(format!("'{address}' is not of the form HOST:PORT")),
    }
}

fn transaction(name: &str) -> Result<String, String> {
    let numbers = name.strip_prefix('n').and_then(|numbers| numbers.split_once('.'));
    match numbers.map(|(node, number)| (node.parse::<u64>(), number.parse::<u64>())) {
        Some((Ok(_), Ok(_))) => Ok(name.to_owned()),
        Some(_) | None => Err(format!("'{name}' is not of the form n1.17")),
    }
}

fn lock_name(name: &str) -> Result<String, String> {
    match name.len() {
        1..=<Name>::LONGEST => Ok(name.to_owned()),
        bytes => Err(format!("a name has 1 to {} bytes, and this one {bytes}", <Name>::LONGEST)),
    }
}

fn ttl(span: &str) -> Result<Ttl, String> {
    let span = humantime::parse_duration(span).map_err(|error| error.to_string())?;
    // As long as we tell the cluster, in milliseconds, and no longer.
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Ttl::new(Duration::from_millis(millis))
        .ok_or_else(|| "a lease lasts from a millisecond to a day".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_cluster_is_a_list_of_nodes_each_once() {
        let cluster = "1=a:1,2=[::1]:2".parse::<Cluster>().expect("a list");
        assert_eq!(cluster.0.get(&NodeId::new(2)).map(String::as_str), Some("[::1]:2"));
        for (text, error) in [
            ("", "'' is not of the form 1=HOST:PORT"),
            ("1", "'1' is not of the form 1=HOST:PORT"),
            ("1=a", "'a' is not of the form HOST:PORT"),
            ("1=a:0", "'a:0' is not of the form HOST:PORT"),
            ("0=a:1", "'0' is not the number of a node, from 1"),
            ("x=a:1", "'x' is not the number of a node, from 1"),
            ("1=a:1,1=b:1", "node 1 is there twice"),
        ] {
            assert_eq!(text.parse::<Cluster>(), Err(error.to_owned()));
        }
    }
}
