//! The commands of the lock table.

use crate::support::{Client, Served, cluster, serve};
use quorate::raft::Role;
use quorate_server::{Replica, Single, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Connects, and opens a session of this length.
async fn open(served: &Served, number: u64, millis: u64) -> (Client, String) {
    let mut client = Client::connect(served).await;
    let session = client.ask(&format!("LOCK.OPEN {number} {millis}")).await;
    assert!(session.parse::<u64>().is_ok(), "{session}");
    (client, session)
}

fn token(reply: &str) -> u64 {
    reply.parse().unwrap_or_else(|_| panic!("not a token: {reply}"))
}

/// What one connection asks while another waits.
async fn beside(served: &Served, line: &str) -> String {
    Client::connect(served).await.ask(line).await
}

#[tokio::test]
async fn a_request_that_is_wrong_is_told_what_is_wrong() {
    let served = serve(Arc::new(Single::of(4).still()), 100).await;
    let (mut client, session) = open(&served, 7, 3_600_000).await;
    let long = "x".repeat(65);
    let largest = i64::MAX;
    for (line, error) in [
        ("LOCK.OPEN 7", "ERR wrong number of arguments for 'lock.open' command".to_owned()),
        ("LOCK.OPEN x 1000", format!("ERR the client's number is not a number from 0 to {largest}")),
        ("LOCK.OPEN 7 -1", format!("ERR the session's length is not a number from 0 to {largest}")),
        ("LOCK.OPEN 7 0", "ERR a session lasts from 1 to 86400000 milliseconds without a renewal".to_owned()),
        ("LOCK.RENEW x", format!("ERR the session is not a number from 0 to {largest}")),
        ("LOCK.ACQUIRE 1", "ERR wrong number of arguments for 'lock.acquire' command".to_owned()),
        (&format!("LOCK.ACQUIRE {session} {long}"), "ERR lock name is longer than 64 bytes".to_owned()),
        (
            &format!("LOCK.ACQUIRE {session} x soon"),
            format!("ERR how long to wait is not a number from 0 to {largest}"),
        ),
        (
            &format!("LOCK.RELEASE {session} x mine"),
            format!("ERR the token is not a number from 0 to {largest}"),
        ),
        ("LOCK.FIND x", "ERR unknown command 'LOCK.FIND'".to_owned()),
    ] {
        assert_eq!(client.ask(line).await, error, "{line}");
    }
    client
        .converse(&[
            ("MULTI", "OK"),
            ("LOCK.RENEW 1", "ERR Command not allowed inside a transaction"),
            ("EXEC", "EXECABORT Transaction discarded because of previous errors."),
        ])
        .await;
}

#[tokio::test]
async fn a_session_that_ended_or_never_was_is_told_so() {
    let store = Arc::new(Single::of(4).still());
    let served = serve(Arc::clone(&store), 100).await;
    let gone =
        "NOSESSION this session has ended or never was, and holds no lock: open another with LOCK.OPEN";
    let (mut client, session) = open(&served, 7, 1_000).await;
    let acquire = format!("LOCK.ACQUIRE {session} x 0");
    let token = client.ask(&acquire).await;
    client.converse(&[(&format!("LOCK.RENEW {session}"), "OK"), ("LOCK.RENEW 999", gone)]).await;
    client.converse(&[("LOCK.ACQUIRE 999 x", gone), ("LOCK.CLOSE 999", "OK")]).await;
    store.pass(Duration::from_secs(1));
    client.converse(&[(&format!("LOCK.RENEW {session}"), gone), (&acquire, gone)]).await;
    client.converse(&[(&format!("LOCK.RELEASE {session} x {token}"), "0")]).await;
}

#[tokio::test]
async fn a_retry_gets_the_same_and_tokens_rise() {
    let served = serve(Arc::new(Single::of(4).still()), 100).await;
    let (mut ann, session) = open(&served, 7, 3_600_000).await;
    let (mut bob, other) = open(&served, 8, 3_600_000).await;
    ann.converse(&[("LOCK.OPEN 7 3600000", &session)]).await;
    let acquire = format!("LOCK.ACQUIRE {session} x 0");
    let mut last = 0;
    for _ in 0..3 {
        let granted = ann.ask(&acquire).await;
        assert!(token(&granted) > last, "{granted} after {last}");
        last = token(&granted);
        ann.converse(&[(&acquire, &granted), (&format!("LOCK.CANCEL {session} x"), &granted)]).await;
        bob.converse(&[(&format!("LOCK.ACQUIRE {other} x 0"), "nil")]).await;
        bob.converse(&[(&format!("LOCK.RELEASE {other} x {granted}"), "0")]).await;
        let release = format!("LOCK.RELEASE {session} x {granted}");
        ann.converse(&[(&release, "1"), (&release, "0")]).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_is_no_longer_in_line() {
    let served = serve(Arc::new(Single::of(4).still()), 100).await;
    let (mut ann, holder) = open(&served, 1, 3_600_000).await;
    let (mut bob, first) = open(&served, 2, 3_600_000).await;
    let (mut eve, second) = open(&served, 3, 3_600_000).await;
    let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
    bob.send(&format!("LOCK.ACQUIRE {first} x")).await;
    bob.hang_up().await;
    assert_eq!(bob.reply().await, "closed", "once its wait is cancelled");
    eve.send(&format!("LOCK.ACQUIRE {second} x")).await;
    ann.converse(&[(&format!("LOCK.RELEASE {holder} x {granted}"), "1")]).await;
    assert!(token(&eve.reply().await) > token(&granted));
}

#[tokio::test]
async fn requests_behind_one_that_waits_are_answered_after_it() {
    let served = serve(Arc::new(Single::of(4).still()), 100).await;
    let (mut ann, holder) = open(&served, 1, 3_600_000).await;
    let (mut bob, session) = open(&served, 2, 3_600_000).await;
    let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
    bob.send(&format!("LOCK.ACQUIRE {session} x")).await;
    bob.send("PING").await;
    let release = format!("LOCK.RELEASE {holder} x {granted}");
    while ann.ask(&release).await == "0" {}
    assert!(token(&bob.reply().await) > token(&granted));
    assert_eq!(bob.reply().await, "PONG");
}

#[tokio::test]
async fn a_stop_tells_those_who_wait_and_leaves_them_in_line() {
    let store = Arc::new(Single::of(4).still());
    let (one, other) = (serve(Arc::clone(&store), 100).await, serve(store, 100).await);
    let (mut ann, holder) = open(&other, 1, 3_600_000).await;
    let (mut bob, session) = open(&one, 2, 3_600_000).await;
    let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
    let acquire = format!("LOCK.ACQUIRE {session} x");
    bob.send(&acquire).await;
    // Whether it was waiting already or not, it is told.
    tokio::task::yield_now().await;
    one.stop.send_replace(true);
    let told = bob.reply().await;
    assert!(told.starts_with("CLUSTERDOWN this node is stopping") || told == "closed", "{told}");
    let mut bob = Client::connect(&other).await;
    bob.send(&acquire).await;
    ann.converse(&[(&format!("LOCK.RELEASE {holder} x {granted}"), "1")]).await;
    assert!(token(&bob.reply().await) > token(&granted));
}

#[tokio::test]
async fn those_who_wait_are_granted_in_turn_whichever_node_they_wait_on() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(3, &data).await;
    let (mut ann, holder) = open(&nodes[0].1, 1, 3_600_000).await;
    let mut last = ann.ask(&format!("LOCK.ACQUIRE {holder} x 1000")).await;
    let (mut releaser, mut owner) = (ann, holder);
    for (number, (_, served)) in (2..).zip(&nodes) {
        let (mut next, session) = open(served, number, 3_600_000).await;
        let acquire = format!("LOCK.ACQUIRE {session} x");
        next.send(&acquire).await;
        // A second request for the same waits as well, and neither loses the other's place.
        let second = format!("LOCK.ACQUIRE {session} x 30000");
        let second = beside(served, &second);
        let released = async {
            releaser.converse(&[(&format!("LOCK.RELEASE {owner} x {last}"), "1")]).await;
        };
        let (second, ()) = tokio::join!(second, released);
        let granted = next.reply().await;
        assert_eq!(granted, second);
        assert!(token(&granted) > token(&last), "{granted} after {last}");
        (releaser, owner, last) = (next, session, granted);
    }
}

#[tokio::test]
async fn a_wait_that_takes_too_long_ends_with_nothing() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(3, &data).await;
    let (mut ann, holder) = open(&nodes[0].1, 1, 3_600_000).await;
    let (mut bob, session) = open(&nodes[1].1, 2, 3_600_000).await;
    let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
    let start = Instant::now();
    bob.converse(&[(&format!("LOCK.ACQUIRE {session} x 300"), "nil")]).await;
    let took = start.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(30)).contains(&took), "{took:?}");
    ann.converse(&[(&format!("LOCK.RELEASE {holder} x {granted}"), "1")]).await;
    ann.converse(&[(&format!("LOCK.RELEASE {session} x {granted}"), "0")]).await;
}

