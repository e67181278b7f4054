//! Claims about peers: who is let in, what bad input gets, and that connections come back.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::adder::{Adder, Message, Request};
use common::{
    CLUSTER, Cluster, LONG, ONE, THREE, TWO, add_one, ends, nets, node, patient, settings, soon, total, until,
};
use quorate::codec::{self, Header};
use quorate::{ClusterId, Hosted, NodeId};
use quorate_threads::{Counters, Hub, Limits, MemoryDisk, Node};

fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

/// Node one, which listens and knows a node two that nobody runs.
fn lonely(limits: Limits) -> (Node<Adder>, String) {
    let (listener, address) = bind();
    let book = [(TWO, "127.0.0.1:1".to_string())];
    let builder = node(ONE, &[]).peers(book).listener(listener).limits(limits);
    (builder.start(MemoryDisk::default().open()).expect("it starts"), address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("it can");
    stream
}

fn hello(version: u8, cluster: ClusterId, from: NodeId, to: NodeId) -> Vec<u8> {
    let numbers = [cluster.get(), from.get(), to.get()];
    [b"quorate", &[version][..], &numbers.map(u64::to_le_bytes).concat()].concat()
}

/// Dials node one as node two, and is let in.
fn dial(address: &str) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(&hello(codec::VERSION, CLUSTER, TWO, ONE)).expect("it reads");
    let mut answer = [0; 33];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer[32], 0, "it is let in");
    stream
}

/// A frame with its length.
fn framed(from: NodeId, message: &[u8]) -> Vec<u8> {
    let (mut frame, header) = (Vec::new(), Header { cluster: CLUSTER, from, to: ONE });
    codec::seal(&mut frame, header, |frame| codec::Sink::put(frame, message)).expect("a vector has room");
    [&(frame.len() as u32).to_le_bytes()[..], &frame].concat()
}

fn addition(sequence: u64) -> Vec<u8> {
    let mut message = Vec::new();
    Adder::put_message(&Message::Add { sequence, amount: 1 }, &mut message).expect("a vector has room");
    framed(TWO, &message)
}

fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => panic!("it speaks"),
        Err(error) => assert!(error.kind() != std::io::ErrorKind::WouldBlock, "the connection is open"),
    }
}

fn until_heard(node: &Node<Adder>, frames: u64) {
    until("the frames were heard", || node.handle().counters().frames_in == frames);
}

/// Sends bytes over a fresh connection, sees it closed, and returns what was counted.
fn closed_after(bytes: &[u8]) -> Counters {
    let (node, address) = lonely(Limits { frame_bytes: 1000, ..patient() });
    let mut stream = dial(&address);
    stream.write_all(bytes).expect("it reads");
    assert_closed(&mut stream);
    // The node goes on, and lets the peer in again.
    dial(&address);
    assert_eq!(add_one(node.handle()), 1);
    node.handle().counters()
}

#[test]
fn garbage_closes_the_connection_and_is_counted() {
    let noise = [&40_u32.to_le_bytes()[..], &[0xA5; 40]].concat();
    assert_eq!(closed_after(&noise).malformed_checksum, 1);
}

#[test]
fn a_frame_over_the_limit_closes_the_connection_before_it_is_read() {
    for length in [1001, u32::MAX, 0] {
        assert_eq!(closed_after(&length.to_le_bytes()).malformed_length, 1, "{length}");
    }
}

#[test]
fn a_frame_with_a_good_checksum_and_nonsense_inside_closes_the_connection() {
    assert_eq!(closed_after(&framed(TWO, b"\x09nonsense")).malformed_content, 1);
}

#[test]
fn a_frame_of_another_node_than_shook_hands_closes_the_connection() {
    assert_eq!(closed_after(&framed(THREE, b"")).malformed_header, 1);
}

