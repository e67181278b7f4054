//! A desk before a node.

use super::{Answered, Desk};
use crate::{Kind, Node, Radio, Store, Told};
use quorate::codec::{self, Sink};
use quorate::replicated::{Outcome, Replicated, Request, Ticket};
use quorate::{Application, Instant, Space};

impl<const CLIENTS: usize, const BYTES: usize> Desk<Ticket, CLIENTS, BYTES> {
    /// Takes what a turn told, and hands back what is not for clients.
    pub fn tell<'t, A, S, const SESSIONS: usize, const REPLIES: usize>(
        &mut self,
        told: Told<'t, Replicated<A, S, SESSIONS, REPLIES>>,
    ) -> Option<Told<'t, Replicated<A, S, SESSIONS, REPLIES>>>
    where
        A: Application,
        S: Space,
    {
        match told {
            Told::Message(received) if received.kind == Kind::Ask => {
                self.take(received.from, received.message)
            }
            Told::Ended { ticket, outcome: Outcome::Replied { reply, .. } } => {
                self.end(ticket, |answer| Answered::Replied(reply).put(answer));
            }
            Told::Ended { ticket, outcome: Outcome::Failed(_) } => {
                self.end(ticket, |answer| Answered::<A::Reply>::Unknown.put(answer));
            }
            other => return Some(other),
        }
        None
    }

    /// After a turn: requests what clients asked for, and posts what they are answered. Says whether there was
    /// anything, so that another turn is due at once.
    pub fn serve<
        A,
        S,
        R,
        T,
        const SESSIONS: usize,
        const REPLIES: usize,
        const PEERS: usize,
        const QUEUE: usize,
        const MESSAGE: usize,
        const FRAME: usize,
        const PARTIAL: usize,
    >(
        &mut self,
        now: Instant,
        node: &mut Node<'_, Replicated<A, S, SESSIONS, REPLIES>, R, T, PEERS, QUEUE, MESSAGE, FRAME, PARTIAL>,
    ) -> bool
    where
        A: Application,
        S: Space,
        R: Radio,
        T: Store,
    {
        let mut served = false;
        self.refer(node.machine().and_then(|machine| machine.status().leader));
        // Ends: each ask is looked at once.
        while let Some((client, ask)) = self.next_ask() {
            served = true;
            // Nonsense is asked in vain.
            let Ok(command) = codec::take_all(ask) else { continue };
            match node.request(now, Request::Command(command)) {
                Some(Ok(ticket)) => self.begin(client, ticket),
                Some(Err(_)) | None => {
                    self.answer(client, |answer| Answered::<A::Reply>::Unknown.put(answer));
                }
            }
        }
        while let Some((client, answer)) = self.next_answer() {
            served = true;
            node.post(now, client, Kind::Answer, |room| room.put(answer));
        }
        served
    }
}
