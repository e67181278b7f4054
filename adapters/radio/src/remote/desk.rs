//! The node's side of asks: what clients wait for, and what they were answered last.

use super::asker::numbered;
use heapless::Vec;
use quorate::NodeId;
use quorate::codec::{self, Full};

/// What to do with an ask.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Carry this out; tell what came of it by [`Desk::begin`], or [`Desk::answer`] at once.
    New(&'a [u8]),
    /// It was answered before: send this again.
    Again(&'a [u8]),
    /// Nothing: it is being carried out, is older than another of this client, makes no sense, or there is no room.
    Nothing,
}

/// Remembers, for each of up to `CLIENTS` clients, the last thing it asked, and its answer in up to `ANSWER` bytes.
/// `T` is a ticket. The client that was silent for longest makes room for another.
#[derive(Debug)]
pub struct Desk<T, const CLIENTS: usize, const ANSWER: usize> {
    rows: Vec<Row<T, ANSWER>, CLIENTS>,
    clock: u32,
    dropped: u32,
}

#[derive(Debug)]
struct Row<T, const ANSWER: usize> {
    client: NodeId,
    number: u64,
    ticket: Option<T>,
    /// The number and the answer; empty before it is answered.
    answer: Vec<u8, ANSWER>,
    /// When it was last heard, in asks.
    heard: u32,
}

impl<T, const CLIENTS: usize, const ANSWER: usize> Default for Desk<T, CLIENTS, ANSWER> {
    fn default() -> Self {
        Self { rows: Vec::new(), clock: 0, dropped: 0 }
    }
}

impl<T: Copy + Eq, const CLIENTS: usize, const ANSWER: usize> Desk<T, CLIENTS, ANSWER> {
    /// Takes an ask in.
    pub fn take<'a>(&'a mut self, client: NodeId, message: &'a [u8]) -> Asked<'a> {
        self.clock = self.clock.wrapping_add(1);
        let Some(((number, body), at)) = numbered(message).and_then(|ask| Some((ask, self.place(client)?)))
        else {
            self.dropped = self.dropped.wrapping_add(1);
            return Asked::Nothing;
        };
        let heard = self.clock;
        let Some(row) = self.rows.get_mut(at) else { return Asked::Nothing };
        row.heard = heard;
        if number < row.number {
            self.dropped = self.dropped.wrapping_add(1);
            return Asked::Nothing;
        }
        if number > row.number {
            (row.number, row.ticket) = (number, None);
            row.answer.clear();
            return Asked::New(body);
        }
        match (&row.ticket, row.answer.is_empty()) {
            (Some(_), _) => Asked::Nothing,
            (None, false) => Asked::Again(&row.answer),
            // It could not be taken up before.
            (None, true) => Asked::New(body),
        }
    }

    /// What the client asked last is being carried out.
    pub fn begin(&mut self, client: NodeId, ticket: T) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.client == client) {
            row.ticket = Some(ticket);
        }
    }

    /// What the client asked last is answered: what to send.
    pub fn answer(
        &mut self,
        client: NodeId,
        put: impl FnOnce(&mut Vec<u8, ANSWER>) -> Result<(), Full>,
    ) -> Option<&[u8]> {
        let row = self.rows.iter_mut().find(|row| row.client == client)?;
        row.ticket = None;
        row.answer.clear();
        if codec::put(&row.number, &mut row.answer).and_then(|()| put(&mut row.answer)).is_err() {
            row.answer.clear();
            return None;
        }
        Some(&row.answer)
    }

    /// The client that waits for this ticket; none, if it asked for something else since.
    #[must_use]
    pub fn waits_for(&self, ticket: T) -> Option<NodeId> {
        self.rows.iter().find(|row| row.ticket == Some(ticket)).map(|row| row.client)
    }

    /// Makes the client ask anew: its answer is not worth remembering.
    pub fn forget(&mut self, client: NodeId) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.client == client) {
            row.ticket = None;
            row.answer.clear();
        }
    }

    /// Asks that were dropped: older ones, nonsense, or for want of room.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The client's row, if need be that of another who waits for nothing.
    fn place(&mut self, client: NodeId) -> Option<usize> {
        if let Some(at) = self.rows.iter().position(|row| row.client == client) {
            return Some(at);
        }
        let row = Row { client, number: 0, ticket: None, answer: Vec::new(), heard: self.clock };
        let Err(row) = self.rows.push(row) else { return Some(self.rows.len() - 1) };
        let clock = self.clock;
        let idle = self.rows.iter_mut().enumerate().filter(|(_, row)| row.ticket.is_none());
        let (at, place) = idle.max_by_key(|(_, row)| clock.wrapping_sub(row.heard))?;
        *place = row;
        Some(at)
    }
}
