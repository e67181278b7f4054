//! What becomes of a connection: order, limits, and bytes that are no requests.

use crate::support::{Client, serve};
use quorate::keyspace::{Answer, Change, Command, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::Status;
use quorate::{GroupId, TxId};
use quorate_server::{Forced, InDoubt, Part, Settled, Single, Store, Unavailable};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

#[tokio::test]
async fn many_requests_at_once_are_answered_in_order() {
    let served = serve(Arc::new(Single::default()), 100).await;
    let mut client = Client::connect(&served).await;
    for number in 0..1000 {
        client.send(&format!("SET k {number}")).await;
        client.send("GET k").await;
    }
    for number in 0..1000 {
        assert_eq!(client.reply().await, "OK");
        assert_eq!(client.reply().await, format!("\"{number}\""));
    }
}

#[tokio::test]
async fn garbage_is_told_and_closes_the_connection() {
    let served = serve(Arc::new(Single::default()), 100).await;
    let large = format!("*2\r\n$4\r\nECHO\r\n${}\r\n", 2 * 1024 * 1024);
    for (bytes, error) in [
        ("GET / HTTP/1.1\r\n", "ERR Protocol error: expected '*', got 'G'"),
        ("\0\0\0", "ERR Protocol error: expected '*', got '\\x00'"),
        ("*1\r\n*1\r\n*1\r\n", "ERR Protocol error: expected '$', got '*'"),
        ("*100000\r\n", "ERR Protocol error: invalid multibulk length, at most 1024 parts"),
        (&large, "ERR Protocol error: invalid bulk length, a request is at most 2097152 bytes"),
    ] {
        let mut client = Client::connect(&served).await;
        client.send("PING").await;
        client.send_bytes(bytes.as_bytes()).await;
        assert_eq!(client.reply().await, "PONG", "what was whole is answered");
        assert_eq!(client.reply().await, error);
        assert_eq!(client.reply().await, "closed");
    }
}

#[tokio::test]
async fn half_a_request_does_nothing() {
    let served = serve(Arc::new(Single::default()), 100).await;
    let mut half = Client::connect(&served).await;
    half.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n").await;
    drop(half);
    let mut client = Client::connect(&served).await;
    client.converse(&[("GET k", "nil")]).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_else() {
    let served = serve(Arc::new(Single::default()), 100).await;
    let mut slow = Client::connect(&served).await;
    let value = "x".repeat(512 * 1024);
    slow.converse(&[(&format!("SET k {value}"), "OK")]).await;
    for _ in 0..64 {
        slow.send("GET k").await;
    }
    let mut other = Client::connect(&served).await;
    other.converse(&[("PING", "PONG"), ("DEL k", "1")]).await;
    // What was answered while it did not read is no more than one reply and what sockets hold.
    let mut answered = 0;
    while answered < 64 && slow.reply().await.len() > value.len() {
        answered += 1;
    }
    assert!((1..64).contains(&answered), "{answered} replies were made before anyone read them");
}

#[tokio::test]
async fn one_client_too_many_is_turned_away() {
    let served = serve(Arc::new(Single::default()), 1).await;
    let mut first = Client::connect(&served).await;
    first.converse(&[("PING", "PONG")]).await;
    let mut second = Client::connect(&served).await;
    assert_eq!(second.reply().await, "ERR max number of clients reached");
    assert_eq!(second.reply().await, "closed");
    first.converse(&[("QUIT", "OK")]).await;
    assert_eq!(first.reply().await, "closed");
    // Its place is free as soon as the server has seen it go.
    loop {
        let mut third = Client::connect(&served).await;
        if third.ask("PING").await == "PONG" {
            break;
        }
    }
}

/// A store that tells what it is asked, and answers when it is let.
#[derive(Debug)]
struct Slow {
    asked: Mutex<Vec<String>>,
    go: Arc<Semaphore>,
    outcome: Result<(), Unavailable>,
}

impl Slow {
    fn new(go: usize, outcome: Result<(), Unavailable>) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), go: Arc::new(Semaphore::new(go)), outcome })
    }

    fn ask(&self, what: String) {
        self.asked.lock().expect("no test panicked here").push(what);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked here").clone()
    }
}

