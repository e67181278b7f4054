//! What goes over the wire and to the disk.

use super::support::*;
use quorate::codec::Malformed;
use quorate::groups::{InGroup, Message, Resting};
use quorate::{Batch, Hosted, Index, Machine, Position, Term, raft, replicated};

fn encoded(message: &<Node as Machine>::Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Node::put_message(message, &mut bytes).expect("a vector is never full");
    bytes
}

#[test]
fn messages_are_these_bytes() {
    let stale = raft::Message::Stale { term: Term::new(300) };
    let inner = Message::Group { group: group(300), message: replicated::Message::Raft(stale) };
    assert_eq!(encoded(&inner), [0, 0xAC, 2, 0, 5, 0xAC, 2]);
    assert_eq!(encoded(&Message::Beat { life: 300, resting: 2 }), [1, 0xAC, 2, 2]);
    let last = Position { term: Term::new(2), index: Index::new(5) };
    let resting = [Resting { group: group(300), term: Term::new(3), last, heir: None }];
    let rest = Message::Rest { life: 1, groups: Batch::of(&resting) };
    assert_eq!(encoded(&rest), [2, 1, 1, 0xAC, 2, 3, 2, 5, 0]);
    for message in [inner, Message::Beat { life: 300, resting: 2 }, rest] {
        let bytes = encoded(&message);
        let back = Node::take_message(&bytes).expect("it is what was put");
        assert_eq!(encoded(&back), bytes);
    }
}

#[test]
fn a_record_is_these_bytes() {
    let inner = raft::Record::State { term: Term::new(2), vote: Some(NODES[0]) };
    let mut bytes = Vec::new();
    Node::put_record(&InGroup { group: group(300), inner }, &mut bytes).expect("a vector is never full");
    assert_eq!(bytes, [1, 0xAC, 2, 1, 0, 2, 1, 1]);
}

#[test]
fn what_is_no_message_is_malformed() {
    for bytes in [&[][..], &[0], &[0, 1], &[1, 1], &[2, 1, 1, 1], &[3]] {
        assert_eq!(Node::take_message(bytes).err(), Some(Malformed::Content), "{bytes:?}");
    }
    assert_eq!(Node::take_message(&[1, 1, 1, 1]).err(), Some(Malformed::Trailing));
    assert_eq!(Node::take_message(&[2, 1, 0, 0]).err(), Some(Malformed::Trailing));
}
