//! The `quorate` binary, as people run it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn quorate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    quorate(arguments).output().expect("it runs")
}

/// What a run that fails says.
fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// A process that is killed when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a node or a cluster, and waits until it says that it runs.
    fn start(arguments: &[&str]) -> Self {
        let mut child = quorate(arguments).spawn().expect("it runs");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert!(line.starts_with("quorate: "), "{line}");
        Self(child)
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) -> bool {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.0.wait().expect("a child").success()
    }
}

/// An address on which nobody listens now.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// What the cluster says of itself, once it has a leader and this many nodes can be reached.
fn status(address: &str, reachable: usize) -> Value {
    let start = Instant::now();
    loop {
        let output = run(&["status", "--connect", address, "-o", "json"]);
        if output.status.success() {
            let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let nodes = status["nodes"].as_array().expect("nodes");
            let reached = nodes.iter().filter(|node| node["reachable"] == true).count();
            let groups = status["groups"].as_array().expect("groups");
            if groups.iter().all(|group| !group["leader"].is_null()) && reached == reachable {
                return status;
            }
        }
        assert!(start.elapsed() < PATIENCE, "no leader in time: {output:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The reply to a request that may be asked again, as it comes over the wire, once it can be carried out.
fn ask(address: &str, request: &str, reply: usize) -> String {
    let start = Instant::now();
    loop {
        let reply = ask_once(address, request, reply);
        if !reply.starts_with("-CLU") && !reply.starts_with("-TRY") {
            return reply;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {request}");
    }
}

fn ask_once(address: &str, request: &str, reply: usize) -> String {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let words: Vec<_> = request.split(' ').collect();
    write!(socket, "*{}\r\n", words.len()).expect("it reads");
    for word in words {
        write!(socket, "${}\r\n{word}\r\n", word.len()).expect("it reads");
    }
    let mut bytes = vec![0; reply];
    socket.read_exact(&mut bytes).expect("a reply");
    String::from_utf8(bytes).expect("text")
}

fn serve<'a>(id: &'a str, cluster: &'a str, listen: &'a str, data: &'a Path) -> Vec<&'a str> {
    let data = data.to_str().expect("a plain name");
    vec!["serve", "--id", id, "--cluster", cluster, "--listen", listen, "--data", data]
}

/// A command that holds a lock for two of its leases.
fn holder(connect: &str) -> Child {
    let script = "echo $QUORATE_TOKEN; sleep 20; echo still $QUORATE_TOKEN";
    let lock = ["lock", "printer", "--ttl", "10s", "--connect", connect, "--", "sh", "-c", script];
    quorate(&lock).stderr(Stdio::inherit()).spawn().expect("it runs")
}

#[test]
fn three_processes_go_on_without_their_leader_and_take_it_back() {
    let data = TempDir::new().expect("a directory");
    let (peers, clients): (Vec<_>, Vec<_>) = (0..3).map(|_| (address(), address())).unzip();
    let cluster = format!("1={},2={},3={}", peers[0], peers[1], peers[2]);
    let start = |node: usize| {
        let (id, data) = ((node + 1).to_string(), data.path().join(node.to_string()));
        Running::start(&serve(&id, &cluster, &clients[node], &data))
    };
    let mut nodes: Vec<_> = (0..3).map(start).collect();

    let leader = status(&clients[0], 3)["groups"][0]["leader"].as_u64().expect("a number") as usize - 1;
    let other = (leader + 1) % 3;
    assert_eq!(ask(&clients[other], "SET k mine PX 3600000", 5), "+OK\r\n");
    let mut holder = Running(holder(&[&clients[leader], &clients[other]].map(String::as_str).join(",")));
    let mut said = BufReader::new(holder.0.stdout.take().expect("piped")).lines();
    let token = said.next().expect("a line").expect("text");
    nodes[leader].0.kill().expect("it runs");
    assert_eq!(ask(&clients[other], "SET k other NX", 5), "$-1\r\n");
    assert_ne!(status(&clients[other], 2)["groups"][0]["leader"], Value::from(leader + 1));
    // Still held, by the same session: it was renewed with another node.
    assert_eq!(said.next().expect("a line").expect("text"), format!("still {token}"));
    assert!(holder.0.wait().expect("a child").success());
    nodes[leader] = start(leader);
    assert_eq!(ask(&clients[leader], "GET k", 10), "$4\r\nmine\r\n");
}

#[test]
fn nodes_that_do_not_agree_on_how_many_groups_there_are_say_so() {
    let data = TempDir::new().expect("a directory");
    let (peers, clients): (Vec<_>, Vec<_>) = (0..2).map(|_| (address(), address())).unzip();
    let cluster = format!("1={},2={}", peers[0], peers[1]);
    let directories = ["one", "two"].map(|name| data.path().join(name));
    let mut other = serve("2", &cluster, &clients[1], &directories[1]);
    other.extend(["--groups", "5"]);
    let (mut one, _two) =
        (Running::start(&serve("1", &cluster, &clients[0], &directories[0])), Running::start(&other));
    let mut said = BufReader::new(one.0.stderr.take().expect("piped")).lines();
    let refused = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("of cluster")));
    let refused = refused.expect("it was refused").expect("text");
    assert!(refused.contains("that both are started with the same settings"), "{refused}");
}

#[test]
fn settling_by_force_has_the_time_that_it_takes_and_says_where_it_did_not_work() {
    for (answer, code, says) in [
        (":2\r\n", 0, "n1.17: commit in 2 groups"),
        (":1\r\n", 0, "n1.17: commit in 1 group\n"),
        ("-CLUSTERDOWN so it is\r\n", 1, "CLUSTERDOWN so it is; see `quorate transactions`"),
    ] {
        let node = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = node.local_addr().expect("an address").to_string();
        let node = std::thread::spawn(move || {
            let (mut client, _) = node.accept().expect("it connects");
            assert!(client.read(&mut [0; 1024]).expect("it asks") > 0);
            // Longer than for what a node knows.
            std::thread::sleep(Duration::from_secs(3));
            client.write_all(answer.as_bytes()).expect("it listens");
        });
        let force = run(&["transactions", "force", "n1.17", "commit", "--connect", &address]);
        node.join().expect("it answers");
        let said = String::from_utf8([force.stdout, force.stderr].concat()).expect("text");
        assert_eq!(force.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_development_cluster_shows_its_status_and_stops_when_told() {
    let data = TempDir::new().expect("a directory");
    let (address, data) = (address(), data.path().to_str().expect("a plain name"));
    let (_, port) = address.rsplit_once(':').expect("a port");
    let mut dev = Running::start(&["dev", "--nodes", "1", "--port", port, "--data", data]);
    let status = status(&address, 1);
    let node = &status["nodes"][0];
    let group = &node["groups"][0];
    assert_eq!((&group["leader"], &group["role"]), (&Value::from(1), &Value::from("leader")), "{status}");
    assert_eq!(node["address"], Value::from(address.as_str()), "{status}");
    assert!(group["term"].is_u64() && group["commit"].is_u64() && group["applied"].is_u64(), "{status}");
    let table = String::from_utf8(run(&["status", "--connect", &address]).stdout).expect("text");
    assert!(table.starts_with("group  node  role             term"), "{table}");
    let nothing = run(&["transactions", "--connect", &address, "-o", "json"]);
    assert!(nothing.status.success(), "{nothing:?}");
    let nothing = String::from_utf8(nothing.stdout).expect("text");
    assert_eq!(nothing, "{\"transactions\":[],\"unreachable\":[]}\n");
    let force = run(&["transactions", "force", "n1.17", "abort", "--connect", &address]);
    let said = String::from_utf8(force.stderr).expect("text");
    assert_eq!(force.status.code(), Some(4), "{said}");
    assert!(said.contains("it takes effect in part") && said.contains("n1.17 is not in doubt"), "{said}");

    let (directory, peer) = (Path::new(data).join("node-1"), self::address());
    let in_use = failure(&serve("1", &format!("1={peer}"), "127.0.0.1:0", &directory));
    assert!(in_use.contains("is in use by another log"), "{in_use}");
    let taken = failure(&["dev", "--nodes", "1", "--port", port, "--data", data]);
    assert!(taken.contains(&format!("cannot listen on {address}")), "{taken}");
    assert!(dev.end(), "it was asked to end");
    let other = failure(&["dev", "--nodes", "1", "--port", port, "--data", data, "--groups", "7"]);
    assert!(other.contains("and not of 7: the number is fixed for the life of a cluster"), "{other}");
    let more = failure(&["dev", "--nodes", "2", "--port", port, "--data", data]);
    assert!(more.contains("of the nodes 1, and not of 1, 2: which nodes there are is fixed"), "{more}");
    let foreign = failure(&serve("2", &format!("2={peer}"), "127.0.0.1:0", &directory));
    assert!(foreign.contains("belongs to node 1 of cluster 0"), "{foreign}");
}

#[test]
fn what_would_be_unsafe_or_makes_no_sense_is_refused() {
    let data = TempDir::new().expect("a directory");
    let loopback = address();
    let own = format!("1={loopback}");
    for (arguments, reason) in [
        (serve("2", &own, "127.0.0.1:0", data.path()), "--id 2 is not in --cluster"),
        (serve("1", &own, "0.0.0.0:0", data.path()), "refused to listen on 0.0.0.0:0"),
        (serve("1", "1=0.0.0.0:7500", "127.0.0.1:0", data.path()), "refused to listen on 0.0.0.0:7500"),
        (serve("1", "1=a,2=b", "127.0.0.1:0", data.path()), "'a' is not of the form HOST:PORT"),
        (vec!["status", "--connect", &loopback], "Connection refused"),
        (vec!["dev", "--nodes", "0"], "invalid value '0'"),
        (vec!["dev", "--groups", "0"], "invalid value '0'"),
        (vec!["transactions", "force", "17", "abort"], "'17' is not of the form n1.17"),
        (vec!["transactions", "--connect", &loopback], "Connection refused"),
    ] {
        let said = failure(&arguments);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}
