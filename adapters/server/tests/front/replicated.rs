//! The front end of real nodes, with files and sockets.

use crate::support::{Client, cluster};
use quorate::GroupId;
use quorate::keyspace::limits::VALUE_BYTES;
use quorate::keyspace::{Blob, Change, Command, Split};
use quorate_server::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How long a node lets anything wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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

#[tokio::test]
async fn who_asks_when_much_is_under_way_waits_and_is_not_refused() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(1, &data).await;
    let set = |keys: [String; 2]| {
        let items = keys.map(|key| (key.as_str().into(), "v".into()));
        Command::Change(Change::SetAll { items: items.into() })
    };
    let mut clients = JoinSet::new();
    for client in 0..1000 {
        let store = Arc::clone(&nodes[0].0);
        clients.spawn(async move {
            for number in 0..5 {
                let keys = ["a", "b"].map(|key| format!("{key}:{client}:{number}"));
                // The first letter is the group.
                match set(keys.clone()).split(|key| GroupId::new(u64::from(key[0] - b'a'))) {
                    Ok(Split::Parts(parts, _)) if client % 4 == 0 => {
                        store.transact(parts).await.expect("not refused");
                    }
                    _ => {
                        let command = store.command(GroupId::new(0), set(keys)).await;
                        command.expect("not refused").await.expect("not refused");
                    }
                }
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("all was carried out");
    }
}

#[tokio::test]
async fn who_asks_for_large_things_waits_and_is_not_refused() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(1, &data).await;
    let value = Blob::from("v".repeat(VALUE_BYTES).as_str());
    let mut clients = JoinSet::new();
    // More than a group has room for at a time.
    for client in 0..48 {
        let (store, key) = (Arc::clone(&nodes[0].0), format!("{client}"));
        let items = vec![(key.as_str().into(), value.clone())];
        clients.spawn(async move {
            let command = Command::Change(Change::SetAll { items });
            let start = Instant::now();
            let done = match store.command(GroupId::new(0), command).await {
                Ok(reply) => reply.await.map(drop),
                Err(unavailable) => Err(unavailable),
            };
            // A disk may be slower than a node's patience.
            assert!(done.is_ok() || start.elapsed() >= LONGEST_WAIT, "{done:?} after {:?}", start.elapsed());
            done.is_ok()
        });
    }
    let ended = clients.join_all().await;
    assert!(ended.contains(&true), "one at least is carried out");
}
