//! Messages that come in pieces.

use super::Kind;
use super::counters::{Dropped, one_more};
use crate::frame::{Header, Piece};
use quorate::NodeId;

/// A message that is being put together.
///
/// Pieces are taken in their order only. One air does not reorder frames; what does is rare enough that the message
/// may be lost, and there is no map to keep of which pieces came.
#[derive(Clone, Copy)]
struct Under {
    from: NodeId,
    kind: Kind,
    /// The counter of the frame of its first piece.
    message: u64,
    /// Which piece comes next.
    next: u8,
    /// When the first came, in microseconds.
    since: u64,
}

/// A place to put a message together.
struct Place<const MESSAGE: usize> {
    under: Option<Under>,
    bytes: heapless::Vec<u8, MESSAGE>,
}

/// Places to put messages together, of each sender at most one.
pub(crate) struct Partials<const MESSAGE: usize, const PARTIAL: usize> {
    places: [Place<MESSAGE>; PARTIAL],
    /// How long a message may take.
    patience: u64,
}

impl<const MESSAGE: usize, const PARTIAL: usize> Partials<MESSAGE, PARTIAL> {
    pub const fn new(patience: u64) -> Self {
        Self { places: [const { Place { under: None, bytes: heapless::Vec::new() } }; PARTIAL], patience }
    }

    /// Lets go of what a node had begun to send.
    pub fn forget(&mut self, from: NodeId, incomplete: &mut u32) {
        for place in &mut self.places {
            if place.under.is_some_and(|under| under.from == from) {
                place.let_go(incomplete);
            }
        }
    }

    /// Takes a piece in; returns the message if that was its last.
    pub fn take(
        &mut self,
        now: u64,
        header: &Header,
        piece: Piece,
        bytes: &[u8],
        incomplete: &mut u32,
    ) -> Result<Option<&[u8]>, Dropped> {
        self.expire(now, incomplete);
        let message = header.counter.checked_sub(piece.back).ok_or(Dropped::Damaged)?;
        if (piece.index == 0) != (piece.back == 0) {
            return Err(Dropped::Damaged);
        }
        let first = piece.index == 0;
        let mine = |place: &Place<MESSAGE>| place.under.is_some_and(|under| under.from == header.from);
        let at = self.places.iter().position(mine);
        let at = match at {
            None if !first => return Err(Dropped::Orphan),
            None => self.places.iter().position(|place| place.under.is_none()).ok_or(Dropped::Crowded)?,
            Some(at) => at,
        };
        let place = self.places.get_mut(at).ok_or(Dropped::Crowded)?;
        if first {
            place.begin(header, now, incomplete)?;
        }
        place.go_on(header.kind, message, piece, bytes, incomplete)
    }

    fn expire(&mut self, now: u64, incomplete: &mut u32) {
        for place in &mut self.places {
            if place.under.is_some_and(|under| now.saturating_sub(under.since) > self.patience) {
                place.let_go(incomplete);
            }
        }
    }
}

impl<const MESSAGE: usize> Place<MESSAGE> {
    fn let_go(&mut self, incomplete: &mut u32) {
        if self.under.take().is_some() {
            one_more(incomplete);
        }
    }

    /// A first piece: a sender that begins another message has given up the one before.
    fn begin(&mut self, header: &Header, now: u64, incomplete: &mut u32) -> Result<(), Dropped> {
        if self.under.is_some_and(|under| under.message > header.counter) {
            return Err(Dropped::Orphan);
        }
        self.let_go(incomplete);
        self.bytes.clear();
        let (from, kind, message) = (header.from, header.kind, header.counter);
        self.under = Some(Under { from, kind, message, next: 0, since: now });
        Ok(())
    }

    fn go_on(
        &mut self,
        kind: Kind,
        message: u64,
        piece: Piece,
        bytes: &[u8],
        incomplete: &mut u32,
    ) -> Result<Option<&[u8]>, Dropped> {
        let under = self.under.as_mut().ok_or(Dropped::Orphan)?;
        if message < under.message {
            return Err(Dropped::Orphan);
        }
        if (message, kind, piece.index) != (under.message, under.kind, under.next) {
            self.let_go(incomplete);
            return Err(Dropped::Orphan);
        }
        under.next = under.next.saturating_add(1);
        if self.bytes.extend_from_slice(bytes).is_err() {
            self.let_go(incomplete);
            return Err(Dropped::TooLong);
        }
        if !piece.last {
            return Ok(None);
        }
        self.under = None;
        Ok(Some(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::ClusterId;

    fn header(kind: Kind, counter: u64) -> Header {
        let (cluster, from, to) = (ClusterId::new(7), NodeId::new(1), NodeId::new(2));
        Header { sealed: false, kind, cluster, from, to, epoch: 1, counter, piece: None }
    }

    #[test]
    fn a_piece_of_another_kind_is_of_another_message() {
        let (mut partials, mut incomplete) = (Partials::<64, 1>::new(100), 0);
        let mut take = |kind, counter, index| {
            let piece = Piece { back: u64::from(index), index, last: index == 1 };
            partials
                .take(0, &header(kind, counter), piece, b"piece", &mut incomplete)
                .map(|message| message.is_some())
        };
        assert_eq!(take(Kind::Peer, 5, 0), Ok(false));
        assert_eq!(take(Kind::Answer, 6, 1), Err(Dropped::Orphan));
        assert_eq!(incomplete, 1);
    }

    #[test]
    fn the_first_piece_is_the_one_with_none_before_it() {
        let (mut partials, mut incomplete) = (Partials::<64, 1>::new(100), 0);
        for (back, index) in [(1, 0), (0, 1)] {
            let piece = Piece { back, index, last: true };
            let taken = partials.take(0, &header(Kind::Peer, 5), piece, b"piece", &mut incomplete);
            assert_eq!(taken, Err(Dropped::Damaged));
        }
    }
}
