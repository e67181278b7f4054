//! What holds whatever becomes of frames on the way.

mod common;

use common::*;
use quickcheck::{QuickCheck, quickcheck};
use quorate::Rng;
use quorate_radio::Kind;
use std::collections::BTreeMap;

/// What a message is to say: who sent it, in which life, which of its messages it is, and the rest to its length.
fn message(from: u64, epoch: u32, number: u16, len: usize) -> Vec<u8> {
    let mut message = vec![from as u8, epoch as u8];
    message.extend(number.to_le_bytes());
    message.extend((message.len()..len).map(|at| (at as u64 * 31 + from + u64::from(number)) as u8));
    message
}

/// All frames of several nodes in several lives, each with messages of these lengths, in the order in which they left.
fn all_frames(lengths: &[u16], mtu: usize) -> (Vec<Vec<u8>>, BTreeMap<Vec<u8>, u64>) {
    let (mut frames, mut sent) = (Vec::new(), BTreeMap::new());
    for epoch in 1..=2 {
        for from in [1, 3] {
            let mut link = link(from, epoch);
            for (number, len) in lengths.iter().enumerate() {
                let message = message(from, epoch, number as u16, usize::from(len % 600));
                if !post(&mut link, 2, &message) {
                    frames.extend(drain(&mut link, mtu).0);
                    assert!(post(&mut link, 2, &message));
                }
                sent.insert(message, from);
            }
            frames.extend(drain(&mut link, mtu).0);
        }
    }
    (frames, sent)
}

/// Loses, doubles, delays, swaps and damages frames, and puts noise between them.
fn mistreat(frames: Vec<Vec<u8>>, rng: &mut Rng) -> Vec<Vec<u8>> {
    let worst = rng.below(8) + 1;
    let mut on_air: Vec<(usize, Vec<u8>)> = Vec::new();
    for (at, frame) in frames.into_iter().enumerate() {
        let mut put = |delay: u64, frame: Vec<u8>| on_air.push((at + delay as usize, frame));
        if rng.below(16) >= worst {
            put(0, frame);
            continue;
        }
        match rng.below(6) {
            0 => {}
            1 => {
                put(0, frame.clone());
                put(rng.below(100), frame);
            }
            2 => put(rng.below(8), frame),
            3 => put(rng.below(200), frame),
            4 => put(0, damage(frame, rng)),
            _ => {
                put(0, (0..rng.below(200)).map(|_| rng.next() as u8).collect());
                put(0, damage(frame.clone(), rng));
                put(1, frame);
            }
        }
    }
    on_air.sort_by_key(|&(at, _)| at);
    on_air.into_iter().map(|(_, frame)| frame).collect()
}

fn damage(mut frame: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let good = frame.clone();
    match rng.below(3) {
        0 => frame.truncate(rng.below(frame.len() as u64) as usize),
        1 => frame.push(rng.next() as u8),
        _ => {
            for _ in 0..=rng.below(6) {
                let bit = rng.below(frame.len() as u64 * 8) as usize;
                frame[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
    // Flipped twice it is as it was, and that is no damage.
    if frame == good { Vec::new() } else { frame }
}

#[test]
fn what_comes_was_sent_by_that_node_whole_in_its_newest_life_and_comes_once() {
    fn property(seed: u64, lengths: Vec<u16>, mtu: u8) -> bool {
        let mtu = [64, 127, 300][usize::from(mtu) % 3];
        let (frames, mut sent) = all_frames(&lengths, mtu);
        let mut two = link(2, 1);
        let mut newest = BTreeMap::new();
        for (at, frame) in mistreat(frames, &mut Rng::new(seed)).iter().enumerate() {
            let Some((from, kind, message)) = hear_at(&mut two, at as u64 * 1_000, frame) else { continue };
            // Shorter ones have the same four bytes, which say all that is looked at.
            let epoch = message[1];
            let newest = newest.entry(from).or_insert(epoch);
            if kind != Kind::Peer || epoch < *newest || sent.remove(&message) != Some(from) {
                return false;
            }
            *newest = epoch;
        }
        let counters = two.counters();
        counters.frames_heard >= counters.messages_heard + counters.dropped.total()
    }
    QuickCheck::new().tests(400).quickcheck(property as fn(u64, Vec<u16>, u8) -> bool);
}

#[test]
fn what_is_not_mistreated_comes_in_its_order() {
    fn property(lengths: Vec<u16>, mtu: u8) -> bool {
        let mtu = [64, 127, 300][usize::from(mtu) % 3];
        let mut one = link(1, 1);
        let mut two = link(2, 1);
        lengths.iter().enumerate().all(|(number, len)| {
            let message = message(1, 1, number as u16, usize::from(len % 600));
            let frames = frames(&mut one, 2, &message, mtu);
            let heard: Vec<_> = frames.iter().filter_map(|frame| hear(&mut two, frame)).collect();
            heard == [(1, Kind::Peer, message)]
        })
    }
    quickcheck(property as fn(Vec<u16>, u8) -> bool);
}

#[test]
fn noise_is_never_heard_and_does_not_keep_what_follows_from_being_heard() {
    let (mut rng, mut two) = (Rng::new(3), link(2, 1));
    let good = frames(&mut link(1, 1), 2, b"hello", 127).remove(0);
    for number in 0..50_000_u32 {
        let mut noise: Vec<_> = (0..rng.below(128)).map(|_| rng.next() as u8).collect();
        if rng.below(2) == 0 {
            let len = noise.len().min(7);
            noise[..len].copy_from_slice(&good[..len]);
        }
        assert_eq!(hear(&mut two, &noise), None, "{noise:?}");
        assert_eq!(two.counters().dropped.total(), number + 1);
    }
    assert!(hear(&mut two, &good).is_some());
}

#[test]
fn pieces_with_a_right_checksum_and_wrong_content_make_no_message_of_their_own() {
    // Whoever can make checksums can speak for a node; still nothing may break.
    let mut rng = Rng::new(5);
    let mut two = link(2, 1);
    for counter in 0..20_000_u64 {
        let mut frame = vec![0x41, 7, rng.below(4) as u8, 2, rng.below(3) as u8];
        put_number(&mut frame, counter + rng.below(20));
        put_number(&mut frame, rng.below(10));
        frame.push(rng.next() as u8);
        frame.resize(frame.len() + rng.below(120) as usize, 0xAA);
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&frame);
        frame.extend(sum.to_le_bytes());
        if let Some((_, _, message)) = hear_at(&mut two, counter, &frame) {
            assert!(message.len() <= 600 && message.iter().all(|&byte| byte == 0xAA));
        }
    }
    let counters = two.counters();
    assert!(
        counters.dropped.orphans > 0 && counters.dropped.repeated > 0 && counters.dropped.former_life > 0
    );
}
