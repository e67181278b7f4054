//! `quorate serve`: one node.

use crate::arguments::Serve;
use crate::stop;
use quorate::{ClusterId, NodeId};
use quorate_server::{Front, Members, Plan, Replica, open_disk};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;

type Failure = Box<dyn Error + Send + Sync>;

/// Runs a node until it is asked to stop, or cannot go on.
pub(crate) async fn run(arguments: Serve) -> Result<(), Failure> {
    let Serve { id, cluster, listen, data, cluster_id, groups, insecure, connections } = arguments;
    let peers = cluster.0;
    let own = peers.get(&id).ok_or_else(|| format!("--id {} is not in --cluster", id.get()))?;
    let listener = bind(own, insecure).await?;
    let clients = bind(&listen, insecure).await?;
    let members = Members::new(id, members(id, peers.keys(), clients.local_addr()?));

    let cluster = ClusterId::new(cluster_id);
    let disk = open_disk(&data, cluster, id, peers.keys().copied(), groups)?;
    let plan = Plan { cluster, id, peers, groups, listener, disk };
    let replica = Arc::new(Replica::start(plan).await?);
    let (stop, stopped) = watch::channel(false);
    let front = Front::new(Arc::clone(&replica), members).with_connections(connections);
    let front = tokio::spawn(front.serve(clients, stopped));
    println!("quorate: node {} of {groups} groups serves clients on {listen}", id.get());

    let reason = tokio::select! {
        asked = stop::asked() => asked.map(|()| None)?,
        reason = replica.stopped() => Some(reason),
    };
    stop.send_replace(true);
    front.await?;
    match reason {
        Some(reason) => Err(reason.into()),
        None => {
            replica.shutdown().await;
            Ok(())
        }
    }
}

/// The other nodes tell where they listen for clients once they run.
fn members<'n>(
    own: NodeId,
    nodes: impl Iterator<Item = &'n NodeId>,
    address: SocketAddr,
) -> Vec<(NodeId, Option<String>)> {
    nodes.map(|id| (*id, (*id == own).then(|| address.to_string()))).collect()
}

/// Listens on an address of this machine; on one that others can reach only if that was allowed.
async fn bind(address: &str, insecure: bool) -> Result<TcpListener, Failure> {
    let addresses: Vec<_> =
        lookup_host(address).await.map_err(|error| format!("{address}: {error}"))?.collect();
    if !insecure && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(format!(
            "refused to listen on {address}: it is beyond loopback, and whoever can connect is trusted; \
             --insecure allows it"
        )
        .into());
    }
    TcpListener::bind(&*addresses)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::bind;

    #[tokio::test]
    async fn nothing_listens_beyond_loopback_unless_allowed() {
        assert!(bind("127.0.0.1:0", false).await.is_ok());
        let refused = bind("0.0.0.0:0", false).await.expect_err("beyond loopback").to_string();
        assert!(refused.starts_with("refused to listen on 0.0.0.0:0"), "{refused}");
        assert!(bind("0.0.0.0:0", true).await.is_ok());
    }
}
