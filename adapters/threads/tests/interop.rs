//! Nodes on threads and nodes on tokio are of one cluster.

mod common;

use std::net::TcpListener;

use common::adder::{Adder, Outcome, Request};
use common::{CLUSTER, ONE, THREE, TWO, add_one, node, settings, total};
use quorate::NodeId;
use quorate_threads::MemoryDisk;

const ALL: [NodeId; 3] = [ONE, TWO, THREE];

#[test]
fn a_cluster_of_two_nodes_on_tokio_and_one_on_threads_agrees() {
    let listeners = ALL.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let book =
        ALL.into_iter().zip(listeners.iter().map(|it| it.local_addr().expect("it is bound").to_string()));
    let book: Vec<_> = book.collect();
    let [first, second, third] = listeners;
    let runtime = tokio::runtime::Runtime::new().expect("it starts");
    let on_tokio = |id: NodeId, listener: TcpListener| {
        listener.set_nonblocking(true).expect("it can");
        let (book, settings) = (book.clone(), settings(id, &ALL));
        let starting = async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it can");
            let node =
                quorate_tokio::Node::<Adder>::builder(CLUSTER, id, settings).peers(book).listener(listener);
            node.start(quorate_tokio::MemoryDisk::default().open()).await
        };
        runtime.block_on(starting).expect("it starts")
    };
    let (one, two) = (on_tokio(ONE, first), on_tokio(TWO, second));
    let start = || node(THREE, &ALL).peers(book.clone()).listener(third.try_clone().expect("a descriptor"));
    let disk = MemoryDisk::default();
    let three = start().start(disk.open()).expect("it starts");
    let ask = |node: &quorate_tokio::Node<Adder>| {
        let asking = async { node.handle().request(Request::Add(1)).await };
        runtime.block_on(asking).expect("the node runs")
    };
    // The toy machine waits for all others, so each outcome went both ways between both drivers.
    for sum in 1..=20 {
        assert_eq!(add_one(three.handle()), sum);
        assert_eq!((ask(&one), ask(&two)), (Outcome::Added(sum), Outcome::Added(sum)));
    }
    // And again after it crashed.
    three.kill();
    let three = start().start(disk.open()).expect("it starts");
    assert_eq!((add_one(three.handle()), ask(&one)), (21, Outcome::Added(21)));
    assert_eq!((total(three.handle(), ONE), total(three.handle(), TWO)), (21, 20));
    runtime.block_on(async {
        one.shutdown().await;
        two.shutdown().await;
    });
}
