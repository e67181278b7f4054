//! What a link promises, a claim each.

mod common;

use common::*;
use core::time::Duration;
use quorate::{ClusterId, NodeId};
use quorate_radio::{Counters, Duty, Kind, Link, LinkConfig, Phy};

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

#[test]
fn a_message_that_fits_is_one_frame_and_comes_as_it_was_sent() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let frames = frames(&mut one, 2, &message(100), 127);
    assert_eq!(frames.len(), 1);
    assert_eq!(hear(&mut two, &frames[0]), Some((1, Kind::Peer, message(100))));
}

#[test]
fn messages_of_any_length_come_whole_over_frames_of_64_127_and_300_bytes() {
    for mtu in [64, 127, 300] {
        let (mut one, mut two) = (link(1, 1), link(2, 1));
        for len in 0..=600 {
            let frames = frames(&mut one, 2, &message(len), mtu);
            let (last, before) = frames.split_last().expect("at least one");
            assert!(before.iter().all(|frame| hear(&mut two, frame).is_none()));
            assert_eq!(hear(&mut two, last), Some((1, Kind::Peer, message(len))), "{len} bytes, {mtu}");
        }
        assert_eq!(two.counters().dropped.total(), 0);
        assert_eq!(two.counters().messages_heard, 601);
    }
}

#[test]
fn a_message_is_cut_only_when_it_does_not_fit() {
    for mtu in [64, 127, 300] {
        let overhead = frames(&mut link(1, 1), 2, &[], mtu)[0].len();
        assert_eq!(overhead, 10);
        assert_eq!(frames(&mut link(1, 1), 2, &message(mtu - overhead), mtu).len(), 1);
        assert_eq!(frames(&mut link(1, 1), 2, &message(mtu - overhead + 1), mtu).len(), 2);
    }
}

#[test]
fn a_message_longer_than_said_is_refused_and_counted() {
    let mut one = link(1, 1);
    assert!(!post(&mut one, 2, &message(601)));
    assert!(!post(&mut one, 1, b"to myself"));
    assert_eq!(one.counters().refused, 2);
    assert_eq!(one.deadline(), None);
}

#[test]
fn what_is_not_for_this_node_is_dropped_by_kind() {
    let (mut two, mut three) = (link(2, 1), link(3, 1));
    let mut foreign = Lines::new(with(|config| config.cluster = ClusterId::new(8)), 1).expect("sound");
    let frame = frames(&mut link(1, 1), 2, b"hello", 127).remove(0);
    assert_eq!(hear(&mut three, &frame), None);
    assert_eq!(hear(&mut foreign, &frame), None);
    assert_eq!(hear(&mut link(1, 1), &frame), None);
    let mut damaged = frame.clone();
    damaged[6] ^= 1;
    assert_eq!(hear(&mut two, &damaged), None);
    assert_eq!(three.counters().dropped.overheard, 1);
    assert_eq!(foreign.counters().dropped.foreign, 1);
    assert_eq!(two.counters().dropped.damaged, 1);
    assert_eq!(two.counters().dropped.total(), 1);
}

#[test]
fn a_node_with_its_own_number_is_noticed() {
    let mut one = link(1, 1);
    let frame = frames(&mut link(1, 1), 2, b"hello", 127).remove(0);
    assert_eq!(hear(&mut one, &frame), None);
    assert_eq!(one.counters().dropped.own, 1);
}

#[test]
fn a_frame_counts_once() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let frame = frames(&mut one, 2, b"hello", 127).remove(0);
    assert!(hear(&mut two, &frame).is_some());
    assert_eq!(hear(&mut two, &frame), None);
    assert_eq!(two.counters().dropped.repeated, 1);
}

#[test]
fn a_frame_of_a_former_life_is_dropped_once_the_new_one_was_heard() {
    let mut two = link(2, 1);
    let old = [b"a", b"b"].map(|message| frames(&mut link(1, 1), 2, message, 127).remove(0));
    assert!(hear(&mut two, &old[0]).is_some());
    let new = frames(&mut link(1, 2), 2, b"c", 127).remove(0);
    assert!(hear(&mut two, &new).is_some());
    assert_eq!(hear(&mut two, &old[1]), None);
    assert_eq!(two.counters().dropped.former_life, 1);
}

