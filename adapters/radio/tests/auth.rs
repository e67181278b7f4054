//! What authenticated frames promise, a claim each.
#![cfg(feature = "auth")]

mod common;

use common::*;
use quorate::{ClusterId, Rng};
use quorate_radio::{Key, Kind, LinkConfig};

const KEY: [u8; 32] = [7; 32];

fn sealed(id: u64, epoch: u32, key: [u8; 32]) -> Lines {
    Lines::new(config(id, epoch).sealed(Key::new(key)), id).expect("sound settings")
}

/// The second frame of a life, of a message from node 1 to node 2.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut one = sealed(1, 300, KEY);
    frames(&mut one, 2, b"the first", 127);
    frames(&mut one, 2, message, 127).remove(0)
}

#[test]
fn an_authenticated_frame_is_these_bytes() {
    let golden = [
        0x81, 7, 1, 2, 0xAC, 2, 1,    // the header, in the clear
        0xB9, // of the key
        0xA1, 0x09, // the message, encrypted
        0x08, 0x8E, 0xFA, 0x0F, 0x0B, 0x96, 0xEC, 0x6E, 0xF7, 0x9A, 0x00, 0x35, 0xC1, 0x57, 0xD4,
        0x9F, // the tag
    ];
    assert_eq!(frame(b"hi"), golden);
}

#[test]
fn who_has_the_key_hears_the_message_and_nobody_reads_it_on_the_way() {
    let frame = frame(b"who holds the lock");
    assert!(frame.windows(4).all(|bytes| bytes != b"lock"));
    assert_eq!(hear(&mut sealed(2, 1, KEY), &frame), Some((1, Kind::Peer, b"who holds the lock".to_vec())));
}

#[test]
fn messages_in_pieces_come_whole() {
    for mtu in [64, 127, 300] {
        let (mut one, mut two) = (sealed(1, 1, KEY), sealed(2, 1, KEY));
        for len in [0, 1, mtu - 30, mtu, 2 * mtu, 600] {
            let message: Vec<_> = (0..len).map(|at| at as u8).collect();
            let frames = frames(&mut one, 2, &message, mtu);
            let heard: Vec<_> = frames.iter().filter_map(|frame| hear(&mut two, frame)).collect();
            assert_eq!(heard, [(1, Kind::Peer, message)]);
        }
    }
}

#[test]
fn no_bit_of_a_frame_can_be_changed_and_nothing_is_remembered_of_one_that_was() {
    let good = frame(b"hello");
    let mut two = sealed(2, 1, KEY);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(hear(&mut two, &bad), None, "bit {bit}");
    }
    for cut in 0..good.len() {
        assert_eq!(hear(&mut two, &good[..cut]), None, "cut at {cut}");
    }
    let dropped = two.counters().dropped;
    assert!(dropped.forged >= 8 * (5 + 16), "{dropped:?}");
    assert_eq!(dropped.total(), two.counters().frames_heard);
    // Neither a higher epoch nor a higher counter nor the same one was believed.
    assert!(hear(&mut two, &good).is_some());
}

#[test]
fn an_authenticated_heartbeat_and_its_answer_are_a_frame_each() {
    let bytes = |message: &[u8]| {
        let frames = frames(&mut sealed(1, 300, KEY), 2, message, 127);
        (frames.len(), frames[0].len())
    };
    assert_eq!((bytes(&heartbeat()), bytes(&heartbeat_answer())), ((1, 44), (1, 36)));
}

#[test]
fn a_replay_is_dropped_and_counted() {
    let (frame, mut two) = (frame(b"hello"), sealed(2, 1, KEY));
    assert!(hear(&mut two, &frame).is_some());
    assert_eq!(hear(&mut two, &frame), None);
    assert_eq!(two.counters().dropped.repeated, 1);
}

#[test]
fn a_replay_from_a_former_life_is_dropped_and_counted() {
    let mut two = sealed(2, 1, KEY);
    let old = frames(&mut sealed(1, 1, KEY), 2, b"old", 127).remove(0);
    assert!(hear(&mut two, &frames(&mut sealed(1, 2, KEY), 2, b"new", 127)[0]).is_some());
    assert_eq!(hear(&mut two, &old), None);
    assert_eq!(two.counters().dropped.former_life, 1);
}

