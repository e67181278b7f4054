//! `quorate lock`, as people run it, against real nodes.

use crate::support::{Client, PATIENCE, Served, cluster};
use quorate::lock::{Answer, Query};
use quorate_server::{Placement, Replica, Store};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Nodes, and where their data is as long as they run.
struct Nodes {
    running: Vec<(Arc<Replica>, Served)>,
    _data: TempDir,
}

impl Nodes {
    async fn start(count: u64) -> Self {
        let data = TempDir::new().expect("a directory");
        Self { running: cluster(count, &data).await, _data: data }
    }

    fn addresses(&self) -> String {
        let addresses = self.running.iter().map(|(_, served)| served.address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Stops a node, politely to its clients.
    async fn stop(&mut self, at: usize) {
        let (replica, served) = self.running.remove(at);
        served.stop.send_replace(true);
        replica.shutdown().await;
    }

    /// A client with a session.
    async fn holder(&self) -> (Client, String) {
        let mut client = Client::connect(&self.running[0].1).await;
        let session = client.ask("LOCK.OPEN 1 3600000").await;
        (client, session)
    }

    /// Waits until somebody is in line for a lock.
    async fn until_in_line(&self) {
        let (replica, start) = (&self.running[0].0, Instant::now());
        loop {
            for group in Placement::new(replica.groups()).groups() {
                match replica.look(group, Query::Totals).await {
                    Ok(Answer::Totals(totals)) if totals.waiters > 0 => return,
                    _ => assert!(start.elapsed() < PATIENCE, "nobody is in line"),
                }
            }
        }
    }

    /// `quorate lock printer`, with these options, and a script to run. It may take its time, unless they say otherwise.
    fn lock(&self, options: &str, script: &str) -> Command {
        let wait = if options.contains("--wait") { "" } else { "--wait 60s" };
        lock(&format!("printer --connect {} {wait} {options}", self.addresses()), &["sh", "-c", script])
    }
}

fn lock(options: &str, command: &[&str]) -> Command {
    let mut lock = Command::new(env!("CARGO_BIN_EXE_quorate"));
    lock.arg("lock").args(options.split_whitespace()).arg("--").args(command);
    lock.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    lock
}

async fn output(mut lock: Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, lock.output()).await.expect("it ends in time");
    let Output { status, stdout, stderr } = output.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// One that runs, and what its command says.
struct Running(Child, Lines<BufReader<ChildStdout>>);

impl Running {
    fn start(mut lock: Command) -> Self {
        let mut child = lock.stderr(Stdio::inherit()).spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self(child, lines)
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.1.next_line()).await.expect("a line in time");
        line.expect("text").expect("it has not ended")
    }

    async fn signal(&self, signal: &str) {
        send(signal, self.0.id().expect("it runs")).await;
    }

    async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.0.wait()).await.expect("it ends in time").expect("a child")
    }
}

/// Sends a signal; says whether there is such a process.
async fn send(signal: &str, process: u32) -> bool {
    let status = Command::new("kill").args([signal, &process.to_string()]).stderr(Stdio::null()).status();
    status.await.expect("kill runs").success()
}

/// Waits until a process is gone.
async fn gone(process: u32) {
    let start = Instant::now();
    while send("-0", process).await {
        assert!(start.elapsed() < PATIENCE, "{process} is still there");
    }
}

#[tokio::test]
async fn the_command_knows_its_lock_and_its_token_and_its_status_is_ours() {
    let nodes = Nodes::start(3).await;
    let script = "echo $QUORATE_LOCK $QUORATE_TOKEN; exit";
    let mut last = 0;
    for status in [0, 3, 7] {
        let (code, said, errors) = output(nodes.lock("", &format!("{script} {status}"))).await;
        assert_eq!((code, errors.as_str()), (Some(status), ""));
        let token =
            said.trim_end().strip_prefix("printer ").expect("the name").parse::<u64>().expect("a token");
        assert!(token > last, "{token} after {last}");
        last = token;
    }
    assert_eq!(output(nodes.lock("", "kill -9 $$")).await.0, Some(128 + 9));
}

