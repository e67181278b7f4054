//! What becomes of a connection: order, limits, and bytes that are no requests.

use crate::support::{Client, serve};
use quorate::keyspace::{Answer, Change, Command, Part, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::Status;
use quorate::{Age, GroupId, NodeId, TxId};
use quorate_server::{Forced, InDoubt, Placement, Settled, Single, Store, Unavailable};
use std::sync::{Arc, Mutex};
use std::time::Duration;
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
    groups: u64,
}

impl Slow {
    fn new(go: usize, outcome: Result<(), Unavailable>) -> Arc<Self> {
        Self::of(1, go, outcome)
    }

    fn of(groups: u64, go: usize, outcome: Result<(), Unavailable>) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), go: Arc::new(Semaphore::new(go)), outcome, groups })
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
        self.groups
    }

    async fn command(
        &self,
        _: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<>, Unavailable> {
        match command {
            Command::Change(Change::Add { by, .. }) => self.ask(format!("add {by}")),
            Command::Change(Change::CompareDelete { .. }) => self.ask("release".to_owned()),
            _ => {}
        }
        let (go, outcome) = (Arc::clone(&self.go), self.outcome);
        Ok(async move {
            wait(&go).await;
            outcome.map(|()| Reply::Answer(Answer::Done))
        })
    }

    async fn transact(&self, parts: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        self.ask(format!("transaction of {}", parts.len()));
        wait(&self.go).await;
        self.outcome.map(|()| Settled::Committed(vec![vec![Answer::Integer(1)]; parts.len()]))
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

    /// One that two groups have promised, of which one is settled; and another one, in two groups more.
    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        let (age, home, since) = (Age::new(40), GroupId::new(1), Duration::from_millis(1500));
        let promised = |number, group, forced| {
            let (tx, group) = (TxId { coordinator: NodeId::new(2), number }, GroupId::new(group));
            InDoubt { tx, age, group, home, since, forced }
        };
        Ok(vec![
            promised(17, 1, None),
            promised(17, 3, Some(false)),
            promised(18, 0, None),
            promised(18, 1, None),
        ])
    }

    async fn force(&self, group: GroupId, tx: TxId, commit: bool) -> Result<Forced, Unavailable> {
        self.ask(format!("force {tx} in {group}: {commit}"));
        if group == GroupId::new(0) {
            return Err(Unavailable::Unconfirmed);
        }
        Ok(if group == GroupId::new(1) { Forced::Settled } else { Forced::Unknown })
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

/// A number for each group, of which `n` and it are a key there.
fn numbers(groups: u64) -> Vec<u64> {
    let placement = Placement::new(groups);
    let of = |group| {
        (0..10)
            .find(|number| placement.group(format!("n{number}").as_bytes()) == group)
            .expect("there are enough")
    };
    placement.groups().map(of).collect()
}

/// Waits until the store is asked for as many things as these, which it is in this order.
async fn asked_for(store: &Slow, all: &[&str]) {
    for _ in 0..60_000 {
        if store.asked().len() >= all.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What does not wait would be asked for by now.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(store.asked(), all);
}

#[tokio::test]
async fn changes_of_several_groups_are_asked_for_together_but_what_gives_a_lock_back_waits_for_other_groups()
{
    // The node looks for its address and announces it.
    let store = Slow::of(2, 2, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    let [a, b] = numbers(2)[..] else { panic!("two groups") };
    let add = |key, by| format!("*3\r\n$6\r\nINCRBY\r\n$2\r\nn{key}\r\n$1\r\n{by}\r\n");
    let release = |key| {
        let script = "$40\r\nc3f8721cbb97f72bc19e972846bd7aaf91901658";
        format!("*5\r\n$7\r\nEVALSHA\r\n{script}\r\n$1\r\n1\r\n$2\r\nn{key}\r\n$1\r\nv\r\n")
    };
    let requests = [add(a, 1), release(a), add(b, 2), release(b), add(a, 3)].concat();
    client.send_bytes(requests.as_bytes()).await;
    asked_for(&store, &["add 1", "release", "add 2"]).await;
    store.go.add_permits(2);
    asked_for(&store, &["add 1", "release", "add 2"]).await;
    store.go.add_permits(1);
    asked_for(&store, &["add 1", "release", "add 2", "release", "add 3"]).await;
}

#[tokio::test]
async fn a_transaction_over_groups_waits_for_what_came_before_and_what_comes_after_for_it() {
    // The node looks for its address and announces it.
    let store = Slow::of(2, 2, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    let [a, b] = numbers(2)[..] else { panic!("two groups") };
    let add = |key, by| format!("*3\r\n$6\r\nINCRBY\r\n$2\r\nn{key}\r\n$1\r\n{by}\r\n");
    let (begin, end) = ("*1\r\n$5\r\nMULTI\r\n".to_owned(), "*1\r\n$4\r\nEXEC\r\n".to_owned());
    let read = format!("*3\r\n$4\r\nMGET\r\n$2\r\nn{a}\r\n$2\r\nn{b}\r\n");
    let transaction = [begin, add(a, 2), add(b, 3), end].concat();
    let requests = [add(a, 1), transaction.clone(), transaction, add(b, 4), read.clone(), read].concat();
    client.send_bytes(requests.as_bytes()).await;
    let mut all = vec!["add 1"];
    for next in ["transaction of 2", "transaction of 2", "add 4"] {
        asked_for(&store, &all).await;
        all.push(next);
        store.go.add_permits(1);
    }
    asked_for(&store, &all).await;
    // Reads go together.
    all.extend(["transaction of 2"; 2]);
    store.go.add_permits(1);
    asked_for(&store, &all).await;
}

#[tokio::test]
async fn what_looks_at_several_groups_and_what_looks_at_one_wait_for_each_other() {
    // The node looks for its address and announces it.
    let store = Slow::of(2, 2, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    let [a, b] = numbers(2)[..] else { panic!("two groups") };
    let all = format!("*3\r\n$4\r\nMGET\r\n$2\r\nn{a}\r\n$2\r\nn{b}\r\n");
    let one = format!("*2\r\n$5\r\nFENCE\r\n$2\r\nn{a}\r\n");
    client.send_bytes([all.clone(), all.clone(), one.clone(), one, all].concat().as_bytes()).await;
    let (transaction, mut asked) = ("transaction of 2", vec!["transaction of 2"; 2]);
    asked_for(&store, &asked).await;
    for next in [&["fence", "fence"][..], &[transaction]] {
        store.go.add_permits(1);
        asked_for(&store, &asked).await;
        store.go.add_permits(1);
        asked.extend(next);
        asked_for(&store, &asked).await;
    }
}

#[tokio::test]
async fn what_is_in_doubt_is_told_and_settled_where_it_is() {
    let store = Slow::new(100, Ok(()));
    let served = serve(Arc::clone(&store), 100).await;
    let mut client = Client::connect(&served).await;
    let promised = |number, group, state| {
        format!(
            "[\"transaction\" \"n2.{number}\" \"group\" {group} \"age\" 40 \"home\" 1 \"since-ms\" 1500 \"state\" {state:?}]"
        )
    };
    let all = [
        promised(17, 1, "promised"),
        promised(17, 3, "forced to abort"),
        promised(18, 0, "promised"),
        promised(18, 1, "promised"),
    ];
    client
        .converse(&[
            ("QUORATE.TRANSACTIONS", &format!("[{}]", all.join(" "))),
            ("QUORATE.FORCE n2.17 COMMIT", "1"),
            ("QUORATE.FORCE n2.16 abort", "0"),
            ("QUORATE.FORCE n2.17 maybe", "ERR a transaction is settled by 'commit' or by 'abort'"),
            ("QUORATE.FORCE 17 abort", "ERR '17' is not of the form n1.17"),
            (
                "QUORATE.FORCE n2.18 commit",
                "CLUSTERDOWN no quorum confirmed it in time; the outcome is unknown, a write may still take effect: so \
                 it is in group 0; it is settled in 1",
            ),
        ])
        .await;
    assert_eq!(
        store.asked(),
        [
            "force n2.17 in g1: true",
            "force n2.17 in g3: true",
            "force n2.18 in g0: true",
            "force n2.18 in g1: true",
        ]
    );
}

#[tokio::test]
async fn an_unknown_outcome_is_told_as_such() {
    for (unavailable, error) in [
        (Unavailable::Busy, "TRYAGAIN too many commands in flight on this node; nothing was done"),
        (
            Unavailable::Aborted,
            "TRYAGAIN the transaction did not get all its keys in time: others have them, or a group has no quorum; \
             nothing was done",
        ),
        (
            Unavailable::Unconfirmed,
            "CLUSTERDOWN no quorum confirmed it in time; the outcome is unknown, a write may still take effect",
        ),
        (
            Unavailable::Stopped,
            "CLUSTERDOWN this node is stopping; the outcome is unknown, a write may still take effect",
        ),
    ] {
        let served = serve(Slow::of(2, 100, Err(unavailable)), 100).await;
        let mut client = Client::connect(&served).await;
        let [a, b] = numbers(2)[..] else { panic!("two groups") };
        client.converse(&[(&format!("MGET n{a} n{b}"), error), ("DBSIZE", error)]).await;
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
