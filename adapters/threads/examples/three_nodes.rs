//! Three nodes in one process, without any runtime: two clients take turns with a lock, and the leader is killed
//! while one of them holds it. `cargo run -p quorate-threads --example three_nodes`

use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quorate::lock::{Command, Name, Reply, SessionId, Table, Token, Ttl, Wait};
use quorate::raft::Role;
use quorate::replicated::{Outcome, Request, Settings};
use quorate::space::Heap;
use quorate::{ClusterId, NodeId, Replicated};
use quorate_threads::{Handle, Hub, MemoryDisk, Node};

type Locks = Replicated<Table, Heap<3, 1024>>;

const IDS: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

fn main() -> Result<(), Box<dyn Error>> {
    let (hub, disks) = (Hub::default(), IDS.map(|_| MemoryDisk::default()));
    let start = |id: NodeId| {
        let disk = &disks[id.get() as usize - 1];
        Node::<Locks>::builder(ClusterId::new(1), id, Settings::new(id, &IDS))
            .hub(&hub, IDS)
            .start(disk.open())
    };
    let mut nodes = IDS.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
    println!("three nodes run, and {} leads", leader(&nodes)?);

    let any = nodes[0].handle().clone();
    let (alice, bob) = (open(&any, 1)?, open(&any, 2)?);
    let first = acquire(&any, alice)?.ok_or("the lock is free")?;
    println!("alice holds the printer, with token {}", first.get());
    assert_eq!(acquire(&any, bob)?, None);
    println!("bob does not get it: alice holds it");

    let (killed, when) = (leader(&nodes)?, Instant::now());
    let at = nodes.iter().position(|node| node.handle().id() == killed).ok_or("it runs")?;
    println!("{killed} is killed: {}", nodes.remove(at).kill());
    let survivor = nodes[0].handle().clone();
    let release = Command::Release { session: alice, name: printer()?, token: first };
    assert_eq!(ask(&survivor, release)?, Reply::Released);
    println!(
        "{} leads, and alice gave the lock back {} ms later",
        leader(&nodes)?,
        when.elapsed().as_millis()
    );
    let second = acquire(&survivor, bob)?.ok_or("the lock is free")?;
    assert!(second > first);
    println!("bob holds the printer, with token {}", second.get());

    nodes.push(start(killed)?);
    let returned = nodes[2].handle();
    assert_eq!(acquire(returned, alice)?, None);
    println!("{killed} is back, and knows that bob holds it");
    for node in nodes {
        let id = node.handle().id();
        println!("{id} stops: {}", node.shutdown());
    }
    Ok(())
}

fn printer() -> Result<Name, Box<dyn Error>> {
    Ok(Name::new("printer").ok_or("too long")?)
}

fn open(handle: &Handle<Locks>, client: u64) -> Result<SessionId, Box<dyn Error>> {
    match ask(handle, Command::Open { client, ttl: Ttl::new(Duration::from_secs(60)).ok_or("too long")? })? {
        Reply::Opened { session } => Ok(session),
        other => Err(format!("no session: {other:?}").into()),
    }
}

/// The token of the lock, unless another holds it.
fn acquire(handle: &Handle<Locks>, session: SessionId) -> Result<Option<Token>, Box<dyn Error>> {
    match ask(handle, Command::Acquire { session, name: printer()?, wait: Wait::No })? {
        Reply::Granted { token } => Ok(Some(token)),
        Reply::Held => Ok(None),
        other => Err(format!("neither: {other:?}").into()),
    }
}

/// Asks until there is a leader that answers: what is asked here may be asked twice.
fn ask(handle: &Handle<Locks>, command: Command) -> Result<Reply, Box<dyn Error>> {
    for _ in 0..100 {
        match handle.request(Request::Command(command.clone()))? {
            Outcome::Replied { reply, .. } => return Ok(reply),
            Outcome::Failed(_) => {}
            other => return Err(format!("no reply: {other:?}").into()),
        }
    }
    Err("no leader answers".into())
}

fn leader(nodes: &[Node<Locks>]) -> Result<NodeId, Box<dyn Error>> {
    for _ in 0..2000 {
        for node in nodes {
            let status = node.handle().inspect(Replicated::status)?;
            if status.role == Role::Leader {
                return Ok(status.id);
            }
        }
        sleep(Duration::from_millis(5));
    }
    Err("nobody leads".into())
}
