//! The node's side of asks: what clients asked, wait for, and were answered last.

use super::asker::numbered;
use heapless::Vec;
use quorate::NodeId;
use quorate::codec::{self, Full};

/// Remembers, for each of up to `CLIENTS` clients, the last thing it asked, and then its answer, in up to `BYTES` bytes.
/// `T` is a ticket. The client that was silent for longest makes room for another, unless it waits.
///
/// Tickets begin anew with each life of a machine, so a machine that is restored gets a new desk. What clients wait for
/// they ask again.
#[derive(Debug)]
pub struct Desk<T, const CLIENTS: usize, const BYTES: usize> {
    rows: Vec<Row<T, BYTES>, CLIENTS>,
    /// Whom clients should ask.
    leader: Option<NodeId>,
    clock: u32,
    dropped: u32,
}

#[derive(Debug)]
struct Row<T, const BYTES: usize> {
    client: NodeId,
    number: u64,
    stand: Stand<T>,
    /// What is asked, or all of the answer.
    bytes: Vec<u8, BYTES>,
    /// When it was last heard, in asks.
    heard: u32,
}

/// How far an ask is.
#[derive(Debug, PartialEq, Eq)]
enum Stand<T> {
    /// It came in.
    Asked,
    /// It is being carried out.
    Begun(T),
    /// It is answered, and the answer is to be sent.
    Due,
    /// The answer was sent.
    Answered,
    /// It could not be taken up: asked again, it is as new.
    Void,
}

impl<T, const CLIENTS: usize, const BYTES: usize> Default for Desk<T, CLIENTS, BYTES> {
    fn default() -> Self {
        Self { rows: Vec::new(), leader: None, clock: 0, dropped: 0 }
    }
}

impl<T: Copy + Eq, const CLIENTS: usize, const BYTES: usize> Desk<T, CLIENTS, BYTES> {
    /// Tells clients whom to ask from now on.
    pub fn refer(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
    }

    /// Takes an ask in. One that is older than another of this client, makes no sense, or finds no room is dropped.
    pub fn take(&mut self, client: NodeId, message: &[u8]) {
        self.clock = self.clock.wrapping_add(1);
        if self.try_take(client, message).is_none() {
            self.dropped = self.dropped.wrapping_add(1);
        }
    }

    /// The next ask that nobody looked at: tell by [`begin`](Self::begin) or [`answer`](Self::answer) what came of it,
    /// or it is as if it was never asked.
    pub fn next_ask(&mut self) -> Option<(NodeId, &[u8])> {
        let row = self.rows.iter_mut().find(|row| row.stand == Stand::Asked)?;
        row.stand = Stand::Void;
        Some((row.client, &row.bytes))
    }

    /// What the client asked last is being carried out. Whoever waited under this ticket has to ask again: it was given
    /// out in another life of the machine.
    pub fn begin(&mut self, client: NodeId, ticket: T) {
        for row in self.rows.iter_mut().filter(|row| row.stand == Stand::Begun(ticket)) {
            row.stand = Stand::Void;
        }
        if let Some(row) = self.row(client) {
            row.stand = Stand::Begun(ticket);
        }
    }

    /// What was begun under this ticket is answered. Nothing, if its client asked for something else since.
    pub fn end(&mut self, ticket: T, put: impl FnOnce(&mut Vec<u8, BYTES>) -> Result<(), Full>) {
        let row = self.rows.iter().find(|row| row.stand == Stand::Begun(ticket));
        if let Some(client) = row.map(|row| row.client) {
            self.answer(client, put);
        }
    }

    /// What the client asked last is answered. An answer that does not fit is not sent.
    pub fn answer(&mut self, client: NodeId, put: impl FnOnce(&mut Vec<u8, BYTES>) -> Result<(), Full>) {
        let leader = self.leader;
        let Some(row) = self.row(client) else { return };
        row.bytes.clear();
        let put = codec::put(&(row.number, leader), &mut row.bytes).and_then(|()| put(&mut row.bytes));
        row.stand = if put.is_ok() { Stand::Due } else { Stand::Void };
    }

    /// The next answer to be sent, and to whom.
    pub fn next_answer(&mut self) -> Option<(NodeId, &[u8])> {
        let row = self.rows.iter_mut().find(|row| row.stand == Stand::Due)?;
        row.stand = Stand::Answered;
        Some((row.client, &row.bytes))
    }

    /// Asks that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn try_take(&mut self, client: NodeId, message: &[u8]) -> Option<()> {
        let (number, body) = numbered(message)?;
        let bytes = Vec::from_slice(body).ok()?;
        let at = self.place(client)?;
        let heard = self.clock;
        let row = self.rows.get_mut(at)?;
        row.heard = heard;
        let is_new = number > row.number || number == row.number && row.stand == Stand::Void;
        if is_new {
            (row.number, row.bytes, row.stand) = (number, bytes, Stand::Asked);
        } else if number == row.number && row.stand == Stand::Answered {
            row.stand = Stand::Due;
        }
        (number >= row.number).then_some(())
    }

    fn row(&mut self, client: NodeId) -> Option<&mut Row<T, BYTES>> {
        self.rows.iter_mut().find(|row| row.client == client)
    }

    /// The client's row, if need be that of another who waits for nothing.
    fn place(&mut self, client: NodeId) -> Option<usize> {
        if let Some(at) = self.rows.iter().position(|row| row.client == client) {
            return Some(at);
        }
        let row = Row { client, number: 0, stand: Stand::Void, bytes: Vec::new(), heard: self.clock };
        let Err(row) = self.rows.push(row) else { return self.rows.len().checked_sub(1) };
        let clock = self.clock;
        let idle = |row: &Row<T, BYTES>| matches!(row.stand, Stand::Answered | Stand::Void);
        let idle = self.rows.iter_mut().enumerate().filter(|(_, row)| idle(row));
        let (at, place) = idle.max_by_key(|(_, row)| clock.wrapping_sub(row.heard))?;
        *place = row;
        Some(at)
    }
}
