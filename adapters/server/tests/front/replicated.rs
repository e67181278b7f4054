//! The front end of real nodes, with files and sockets.

use crate::support::{Client, cluster};
use tempfile::TempDir;

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