#[test]
fn a_new_life_is_heard_though_its_frames_count_from_the_start() {
    let mut two = link(2, 1);
    let mut one = link(1, 1);
    for _ in 0..100 {
        let frame = frames(&mut one, 2, b"again", 127).remove(0);
        assert!(hear(&mut two, &frame).is_some());
    }
    let frame = frames(&mut link(1, 2), 2, b"born", 127).remove(0);
    assert!(hear(&mut two, &frame).is_some());
}

#[test]
fn a_message_that_lost_a_piece_never_comes_and_the_next_one_does() {
    for lost in 0..3 {
        let (mut one, mut two) = (link(1, 1), link(2, 1));
        let mut pieces = frames(&mut one, 2, &message(300), 127);
        assert_eq!(pieces.len(), 3);
        pieces.remove(lost);
        assert!(pieces.iter().all(|piece| hear(&mut two, piece).is_none()), "without piece {lost}");
        let next = frames(&mut one, 2, &message(200), 127);
        let heard: Vec<_> = next.iter().filter_map(|piece| hear(&mut two, piece)).collect();
        assert_eq!(heard, [(1, Kind::Peer, message(200))], "without piece {lost}");
        assert_eq!(two.counters().incomplete, u32::from(lost > 0));
    }
}

#[test]
fn pieces_of_two_messages_are_never_mixed() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let (old, new) = (frames(&mut one, 2, &[1; 200], 127), frames(&mut one, 2, &[2; 200], 127));
    assert_eq!(hear(&mut two, &old[0]), None);
    assert_eq!(hear(&mut two, &new[1]), None, "the end of another message");
    assert_eq!(hear(&mut two, &old[1]), None, "what had begun was let go of");
    assert_eq!(two.counters().dropped.orphans, 2);
    assert_eq!(two.counters().incomplete, 1);
}

#[test]
fn pieces_of_a_former_life_are_not_completed_in_the_new_one() {
    let mut two = link(2, 1);
    let (old, new) = (frames(&mut link(1, 1), 2, &[1; 200], 127), frames(&mut link(1, 2), 2, &[2; 200], 127));
    assert_eq!(hear(&mut two, &old[0]), None);
    assert_eq!(hear(&mut two, &new[1]), None);
    assert_eq!(two.counters().dropped.orphans, 1);
    assert_eq!(two.counters().incomplete, 1);
}

#[test]
fn pieces_of_several_senders_are_put_together_side_by_side() {
    let mut two = link(2, 1);
    let from = |id: u64| frames(&mut link(id, 1), 2, &[id as u8; 200], 127);
    let (one, three, four) = (from(1), from(3), from(4));
    for pieces in [&one, &three, &four] {
        assert_eq!(hear(&mut two, &pieces[0]), None);
    }
    assert_eq!(two.counters().dropped.crowded, 1, "there is room for two at a time");
    assert_eq!(hear(&mut two, &three[1]), Some((3, Kind::Peer, vec![3; 200])));
    assert_eq!(hear(&mut two, &one[1]), Some((1, Kind::Peer, vec![1; 200])));
    assert_eq!(hear(&mut two, &four[1]), None);
}

#[test]
fn a_message_that_takes_too_long_makes_room() {
    let mut two = link(2, 1);
    let from = |id: u64| frames(&mut link(id, 1), 2, &[id as u8; 200], 127);
    let (one, three, four) = (from(1), from(3), from(4));
    assert_eq!(hear_at(&mut two, 0, &one[0]), None);
    assert_eq!(hear_at(&mut two, 0, &three[0]), None);
    let late = 1_000_001;
    assert_eq!(hear_at(&mut two, late, &four[0]), None);
    assert_eq!(hear_at(&mut two, late, &one[1]), None);
    assert_eq!(hear_at(&mut two, late, &four[1]), Some((4, Kind::Peer, vec![4; 200])));
    assert_eq!(two.counters().incomplete, 2);
}

