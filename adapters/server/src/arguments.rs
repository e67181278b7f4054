//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate::NodeId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// Shows the nodes of a cluster.
    Status(Status),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
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
    /// Allows to listen beyond this machine, where anyone who can connect is trusted.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How many clients are served at the same time.
    #[arg(long, default_value_t = quorate_server::CONNECTIONS, value_name = "NUMBER")]
    pub(crate) connections: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Any node of the cluster.
    #[arg(long, default_value = "127.0.0.1:7411", value_name = "HOST:PORT")]
    pub(crate) connect: String,
    /// How to show it, if not as a table.
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Output>,
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
            let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(1..))) {
                return Err(format!("'{address}' is not of the form HOST:PORT"));
            }
            if nodes.insert(id(number)?, address.to_owned()).is_some() {
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
