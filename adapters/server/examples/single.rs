//! The front end over a keyspace in memory: to try a client, or to measure the front end alone.
//!
//! `cargo run --release -p quorate-server --example single -- 127.0.0.1:7399`

use quorate::NodeId;
use quorate_server::{Front, Members, Single};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7399".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let members = Members::new(NodeId::new(1), [(NodeId::new(1), Some(address))]);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.send_replace(true);
    });
    Front::new(Arc::new(Single::default()), members).serve(listener, stopped).await;
    Ok(())
}
