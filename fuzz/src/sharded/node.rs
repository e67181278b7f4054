//! A node of the bank.

use super::asks::{pay, work};
use super::bank::Bank;
use crate::Tape;
use crate::asks::{self, Asked};
use crate::live::{self, Subject};
use crate::peer;
use quorate::codec::put;
use quorate::raft::Status;
use quorate::replicated;
use quorate::sharded::{self, Event, Request, Settings, Shard, Sharded};
use quorate::{GroupId, Space, TxId};
use std::fmt::Debug;

/// So small that limits are met.
pub type Node<S> = Sharded<Bank, S, 4, 8>;

fn group(tape: &mut Tape<'_>) -> GroupId {
    GroupId::new(tape.one(&[0, 1, 0, 1, 0, 1, 0, 7]))
}

impl<S: Space> Subject for Node<S> {
    const GROUPS: u64 = 2;

    fn settings() -> Settings<S> {
        sharded::spread(Self::GROUPS, &replicated::Settings::of(live::config()))
    }

    fn status_of(&self, group: GroupId) -> Status {
        self.groups().get(group).expect("it is hosted").status()
    }

    fn request_of(tape: &mut Tape<'_>) -> Request<Bank> {
        match tape.below(8) {
            0 => Request::Command { group: group(tape), command: pay(tape) },
            1 => Request::Query { group: group(tape), query: tape.below(4) as u8 },
            2 => {
                let tx = TxId { coordinator: quorate::NodeId::new(tape.number()), number: tape.number() };
                Request::Force { group: group(tape), tx, commit: tape.flag() }
            }
            3 => {
                let count = tape.below(4);
                Request::Transact { parts: (0..count).map(|_| (group(tape), work(tape))).collect() }
            }
            _ => {
                let parts = [0, 1].map(|number| (GroupId::new(number), work(tape)));
                Request::Transact { parts: parts.into() }
            }
        }
    }

    fn put_envelope(group: GroupId, out: &mut Vec<u8>) {
        put(&(0_u8, group, 0_u8), out).expect("a vector is never full");
    }

    fn put_peer(&self, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        let what = tape.byte();
        let of = GroupId::new(u64::from(what) % Self::GROUPS);
        let status = self.status_of(of);
        let done = match what >> 4 {
            0 => put(&(1_u8, tape.near(&[1, 2]), tape.near(&[0, 1, 2])), out),
            1 => {
                let resting = [(); 2].map(|()| {
                    let (term, last) = (tape.near(&[status.term.get()]), tape.near(&[status.last.get()]));
                    (group(tape), term, (tape.near(&[status.term.get()]), last))
                });
                put(&(2_u8, tape.near(&[1, 2]), &resting[..]), out)
            }
            2 => {
                let count = tape.below(6);
                let operations: Vec<_> = (0..count).map(|_| asks::operation::<Shard<Bank>>(tape)).collect();
                put(&(0_u8, of, 1_u8, operations), out)
            }
            3 => put(&(0_u8, GroupId::new(7), 0_u8), out),
            _ => {
                Self::put_envelope(of, out);
                return peer::put_raft(tape, &status, out, &mut Self::put_command);
            }
        };
        done.expect("a vector is never full");
    }

    fn put_command(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        put(&asks::stamped::<Shard<Bank>>(tape), out).expect("a vector is never full");
    }

    fn put_event(_: &Self::Event<'_>, _: &mut Vec<u8>) {}

    fn tell<'e>(event: &'e Self::Event<'_>) -> &'e dyn Debug {
        event
    }

    fn ends(event: &Self::Event<'_>) -> bool {
        matches!(event, Event::Ended { .. })
    }

    fn assert_sound(&self) {
        self.groups().iter().for_each(|(_, group)| group.application().assert_sound());
    }
}