#[test]
fn a_message_in_pieces_that_would_be_too_long_is_dropped() {
    let mut two = Link::<4, 200, 150>::new(config(2, 1), 2).expect("sound");
    let pieces = frames(&mut link(1, 1), 2, &message(300), 127);
    for piece in pieces {
        assert!(two.receive(at(0), &mut piece.clone()).is_none());
    }
    assert_eq!((two.counters().dropped.too_long, two.counters().dropped.orphans), (1, 1));
}

#[test]
fn a_stranger_is_not_heard_while_all_that_are_remembered_are_about() {
    let mut two = link(2, 1);
    for id in [1, 3, 4, 5] {
        assert!(hear_at(&mut two, 0, &frames(&mut link(id, 1), 2, b"hello", 127)[0]).is_some());
    }
    let stranger = frames(&mut link(6, 1), 2, b"hello", 127).remove(0);
    assert_eq!(hear_at(&mut two, 59_999_999, &stranger), None);
    assert_eq!(two.counters().dropped.strangers, 1);
    assert!(hear_at(&mut two, 60_000_000, &stranger).is_some());
}

#[test]
fn short_messages_go_before_pieces_but_not_for_ever() {
    let mut one = link(1, 1);
    for number in 0..2 {
        assert!(post(&mut one, 2, &[number; 200]));
    }
    for number in 0..18 {
        assert!(post(&mut one, 3, &[number; 8]));
    }
    let lengths: Vec<_> = drain(&mut one, 127).0.iter().map(Vec::len).collect();
    let long: Vec<_> = lengths.iter().enumerate().filter(|&(_, &len)| len > 40).map(|(at, _)| at).collect();
    assert_eq!(long, [4, 9, 14, 19]);
}

#[test]
fn what_has_begun_is_finished_before_another_message_in_pieces_begins() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    assert!(post(&mut one, 2, &[1; 300]));
    assert!(post(&mut one, 2, &[2; 300]));
    let heard: Vec<_> = drain(&mut one, 127).0.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Peer, vec![1; 300]), (1, Kind::Peer, vec![2; 300])]);
}

#[test]
fn without_room_the_oldest_message_of_a_peer_gives_way_and_an_answer_never() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    assert!(post_at(&mut one, 0, 2, Kind::Answer, &[0; 100]));
    assert!(post_at(&mut one, 0, 3, Kind::Peer, &[1; 400]));
    assert!(post_at(&mut one, 0, 2, Kind::Peer, &[2; 400]));
    assert!(post_at(&mut one, 0, 2, Kind::Peer, &[3; 300]), "the older one for the same node goes");
    assert!(post_at(&mut one, 0, 2, Kind::Ask, &[4; 400]), "the newer one goes too");
    assert!(!post_at(&mut one, 0, 2, Kind::Ask, &[5; 600]), "what is of clients has half of the room");
    let counters = *one.counters();
    assert_eq!((counters.displaced, counters.refused), (2, 1));
    let heard: Vec<_> = drain(&mut one, 300).0.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Answer, vec![0; 100]), (1, Kind::Ask, vec![4; 400])]);
}

#[test]
fn the_same_message_does_not_wait_twice() {
    let mut one = link(1, 1);
    for _ in 0..3 {
        assert!(post(&mut one, 2, b"vote for me"));
    }
    assert!(post(&mut one, 3, b"vote for me"));
    assert_eq!(drain(&mut one, 127).0.len(), 2);
}

#[test]
fn a_message_that_waited_for_too_long_is_dropped() {
    let mut one = Lines::new(with(|config| config.lifetime = Duration::from_secs(1)), 1).expect("sound");
    assert!(post_at(&mut one, 0, 2, Kind::Ask, b"old"));
    assert!(post_at(&mut one, 500_000, 2, Kind::Ask, b"new"));
    let mut radio = Kept::new(127);
    one.transmit(at(1_000_001), &mut radio).expect("never fails");
    assert_eq!(radio.sent.len(), 1);
    assert_eq!(one.counters().expired, 1);
    assert_eq!(one.deadline(), None);
}

