//! Claims about peers: who is let in, what bad input gets, and that connections come back.

mod common;

use std::time::Duration;

use common::adder::{Adder, Message, Request};
use common::{CLUSTER, ONE, TWO, add_one, node, patient, settings, soon, until};
use quorate::codec::{self, Header};
use quorate::{ClusterId, Hosted, NodeId};
use quorate_tokio::{Counters, Handle, Limits, MemoryDisk, Node, TestCluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const THREE: NodeId = NodeId::new(3);

/// Node one, which listens and knows a node two that nobody runs.
async fn lonely(limits: Limits) -> (Node<Adder>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let book = [(TWO, "127.0.0.1:1".to_string())];
    let builder = node(ONE, &[]).peers(book).listener(listener).limits(limits);
    (builder.start(MemoryDisk::default().open()).await.expect("it starts"), address)
}

fn hello(version: u8, cluster: ClusterId, from: NodeId, to: NodeId) -> Vec<u8> {
    let mut bytes = b"quorate".to_vec();
    bytes.push(version);
    for number in [cluster.get(), from.get(), to.get()] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn good_hello() -> Vec<u8> {
    hello(codec::VERSION, CLUSTER, TWO, ONE)
}

/// Dials node one as node two, and is let in.
async fn dial(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(&good_hello()).await.expect("it reads");
    let mut answer = [0; 33];
    soon("answer", stream.read_exact(&mut answer)).await.expect("it answers");
    assert_eq!(answer[32], 0, "it is let in");
    stream
}

/// A frame with its length.
fn framed(header: Header, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::seal(&mut frame, header, |frame| codec::Sink::put(frame, message)).expect("a vector has room");
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

fn addition(sequence: u64) -> Vec<u8> {
    let mut message = Vec::new();
    Adder::put_message(&Message::Add { sequence, amount: 1 }, &mut message).expect("a vector has room");
    framed(Header { cluster: CLUSTER, from: TWO, to: ONE }, &message)
}

/// Sends bytes over a fresh connection, sees it closed, and returns what was counted.
async fn closed_after(bytes: &[u8]) -> Counters {
    let (node, address) = lonely(Limits { frame_bytes: 1000, ..patient() }).await;
    let mut stream = dial(&address).await;
    stream.write_all(bytes).await.expect("it reads");
    assert_closed(&mut stream).await;
    // The node goes on, and lets the peer in again.
    dial(&address).await;
    assert_eq!(add_one(node.handle()).await, 1);
    node.handle().counters()
}

async fn assert_closed(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = soon("close", stream.read(&mut byte)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "the connection is open");
}

async fn heard(handle: &Handle<Adder>) -> u64 {
    handle.inspect(|adder| adder.total(TWO)).await.expect("the node runs")
}

#[tokio::test]
async fn garbage_closes_the_connection_and_is_counted() {
    let mut noise = 40_u32.to_le_bytes().to_vec();
    noise.extend([0xA5; 40]);
    assert_eq!(closed_after(&noise).await.malformed_checksum, 1);
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_the_connection_before_it_is_read() {
    assert_eq!(closed_after(&1001_u32.to_le_bytes()).await.malformed_length, 1);
    assert_eq!(closed_after(&u32::MAX.to_le_bytes()).await.malformed_length, 1);
    assert_eq!(closed_after(&0_u32.to_le_bytes()).await.malformed_length, 1);
}

#[tokio::test]
async fn a_frame_with_a_good_checksum_and_nonsense_inside_closes_the_connection() {
    let header = Header { cluster: CLUSTER, from: TWO, to: ONE };
    assert_eq!(closed_after(&framed(header, b"\x09nonsense")).await.malformed_content, 1);
}

#[tokio::test]
async fn a_frame_of_another_node_than_shook_hands_closes_the_connection() {
    let header = Header { cluster: CLUSTER, from: THREE, to: ONE };
    assert_eq!(closed_after(&framed(header, b"")).await.malformed_header, 1);
}

#[tokio::test]
async fn what_came_before_garbage_is_heard() {
    let (node, address) = lonely(patient()).await;
    let mut stream = dial(&address).await;
    let mut bytes = [addition(1), addition(2)].concat();
    bytes.extend([9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    stream.write_all(&bytes).await.expect("it reads");
    assert_closed(&mut stream).await;
    assert_eq!(heard(node.handle()).await, 2);
}

#[tokio::test]
async fn half_a_frame_waits_for_its_other_half() {
    let (node, address) = lonely(patient()).await;
    let mut stream = dial(&address).await;
    for byte in addition(1) {
        stream.write_all(&[byte]).await.expect("it reads");
        stream.flush().await.expect("it reads");
        tokio::task::yield_now().await;
    }
    until("the frame was heard", || node.handle().counters().frames_in == 1).await;
    assert_eq!(heard(node.handle()).await, 1);
}

#[tokio::test]
async fn half_a_frame_at_the_end_of_a_connection_is_dropped() {
    let (node, address) = lonely(patient()).await;
    let mut stream = dial(&address).await;
    let frame = addition(1);
    stream.write_all(&frame[..frame.len() - 1]).await.expect("it reads");
    drop(stream);
    dial(&address).await.write_all(&frame).await.expect("it reads");
    until("the frame was heard", || node.handle().counters().frames_in == 1).await;
    assert_eq!(heard(node.handle()).await, 1);
}

#[tokio::test]
async fn a_newer_connection_of_a_peer_replaces_the_older_one() {
    let (node, address) = lonely(patient()).await;
    let mut old = dial(&address).await;
    let mut new = dial(&address).await;
    assert_closed(&mut old).await;
    new.write_all(&addition(1)).await.expect("it reads");
    until("the frame was heard", || node.handle().counters().frames_in == 1).await;
}

#[tokio::test]
async fn a_wrong_hello_is_answered_with_a_verdict_and_refused() {
    let (node, address) = lonely(patient()).await;
    let wrong = [
        (hello(99, CLUSTER, TWO, ONE), 1),
        (hello(codec::VERSION, ClusterId::new(8), TWO, ONE), 2),
        (hello(codec::VERSION, CLUSTER, TWO, THREE), 3),
        (hello(codec::VERSION, CLUSTER, THREE, ONE), 4),
    ];
    for (hello, verdict) in wrong {
        let mut stream = TcpStream::connect(&address).await.expect("it listens");
        stream.write_all(&hello).await.expect("it reads");
        let mut answer = Vec::new();
        soon("answer and close", stream.read_to_end(&mut answer)).await.expect("it answers");
        assert_eq!(answer.len(), 33);
        assert_eq!(answer[32], verdict);
    }
    let counters = node.handle().counters();
    assert_eq!((counters.refused_protocol, counters.refused_cluster, counters.refused_node), (1, 1, 2));
    assert_eq!(counters.connections, 0);
}

#[tokio::test]
async fn who_does_not_speak_quorate_gets_no_answer() {
    let (node, address) = lonely(patient()).await;
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").await.expect("it reads");
    let mut answer = Vec::new();
    // Closing with unread bytes may reset the connection.
    let _ = soon("close", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
    assert_eq!(node.handle().counters().refused_protocol, 1);
}

#[tokio::test]
async fn who_never_says_hello_holds_one_of_few_places() {
    let (node, address) = lonely(Limits { handshakes: 2, ..patient() }).await;
    let _first = TcpStream::connect(&address).await.expect("it listens");
    let _second = TcpStream::connect(&address).await.expect("it listens");
    let mut third = TcpStream::connect(&address).await.expect("it listens");
    assert_closed(&mut third).await;
    assert_eq!(node.handle().counters().refused_busy, 1);
}

#[tokio::test]
async fn who_never_says_hello_is_closed() {
    let limits = Limits { handshakes: 1, handshake_time: Duration::from_millis(200), ..patient() };
    let (_node, address) = lonely(limits).await;
    let mut silent = TcpStream::connect(&address).await.expect("it listens");
    assert_closed(&mut silent).await;
    let being_let_in = async {
        loop {
            let mut other = TcpStream::connect(&address).await.expect("it listens");
            // An error says that it is closed already, since it was not quick enough.
            let _ = other.write_all(&good_hello()).await;
            if other.read_exact(&mut [0; 33]).await.is_ok() {
                break;
            }
        }
    };
    soon("another has its place", being_let_in).await;
}

#[tokio::test]
async fn the_dialling_end_refuses_a_wrong_peer_as_well() {
    let answers = [
        (hello(99, CLUSTER, TWO, ONE), 1, (1, 0, 0)),
        (hello(codec::VERSION, ClusterId::new(8), TWO, ONE), 2, (0, 1, 0)),
        (hello(codec::VERSION, CLUSTER, THREE, ONE), 3, (0, 0, 1)),
        (hello(codec::VERSION, CLUSTER, TWO, ONE), 4, (0, 0, 1)),
    ];
    for (answer, verdict, expected) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let book = [(TWO, listener.local_addr().expect("it is bound").to_string())];
        let node = node(ONE, &[]).peers(book).start(MemoryDisk::default().open()).await.expect("it starts");
        let (mut stream, _) = listener.accept().await.expect("it dials");
        let mut hello = [0; 32];
        soon("hello", stream.read_exact(&mut hello)).await.expect("it says hello");
        assert_eq!(hello[..], hello_of_one());
        stream.write_all(&[&answer[..], &[verdict]].concat()).await.expect("it reads");
        assert_closed(&mut stream).await;
        let counters = node.handle().counters();
        assert_eq!((counters.refused_protocol, counters.refused_cluster, counters.refused_node), expected);
        // It tries again.
        soon("another try", listener.accept()).await.expect("it dials");
    }
}

fn hello_of_one() -> Vec<u8> {
    hello(codec::VERSION, CLUSTER, ONE, TWO)
}

#[tokio::test]
async fn a_peer_that_comes_back_is_connected_again() {
    let mut cluster = TestCluster::<Adder>::start(2, settings).await.expect("it starts");
    assert_eq!(add_one(cluster.handle(ONE)).await, 1);
    for sum in 2..5 {
        cluster.kill(TWO).await;
        let handle = cluster.handle(ONE).clone();
        let adding = tokio::spawn(async move { add_one(&handle).await });
        cluster.start_again(TWO).await.expect("it starts");
        assert_eq!(soon("addition", adding).await.expect("no panic"), sum);
    }
    let total = cluster.handle(TWO).inspect(|adder| adder.total(ONE)).await.expect("the node runs");
    assert_eq!(total, 4, "each addition has its effect once");
}

#[tokio::test]
async fn a_cut_drops_what_is_said_and_a_heal_lets_it_through() {
    let mut cluster = TestCluster::<Adder>::start(3, settings).await.expect("it starts");
    assert_eq!(add_one(cluster.handle(ONE)).await, 1);
    cluster.cut(ONE, TWO);
    let handle = cluster.handle(ONE).clone();
    let mut adding = tokio::spawn(async move { add_one(&handle).await });
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut adding).await.is_err(), "it was heard");
    while cluster.handle(THREE).inspect(|adder| adder.total(ONE)).await.expect("it runs") < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cluster.start_again(TWO).await.expect("it starts");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut adding).await.is_err(),
        "a start heals no cut"
    );
    cluster.heal(ONE, TWO);
    assert_eq!(soon("addition", adding).await.expect("no panic"), 2);
}

#[tokio::test]
async fn a_cut_at_one_end_drops_both_directions() {
    let cluster = TestCluster::<Adder>::start(2, settings).await.expect("it starts");
    assert_eq!(add_one(cluster.handle(ONE)).await, 1);
    assert_eq!(add_one(cluster.handle(TWO)).await, 1);
    cluster.handle(ONE).set_cut(TWO, true);
    for (id, other) in [(ONE, TWO), (TWO, ONE)] {
        let adding = cluster.handle(id).request(Request::Add(1));
        assert!(tokio::time::timeout(Duration::from_millis(100), adding).await.is_err(), "it was answered");
        let total = cluster.handle(other).inspect(move |adder| adder.total(id)).await.expect("it runs");
        assert_eq!(total, 1, "{other} heard {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_agree_under_load() {
    let mut cluster = TestCluster::<Adder>::start(3, settings).await.expect("it starts");
    let mut tasks = Vec::new();
    for id in cluster.ids() {
        for _ in 0..20 {
            let handle = cluster.handle(id).clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..50 {
                    add_one(&handle).await;
                }
            }));
        }
    }
    for task in tasks {
        soon("additions", task).await.expect("no panic");
    }
    for id in [ONE, TWO, THREE] {
        cluster.kill(id).await;
        cluster.start_again(id).await.expect("it starts");
        for of in [ONE, TWO, THREE] {
            let total = cluster.handle(id).inspect(move |adder| adder.total(of)).await.expect("it runs");
            assert_eq!(total, 1000, "{of} on {id}");
        }
    }
}
