//! The client's side of an ask.

use core::time::Duration;
use heapless::Vec;
use quorate::codec::{self, Full};
use quorate::{Instant, NodeId, Rng};

/// How often a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long it waits for an answer at first, about. The pause grows by half with each try.
    pub first: Duration,
    /// How long it waits at last.
    pub longest: Duration,
    /// How often it asks a node before it goes on to the next.
    pub tries: u8,
}

impl Default for Patience {
    /// For a radio on which a frame takes a few milliseconds.
    fn default() -> Self {
        Self { first: Duration::from_millis(40), longest: Duration::from_millis(160), tries: 2 }
    }
}

/// Asks one thing at a time of one of up to `NODES` nodes, in up to `ASK` bytes, until it is answered.
///
/// ```
/// use quorate::{Instant, NodeId};
/// use quorate::codec::Sink;
/// use quorate_radio::remote::Asker;
///
/// let mut asker = Asker::<3, 32>::new(&[1, 2, 3].map(NodeId::new), Default::default(), 1, 7);
/// let mut now = Instant::default();
/// asker.ask(now, |ask| ask.put(b"time?")).expect("it fits");
/// let (to, ask) = asker.due(now).expect("at once");
/// let answer = [&ask[..ask.len() - 5], &[0], b"noon"].concat(); // the number, nobody else to ask, and an answer
/// assert!(asker.due(now).is_none(), "not again before it had time to be answered");
/// assert_eq!(asker.take(to, &answer), Some(&b"noon"[..]));
/// assert_eq!(asker.deadline(), None);
/// ```
#[derive(Debug)]
pub struct Asker<const NODES: usize, const ASK: usize> {
    nodes: Vec<NodeId, NODES>,
    /// The node that is asked.
    at: usize,
    patience: Patience,
    rng: Rng,
    number: u64,
    /// The number and what is asked; empty when nothing is.
    ask: Vec<u8, ASK>,
    tries: u8,
    pause: Duration,
    next: Instant,
    /// When it was asked first.
    first: Option<Instant>,
}

impl<const NODES: usize, const ASK: usize> Asker<NODES, ASK> {
    /// An asker that begins with a node by chance. `life` must grow from life to life of a client, or nodes take what
    /// it asks for old.
    #[must_use]
    pub fn new(nodes: &[NodeId], patience: Patience, life: u32, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes: Vec<_, NODES> = nodes.iter().copied().take(NODES).collect();
        Self {
            at: rng.below(nodes.len() as u64) as usize,
            nodes,
            patience,
            rng,
            // Four billion asks a life: more than any makes, so the next life begins above them.
            number: u64::from(life) << 32,
            ask: Vec::new(),
            tries: 0,
            pause: patience.first,
            next: Instant::default(),
            first: None,
        }
    }

    /// Asks something, instead of what was asked before.
    ///
    /// # Errors
    /// It does not fit: nothing is asked.
    pub fn ask(
        &mut self,
        now: Instant,
        put: impl FnOnce(&mut Vec<u8, ASK>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.drop_ask();
        self.number += 1;
        let put = codec::put(&self.number, &mut self.ask).and_then(|()| put(&mut self.ask));
        if put.is_err() {
            self.drop_ask();
        }
        self.next = now;
        put
    }

    /// Asks nothing any more.
    pub fn drop_ask(&mut self) {
        self.ask.clear();
        self.first = None;
        self.tries = 0;
        self.pause = self.patience.first;
    }

    /// Whether something is asked.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        !self.ask.is_empty()
    }

    /// When what is asked now was first asked.
    #[must_use]
    pub fn first_asked(&self) -> Option<Instant> {
        self.first
    }

    /// What is to be sent now, and to whom.
    pub fn due(&mut self, now: Instant) -> Option<(NodeId, &[u8])> {
        if self.ask.is_empty() || now < self.next {
            return None;
        }
        if self.tries >= self.patience.tries {
            self.tries = 0;
            self.at = if self.at + 1 < self.nodes.len() { self.at + 1 } else { 0 };
        }
        self.tries += 1;
        self.first.get_or_insert(now);
        // Spread, so that clients that began together do not go on together.
        let micros = u64::try_from(self.pause.as_micros()).unwrap_or(u64::MAX);
        let jittered = (micros - micros / 4).saturating_add(self.rng.below(micros / 2));
        self.next = now.after(Duration::from_micros(jittered));
        self.pause = (self.pause + self.pause / 2).min(self.patience.longest);
        Some((*self.nodes.get(self.at)?, &self.ask))
    }

    /// The answer to what is asked, if this is it; then nothing is asked any more. Any other message is dropped.
    pub fn take<'m>(&mut self, from: NodeId, message: &'m [u8]) -> Option<&'m [u8]> {
        let mut body = message;
        let number: u64 = codec::take(&mut body).ok()?;
        let next: Option<NodeId> = codec::take(&mut body).ok()?;
        if self.ask.is_empty() || number != self.number || !self.nodes.contains(&from) {
            return None;
        }
        let next = next.filter(|next| self.nodes.contains(next)).unwrap_or(from);
        self.at = self.nodes.iter().position(|&node| node == next)?;
        self.drop_ask();
        Some(body)
    }

    /// Goes on to the next node, after a while: this one cannot answer now.
    pub fn next_node(&mut self) {
        self.tries = self.patience.tries;
    }

    /// When [`due`](Self::due) next has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.is_asking().then_some(self.next)
    }
}

/// The number of a message, and the rest of it.
pub(super) fn numbered(message: &[u8]) -> Option<(u64, &[u8])> {
    let mut body = message;
    let number = codec::take(&mut body).ok()?;
    Some((number, body))
}