#[test]
fn the_rest_of_a_message_that_expires_is_not_sent_and_the_next_begins_anew() {
    let (config, mut two) = (with(|config| config.lifetime = Duration::from_secs(1)), link(2, 1));
    let mut one = Lines::new(config, 1).expect("sound");
    let mut radio = Kept::new(127);
    assert!(post_at(&mut one, 0, 2, Kind::Peer, &[1; 300]));
    one.transmit(at(100_000), &mut radio).expect("never fails");
    assert!(post_at(&mut one, 1_000_001, 2, Kind::Peer, &[2; 300]));
    radio.sent.extend(drain(&mut one, 127).0);
    let heard: Vec<_> = radio.sent.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Peer, vec![2; 300])]);
    assert_eq!(one.counters().expired, 1);
}

#[test]
fn a_busy_radio_is_tried_again_later_and_nothing_is_lost() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let mut radio = Kept { busy: true, ..Kept::new(127) };
    assert!(post(&mut one, 2, &message(300)));
    for _ in 0..5 {
        let before = one.deadline().expect("it waits");
        one.transmit(before, &mut radio).expect("never fails");
        assert!(one.deadline().expect("it still waits") > before);
    }
    assert_eq!((one.counters().busy, one.counters().frames_sent), (5, 0));
    let heard: Vec<_> = drain(&mut one, 127).0.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Peer, message(300))]);
}

#[test]
fn frames_leave_one_at_a_time_with_the_radio_s_turnaround_between() {
    let mut one = link(1, 1);
    let mut radio = Kept::new(127);
    assert!(post(&mut one, 2, &message(300)));
    let first = one.deadline().expect("it waits");
    one.transmit(first, &mut radio).expect("never fails");
    one.transmit(first, &mut radio).expect("never fails");
    assert_eq!(radio.sent.len(), 1);
    let airtime = Phy::IEEE_802_15_4.airtime(127) + Duration::from_micros(192);
    assert!(one.deadline().expect("there is more").since(first) >= airtime);
}

#[test]
fn what_was_sent_is_counted_in_frames_bytes_and_time() {
    let mut one = link(1, 1);
    let (frames, _) = (frames(&mut one, 2, &message(300), 127), ());
    let Counters { frames_sent, bytes_sent, airtime_micros, messages_sent, .. } = *one.counters();
    let bytes: usize = frames.iter().map(Vec::len).sum();
    assert_eq!((frames_sent, bytes_sent, messages_sent), (3, bytes as u64, 1));
    assert_eq!(airtime_micros, bytes as u64 * 32 + 3 * 256);
}

#[test]
fn a_node_that_used_up_its_share_waits_and_says_until_when() {
    let duty = Duty { permille: 10, period: Duration::from_secs(60) };
    let mut one = Lines::new(with(|config| config.duty = duty), 1).expect("sound");
    let (mut radio, mut now) = (Kept::new(127), at(0));
    for number in 0..=255 {
        assert!(post_at(&mut one, now.as_micros(), 2, Kind::Peer, &[number; 100]));
        while let Some(next) = one.deadline() {
            now = next;
            one.transmit(now, &mut radio).expect("never fails");
        }
    }
    assert!(one.counters().over_budget > 0);
    let share = one.counters().airtime_micros * 1000 / now.as_micros();
    assert!((5..=10).contains(&share), "{share} permille of {now:?}");
}

#[test]
fn settings_that_let_nothing_through_are_refused() {
    let refused = |change: fn(&mut LinkConfig)| Lines::new(with(change), 1).is_err();
    assert!(Link::<1, 99, 64, 41>::new(with(|config| config.id = NodeId::new(u64::MAX)), 1).is_err());
    assert!(Link::<1, 99, 64, 41>::new(config(1, 1), 1).is_ok());
    assert!(refused(|config| config.duty.permille = 0));
    assert!(refused(|config| config.duty = Duty { permille: 1, period: Duration::from_secs(1) }));
    assert!(refused(|config| config.backoff.shortest = config.backoff.longest + 1));
}

fn with(change: impl FnOnce(&mut LinkConfig)) -> LinkConfig {
    let mut config = config(1, 1);
    change(&mut config);
    config
}

