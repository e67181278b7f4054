//! Frames that only who has the key can make.
//!
//! XChaCha20-Poly1305 but for one thing: its last four zeros are used. From the key, the cluster and the sender comes
//! a key of the sender's own (HChaCha20), and with that a frame is encrypted under its epoch and its counter as the
//! nonce of ChaCha20-Poly1305 (RFC 8439), and its header authenticated.
//!
//! # What the nonce stands on
//!
//! A counter is used once in a life, and a life has a number of its own, kept in flash. A node whose flash is lost does
//! not know which numbers it used, so it has to come back under a new id; its peers would not hear its old one anyway,
//! for the same reason. Where ids cannot change, give the cluster a new key.
//!
//! # What it does not do
//!
//! A node that has just begun knows nobody's life or counters, and takes the first frame of each as its newest, even
//! if it was recorded long ago. Machines stand that: to them it is a message that was late. Who has the key can speak
//! for any node.

use crate::frame::Header;
use crate::link::Dropped;
use chacha20::{R20, hchacha};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use core::fmt;
use core::ops::Range;
use quorate::codec::{Full, Sink};

/// Bytes besides the header and the message.
pub(crate) const OVERHEAD: usize = MARK + TAG;

/// Bytes before the message.
const MARK: usize = 1;

/// Bytes after it.
const TAG: usize = 16;

/// The secret of a cluster: who has it is believed.
///
/// ```
/// let key = quorate_radio::Key::new([7; 32]);
/// assert_eq!(format!("{key:?}"), "Key(..)");
/// ```
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// A key from 32 bytes that nobody can guess. Each cluster has its own.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A byte that tells keys apart, all but one in 256, so that a wrong one is not taken for tampering.
    fn mark(&self) -> u8 {
        // Of a cluster and a node that nobody has.
        self.derive([0xFF; 16]).first().copied().unwrap_or_default()
    }

    fn derive(&self, from: [u8; 16]) -> chacha20poly1305::Key {
        hchacha::<R20>(&self.0.into(), &from.into())
    }

    fn cipher(&self, header: &Header) -> ChaCha20Poly1305 {
        let mut from = [0; 16];
        let numbers = [header.cluster.get().to_le_bytes(), header.from.get().to_le_bytes()];
        from.copy_from_slice(numbers.as_flattened());
        ChaCha20Poly1305::new(&self.derive(from))
    }

    /// Appends a message to a header, encrypted, with what authenticates both.
    pub(crate) fn close<const FRAME: usize>(
        &self,
        header: &Header,
        message: &[u8],
        frame: &mut heapless::Vec<u8, FRAME>,
    ) -> Result<(), Full> {
        frame.put(&[self.mark()])?;
        let start = frame.len();
        frame.put(message)?;
        let (before, message) = frame.split_at_mut_checked(start).ok_or(Full)?;
        let tag = self.seal(header, before, message).ok_or(Full)?;
        frame.put(&tag)
    }

    /// Decrypts the message of a frame whose header ends at `start`. Where it is.
    pub(crate) fn unseal(
        &self,
        header: &Header,
        start: usize,
        frame: &mut [u8],
    ) -> Result<Range<usize>, Dropped> {
        if frame.get(start) != Some(&self.mark()) {
            return Err(Dropped::OtherKey);
        }
        let start = start.saturating_add(MARK);
        let (before, rest) = frame.split_at_mut_checked(start).ok_or(Dropped::Damaged)?;
        let (message, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(Dropped::Damaged)?;
        if self.open(header, before, message, *tag) {
            Ok(start..start.saturating_add(message.len()))
        } else {
            Err(Dropped::Forged)
        }
    }

    /// Encrypts a message, and returns the tag over it and what is `before` it.
    fn seal(&self, header: &Header, before: &[u8], message: &mut [u8]) -> Option<[u8; TAG]> {
        let cipher = self.cipher(header);
        let tag = cipher.encrypt_inout_detached(&nonce(header), before, message.into()).ok()?;
        Some(tag.into())
    }

    /// Decrypts a message, if it and what is `before` it are as they were sealed.
    fn open(&self, header: &Header, before: &[u8], message: &mut [u8], tag: [u8; TAG]) -> bool {
        let tag: Tag = tag.into();
        self.cipher(header).decrypt_inout_detached(&nonce(header), before, message.into(), &tag).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

fn nonce(header: &Header) -> Nonce {
    let mut nonce = [0; 12];
    let numbers = header.epoch.to_le_bytes().into_iter().chain(header.counter.to_le_bytes());
    for (place, byte) in nonce.iter_mut().zip(numbers) {
        *place = byte;
    }
    nonce.into()
}
