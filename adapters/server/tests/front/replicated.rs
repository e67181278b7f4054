//! The front end of real nodes, with files and sockets.

use crate::support::{Client, Served, serve};
use quorate::{ClusterId, NodeId};
use quorate_server::{Disk, Plan, Replica};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;

async fn cluster(nodes: u64, data: &TempDir) -> Vec<(Arc<Replica>, Served)> {
    let cluster = ClusterId::new(7);
    let mut listeners = Vec::new();
    for number in 1..=nodes {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        listeners.push((NodeId::new(number), address, listener));
    }
    let peers: std::collections::BTreeMap<_, _> =
        listeners.iter().map(|(id, address, _)| (*id, address.clone())).collect();
    let mut running = Vec::new();
    for (id, _, listener) in listeners {
        let directory = data.path().join(id.to_string());
        let disk = Disk::open(&directory, cluster, id).expect("a new log");
        let plan = Plan { cluster, id, peers: peers.clone(), listener, disk };
        let replica = Arc::new(Replica::start(plan).await.expect("a new node"));
        let served = serve(Arc::clone(&replica), 100).await;
        running.push((replica, served));
    }
    running
}

#[tokio::test]
async fn many_changes_at_once_take_effect_in_order() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(1, &data).await;
    let mut client = Client::connect(&nodes[0].1).await;
    // One request is written whole, so that they arrive together.
    client.send_bytes("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(1000).as_bytes()).await;
    for number in 1..=1000 {
        assert_eq!(client.reply().await, number.to_string());
    }
}

#[tokio::test]
async fn any_node_takes_any_command_and_what_was_acknowledged_outlives_its_node() {
    let data = TempDir::new().expect("a directory");
    let mut nodes = cluster(3, &data).await;
    let mut clients = Vec::new();
    for (_, served) in &nodes {
        clients.push(Client::connect(served).await);
    }
    for (client, key) in clients.iter_mut().zip(["a", "b", "c"]) {
        assert_eq!(client.ask(&format!("SET {key} mine NX PX 60000")).await, "OK");
    }
    for client in &mut clients {
        client.converse(&[("MGET a b c", "[\"mine\" \"mine\" \"mine\"]")]).await;
        client.converse(&[("SET a other NX", "nil")]).await;
    }
    // Whichever this is, the other two go on without it.
    let (stopped, _served) = nodes.remove(0);
    stopped.shutdown().await;
    let unavailable = clients.remove(0).ask("SET a v").await;
    assert!(unavailable.starts_with("CLUSTERDOWN this node is stopping"), "{unavailable}");
    for client in &mut clients {
        client.converse(&[("MGET a b c", "[\"mine\" \"mine\" \"mine\"]"), ("DEL none", "0")]).await;
    }
}