#[tokio::test]
async fn a_lock_that_others_hold_too_long_is_not_acquired() {
    let nodes = Nodes::start(1).await;
    let (mut client, session) = nodes.holder().await;
    client.ask(&format!("LOCK.ACQUIRE {session} printer")).await;
    for wait in ["300ms", "0s"] {
        let why = format!("'printer' was not acquired within {wait}: another session holds it");
        // A node that takes seconds to say who holds it is not waited for.
        for last in [false, false, false, true] {
            let (code, said, errors) = output(nodes.lock(&format!("--wait {wait}"), "echo run")).await;
            assert_eq!(said, "", "{errors}");
            if last || errors.contains(&why) {
                assert!(code == Some(3) && errors.contains(&why), "{code:?}: {errors}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn one_that_waits_runs_as_soon_as_the_lock_is_free() {
    let nodes = Nodes::start(3).await;
    let (mut client, session) = nodes.holder().await;
    let token = client.ask(&format!("LOCK.ACQUIRE {session} printer")).await;
    // Nothing but the release frees the lock while anybody is patient.
    let mut waiting = Running::start(nodes.lock("--wait 10m", "echo run"));
    nodes.until_in_line().await;
    client.converse(&[(&format!("LOCK.RELEASE {session} printer {token}"), "1")]).await;
    assert_eq!(waiting.line().await, "run");
    assert!(waiting.end().await.success());
    // And it gave the lock back.
    let again = client.ask(&format!("LOCK.ACQUIRE {session} printer 0")).await;
    assert!(again.parse::<u64>().is_ok(), "{again}");
}

#[tokio::test]
async fn a_lock_is_kept_beyond_its_lease_and_though_the_node_that_was_asked_stops() {
    let mut nodes = Nodes::start(3).await;
    let mut keeping = Running::start(nodes.lock("--ttl 10s", "echo $QUORATE_TOKEN; sleep 15; echo done"));
    let token = keeping.line().await.parse::<u64>().expect("a token");
    // The first of the addresses.
    nodes.stop(0).await;
    assert_eq!(keeping.line().await, "done");
    assert!(keeping.end().await.success());
    let (mut client, session) = nodes.holder().await;
    let next = client.ask(&format!("LOCK.ACQUIRE {session} printer 0")).await;
    assert!(next.parse::<u64>().expect("it was given back") > token);
}

#[tokio::test]
async fn one_that_waits_goes_on_waiting_when_its_node_stops() {
    let mut nodes = Nodes::start(3).await;
    let mut last = Client::connect(&nodes.running[2].1).await;
    let session = last.ask("LOCK.OPEN 1 3600000").await;
    let token = last.ask(&format!("LOCK.ACQUIRE {session} printer")).await;
    let mut waiting = Running::start(nodes.lock("", "echo run"));
    nodes.until_in_line().await;
    nodes.stop(0).await;
    last.converse(&[(&format!("LOCK.RELEASE {session} printer {token}"), "1")]).await;
    assert_eq!(waiting.line().await, "run");
    assert!(waiting.end().await.success());
}

#[tokio::test]
async fn a_command_whose_lock_is_lost_is_stopped_with_all_that_it_started() {
    let mut nodes = Nodes::start(1).await;
    // Neither ends when it is asked to.
    let script = "trap '' TERM; sleep 1000 & echo $!; echo $$; while :; do wait; done";
    let mut losing = Running::start(nodes.lock("--ttl 10s --grace 200ms", script));
    let (one, other) = (losing.line().await, losing.line().await);
    let start = Instant::now();
    nodes.stop(0).await;
    assert_eq!(losing.end().await.code(), Some(4));
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
    gone(one.parse().expect("a number")).await;
    gone(other.parse().expect("a number")).await;
}

#[tokio::test]
async fn a_command_whose_session_ended_is_asked_to_end_first() {
    let nodes = Nodes::start(1).await;
    let script = "trap 'echo asked; exit 0' TERM; echo $QUORATE_TOKEN; while :; do sleep 0.02; done";
    let mut command = nodes.lock("--ttl 3s --grace 10s", script);
    command.stderr(Stdio::piped());
    let mut losing = Running::start(command);
    losing.line().await;
    let mut client = Client::connect(&nodes.running[0].1).await;
    // Its session is one of the first, whichever it is.
    for session in 0..200 {
        client.converse(&[(&format!("LOCK.CLOSE {session}"), "OK")]).await;
    }
    assert_eq!(losing.line().await, "asked");
    assert_eq!(losing.end().await.code(), Some(4));
}

#[tokio::test]
async fn a_signal_goes_to_the_command_and_the_lock_is_given_back() {
    let nodes = Nodes::start(1).await;
    let (mut client, session) = nodes.holder().await;
    for (signal, name) in [("-TERM", "TERM"), ("-INT", "INT")] {
        let script = format!("trap 'exit 9' {name}; echo up; while :; do sleep 0.02; done");
        let mut told = Running::start(nodes.lock("", &script));
        assert_eq!(told.line().await, "up");
        told.signal(signal).await;
        assert_eq!(told.end().await.code(), Some(9));
        let token = client.ask(&format!("LOCK.ACQUIRE {session} printer 0")).await;
        client.converse(&[(&format!("LOCK.RELEASE {session} printer {token}"), "1")]).await;
    }
    client.ask(&format!("LOCK.ACQUIRE {session} printer 0")).await;
    let mut waiting = Running::start(nodes.lock("", "echo run"));
    nodes.until_in_line().await;
    waiting.signal("-INT").await;
    assert_eq!(waiting.end().await.code(), Some(128 + 2));
}

#[tokio::test]
async fn the_lock_of_one_that_was_killed_passes_on_after_its_lease() {
    let nodes = Nodes::start(1).await;
    let start = Instant::now();
    let mut killed = Running::start(nodes.lock("--ttl 2s", "echo up; sleep 1"));
    assert_eq!(killed.line().await, "up");
    killed.signal("-KILL").await;
    killed.end().await;
    assert_eq!(output(nodes.lock("", "exit 5")).await.0, Some(5));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn what_cannot_be_done_says_what_to_do() {
    let nodes = Nodes::start(1).await;
    let (address, closed) = (nodes.addresses(), "127.0.0.1:1");
    let long = "x".repeat(65);
    for (options, command, code, why) in [
        (
            format!("x --connect {closed}"),
            "true",
            1,
            "no node can be reached (127.0.0.1:1: Connection refused",
        ),
        (format!("x --connect {closed},{address}"), "true", 0, ""),
        (format!("x --connect {address}"), "no-such-command", 1, "cannot run 'no-such-command'"),
        (format!("{long} --connect {address}"), "true", 2, "a name has 1 to 64 bytes, and this one 65"),
        ("x --connect here".to_owned(), "true", 2, "'here' is not of the form HOST:PORT"),
        ("x --ttl soon".to_owned(), "true", 2, "invalid value 'soon' for '--ttl"),
        ("x --ttl 2days".to_owned(), "true", 2, "a lease lasts from a millisecond to a day"),
        ("x --wait 1".to_owned(), "true", 2, "invalid value '1' for '--wait"),
    ] {
        let (status, _, errors) = output(lock(&options, &[command])).await;
        assert_eq!(status, Some(code), "{options}: {errors}");
        assert!(errors.contains(why), "{options}: {errors}");
    }
    let (status, _, errors) = output(lock("x", &[])).await;
    assert!(status == Some(2) && errors.contains("<COMMAND>"), "{errors}");
}
