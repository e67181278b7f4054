use super::*;
use quickcheck::quickcheck;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::vec::Vec;

/// What is written can be read, a few bytes at a time.
#[derive(Default)]
struct Loop {
    bytes: VecDeque<u8>,
    room: usize,
}

impl Port for Loop {
    type Error = Infallible;

    fn read(&mut self) -> Result<Option<u8>, Infallible> {
        Ok(self.bytes.pop_front())
    }

    fn write(&mut self, byte: u8) -> Result<bool, Infallible> {
        let takes = self.room > 0;
        if takes {
            self.room -= 1;
            self.bytes.push_back(byte);
        }
        Ok(takes)
    }
}

type Line = Serial<Loop, 600>;

fn line() -> Line {
    Serial::new(Loop { bytes: VecDeque::new(), room: usize::MAX })
}

fn hear(line: &mut Line, bytes: impl IntoIterator<Item = u8>) -> Vec<Vec<u8>> {
    line.port().bytes.extend(bytes);
    let mut frames = Vec::new();
    let mut buffer = [0; 600];
    for _ in 0..1_000 {
        let Ok(received) = line.receive(&mut buffer);
        match received {
            Some(len) => frames.push(buffer[..len].to_vec()),
            None if line.port().bytes.is_empty() => return frames,
            None => {}
        }
    }
    panic!("the line never ends");
}

fn stuffed(frame: &[u8]) -> Vec<u8> {
    let mut line = line();
    line.send(frame).expect("nothing is under way");
    line.port().bytes.drain(..).collect()
}

#[test]
fn frames_are_these_bytes() {
    assert_eq!(stuffed(&[]), [0, 1, 0]);
    assert_eq!(stuffed(&[0]), [0, 1, 1, 0]);
    assert_eq!(stuffed(&[1, 0, 2]), [0, 2, 1, 2, 2, 0]);
    assert_eq!(stuffed(&[1, 0]), [0, 2, 1, 1, 0]);
    let long = [7; 255];
    let expected: Vec<_> = [0, 255].into_iter().chain([7; 254]).chain([2, 7, 0]).collect();
    assert_eq!(stuffed(&long), expected);
    assert_eq!(stuffed(&long[..254]), [&[0, 255][..], &[7; 254], &[0]].concat());
}

#[test]
fn frames_come_back_as_they_were_sent_and_have_no_zero_within() {
    fn property(frames: Vec<Vec<u8>>, zeros: u8, length: u16) -> bool {
        let long = (0..length % 600).map(|at| if at % 300 == u16::from(zeros) { 0 } else { 1 }).collect();
        let frames: Vec<_> = frames.into_iter().chain([long]).collect();
        let stuffed: Vec<_> = frames.iter().map(|frame| stuffed(frame)).collect();
        let sound = |bytes: &Vec<u8>| bytes[1..bytes.len() - 1].iter().all(|&byte| byte != 0);
        let as_cobs = |(bytes, frame): (&Vec<u8>, &Vec<u8>)| {
            // The bytes are those of another implementation.
            let mut other = std::vec![1; 700]; // which leaves the length of an empty frame out
            let len = cobs::encode(frame, &mut other).max(1);
            bytes[1..bytes.len() - 1] == other[..len]
        };
        stuffed.iter().all(sound)
            && stuffed.iter().zip(&frames).all(as_cobs)
            && hear(&mut line(), stuffed.concat()) == frames
    }
    quickcheck(property as fn(Vec<Vec<u8>>, u8, u16) -> bool);
}

#[test]
fn what_came_before_the_first_zero_is_not_a_frame() {
    assert_eq!(hear(&mut line(), [2, 9, 0, 2, 8, 0]), [[8]]);
}

#[test]
fn a_frame_that_lost_a_byte_is_dropped_and_the_next_one_heard() {
    let mut line = line();
    assert_eq!(hear(&mut line, [0, 4, 1, 2, 0, 2, 8, 0]), [[8]]);
    assert_eq!(line.dropped(), 1);
}

#[test]
fn a_frame_that_is_too_long_is_dropped_and_the_next_one_heard() {
    let mut line = line();
    let long = [7; 200].into_iter().cycle().take(700);
    let bytes = [0].into_iter().chain(long).chain([0, 2, 8, 0]);
    assert_eq!(hear(&mut line, bytes), [[8]]);
    assert_eq!(line.dropped(), 1);
    let mut short = [0; 2];
    line.port().bytes.extend([0, 4, 1, 2, 3, 0, 2, 8, 0]);
    assert_eq!(line.receive(&mut short), Ok(Some(1)));
    assert_eq!((short[0], line.dropped()), (8, 2));
}

#[test]
fn after_any_noise_the_second_frame_is_heard() {
    fn property(noise: Vec<u8>, frame: Vec<u8>) -> bool {
        let mut line = line();
        hear(&mut line, noise);
        hear(&mut line, stuffed(b"first"));
        hear(&mut line, stuffed(&frame)) == [frame]
    }
    quickcheck(property as fn(Vec<u8>, Vec<u8>) -> bool);
}

#[test]
fn a_port_with_little_room_gets_the_frame_bit_by_bit() {
    let mut line = line();
    line.port().room = 3;
    assert_eq!(line.send(b"hello"), Ok(()));
    assert_eq!(line.send(b"again"), Err(SendError::Busy));
    line.port().room = 100;
    assert_eq!(line.pump(), Ok(true));
    assert_eq!(hear(&mut line, []), [b"hello"]);
    assert_eq!(line.send(b"again"), Ok(()));
}
