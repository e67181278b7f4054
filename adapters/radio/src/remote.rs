//! Clients that are no voters: they ask any node by radio, again and again until they are answered.
//!
//! An ask is a number and what is asked, its answer the same number, whom to ask next, and what came of it:
//!
//! ```text
//! ask:    number | command              an Ask of the link; numbers are postcard's, and rise
//! answer: number | next | 0 | reply     an Answer: the command was carried out; `next` is 0, or 1 and a node
//!         number | next | 1             it was not taken up, or nobody knows what came of it: ask again
//! ```
//!
//! Frames get lost, so a client asks again ([`Asker`]), after some tries another node. Any node will do; the leader is soonest, so answers name it. A node remembers the last
//! answer of each client ([`Desk`]), so a retry costs an answer and no second entry of the log. Asked of another node a
//! command may be carried out twice: the commands of a lock table are made for that. One that is not wants a session of
//! `quorate::replicated`.
//!
//! [`Holder`] is a client of the lock table by these means, [`Fence`] what a resource does with its tokens.

mod asker;
mod desk;
mod fence;
mod holder;
mod serve;

pub use asker::{Asker, Patience};
pub use desk::Desk;
pub use fence::{Fence, Used};
pub use holder::{Holder, Progress};

use quorate::codec::{self, Full, Malformed, Sink};
use serde::{Serialize, de::DeserializeOwned};

/// How an ask ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered<R> {
    /// The command was carried out.
    Replied(R),
    /// It was not taken up, or nobody knows what came of it.
    Unknown,
}

impl<R: Serialize + DeserializeOwned> Answered<R> {
    /// Encodes it, without the number.
    ///
    /// # Errors
    /// The sink is full.
    pub fn put(&self, sink: &mut impl Sink) -> Result<(), Full> {
        match self {
            Self::Replied(reply) => {
                sink.put(&[0])?;
                codec::put(reply, sink)
            }
            Self::Unknown => sink.put(&[1]),
        }
    }

    /// Decodes one that is all of `bytes`.
    ///
    /// # Errors
    /// It is none.
    pub fn take(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((0, reply)) => codec::take_all(reply).map(Self::Replied),
            Some((1, [])) => Ok(Self::Unknown),
            _ => Err(Malformed::Content),
        }
    }
}

#[cfg(test)]
mod tests;