#[tokio::test]
async fn the_lock_of_a_holder_that_is_not_heard_of_passes_on_after_its_lease() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(3, &data).await;
    let (mut bob, session) = open(&nodes[2].1, 2, 3_600_000).await;
    // By then there are leaders: what waits for one may outlast a lease.
    let first = bob.ask(&format!("LOCK.ACQUIRE {session} x")).await;
    bob.converse(&[(&format!("LOCK.RELEASE {session} x {first}"), "1")]).await;
    // Another time if its lease was over before it had the lock.
    let (start, granted) = loop {
        let start = Instant::now();
        let (mut ann, holder) = open(&nodes[0].1, 1, 1_000).await;
        let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
        if !granted.starts_with("NOSESSION") {
            break (start, granted);
        }
    };
    let next = bob.ask(&format!("LOCK.ACQUIRE {session} x")).await;
    assert!(token(&next) > token(&granted));
    let took = start.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(30)).contains(&took), "{took:?}");
}

async fn leader(nodes: &[(Arc<Replica>, Served)]) -> usize {
    for at in (0..nodes.len()).cycle().take(60_000) {
        if nodes[at].0.status().await.is_ok_and(|groups| groups[0].1.role == Role::Leader) {
            return at;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no leader in time");
}

#[tokio::test]
async fn a_lock_outlives_the_leader_with_the_same_token_and_so_does_a_wait_for_it() {
    let data = TempDir::new().expect("a directory");
    let mut nodes = cluster(3, &data).await;
    let leader = leader(&nodes).await;
    let (mut ann, holder) = open(&nodes[leader].1, 1, 3_600_000).await;
    let granted = ann.ask(&format!("LOCK.ACQUIRE {holder} x")).await;
    let (mut bob, session) = open(&nodes[(leader + 1) % 3].1, 2, 3_600_000).await;
    bob.send(&format!("LOCK.ACQUIRE {session} x")).await;
    let mut eve = Client::connect(&nodes[(leader + 2) % 3].1).await;
    let (stopped, _served) = nodes.remove(leader);
    stopped.shutdown().await;
    // Ann goes on with another node.
    eve.converse(&[("LOCK.OPEN 1 3600000", &holder)]).await;
    eve.converse(&[(&format!("LOCK.ACQUIRE {holder} x"), &granted)]).await;
    eve.converse(&[(&format!("LOCK.RELEASE {holder} x {granted}"), "1")]).await;
    assert!(token(&bob.reply().await) > token(&granted));
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 2]
}

#[tokio::test]
async fn a_lock_is_handed_over_in_about_one_commit() {
    let data = TempDir::new().expect("a directory");
    let nodes = cluster(3, &data).await;
    // Of several tries: while the machine is busy with something else, it may be the others that take their time.
    for _ in 0..4 {
        if is_handed_over_in_about_one_commit(&nodes).await {
            return;
        }
    }
    panic!("it takes more than that");
}

async fn is_handed_over_in_about_one_commit(nodes: &[(Arc<Replica>, Served)]) -> bool {
    let leader = leader(nodes).await;
    let (mut ann, one) = open(&nodes[leader].1, 1, 3_600_000).await;
    let (mut bob, other) = open(&nodes[(leader + 1) % 3].1, 2, 3_600_000).await;
    let (mut commits, mut handovers) = (Vec::new(), Vec::new());
    for _ in 0..41 {
        let start = Instant::now();
        ann.converse(&[(&format!("LOCK.RENEW {one}"), "OK")]).await;
        commits.push(start.elapsed());
        let granted = ann.ask(&format!("LOCK.ACQUIRE {one} x")).await;
        bob.send(&format!("LOCK.ACQUIRE {other} x")).await;
        // The wait is in line before the release: what was asked there later has been answered.
        beside(&nodes[(leader + 1) % 3].1, &format!("LOCK.RENEW {other}")).await;
        // From the release on the leader to the grant on another node.
        let start = Instant::now();
        ann.converse(&[(&format!("LOCK.RELEASE {one} x {granted}"), "1")]).await;
        let next = bob.reply().await;
        handovers.push(start.elapsed());
        bob.converse(&[(&format!("LOCK.RELEASE {other} x {next}"), "1")]).await;
    }
    let (commit, handover) = (median(commits), median(handovers));
    println!("a commit takes {commit:?}, handing a lock over {handover:?}");
    handover < 5 * commit + Duration::from_millis(20)
}