#[test]
fn what_came_before_garbage_is_heard() {
    let (node, address) = lonely(patient());
    let mut stream = dial(&address);
    let garbage = vec![9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    stream.write_all(&[addition(1), addition(2), garbage].concat()).expect("it reads");
    assert_closed(&mut stream);
    assert_eq!(total(node.handle(), TWO), 2);
}

#[test]
fn half_a_frame_waits_for_its_other_half() {
    let (node, address) = lonely(patient());
    let mut stream = dial(&address);
    for byte in addition(1) {
        stream.write_all(&[byte]).expect("it reads");
    }
    until_heard(&node, 1);
    assert_eq!(total(node.handle(), TWO), 1);
}

#[test]
fn a_frame_that_is_longer_than_what_is_read_at_once_is_heard_whole() {
    let (node, address) = lonely(patient());
    let mut stream = dial(&address);
    // Nonsense, and so counted as such, but only when its checksum was seen to be right.
    stream.write_all(&framed(TWO, &vec![9; 1_000_000])).expect("it reads");
    assert_closed(&mut stream);
    assert_eq!(node.handle().counters().malformed_content, 1);
    // Many short ones that are read in one go, and one that is cut by the end of the buffer.
    let mut stream = dial(&address);
    stream.write_all(&(1..=5000).flat_map(addition).collect::<Vec<_>>()).expect("it reads");
    until_heard(&node, 5000);
    assert_eq!(total(node.handle(), TWO), 5000);
}

#[test]
fn half_a_frame_at_the_end_of_a_connection_is_dropped() {
    let (node, address) = lonely(patient());
    let mut stream = dial(&address);
    let frame = addition(1);
    stream.write_all(&frame[..frame.len() - 1]).expect("it reads");
    drop(stream);
    let mut stream = dial(&address);
    stream.write_all(&frame).expect("it reads");
    until_heard(&node, 1);
    assert_eq!(total(node.handle(), TWO), 1);
}

#[test]
fn a_newer_connection_of_a_peer_replaces_the_older_one() {
    let (node, address) = lonely(patient());
    let mut old = dial(&address);
    let mut new = dial(&address);
    assert_closed(&mut old);
    new.write_all(&addition(1)).expect("it reads");
    until_heard(&node, 1);
}

#[test]
fn a_wrong_hello_is_answered_with_a_verdict_and_refused() {
    let (node, address) = lonely(patient());
    let wrong = [
        (hello(99, CLUSTER, TWO, ONE), 1),
        (hello(codec::VERSION, ClusterId::new(8), TWO, ONE), 2),
        (hello(codec::VERSION, CLUSTER, TWO, THREE), 3),
        (hello(codec::VERSION, CLUSTER, THREE, ONE), 4),
    ];
    for (hello, verdict) in wrong {
        let mut stream = connect(&address);
        stream.write_all(&hello).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and closes");
        assert_eq!((answer.len(), answer[32]), (33, verdict));
    }
    until("all were counted", || node.handle().counters().refused_node == 2);
    let counters = node.handle().counters();
    assert_eq!((counters.refused_protocol, counters.refused_cluster, counters.connections), (1, 1, 0));
}

#[test]
fn who_does_not_speak_quorate_gets_no_answer() {
    let (node, address) = lonely(patient());
    let mut stream = connect(&address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    // Closing with unread bytes may reset the connection.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty());
    assert_eq!(node.handle().counters().refused_protocol, 1);
}

#[test]
fn who_never_says_hello_holds_one_of_few_places() {
    let (node, address) = lonely(Limits { handshakes: 2, ..patient() });
    let (silent, _other) = (connect(&address), connect(&address));
    let mut third = connect(&address);
    assert_closed(&mut third);
    assert_eq!(node.handle().counters().refused_busy, 1);
    drop(silent);
    until("its place is free", || is_let_in(&address));
}

/// Whether it has a place, and is quick enough.
fn is_let_in(address: &str) -> bool {
    let mut stream = connect(address);
    // An error says that it is closed already.
    let _ = stream.write_all(&hello(codec::VERSION, CLUSTER, TWO, ONE));
    stream.read_exact(&mut [0; 33]).is_ok()
}

#[test]
fn who_never_says_hello_is_closed() {
    let limits = Limits { handshakes: 2, handshake_time: Duration::from_millis(500), ..patient() };
    let (_node, address) = lonely(limits);
    let (mut silent, mut slow) = (connect(&address), connect(&address));
    // A byte now and then gains no time: it is closed before as many came as a hello has.
    slow.set_nonblocking(true).expect("it can");
    let is_closed = (1..32).any(|_| {
        std::thread::sleep(Duration::from_millis(300));
        // An error says that it is closed already.
        let _ = slow.write_all(b"q");
        !matches!(slow.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(is_closed, "the connection is open");
    assert_closed(&mut silent);
    until("their places are free", || is_let_in(&address));
}

#[test]
fn the_dialling_end_refuses_a_wrong_peer_as_well() {
    let answers = [
        (hello(99, CLUSTER, TWO, ONE), 1, (1, 0, 0)),
        (hello(codec::VERSION, ClusterId::new(8), TWO, ONE), 2, (0, 1, 0)),
        (hello(codec::VERSION, CLUSTER, THREE, ONE), 3, (0, 0, 1)),
        (hello(codec::VERSION, CLUSTER, TWO, ONE), 4, (0, 0, 1)),
    ];
    for (answer, verdict, expected) in answers {
        let (listener, address) = bind();
        let node = node(ONE, &[]).peers([(TWO, address)]).start(MemoryDisk::default().open());
        let node = node.expect("it starts");
        let (mut stream, _) = listener.accept().expect("it dials");
        let mut said = [0; 32];
        stream.read_exact(&mut said).expect("it says hello");
        assert_eq!(said[..], hello(codec::VERSION, CLUSTER, ONE, TWO));
        stream.write_all(&[&answer[..], &[verdict]].concat()).expect("it reads");
        assert_closed(&mut stream);
        // It tries again, and has counted before.
        ends("another try", move || listener.accept().map(drop)).expect("it dials");
        let counters = node.handle().counters();
        assert_eq!((counters.refused_protocol, counters.refused_cluster, counters.refused_node), expected);
    }
}

#[test]
fn a_connection_whose_end_is_closed_is_noticed_and_dialled_anew_though_nothing_is_said() {
    let (listener, address) = bind();
    let limits = Limits { longest_pause: Duration::from_millis(50), ..patient() };
    let node = node(ONE, &[]).peers([(TWO, address)]).limits(limits);
    let node = node.start(MemoryDisk::default().open()).expect("it starts");
    for connections in 1..=3 {
        let listener = listener.try_clone().expect("a descriptor");
        let (mut stream, _) = ends("a dial", move || listener.accept()).expect("it dials");
        stream.read_exact(&mut [0; 32]).expect("it says hello");
        let answer = hello(codec::VERSION, CLUSTER, TWO, ONE);
        stream.write_all(&[&answer[..], &[0]].concat()).expect("it reads");
        until("it is connected", || node.handle().counters().connections == connections);
    }
}

#[test]
fn a_peer_that_does_not_read_holds_up_neither_the_machine_nor_a_shutdown() {
    let ((listener, ours), (theirs, address)) = (bind(), bind());
    // The system does not give the connection up by itself.
    let silence_time = Duration::from_secs(60);
    let limits = Limits { outgoing_bytes: 1 << 16, silence_time, ..patient() };
    let node = node(ONE, &[]).peers([(TWO, address)]).listener(listener).limits(limits);
    let node = node.start(MemoryDisk::default().open()).expect("it starts");
    let (mut deaf, _) = theirs.accept().expect("it dials");
    let answer = hello(codec::VERSION, CLUSTER, TWO, ONE);
    deaf.write_all(&[&answer[..], &[0]].concat()).expect("it reads");
    until("it is connected", || node.handle().counters().connections == 1);
    // The toy machine answers each addition; the answers fill every buffer on their way to who does not read.
    let mut stream = dial(&ours);
    let mut stuck = 0;
    for first in (0..2_000_000).step_by(10_000) {
        let before = node.handle().counters();
        let additions: Vec<_> = (first + 1..=first + 10_000).flat_map(addition).collect();
        stream.write_all(&additions).expect("it reads");
        until("the machine goes on", || total(node.handle(), TWO) == first + 10_000);
        let after = node.handle().counters();
        let is_stuck = after.bytes_out == before.bytes_out && after.dropped_full > before.dropped_full;
        stuck = if is_stuck { stuck + 1 } else { 0 };
        if stuck == 3 {
            assert_eq!(after.dropped_unreachable, 0);
            assert_eq!(add_one(node.handle()), 1);
            ends("shutdown", || node.shutdown());
            return;
        }
    }
    panic!("no message was ever dropped: {:?}", node.handle().counters());
}

#[test]
fn a_peer_that_comes_back_is_connected_again() {
    for net in nets() {
        let mut cluster = Cluster::<Adder>::start(net, 2, settings);
        assert_eq!(add_one(cluster.handle(ONE)), 1);
        for sum in 2..5 {
            cluster.kill(TWO);
            let adding = cluster.handle(ONE).submit(Request::Add(1)).expect("the node runs");
            cluster.start_again(TWO);
            assert_eq!(soon("addition", adding).expect("the node runs"), common::adder::Outcome::Added(sum));
        }
        assert_eq!(total(cluster.handle(TWO), ONE), 4, "each addition has its effect once");
    }
}

#[test]
fn a_cut_drops_what_is_said_in_both_directions_and_a_heal_lets_it_through() {
    for net in nets() {
        let cluster = Cluster::<Adder>::start(net, 3, settings);
        assert_eq!((add_one(cluster.handle(ONE)), add_one(cluster.handle(TWO))), (1, 1));
        cluster.handle(ONE).set_cut(TWO, true);
        let submit = |id| cluster.handle(id).submit(Request::Add(1)).expect("the node runs");
        let time = Duration::from_millis(100);
        let first = submit(ONE).wait_timeout(time).expect_err("it was heard");
        let second = submit(TWO).wait_timeout(time).expect_err("it was heard");
        until("the third hears it", || total(cluster.handle(THREE), ONE) == 2);
        assert_eq!(total(cluster.handle(TWO), ONE), 1, "it was heard");
        assert_eq!(total(cluster.handle(ONE), TWO), 1, "it was heard");
        cluster.handle(ONE).set_cut(TWO, false);
        for answer in [first, second] {
            assert_eq!(soon("addition", answer).expect("it runs"), common::adder::Outcome::Added(2));
        }
    }
}

#[test]
fn what_is_said_to_who_is_not_there_is_counted() {
    for with_hub in [true, false] {
        let both = [ONE, TWO];
        let builder = match with_hub {
            true => node(ONE, &both).hub(&Hub::default(), both),
            false => node(ONE, &both).peers([(TWO, "127.0.0.1:1".to_string())]),
        };
        let node = builder.start(MemoryDisk::default().open()).expect("it starts");
        let answer = node.handle().submit(Request::Add(1)).expect("the node runs");
        until("it is counted", || node.handle().counters().dropped_unreachable > 0);
        assert!(answer.wait_timeout(Duration::from_millis(20)).is_err());
    }
}

#[test]
fn three_nodes_agree_under_load() {
    for net in nets() {
        let mut cluster = Cluster::<Adder>::start(net, 3, settings);
        std::thread::scope(|scope| {
            for handle in cluster.handles() {
                for _ in 0..10 {
                    scope.spawn(|| (0..100).for_each(|_| _ = add_one(handle)));
                }
            }
        });
        for id in [ONE, TWO, THREE] {
            cluster.kill(id);
            cluster.start_again(id);
            for of in [ONE, TWO, THREE] {
                assert_eq!(total(cluster.handle(id), of), 1000, "{of} on {id}");
            }
        }
    }
}