async fn wait(go: &Semaphore) {
    go.acquire().await.expect("never closed").forget();
}

impl Store for Slow {
    fn groups(&self) -> u64 {
        1
    }

    async fn command(
        &self,
        _: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        if let Command::Change(Change::Add { by, .. }) = command {
            self.ask(format!("add {by}"));
        }
        let (go, outcome) = (Arc::clone(&self.go), self.outcome);
        Ok(async move {
            wait(&go).await;
            outcome.map(|()| Reply::Answer(Answer::Done))
        })
    }

    async fn transact(&self, _: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn query(&self, _: GroupId, query: Query) -> Result<Answer, Unavailable> {
        if let Query::Fence { .. } = query {
            self.ask("fence".to_owned());
        }
        wait(&self.go).await;
        self.outcome.map(|()| Answer::Value(None))
    }

    async fn peek(&self, _: GroupId, _: Query) -> Result<Answer, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn lock(&self, _: GroupId, _: lock::Command) -> Result<lock::Reply, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn acquire(&self, _: GroupId, _: SessionId, _: Name, _: Wait) -> Result<lock::Reply, Unavailable> {
        std::future::pending().await
    }

    async fn look(&self, _: GroupId, _: lock::Query) -> Result<lock::Answer, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn status(&self) -> Result<Vec<(GroupId, Status)>, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        Err(Unavailable::Stopped)
    }

    async fn force(&self, _: GroupId, _: TxId, _: bool) -> Result<Forced, Unavailable> {
        Err(Unavailable::Stopped)
    }
}

#[tokio::test]
async fn changes_are_asked_for_together_and_in_order_but_never_with_a_query() {
    // The first announces the node.
    let store = Slow::new(1, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    let requests = "*3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$1\r\n1\r\n*3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$1\r\n2\r\n\
                    *2\r\n$5\r\nFENCE\r\n$1\r\nn\r\n*3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$1\r\n3\r\n";
    client.send_bytes(requests.as_bytes()).await;
    while store.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.asked(), ["add 1", "add 2"]);
    store.go.add_permits(3);
    assert_eq!((client.reply().await, client.reply().await), ("OK".into(), "OK".into()));
    while store.asked().len() < 4 {
        store.go.add_permits(1);
        tokio::task::yield_now().await;
    }
    assert_eq!(store.asked(), ["add 1", "add 2", "fence", "add 3"]);
}

#[tokio::test]
async fn an_unknown_outcome_is_told_as_such() {
    for (unavailable, error) in [
        (Unavailable::Busy, "TRYAGAIN too many commands in flight on this node; nothing was done"),
        (
            Unavailable::Unconfirmed,
            "CLUSTERDOWN no quorum confirmed it in time; the outcome is unknown, a write may still take effect",
        ),
        (
            Unavailable::Stopped,
            "CLUSTERDOWN this node is stopping; the outcome is unknown, a write may still take effect",
        ),
    ] {
        let served = serve(Slow::new(100, Err(unavailable)), 100).await;
        let mut client = Client::connect(&served).await;
        client.converse(&[("SET k v", error), ("GET k", error), ("WATCH k", error)]).await;
        client.converse(&[("MULTI", "OK"), ("GET k", "QUEUED"), ("EXEC", error), ("PING", "PONG")]).await;
    }
}

#[tokio::test]
async fn a_stop_lets_clients_have_the_replies_they_wait_for() {
    let store = Slow::new(0, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    client.send("INCRBY n 7").await;
    while store.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    served.stop.send_replace(true);
    store.go.add_permits(2);
    assert_eq!(client.reply().await, "OK");
    assert_eq!(client.reply().await, "closed");
    served.task.await.expect("it ended by itself");
}