#[test]
fn a_heartbeat_and_its_answer_are_a_frame_each() {
    let bytes = |message: &[u8]| {
        let frames = frames(&mut link(1, 300), 2, message, 127);
        (frames.len(), frames[0].len())
    };
    // Three more once the counter of frames is in the millions.
    assert_eq!((bytes(&heartbeat()), bytes(&heartbeat_answer())), ((1, 31), (1, 23)));
}

#[test]
fn a_message_of_more_than_128_pieces_is_refused_and_does_not_hold_up_the_next() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    assert!(post(&mut one, 2, &message(600)));
    assert!(post(&mut one, 2, &message(100)));
    let (frames, _) = drain(&mut one, 16);
    let heard: Vec<_> = frames.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Peer, message(100))]);
    assert_eq!(one.counters().refused, 1);
}

#[test]
fn what_is_old_does_not_disturb_a_message_that_is_being_put_together() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let (old, new) = (frames(&mut one, 2, &[1; 200], 127), frames(&mut one, 2, &[2; 200], 127));
    assert_eq!(hear(&mut two, &new[0]), None);
    assert_eq!(hear(&mut two, &old[0]), None);
    assert_eq!(hear(&mut two, &old[1]), None);
    assert_eq!(hear(&mut two, &new[1]), Some((1, Kind::Peer, vec![2; 200])));
    assert_eq!(two.counters().dropped.orphans, 2);
}

#[test]
fn the_older_message_for_the_same_node_gives_way_before_one_for_another() {
    let (mut one, mut two, mut three) = (link(1, 1), link(2, 1), link(3, 1));
    assert!(post(&mut one, 3, &[1; 400]));
    assert!(post(&mut one, 2, &[2; 400]));
    assert!(post(&mut one, 2, &[3; 400]));
    let (frames, _) = drain(&mut one, 300);
    let heard = |link: &mut Lines| frames.iter().filter_map(|frame| hear(link, frame)).collect::<Vec<_>>();
    assert_eq!(heard(&mut three), [(1, Kind::Peer, vec![1; 400])]);
    assert_eq!(heard(&mut two), [(1, Kind::Peer, vec![3; 400])]);
}

#[test]
fn a_message_of_which_a_piece_left_does_not_give_way() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let mut radio = Kept::new(127);
    assert!(post(&mut one, 2, &[1; 300]));
    one.transmit(one.deadline().expect("it waits"), &mut radio).expect("never fails");
    for number in 2..=4 {
        assert!(post(&mut one, 2, &[number; 400]));
    }
    radio.sent.extend(drain(&mut one, 127).0);
    let heard: Vec<_> = radio.sent.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard, [(1, Kind::Peer, vec![1; 300]), (1, Kind::Peer, vec![4; 400])]);
}

#[test]
fn clients_take_no_more_than_half_of_the_room_and_one_message() {
    let mut one = link(1, 1);
    let taken = (0..100).filter(|&number| post_at(&mut one, 0, 2, Kind::Answer, &[number; 32])).count();
    assert!((10..=11).contains(&taken), "{taken} of 51 bytes each, in 1024");
    assert!(post(&mut one, 2, &[0; 400]), "and the machine is heard");
    assert_eq!(one.counters().displaced, 0);
}

#[test]
fn messages_come_whole_from_a_radio_whose_frames_become_shorter() {
    let (mut one, mut two) = (link(1, 1), link(2, 1));
    let mut radio = Kept::new(127);
    for number in 0..5 {
        assert!(post(&mut one, 2, &[number; 100]));
    }
    assert!(post(&mut one, 2, &[9; 300]));
    for _ in 0..5 {
        one.transmit(one.deadline().expect("more waits"), &mut radio).expect("never fails");
    }
    // A piece has left, and what is before it in the queue does not fit a frame any more.
    radio.sent.extend(drain(&mut one, 64).0);
    let heard: Vec<_> = radio.sent.iter().filter_map(|frame| hear(&mut two, frame)).collect();
    assert_eq!(heard.len(), 6);
    assert!(heard.contains(&(1, Kind::Peer, vec![9; 300])) && heard.contains(&(1, Kind::Peer, vec![4; 100])));
}
