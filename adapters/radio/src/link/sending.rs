//! What leaves next, and in which frames.

use super::Link;
use super::config::micros;
use super::counters::one_more;
use super::outgoing::{Outgoing, Waiting};
use crate::frame::{self, Header, Piece};
use crate::{Radio, SendError};
use quorate::Instant;
use quorate::codec::{Full, Sink};

/// How far a message that leaves in pieces has left.
#[derive(Clone, Copy, Default)]
pub(super) struct Train {
    /// The counter of the frame of its first piece.
    first: u64,
    /// How many pieces have left.
    pieces: u8,
    /// How many bytes have left.
    sent: usize,
    /// How many messages went before its next piece.
    gave_way: u8,
}

/// How many messages may go before a piece.
const GIVES_WAY: u8 = 4;

/// What is done next: a whole message, or a piece.
#[derive(Clone, Copy)]
struct Part {
    of: Waiting,
    /// Which of its bytes.
    start: usize,
    end: usize,
    header: Header,
}

impl<const PEERS: usize, const QUEUE: usize, const MESSAGE: usize, const FRAME: usize, const PARTIAL: usize>
    Link<PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>
{
    /// Sends a frame if one may be sent now.
    ///
    /// # Errors
    /// The radio failed. What was to be sent waits.
    pub fn transmit<R: Radio + ?Sized>(&mut self, now: Instant, radio: &mut R) -> Result<(), R::Error> {
        let now = now.as_micros();
        if now < self.air.next() {
            return Ok(());
        }
        self.drop_expired(now);
        let mtu = radio.mtu().min(FRAME);
        let Some(part) = self.next_part(mtu) else { return Ok(()) };
        if !self.air.may_send(now, self.config.phy.airtime_micros(mtu)) {
            one_more(&mut self.counters.over_budget);
            return Ok(());
        }
        self.counter = self.counter.saturating_add(1);
        let mut frame = heapless::Vec::<u8, FRAME>::new();
        if self.build(&part, &mut frame).is_err() {
            // It was seen to fit; what never fits must not wait for ever.
            self.refuse(&part.of);
            return Ok(());
        }
        match radio.send(&frame) {
            Ok(()) => self.on_sent(now, &part, frame.len()),
            Err(SendError::Busy) => {
                one_more(&mut self.counters.busy);
                self.air.on_busy(now);
            }
            Err(SendError::Failed(error)) => {
                self.air.on_busy(now);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn drop_expired(&mut self, now: u64) {
        let lifetime = micros(self.config.lifetime);
        for _ in 0..Outgoing::<QUEUE>::MOST {
            // Oldest first, so none is behind one that is not expired.
            let Some(oldest) = self.outgoing.iter().next() else { return };
            if now.saturating_sub(oldest.since) <= lifetime {
                return;
            }
            self.outgoing.remove(&oldest);
            one_more(&mut self.counters.expired);
        }
    }

    /// What goes next. What cannot go in frames of this length is dropped.
    fn next_part(&mut self, mtu: usize) -> Option<Part> {
        for _ in 0..=Outgoing::<QUEUE>::MOST {
            let whole = |waiting: &Waiting| {
                !waiting.begun && self.room(waiting, None, mtu).is_some_and(|room| waiting.len() <= room)
            };
            let small = self.outgoing.iter().find(whole);
            // One at a time: the one that has begun, or the oldest.
            let large = self.outgoing.iter().find(|waiting| waiting.begun);
            let large = large.or_else(|| self.outgoing.iter().find(|waiting| !whole(waiting)));
            let Some(large) = large else { return small.map(|of| self.whole(of)) };
            if let Some(small) = small.filter(|_| self.train.gave_way < GIVES_WAY) {
                return Some(self.whole(small));
            }
            if let Some(piece) = self.piece(large, mtu) {
                return Some(piece);
            }
            self.refuse(&large);
        }
        None
    }

    fn whole(&self, of: Waiting) -> Part {
        Part { of, start: 0, end: of.len(), header: self.header(&of, None) }
    }

    fn piece(&self, of: Waiting, mtu: usize) -> Option<Part> {
        let train = if of.begun { self.train } else { Train::default() };
        let first = if of.begun { train.first } else { self.counter };
        let back = self.counter.saturating_sub(first);
        let mut piece = Piece { back, index: train.pieces, last: false };
        let room = self.room(&of, Some(piece), mtu).filter(|&room| room > 0)?;
        let end = train.sent.saturating_add(room).min(of.len());
        piece.last = end == of.len();
        if !piece.last && piece.index == Piece::MOST {
            return None;
        }
        Some(Part { of, start: train.sent, end, header: self.header(&of, Some(piece)) })
    }

    fn header(&self, of: &Waiting, piece: Option<Piece>) -> Header {
        Header {
            sealed: self.config.seals(),
            kind: of.kind,
            cluster: self.config.cluster,
            from: self.config.id,
            to: of.to,
            epoch: self.config.epoch,
            counter: self.counter,
            piece,
        }
    }

    /// How many bytes of a message a frame holds.
    fn room(&self, of: &Waiting, piece: Option<Piece>, mtu: usize) -> Option<usize> {
        mtu.checked_sub(self.header(of, piece).len()?)?.checked_sub(self.config.trailer())
    }

    fn build(&self, part: &Part, frame: &mut heapless::Vec<u8, FRAME>) -> Result<(), Full> {
        part.header.put(frame)?;
        let bytes = self.outgoing.message(&part.of).get(part.start..part.end).unwrap_or_default();
        #[cfg(feature = "auth")]
        if let Some(key) = &self.config.key {
            return key.close(&part.header, bytes, frame);
        }
        frame.put(bytes)?;
        frame::close(frame)
    }

    fn on_sent(&mut self, now: u64, part: &Part, bytes: usize) {
        let airtime = self.config.phy.airtime_micros(bytes);
        self.air.on_sent(now, airtime, self.config.phy.turnaround);
        one_more(&mut self.counters.frames_sent);
        self.counters.bytes_sent = self.counters.bytes_sent.saturating_add(bytes as u64);
        self.counters.airtime_micros = self.counters.airtime_micros.saturating_add(airtime.into());
        let Header { counter, piece, .. } = part.header;
        match piece {
            Some(Piece { back, index, last: false }) => {
                let (first, pieces) = (counter.saturating_sub(back), index.saturating_add(1));
                self.train = Train { first, pieces, sent: part.end, gave_way: 0 };
                self.outgoing.begin(&part.of);
                return;
            }
            Some(_) => self.train.gave_way = 0,
            None => self.train.gave_way = self.train.gave_way.saturating_add(1),
        }
        self.outgoing.remove(&part.of);
        one_more(&mut self.counters.messages_sent);
    }

    fn refuse(&mut self, waiting: &Waiting) {
        self.outgoing.remove(waiting);
        one_more(&mut self.counters.refused);
    }
}
