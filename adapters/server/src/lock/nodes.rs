//! The nodes of a cluster, as a client finds them: it stays with one as long as that answers.

use crate::client::{Client, within};
use redis_protocol::resp2::types::OwnedFrame;
use std::io;
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before all nodes are tried once more.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the nodes are, and which one is talked to.
#[derive(Debug)]
pub(super) struct Nodes {
    addresses: Vec<String>,
    current: watch::Sender<usize>,
}

impl Nodes {
    pub(super) fn new(addresses: Vec<String>) -> Self {
        Self { addresses, current: watch::Sender::new(0) }
    }

    /// Looks for a node that takes a connection in, each once.
    ///
    /// # Errors
    /// None does: why not, each.
    pub(super) async fn find(&self) -> Result<(), String> {
        let mut errors = Vec::new();
        for (at, address) in self.addresses.iter().enumerate() {
            match Client::connect(address).await {
                Ok(_) => {
                    self.current.send_replace(at);
                    return Ok(());
                }
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        Err(errors.join("; "))
    }

    /// One who asks them. All who ask go to the same node.
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { nodes: self, connection: None, trouble: None }
    }

    fn address(&self, at: usize) -> &str {
        self.addresses.get(at).map_or("", String::as_str)
    }

    /// Goes on to the next node, unless somebody did already.
    fn give_up(&self, at: usize) {
        let next = (at + 1) % self.addresses.len();
        self.current.send_if_modified(|current| {
            let stays = *current == at && next != at;
            if stays {
                *current = next;
            }
            stays
        });
    }
}

/// One connection at a time.
#[derive(Debug)]
pub(super) struct Caller<'n> {
    nodes: &'n Nodes,
    connection: Option<(usize, Client)>,
    trouble: Option<String>,
}

impl Caller<'_> {
    /// Asks one node after the other until one answers, each for as long as `patience`. What is asked may be carried
    /// out by more than one of them, so it has to be of the kind that does nothing twice.
    ///
    /// # Errors
    /// What was asked is wrong, says a node.
    pub(super) async fn ask(
        &mut self,
        patience: Duration,
        request: impl Fn() -> Vec<String>,
    ) -> Result<OwnedFrame, String> {
        let (mut tries, mut current) = (0, self.nodes.current.subscribe());
        // As long as whoever asks likes to wait.
        loop {
            let (at, request) = (*current.borrow_and_update(), request());
            let answer = tokio::select! {
                answer = within(patience, self.try_ask(at, &request)) => answer,
                // Somebody else got no answer there.
                Ok(_) = current.wait_for(|current| *current != at) => continue,
            };
            match answer {
                Ok(OwnedFrame::Error(error)) if !is_of_the_node(&error) => return Err(error),
                Ok(OwnedFrame::Error(error)) => self.trouble = Some(error),
                Ok(answer) => {
                    self.trouble = None;
                    return Ok(answer);
                }
                Err(error) => self.trouble = Some(error.to_string()),
            }
            if let Some(trouble) = &mut self.trouble {
                trouble.insert_str(0, &format!("{}: ", self.nodes.address(at)));
            }
            self.nodes.give_up(at);
            tries += 1;
            if tries % self.nodes.addresses.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// What went wrong last, if nothing went right after it.
    pub(super) fn trouble(&self) -> &str {
        self.trouble.as_deref().unwrap_or("no node answered")
    }

    async fn try_ask(&mut self, at: usize, request: &[String]) -> io::Result<OwnedFrame> {
        // A connection on which an answer is outstanding is not used again: it comes back once it was answered.
        let connection = self.connection.take().filter(|(to, _)| *to == at);
        let mut client = match connection {
            Some((_, client)) => client,
            None => Client::connect(self.nodes.address(at)).await?,
        };
        let answer = client.ask(request).await?;
        if !matches!(answer, OwnedFrame::Error(_)) {
            self.connection = Some((at, client));
        }
        Ok(answer)
    }
}

/// Whether an error says that this node cannot answer now, and another may.
fn is_of_the_node(error: &str) -> bool {
    ["CLUSTERDOWN ", "TRYAGAIN ", "ERR max number of clients"].iter().any(|kind| error.starts_with(kind))
}
