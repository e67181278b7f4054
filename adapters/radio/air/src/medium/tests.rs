use super::*;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn station(number: usize) -> Station {
    Station::new(number).expect("few")
}

fn calm(stations: usize) -> Medium {
    Medium::new(Conditions::default(), stations, 7)
}

fn drain(medium: &mut Medium, now: Instant) -> Vec<(usize, Vec<u8>)> {
    std::iter::from_fn(|| medium.arrival(now)).map(|arrival| (arrival.to.number(), arrival.frame)).collect()
}

#[test]
fn a_frame_arrives_everywhere_else_when_its_airtime_is_over() {
    let mut medium = calm(3);
    // (6 + 19) bytes at 250 kbit/s
    assert_eq!(medium.send(at(0), station(0), &[9; 19]), Ok(at(800)));
    assert_eq!(medium.deadline(), Some(at(800)));
    assert_eq!(medium.arrival(at(799)), None);
    assert_eq!(drain(&mut medium, at(800)), [(1, vec![9; 19]), (2, vec![9; 19])]);
    assert_eq!(medium.deadline(), None);
}

#[test]
fn who_hears_another_does_not_send() {
    let mut medium = calm(3);
    medium.send(at(0), station(0), &[1; 60]).expect("free");
    assert_eq!(medium.send(at(192), station(1), &[2]), Err(OnAir));
    assert_eq!(medium.send(at(100), station(0), &[2]), Err(OnAir), "one frame at a time");
    assert!(medium.is_free(at(10_000), station(1)));
}

#[test]
fn frames_that_begin_together_are_lost_to_all_who_hear_both() {
    let mut medium = calm(3);
    medium.send(at(0), station(0), &[1; 60]).expect("free");
    medium.send(at(191), station(1), &[2; 60]).expect("not heard yet");
    assert_eq!(drain(&mut medium, at(10_000)), []);
    assert_eq!(medium.counters().collided, 4);
}

#[test]
fn loss_is_a_share_and_the_same_seed_loses_the_same_frames() {
    let run = |seed| {
        let mut medium = Medium::new(Conditions { loss: 0.2, ..Conditions::default() }, 2, seed);
        let mut got = Vec::new();
        for round in 0..5_000_u64 {
            medium.send(at(round * 10_000), station(0), &round.to_le_bytes()).expect("free");
            got.extend(drain(&mut medium, at(round * 10_000 + 9_999)));
        }
        got
    };
    let got = run(1);
    assert!((3_800..4_200).contains(&got.len()), "{}", got.len());
    assert_eq!(got, run(1));
    assert_ne!(got, run(2));
}

#[test]
fn a_jammed_station_neither_hears_nor_is_heard_until_the_air_clears() {
    let mut medium = calm(3);
    medium.send(at(0), station(0), &[1]).expect("free");
    medium.jam(station(1), true);
    assert_eq!(drain(&mut medium, at(5_000)), [(2, vec![1])], "a frame that is on its way is lost too");
    assert_eq!(medium.send(at(5_000), station(1), &[2]), Err(OnAir));
    medium.jam(station(1), false);
    medium.send(at(6_000), station(1), &[3]).expect("free again");
    assert_eq!(drain(&mut medium, at(10_000)).len(), 2);
}

#[test]
fn partitions_do_not_hear_each_other() {
    let mut medium = calm(4);
    medium.part(station(2), 1);
    medium.part(station(3), 1);
    medium.send(at(0), station(0), &[1; 40]).expect("free");
    medium.send(at(500), station(2), &[2; 40]).expect("it does not hear the other");
    assert_eq!(drain(&mut medium, at(10_000)), [(1, vec![1; 40]), (3, vec![2; 40])]);
}

#[test]
fn corruption_changes_bits_and_nothing_else() {
    let mut medium = Medium::new(Conditions { corruption: 1.0, ..Conditions::default() }, 2, 3);
    medium.send(at(0), station(0), &[0; 40]).expect("free");
    let (_, frame) = drain(&mut medium, at(10_000)).remove(0);
    assert_eq!(frame.len(), 40);
    assert!(frame.iter().any(|&byte| byte != 0));
}

#[test]
fn a_frame_longer_than_fits_takes_its_airtime_and_reaches_nobody() {
    let mut medium = calm(2);
    let end = medium.send(at(0), station(0), &[0; 128]).expect("free");
    assert!(!medium.is_free(at(1_000), station(1)));
    assert_eq!(drain(&mut medium, end), []);
    assert_eq!(medium.counters().oversized, 1);
}
