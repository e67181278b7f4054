//! `quorate dev`: a whole cluster in one process. The nodes are real: each has its log, its socket for the others and
//! its socket for clients.

use crate::arguments::Dev;
use crate::show::{Node, heading, lines};
use crate::stop;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use quorate::{ClusterId, NodeId};
use quorate_server::{Front, Members, Plan, Replica, Store, open_disk};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The clusters of this command talk to no others.
const CLUSTER: ClusterId = ClusterId::new(0);

/// A node of this process.
struct Member {
    id: NodeId,
    /// Where it listens for clients.
    address: String,
    replica: Arc<Replica>,
}

/// Runs a cluster until it is asked to stop, or a node cannot go on.
pub(crate) async fn run(arguments: Dev) -> Result<(), Failure> {
    let sockets = bind(&arguments).await?;
    let (members, clients) = start(&arguments, sockets).await?;
    let (stop, stopped) = watch::channel(false);
    let mut fronts = JoinSet::new();
    for (member, clients) in members.iter().zip(clients) {
        let addresses = members.iter().map(|member| (member.id, Some(member.address.clone())));
        let front = Front::new(Arc::clone(&member.replica), Members::new(member.id, addresses));
        fronts.spawn(front.serve(clients, stopped.clone()));
    }
    println!("quorate: data in {}, stop with Ctrl-C", arguments.data.display());
    let ended = tokio::select! {
        asked = stop::asked() => asked.map_err(Failure::from),
        error = first_to_stop(&members) => Err(error),
        never = show(&members, arguments.groups) => match never {},
    };
    stop.send_replace(true);
    fronts.join_all().await;
    for member in &members {
        member.replica.shutdown().await;
    }
    ended
}

/// For each node, a socket for its peers and one for its clients.
async fn bind(arguments: &Dev) -> Result<Vec<(TcpListener, TcpListener)>, Failure> {
    let mut sockets = Vec::new();
    for number in 0..arguments.nodes {
        let port = arguments.port + number;
        let clients = TcpListener::bind(("127.0.0.1", port)).await;
        let clients = clients.map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
        sockets.push((TcpListener::bind("127.0.0.1:0").await?, clients));
    }
    Ok(sockets)
}

async fn start(
    arguments: &Dev,
    sockets: Vec<(TcpListener, TcpListener)>,
) -> Result<(Vec<Member>, Vec<TcpListener>), Failure> {
    let mut peers = BTreeMap::new();
    for ((listener, _), number) in sockets.iter().zip(1..) {
        peers.insert(NodeId::new(number), listener.local_addr()?.to_string());
    }
    let (mut members, mut fronts) = (Vec::new(), Vec::new());
    for ((listener, clients), number) in sockets.into_iter().zip(1..) {
        let (id, peers) = (NodeId::new(number), peers.clone());
        let groups = arguments.groups;
        let disk = open_disk(
            &arguments.data.join(format!("node-{number}")),
            CLUSTER,
            id,
            peers.keys().copied(),
            groups,
        )?;
        let replica = Replica::start(Plan { cluster: CLUSTER, id, peers, groups, listener, disk }).await?;
        let address = clients.local_addr()?.to_string();
        members.push(Member { id, address, replica: Arc::new(replica) });
        fronts.push(clients);
    }
    Ok((members, fronts))
}

async fn first_to_stop(members: &[Member]) -> Failure {
    let stopped = members.iter().map(|member| {
        Box::pin(async { format!("node {}: {}", member.id.get(), member.replica.stopped().await) })
    });
    futures_util::future::select_all(stopped).await.0.into()
}

/// Shows the nodes: on a terminal as they are, elsewhere a line when one of them changes its role or its term in a group.
async fn show(members: &[Member], groups: u64) -> std::convert::Infallible {
    let rows = members.len() * usize::try_from(groups).unwrap_or(usize::MAX);
    let mut table = std::io::stdout().is_terminal().then(|| Table::new(rows));
    let mut before = Vec::new();
    loop {
        let mut nodes = Vec::new();
        for member in members {
            nodes.push(match member.replica.status().await {
                Ok(groups) => Node::of(member.id, &groups, &member.address),
                Err(_) => Node::unreachable(member.id.get(), Some(member.address.clone())),
            });
        }
        match &mut table {
            Some(table) => table.show(&lines(&nodes)),
            // Whoever read this may have gone; the nodes need not.
            None => lines(&changed(&before, &nodes))
                .iter()
                .for_each(|line| drop(writeln!(std::io::stdout(), "{line}"))),
        }
        before = nodes;
        tokio::time::sleep(LOOK).await;
    }
}

/// What changed its role or its term.
fn changed(before: &[Node], nodes: &[Node]) -> Vec<Node> {
    let changed = nodes.iter().map(|node| {
        let was = before.iter().find(|was| was.id == node.id);
        let same = |group: &crate::show::Group| {
            was.into_iter()
                .flat_map(|was| &was.groups)
                .any(|was| was.group == group.group && was.role == group.role && was.term == group.term)
        };
        let groups = node.groups.iter().filter(|group| !same(group)).cloned().collect();
        // One that cannot be reached is told once.
        let reachable = node.reachable || was.is_some_and(|was| !was.reachable);
        Node { groups, reachable, ..node.clone() }
    });
    changed.collect()
}

/// Lines that stay where they are.
struct Table(Vec<ProgressBar>);

impl Table {
    fn new(lines: usize) -> Self {
        let table = MultiProgress::new();
        let style =
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = || table.add(ProgressBar::new_spinner().with_style(style.clone()));
        let lines: Vec<_> = (0..=lines).map(|_| line()).collect();
        lines.first().into_iter().for_each(|line| line.set_message(heading()));
        Self(lines)
    }

    fn show(&mut self, lines: &[String]) {
        for (line, text) in self.0.iter().skip(1).zip(lines) {
            line.set_message(text.clone());
        }
    }
}
