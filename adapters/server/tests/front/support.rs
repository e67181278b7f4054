//! A front end in this process, and a client that shows replies as text.

use quorate::{ClusterId, NodeId};
use quorate_server::{Front, Members, Plan, Replica, Store, open_disk};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long anything may take, on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A front end that serves until it is dropped or stopped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

/// Serves a store to as many clients as `connections`.
pub(crate) async fn serve<S: Store>(store: Arc<S>, connections: usize) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let members = [(NodeId::new(1), Some(address.to_string())), (NodeId::new(2), None)];
    let front = Front::new(store, Members::new(NodeId::new(1), members)).with_connections(connections);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(front.serve(listener, stopped));
    Served { address, stop, task }
}

/// Real nodes, with files and sockets, each with its front end.
pub(crate) async fn cluster(nodes: u64, data: &TempDir) -> Vec<(Arc<Replica>, Served)> {
    let cluster = ClusterId::new(7);
    let mut listeners = Vec::new();
    for number in 1..=nodes {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        listeners.push((NodeId::new(number), address, listener));
    }
    let peers: BTreeMap<_, _> = listeners.iter().map(|(id, address, _)| (*id, address.clone())).collect();
    let mut running = Vec::new();
    for (id, _, listener) in listeners {
        let directory = data.path().join(id.to_string());
        let groups = 4;
        let disk = open_disk(&directory, cluster, id, peers.keys().copied(), groups).expect("a new log");
        let plan = Plan { cluster, id, peers: peers.clone(), groups, listener, disk };
        let replica = Arc::new(Replica::start(plan).await.expect("a new node"));
        let served = serve(Arc::clone(&replica), 100).await;
        running.push((replica, served));
    }
    let leading = running.iter().map(|(replica, _)| until_led(replica));
    tokio::time::timeout(PATIENCE, futures_util::future::join_all(leading)).await.expect("leaders in time");
    running
}

/// Waits until a node knows who leads each group: a request that waits for that as well may wait for too long.
async fn until_led(replica: &Replica) {
    while replica.status().await.is_ok_and(|groups| groups.iter().any(|(_, status)| status.leader.is_none()))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(served: &Served) -> Self {
        let socket = TcpStream::connect(served.address).await.expect("it listens");
        Self { socket, buffer: Vec::new() }
    }

    /// Sends a request: words between spaces, `''` for an empty one.
    pub(crate) async fn send(&mut self, line: &str) {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        self.send_parts(&words.collect::<Vec<_>>()).await;
    }

    pub(crate) async fn send_parts(&mut self, parts: &[&str]) {
        let parts: String = std::iter::once(format!("*{}\r\n", parts.len()))
            .chain(parts.iter().map(|part| format!("${}\r\n{part}\r\n", part.len())))
            .collect();
        self.send_bytes(parts.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("the other side reads");
    }

    /// Has no more to say; hears what there is to hear.
    pub(crate) async fn hang_up(&mut self) {
        self.socket.shutdown().await.expect("it is open");
    }

    /// The next reply as text, or `closed`.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            if let Some((frame, length)) = decode(&self.buffer).expect("a reply") {
                self.buffer.drain(..length);
                return shown(&frame);
            }
            if !self.read().await {
                return "closed".to_owned();
            }
        }
    }

    /// All bytes until the other side closes.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while self.read().await {}
        self.buffer
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.reply().await
    }

    /// Each request gets this reply.
    pub(crate) async fn converse(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            assert_eq!(self.ask(line).await, *expected, "{line}");
        }
    }

    async fn read(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(PATIENCE, read).await.expect("a reply in time");
        read.unwrap_or(0) > 0
    }
}

fn shown(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::SimpleString(text) => String::from_utf8_lossy(text).into_owned(),
        OwnedFrame::Error(text) => text.clone(),
        OwnedFrame::Integer(number) => number.to_string(),
        OwnedFrame::BulkString(text) => format!("{:?}", String::from_utf8_lossy(text)),
        OwnedFrame::Array(frames) => format!("[{}]", frames.iter().map(shown).collect::<Vec<_>>().join(" ")),
        OwnedFrame::Null => "nil".to_owned(),
    }
}
