//! Messages that wait.

use super::Kind;
use quorate::NodeId;
use quorate::codec::{Full, Sink};

/// Room for a message, to be written into.
pub struct Room<'r> {
    bytes: &'r mut [u8],
    used: usize,
}

impl Sink for Room<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.used.checked_add(bytes.len()).ok_or(Full)?;
        self.bytes.get_mut(self.used..end).ok_or(Full)?.copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }
}

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Where its head lies.
    at: usize,
    len: u16,
    pub kind: Kind,
    /// Whether a piece of it has left.
    pub begun: bool,
    pub to: NodeId,
    /// When it was queued, in microseconds.
    pub since: u64,
}

impl Waiting {
    pub const fn len(&self) -> usize {
        self.len as usize
    }
}

/// Why a message was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Others have to leave first.
    Now,
    /// It is too long.
    Ever,
}

/// Messages one behind the other in one buffer, oldest first, each after a head of its own: short ones take little.
pub(crate) struct Outgoing<const BYTES: usize> {
    bytes: [u8; BYTES],
    used: usize,
}

/// Length, kind and whether it has begun, addressee, since when.
pub(crate) const HEAD: usize = 2 + 1 + 8 + 8;

const BEGUN: u8 = 0x80;

impl<const BYTES: usize> Outgoing<BYTES> {
    /// The most messages that can be here.
    pub const MOST: usize = BYTES / HEAD;

    pub const fn new() -> Self {
        Self { bytes: [0; BYTES], used: 0 }
    }

    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Lets `put` write a message of at most `most` bytes at the end.
    pub fn add(
        &mut self,
        (to, kind, since): (NodeId, Kind, u64),
        most: usize,
        put: impl Fn(&mut Room<'_>) -> Result<(), Full>,
    ) -> Result<Waiting, NoRoom> {
        let at = self.used;
        let rest = self.bytes.get_mut(at..).unwrap_or_default();
        let (head, room) = rest.split_first_chunk_mut::<HEAD>().ok_or(NoRoom::Now)?;
        let enough = room.len() >= most;
        let most = room.len().min(most);
        let mut room = Room { bytes: room.get_mut(..most).unwrap_or_default(), used: 0 };
        put(&mut room).map_err(|Full| if enough { NoRoom::Ever } else { NoRoom::Now })?;
        let len = u16::try_from(room.used).map_err(|_| NoRoom::Ever)?;
        let waiting = Waiting { at, len, kind, begun: false, to, since };
        waiting.write(head);
        self.used = at.saturating_add(HEAD).saturating_add(waiting.len());
        Ok(waiting)
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Waiting> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let waiting = Waiting::read(at, self.bytes.get(at..self.used)?)?;
            at = at.checked_add(HEAD)?.checked_add(waiting.len())?;
            Some(waiting)
        })
    }

    /// How many bytes the messages from and for clients take.
    pub fn of_clients(&self) -> usize {
        let theirs = self.iter().filter(|waiting| waiting.kind != Kind::Peer);
        theirs.fold(0, |sum: usize, waiting| sum.saturating_add(HEAD).saturating_add(waiting.len()))
    }

    /// The bytes of a message.
    pub fn message(&self, of: &Waiting) -> &[u8] {
        let start = of.at.saturating_add(HEAD);
        self.bytes.get(start..start.saturating_add(of.len())).unwrap_or_default()
    }

    /// Whether the same message, to the same node, waits already, whole.
    pub fn has_another(&self, of: &Waiting) -> bool {
        self.iter().take_while(|waiting| waiting.at < of.at).any(|waiting| {
            (waiting.to, waiting.kind, waiting.begun) == (of.to, of.kind, false)
                && self.message(&waiting) == self.message(of)
        })
    }

    /// A piece of it leaves.
    pub fn begin(&mut self, of: &Waiting) {
        let rest = self.bytes.get_mut(of.at..).unwrap_or_default();
        if let Some(head) = rest.first_chunk_mut::<HEAD>() {
            Waiting { begun: true, ..*of }.write(head);
        }
    }

    pub fn remove(&mut self, of: &Waiting) {
        let end = of.at.saturating_add(HEAD).saturating_add(of.len());
        if of.at <= end && end <= self.used && self.used <= BYTES {
            self.bytes.copy_within(end..self.used, of.at);
            self.used = self.used.saturating_sub(end.saturating_sub(of.at));
        }
    }
}

impl Waiting {
    fn write(&self, head: &mut [u8; HEAD]) {
        let begun = if self.begun { BEGUN } else { 0 };
        let [low, high] = self.len.to_le_bytes();
        let start = [low, high, self.kind.bits() | begun];
        let numbers = [self.to.get().to_le_bytes(), self.since.to_le_bytes()];
        let bytes = start.iter().chain(numbers.as_flattened());
        for (place, &byte) in head.iter_mut().zip(bytes) {
            *place = byte;
        }
    }

    fn read(at: usize, bytes: &[u8]) -> Option<Self> {
        let (&[low, high, what], rest) = bytes.split_first_chunk()?;
        let (&to, rest) = rest.split_first_chunk()?;
        let (&since, _) = rest.split_first_chunk()?;
        Some(Self {
            at,
            len: u16::from_le_bytes([low, high]),
            kind: Kind::of_bits(what & !BEGUN)?,
            begun: what & BEGUN != 0,
            to: NodeId::new(u64::from_le_bytes(to)),
            since: u64::from_le_bytes(since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;
    use std::vec::Vec;

    fn add(queue: &mut Outgoing<128>, to: u64, message: &[u8]) -> Result<Waiting, NoRoom> {
        queue.add((NodeId::new(to), Kind::Ask, to), 60, |room| room.put(message))
    }

    #[test]
    fn a_message_too_long_is_told_from_one_that_does_not_fit_now() {
        let mut queue = Outgoing::<128>::new();
        assert_eq!(add(&mut queue, 1, &[1; 61]), Err(NoRoom::Ever));
        assert!(add(&mut queue, 1, &[1; 60]).is_ok());
        assert_eq!(add(&mut queue, 1, &[1; 60]), Err(NoRoom::Now));
        assert!(add(&mut queue, 1, &[1; 30]).is_ok());
    }

    #[test]
    fn messages_are_as_they_were_whatever_left_before() {
        fn property(steps: Vec<(u8, u8, bool)>) -> bool {
            let mut queue = Outgoing::<128>::new();
            let mut model: Vec<(u64, Vec<u8>, bool)> = Vec::new();
            for (number, (len, which, remove)) in steps.into_iter().enumerate() {
                let number = number as u64;
                let message = std::vec![len; usize::from(len % 64)];
                if !remove {
                    if add(&mut queue, number, &message).is_ok() {
                        model.push((number, message, false));
                    }
                } else if !model.is_empty() {
                    let which = usize::from(which) % model.len();
                    let waiting = queue.iter().nth(which).expect("as many as in the model");
                    if model[which].2 {
                        queue.remove(&waiting);
                        model.remove(which);
                    } else {
                        queue.begin(&waiting);
                        model[which].2 = true;
                    }
                }
            }
            let seen: Vec<_> =
                queue.iter().map(|w| (w.to.get(), queue.message(&w).to_vec(), w.begun)).collect();
            seen == model && queue.is_empty() == model.is_empty()
        }
        quickcheck(property as fn(Vec<(u8, u8, bool)>) -> bool);
    }
}