#[test]
fn another_key_is_told_from_tampering() {
    let (frame, mut two) = (frame(b"hello"), sealed(2, 1, [8; 32]));
    assert_eq!(hear(&mut two, &frame), None);
    assert_eq!((two.counters().dropped.other_key, two.counters().dropped.total()), (1, 1));
}

#[test]
fn a_key_that_looks_the_same_is_still_another() {
    let good = frame(b"hello");
    // Of 256 keys about one has the same mark; of 4,096 about sixteen.
    let dropped = (0..4_096_u16).map(|number| {
        let mut key = [9; 32];
        key[..2].copy_from_slice(&number.to_le_bytes());
        let mut two = sealed(2, 1, key);
        assert_eq!(hear(&mut two, &good), None);
        two.counters().dropped
    });
    let (other, forged) = dropped.fold((0, 0), |sum, one| (sum.0 + one.other_key, sum.1 + one.forged));
    assert_eq!(other + forged, 4_096);
    assert!((1..64).contains(&forged), "{forged}");
}

#[test]
fn plain_frames_and_authenticated_ones_do_not_mix() {
    let plain = frames(&mut link(1, 1), 2, b"hello", 127).remove(0);
    let (mut with_key, mut without) = (sealed(2, 1, KEY), link(2, 1));
    assert_eq!(hear(&mut with_key, &plain), None);
    assert_eq!(hear(&mut without, &frame(b"hello")), None);
    assert_eq!(with_key.counters().dropped.plain, 1);
    assert_eq!(without.counters().dropped.other_key, 1);
}

#[test]
fn no_two_frames_of_a_node_are_encrypted_alike() {
    // The same message: in two lives, twice in a life, of two nodes, of two clusters, and after a busy radio.
    let (mut one, mut born_again, mut three) = (sealed(1, 1, KEY), sealed(1, 2, KEY), sealed(3, 1, KEY));
    let mut elsewhere = config(1, 1).sealed(Key::new(KEY));
    elsewhere.cluster = ClusterId::new(8);
    let mut elsewhere = Lines::new(elsewhere, 1).expect("sound settings");
    let message = [0; 32];
    let mut seen = Vec::new();
    for link in [&mut one, &mut born_again, &mut three, &mut elsewhere] {
        for _ in 0..2 {
            seen.push(frames(link, 2, &message, 127)[0][7..39].to_vec());
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_frame_that_did_not_leave_has_used_its_counter_up() {
    let mut one = sealed(1, 1, KEY);
    let mut radio = Kept { busy: true, ..Kept::new(127) };
    assert!(post(&mut one, 2, b"first"));
    let now = one.deadline().expect("it waits");
    one.transmit(now, &mut radio).expect("never fails");
    // The radio may have heard a part of it. What leaves instead must not be encrypted alike.
    let (frames, _) = drain(&mut one, 127);
    assert_eq!(frames[0][5], 1, "the counter of the frame: {:?}", frames[0]);
}

#[test]
fn noise_is_never_heard_and_changes_nothing() {
    let (mut rng, mut two) = (Rng::new(3), sealed(2, 1, KEY));
    let good = frame(b"hello");
    for number in 0..50_000_u32 {
        let mut noise: Vec<_> = (0..rng.below(128)).map(|_| rng.next() as u8).collect();
        if rng.below(2) == 0 {
            // What looks like a frame for this node.
            let len = noise.len().min(8);
            noise[..len].copy_from_slice(&good[..len]);
        }
        assert_eq!(hear(&mut two, &noise), None, "{noise:?}");
        assert_eq!(two.counters().dropped.total(), number + 1);
    }
    assert!(two.counters().dropped.forged > 20_000);
    assert!(hear(&mut two, &good).is_some());
}

#[test]
fn a_key_does_not_show() {
    let config: LinkConfig = config(1, 1).sealed(Key::new([0xAB; 32]));
    let shown = format!("{config:?}");
    assert!(shown.contains("Key(..)") && !shown.contains("171") && !shown.contains("AB"), "{shown}");
}
